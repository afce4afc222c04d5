"""Migrations that are started twice, or cut off: the next start makes good what is missing."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from fulfillment.infra import migrate
from fulfillment.infra.postgres import EmbeddedPostgres

NUMBERS = count(1)
_UP = """
import sys
from pathlib import Path
from fulfillment.infra import migrate
print(",".join(migrate.up(sys.argv[1], folder=Path(sys.argv[2]))))
"""


@pytest.fixture
def empty(postgres: EmbeddedPostgres) -> Callable[[], str]:
    """Make empty databases; the owner's address of each."""

    def make() -> str:
        name = f"migrated_{os.getpid()}_{next(NUMBERS)}"
        with psycopg.connect(postgres.superuser_dsn, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {} OWNER fulfillment_owner").format(sql.Identifier(name)))
        return postgres.dsn("fulfillment_owner", name)

    return make


def schema(dsn: str, path: Path) -> str:
    """Return the whole schema as text."""
    migrate.dump_schema(dsn, path)
    return path.read_text()


def begun(dsn: str, folder: Path) -> "subprocess.Popen[str]":
    """Start migrating in a process of its own, in a session of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", _UP, dsn, folder], stdout=subprocess.PIPE, text=True, start_new_session=True
    )


def wait_for(dsn: str, pattern: str) -> None:
    """Wait until a session runs a statement like *pattern*."""
    until = time.monotonic() + 30
    with psycopg.connect(dsn, autocommit=True) as connection:
        while time.monotonic() < until:
            found = connection.execute(
                "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
                "AND state = 'active' AND query LIKE %s",
                [pattern],
            ).fetchone()
            if found:
                return
            time.sleep(0.02)
    raise TimeoutError(pattern)


def test_two_starters(empty: Callable[[], str], dsns: tuple[str, str], tmp_path: Path) -> None:
    """Two servers that start on an empty database at once both go on, and the schema is the same as with one."""
    dsn = empty()

    starters = [begun(dsn, migrate.MIGRATIONS) for _ in range(2)]
    ended = [starter.wait(120) for starter in starters]

    assert ended == [0, 0]
    assert migrate.pending(dsn) == []
    assert schema(dsn, tmp_path / "two.sql") == schema(dsns[1], tmp_path / "one.sql")


def test_killed_in_the_middle(empty: Callable[[], str], tmp_path: Path) -> None:
    """After kill -9 in the middle of a file nothing of that file is there, and the next start applies all of it."""
    (tmp_path / "0001_first.sql").write_text("-- migrate:up\nCREATE TABLE first (x int);\n\n-- migrate:down\n")
    slow = "-- migrate:up\nCREATE TABLE second (x int);\nSELECT pg_sleep({});\n\n-- migrate:down\n"
    (tmp_path / "0002_slow.sql").write_text(slow.format(60))
    dsn = empty()

    starter = begun(dsn, tmp_path)
    wait_for(dsn, "%pg_sleep%")
    os.killpg(starter.pid, signal.SIGKILL)
    starter.wait(30)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        left = connection.execute("SELECT to_regclass('first'), to_regclass('second')").fetchone()
    (tmp_path / "0002_slow.sql").write_text(slow.format(0))
    applied = migrate.up(dsn, folder=tmp_path)

    assert left == ("first", None)
    assert applied == ["0002"]
    assert migrate.pending(dsn, folder=tmp_path) == []


def test_killed_anywhere(empty: Callable[[], str], dsns: tuple[str, str], tmp_path: Path) -> None:
    """Wherever kill -9 hits the real migrations, starting again until they are through gives the whole schema."""
    dsn = empty()

    for milliseconds in (60, 120, 200, 300):
        starter = begun(dsn, migrate.MIGRATIONS)
        time.sleep(milliseconds / 1000)
        os.killpg(starter.pid, signal.SIGKILL)
        starter.wait(30)
    migrate.up(dsn)

    assert schema(dsn, tmp_path / "killed.sql") == schema(dsns[1], tmp_path / "whole.sql")


@contextmanager
def reading_first(dsn: str, folder: Path) -> Generator["psycopg.Connection[tuple[object, ...]]"]:
    """Give a transaction that reads a table to which the next migration of *folder* would add a column."""
    (folder / "0001_first.sql").write_text("-- migrate:up\nCREATE TABLE first (x int);\n\n-- migrate:down\n")
    migrate.up(dsn, folder=folder)
    (folder / "0002_add.sql").write_text(
        "-- migrate:up\nSET lock_timeout = '100ms';\nALTER TABLE first ADD COLUMN y int;\n\n-- migrate:down\n"
    )
    with psycopg.connect(dsn) as reader:
        reader.execute("SELECT * FROM first")
        yield reader


def test_a_lock_is_not_waited_for_long(empty: Callable[[], str], tmp_path: Path) -> None:
    """A migration that can't get its lock gives up in seconds instead of holding up everybody behind it."""
    dsn = empty()

    with reading_first(dsn, tmp_path), pytest.raises(migrate.MigrationFailed, match="lock timeout"):
        migrate.up(dsn, folder=tmp_path)

    assert migrate.up(dsn, folder=tmp_path) == ["0002"]


def test_a_lost_race_for_a_lock_is_run_again(empty: Callable[[], str], tmp_path: Path) -> None:
    """A migration whose lock is taken by a request for longer than it waits is tried again, and applied once."""
    dsn = empty()

    with reading_first(dsn, tmp_path) as reader, ThreadPoolExecutor(1) as pool:
        migrating = pool.submit(migrate.up, dsn, folder=tmp_path)
        time.sleep(0.5)
        assert not migrating.done()
        reader.rollback()
        applied = migrating.result(30)

    assert applied == ["0002"]
    assert migrate.pending(dsn, folder=tmp_path) == []


def test_every_migration_limits_its_waiting() -> None:
    """Every migration sets a lock_timeout, since old processes serve while it runs."""
    lacking = [
        path.name for path in sorted(migrate.MIGRATIONS.glob("[0-9]*.sql")) if "lock_timeout" not in path.read_text()
    ]

    assert lacking == []
