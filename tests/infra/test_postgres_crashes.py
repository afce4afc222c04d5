"""kill -9 in the middle of things: the next start serves, with all that was committed."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from pathlib import Path

import psycopg
import pytest

from fulfillment.infra import postgres
from fulfillment.infra.postgres import EmbeddedPostgres

START = """
import sys, time
from pathlib import Path
from fulfillment.infra.postgres import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]))
server.start()
time.sleep(60)
"""


@pytest.fixture
def folder() -> Generator[Path]:
    """A folder that PostgreSQL's user can pass when the tests run as root; pytest's own are private."""
    made = Path(tempfile.mkdtemp(prefix="jf-"))
    made.chmod(0o711)
    yield made
    shutil.rmtree(made, ignore_errors=True)  # what dies by our hand may still write for a moment


def started(data_dir: Path) -> subprocess.Popen[bytes]:
    """Start the database in a process of its own."""
    return subprocess.Popen([sys.executable, "-c", START, data_dir], stdout=subprocess.DEVNULL, start_new_session=True)


def wait_for(data_dir: Path, pattern: str) -> None:
    """Return as soon as a file of that name exists, or the start is past the point where it does for a moment."""
    deadline = time.monotonic() + 20
    while not any(data_dir.glob(pattern)) and not _later(data_dir, pattern):
        assert time.monotonic() < deadline, f"{pattern} did not appear"
        time.sleep(0.0005)


def alive(pid: int) -> bool:
    """Return whether the process exists and is more than a zombie that nobody has asked about."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes() != b""
    except FileNotFoundError:
        return False


def serves(data_dir: Path) -> bool:
    """Start the database here, and return whether the owner can make a table."""
    server = EmbeddedPostgres(data_dir, echo=lambda _: None)
    try:
        server.start(60)
        with psycopg.connect(server.owner_dsn) as connection:
            connection.execute("CREATE TABLE probe (x int)")
        return True
    finally:
        server.stop()


@pytest.mark.parametrize(
    "moment",
    [
        "lock",
        "postgres.new-*",
        "postgres.new-*/global/pg_control",
        "postgres.new-*/fulfillment.complete",
        "postgres/PG_VERSION",
        "run/.s.PGSQL.5432",
    ],
)
def test_killed_in_the_first_start(folder: Path, moment: str) -> None:
    """A first start that is killed with its whole group, at any stage, is no obstacle to the next."""
    process = started(folder / "var")
    wait_for(folder / "var", moment)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()

    assert serves(folder / "var")
    assert list((folder / "var").glob("postgres.new-*")) == []


def test_supervisor_killed(folder: Path) -> None:
    """When the supervisor is killed the postmaster ends by itself, and the next start finds the data."""
    process = started(folder / "var")
    wait_for(folder / "var", "postgres.log")
    database = EmbeddedPostgres(folder / "var", echo=lambda _: None)
    while not _insert(database.owner_dsn):
        time.sleep(0.02)
    postmaster = int((folder / "var" / "postgres" / "postmaster.pid").read_text().split()[0])
    process.kill()
    process.wait()

    database.start(60)
    with psycopg.connect(database.owner_dsn) as connection:
        kept = connection.execute("SELECT x FROM kept").fetchall()
    database.stop()

    assert kept == [(7,)]
    assert not alive(postmaster)


def test_full_disk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a full disk a start is tried once, not again and again; as soon as there is room PostgreSQL is back."""
    said: list[str] = []
    database = EmbeddedPostgres(folder / "var", echo=said.append)
    database.start(60)
    try:
        room(0, monkeypatch)
        first = killed_and_looked_at(database)
        second = killed_and_looked_at(database)
        room(10**9, monkeypatch)
        again = looked_at(database)
        assert again
        while not database.ready():
            time.sleep(0.02)
    finally:
        database.stop()

    assert first
    assert not second
    assert len([line for line in said if "disk is full" in line]) == 1


def room(free: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the disk have so many bytes free."""

    def free_bytes(_folder: Path) -> int:
        return free

    monkeypatch.setattr(postgres, "free_bytes", free_bytes)


def killed_and_looked_at(database: EmbeddedPostgres) -> bool:
    """Kill the postmaster, and return whether it is started again."""
    assert database.pid is not None
    os.kill(database.pid, signal.SIGKILL)
    return looked_at(database)


def looked_at(database: EmbeddedPostgres) -> bool:
    """Return whether PostgreSQL is started again at once: before its first starts there is no pause."""
    until = time.monotonic() + 0.4
    while time.monotonic() < until:
        if database.check_and_restart():
            return True
        time.sleep(0.02)
    return False


def test_half_made_cluster(folder: Path) -> None:
    """A cluster that initdb has not finished never has the final name."""
    process = started(folder / "var")
    wait_for(folder / "var", "postgres.new-*/base")
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()

    assert not (folder / "var" / "postgres").exists()
    assert len(list((folder / "var").glob("postgres.new-*"))) == 1


def _later(data_dir: Path, pattern: str) -> bool:
    return pattern.startswith("postgres.new-") and (data_dir / "postgres").exists()


def _insert(dsn: str) -> bool:
    try:
        with psycopg.connect(dsn) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 7 AS x")
    except psycopg.OperationalError:
        return False
    return True
