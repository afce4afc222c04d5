"""The tests through PgBouncer: with TESTS_POOLED=1 every connection of the application passes a transaction pooler."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from psycopg.conninfo import conninfo_to_dict

from fulfillment.infra.db import Database
from fulfillment.infra.postgres import EmbeddedPostgres
from fulfillment.infra.processes import tied_to_parent

ASKED: Final = os.environ.get("TESTS_POOLED") == "1"
_CONNECTIONS: Final = 2  # to each database: less than one of our own pools has, so that clients do share them
_PORT: Final = 6543
REASON: Final = "behind a pooler: "

# What looks at the very thing that such a pooler takes away, by the beginning of its id.
UNPOOLED: Final[Mapping[str, str]] = {
    "tests/infra/test_caches.py::test_a_change_is_heard_at_once": "notifications do not pass; the poll has a test",
    "tests/infra/test_caches.py::test_a_lost_listener_comes_back": "the listening session is another client's as well",
    "tests/infra/test_db_faults.py::test_a_statement_whose_columns_changed_is_prepared_anew": "nothing is prepared",
}


class PoolerMissing(Exception):
    """There is no PgBouncer on this machine, or it does not serve."""


def find() -> str:
    """Return where PgBouncer is.

    Raises:
        PoolerMissing: Nowhere.
    """
    program = shutil.which("pgbouncer", path=os.environ.get("PATH", "") + ":/usr/sbin")
    if program is None:
        raise PoolerMissing("pgbouncer is not installed")
    return program


def without_prepared_statements() -> None:
    """Do what an operator does before such a pooler: FULFILLMENT_PREPARED_STATEMENTS=false, and for pools made here."""
    os.environ["FULFILLMENT_PREPARED_STATEMENTS"] = "false"
    given = Database.__init__.__kwdefaults__
    assert given is not None
    given["prepared_statements"] = False


@contextmanager
def application_dsn(database: EmbeddedPostgres) -> Generator[str]:
    """Give the address that the application is to use: the pooler's, where that is asked for."""
    if not ASKED:
        yield database.app_dsn
        return
    with pooler(database) as dsn:
        yield dsn


@contextmanager
def pooler(database: EmbeddedPostgres) -> Generator[str]:
    """Give the application's address through a PgBouncer before *database*; any other name of a database works, too."""
    program = find()
    folder = Path(tempfile.mkdtemp(prefix="pb-"))
    process = _started(program, folder, database)
    try:
        dsn = f"postgresql://fulfillment@/fulfillment?host={folder}&port={_PORT}"
        _wait(process, folder)
        yield dsn
        if process.poll() is not None:
            log = (folder / "log.txt").read_text()
            raise PoolerMissing(f"pgbouncer ended by itself, {process.returncode}:\n{log[-2000:]}")
    finally:
        process.terminate()
        process.wait(10)
        shutil.rmtree(folder, ignore_errors=True)


def _started(program: str, folder: Path, database: EmbeddedPostgres) -> "subprocess.Popen[bytes]":
    place = conninfo_to_dict(database.app_dsn)["host"]
    configuration = folder / "pgbouncer.ini"
    configuration.write_text(
        f"[databases]\n* = host={place} user=fulfillment\n"
        f"[pgbouncer]\npool_mode = transaction\nauth_type = any\nunix_socket_dir = {folder}\nlisten_port = {_PORT}\n"
        f"default_pool_size = {_CONNECTIONS}\nmax_client_conn = 1000\nquery_wait_timeout = 20\n"
        # Each module has a database of its own: what the last one left idle must not keep the next one out.
        f"server_idle_timeout = 5\nlogfile = {folder / 'log.txt'}\n"
        # A test that asks for a shorter lock time-out than the role's waits for the role's.
        "ignore_startup_parameters = extra_float_digits,options\n"
    )
    owner = group = None
    if os.geteuid() == 0:  # it refuses to run as root; the cluster's owner may use the socket
        owner, group = database.cluster_dir.owner(), database.cluster_dir.group()
        for path in (folder, configuration):
            shutil.chown(path, owner, group)
    folder.chmod(0o711)
    return subprocess.Popen(
        [program, "-q", configuration],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=tied_to_parent(signal.SIGTERM),
        user=owner,
        group=group,
    )


def _wait(process: "subprocess.Popen[bytes]", folder: Path) -> None:
    # No connection is made: one to the template of the tests' databases would stay and keep it from being copied.
    until = time.monotonic() + 10
    while not (folder / f".s.PGSQL.{_PORT}").exists():
        if process.poll() is not None or time.monotonic() > until:
            log = folder / "log.txt"
            raise PoolerMissing(f"pgbouncer does not serve: {log.read_text() if log.exists() else 'it said nothing'}")
        time.sleep(0.05)


class PooledDatabase:
    """The database of one `fulfillment serve`, run by the tests in its data folder, and a pooler before it."""

    def __init__(self, data_dir: Path) -> None:
        self._database = EmbeddedPostgres(data_dir, echo=lambda _: None)
        self._pooler = ExitStack()

    def start(self) -> dict[str, str]:
        """Start both, and return the settings that an operator gives: migrations do not pass the pooler."""
        self._database.start(60)
        return {
            "FULFILLMENT_DATABASE_URL": self._pooler.enter_context(pooler(self._database)),
            "FULFILLMENT_MIGRATION_DATABASE_URL": self._database.owner_dsn,
        }

    def stop(self) -> None:
        """End both."""
        self._pooler.close()
        self._database.stop(gently=True)

    def kill(self) -> None:
        """End both, the database without a word."""
        if self._database.pid is not None:
            os.kill(self._database.pid, signal.SIGKILL)
        self._pooler.close()
        self._database.stop(hurry=lambda: True)
