"""The migrations runner, over folders of its own."""

import shutil
import tempfile
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from fulfillment.infra import migrate
from fulfillment.infra.postgres import EmbeddedPostgres

NUMBERS = count(1)


@pytest.fixture(scope="module")
def server() -> Generator[EmbeddedPostgres]:
    """A PostgreSQL for this module."""
    folder = Path(tempfile.mkdtemp(prefix="jf-"))
    folder.chmod(0o711)
    server = EmbeddedPostgres(folder / "var", echo=lambda _: None)
    server.start(60)
    yield server
    server.erase()
    shutil.rmtree(folder)


@pytest.fixture
def dsn(server: EmbeddedPostgres) -> str:
    """The owner's address of an empty database."""
    name = f"empty_{next(NUMBERS)}"
    with psycopg.connect(server.superuser_dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} OWNER fulfillment_owner").format(sql.Identifier(name)))
    return server.dsn("fulfillment_owner", name)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two migrations."""
    write(tmp_path, "0001_create_a.sql", "CREATE TABLE a (x int);")
    write(tmp_path, "0002_create_b.sql", "CREATE TABLE b (y int);")
    return tmp_path


def write(folder: Path, name: str, statements: str) -> None:
    """Write one migration."""
    (folder / name).write_text(f"-- migrate:up\n{statements}\n\n-- migrate:down\n")


def tables(dsn: str) -> list[str]:
    """Return the names of the tables."""
    with psycopg.connect(dsn) as connection:
        rows = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1").fetchall()
    return [name for (name,) in rows]


def test_up(dsn: str, folder: Path) -> None:
    """An empty database gets every file, in order."""
    assert migrate.up(dsn, folder=folder) == ["0001", "0002"]
    assert tables(dsn) == ["a", "b", "schema_migrations"]


def test_up_again(dsn: str, folder: Path) -> None:
    """A database that has everything is left alone."""
    migrate.up(dsn, folder=folder)

    assert migrate.up(dsn, folder=folder) == []


def test_status(dsn: str, folder: Path) -> None:
    """The status tells which files the database has."""
    migrate.up(dsn, folder=folder)
    write(folder, "0003_create_c.sql", "CREATE TABLE c (z int);")

    assert migrate.status(dsn, folder=folder) == [("0001", True), ("0002", True), ("0003", False)]
    assert migrate.pending(dsn, folder=folder) == ["0003"]


def test_newer(dsn: str, folder: Path) -> None:
    """What a newer release applied is told, and is nothing to apply."""
    migrate.up(dsn, folder=folder)
    (folder / "0002_create_b.sql").unlink()

    assert migrate.newer(dsn, folder=folder) == ["0002"]
    assert migrate.up(dsn, folder=folder) == []


def test_fault(dsn: str, folder: Path) -> None:
    """A file that the database refuses is named with the reason, and leaves nothing behind."""
    write(folder, "0003_break.sql", "CREATE TABLE c (z int); SELECT nonsense();")

    with pytest.raises(migrate.MigrationFailed, match=r"0003_break\.sql failed: .*nonsense\(\) does not exist"):
        migrate.up(dsn, folder=folder)
    assert tables(dsn) == ["a", "b", "schema_migrations"]


def test_two_at_once(dsn: str, folder: Path) -> None:
    """Two servers that start at once take turns: each file is applied once, and both go on."""
    write(folder, "0003_slow.sql", "SELECT pg_sleep(0.5); CREATE TABLE c (z int);")

    with ThreadPoolExecutor() as pool:
        runs = [pool.submit(migrate.up, dsn, folder=folder) for _ in range(2)]
        for run in runs:
            run.result()

    assert tables(dsn) == ["a", "b", "c", "schema_migrations"]


def test_no_files_written(dsn: str, folder: Path) -> None:
    """Migrating writes nothing beside the migrations."""
    before = sorted(folder.rglob("*"))
    migrate.up(dsn, folder=folder)

    assert sorted(folder.rglob("*")) == before


def test_dump_schema(dsn: str, folder: Path, tmp_path: Path) -> None:
    """The dump holds the tables and which migrations made them, and is the same every time."""
    migrate.up(dsn, folder=folder)
    migrate.dump_schema(dsn, tmp_path / "schema.sql", folder=folder)
    migrate.dump_schema(dsn, tmp_path / "again.sql", folder=folder)
    text = (tmp_path / "schema.sql").read_text()

    assert "CREATE TABLE public.a (" in text
    assert "('0002');" in text
    assert (tmp_path / "again.sql").read_text() == text


def test_unreachable(tmp_path: Path, folder: Path) -> None:
    """A database that does not answer is told as such, so that the caller can try again."""
    with pytest.raises(psycopg.OperationalError):
        migrate.up(f"postgresql://nobody@/none?host={tmp_path}", folder=folder)
