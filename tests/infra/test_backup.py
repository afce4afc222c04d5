"""Backups and restores between databases of the test server."""

import os
import stat
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from fulfillment.infra import backup
from fulfillment.infra.backup import BackupFailed, BackupFileTaken, BackupUnreadable, DatabaseNotEmpty
from fulfillment.infra.caches import Caches
from fulfillment.infra.db import Database
from fulfillment.infra.env import Env
from fulfillment.infra.postgres import EmbeddedPostgres
from fulfillment.webhooks import service as webhooks
from fulfillment.webhooks.domain import FeedFilter
from tests.world import World, a_line

pytestmark = pytest.mark.anyio
NUMBERS = count(1)


def quiet(_table: str, _share: float) -> None:
    """Show no progress."""


@pytest.fixture
def empty(postgres: EmbeddedPostgres) -> Callable[[], tuple[str, str]]:
    """Make empty databases; each time the application's and the owner's address."""

    def make() -> tuple[str, str]:
        name = f"restored_{os.getpid()}_{next(NUMBERS)}"
        with psycopg.connect(postgres.superuser_dsn, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {} OWNER fulfillment_owner").format(sql.Identifier(name)))
        return postgres.dsn("fulfillment", name), postgres.dsn("fulfillment_owner", name)

    return make


def rows(dsn: str, table: str) -> list[tuple[Any, ...]]:
    """Return every row of a table, all partners' and in a fixed order."""
    with psycopg.connect(dsn, options="-c fulfillment.tenant=*") as connection:
        statement = sql.SQL("SELECT one::text FROM {} AS one ORDER BY 1").format(sql.Identifier(table))
        return connection.execute(statement).fetchall()


def tables(dsn: str) -> list[str]:
    """Return the names of the tables."""
    with psycopg.connect(dsn) as connection:
        found = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1").fetchall()
    return [name for (name,) in found]


async def test_every_partners_rows_come_back(
    world: World, dsns: tuple[str, str], empty: Callable[[], tuple[str, str]], tmp_path: Path
) -> None:
    """A backup by the owner, whom row-level security holds, has every row of every partner, and a restore brings it."""
    await world.order(await world.partner())
    await world.order(await world.partner())
    target = empty()

    backup.backup(dsns[1], tmp_path / "all.backup", quiet)
    backup.restore(target[1], tmp_path / "all.backup", quiet)

    assert tables(target[1]) == tables(dsns[1])
    assert len({row[0].split(",")[1] for row in rows(dsns[1], "orders")}) >= 2
    for table in ("orders", "reservations", "lots", "events", "partners", "oauth_clients", "schema_migrations"):
        assert rows(target[1], table) == rows(dsns[1], table)


async def test_the_application_works_on_a_restored_database(
    world: World, env: Env, dsns: tuple[str, str], empty: Callable[[], tuple[str, str]], tmp_path: Path
) -> None:
    """On a restored database orders are made, stock goes on from where it was, and no partner sees another's."""
    caller, other = await world.partner(), await world.partner()
    product = await world.product(available=120)
    before = await world.order(caller, a_line(product))
    target = empty()
    backup.backup(dsns[1], tmp_path / "b", quiet)
    backup.restore(target[1], tmp_path / "b", quiet)

    db = Database(target[0], size=2)
    there = World(replace(env, db=db, caches=Caches(db), local={}))
    after = await there.order(caller, a_line(product))
    with psycopg.connect(target[0], options=f"-c fulfillment.tenant={other.partner_id}") as connection:
        seen = connection.execute("SELECT count(*) FROM orders").fetchone()
    left = await there.available(product)
    await db.close()

    assert after.id != before.id
    assert left == 0
    assert seen == (0,)


async def test_the_feed_goes_on_behind_old_cursors(
    world: World, env: Env, dsns: tuple[str, str], empty: Callable[[], tuple[str, str]], tmp_path: Path
) -> None:
    """Who read the feed to its end before a restore gets exactly what happens after it, though transactions restart."""
    caller = await world.partner()
    product = await world.product(available=100_000)
    for _ in range(3):
        await world.order(caller, a_line(product))
    read = await webhooks.list_events(env, caller, FeedFilter(), None, 100)
    target = empty()
    backup.backup(dsns[1], tmp_path / "b", quiet)
    backup.restore(target[1], tmp_path / "b", quiet)

    db = Database(target[0], size=2)
    restored = replace(env, db=db, caches=Caches(db), local={})
    again = await webhooks.list_events(restored, caller, FeedFilter(), None, 100)
    order = await World(restored).order(caller, a_line(product))
    behind = await webhooks.list_events(restored, caller, FeedFilter(), read.last, 100)
    await db.close()

    assert [event.key.id for event in again.events] == [event.key.id for event in read.events]
    assert [event.order_id for event in behind.events] == [order.id]
    assert behind.events[0].key.era == 2


async def test_a_file_is_not_overwritten(dsns: tuple[str, str], tmp_path: Path) -> None:
    """A backup into a file that exists is refused, and the file stays what it was."""
    file = tmp_path / "b"
    file.write_text("precious")

    with pytest.raises(BackupFileTaken):
        backup.backup(dsns[1], file, quiet)

    assert file.read_text() == "precious"
    assert list(tmp_path.iterdir()) == [file]


async def test_a_backup_is_its_owners_alone(dsns: tuple[str, str], tmp_path: Path) -> None:
    """Nobody but its owner may read a backup, and nothing is left beside it."""
    backup.backup(dsns[1], tmp_path / "b", quiet)

    assert stat.S_IMODE((tmp_path / "b").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


async def test_a_backup_that_fails_leaves_no_file(tmp_path: Path) -> None:
    """Where the database does not answer there is no file afterwards."""
    with pytest.raises(BackupFailed):
        backup.backup(f"postgresql://nobody@/none?host={tmp_path}", tmp_path / "b", quiet)

    assert list(tmp_path.iterdir()) == []


async def test_a_database_with_tables_is_refused(world: World, dsns: tuple[str, str], tmp_path: Path) -> None:
    """A restore into a database that has tables is refused, and its rows stay."""
    await world.order(await world.partner())
    backup.backup(dsns[1], tmp_path / "b", quiet)
    before = rows(dsns[1], "orders")

    with pytest.raises(DatabaseNotEmpty):
        backup.restore(dsns[1], tmp_path / "b", quiet)

    assert rows(dsns[1], "orders") == before


async def test_another_file_is_refused(empty: Callable[[], tuple[str, str]], tmp_path: Path) -> None:
    """A file that is no backup is refused, and so is one that is not there."""
    (tmp_path / "text").write_text("Hello.")
    target = empty()

    for name in ("text", "absent"):
        with pytest.raises(BackupUnreadable):
            backup.restore(target[1], tmp_path / name, quiet)

    assert tables(target[1]) == []


async def test_a_damaged_file_leaves_nothing(
    world: World, dsns: tuple[str, str], empty: Callable[[], tuple[str, str]], tmp_path: Path
) -> None:
    """A backup whose end is missing restores nothing at all: the database is empty afterwards, too."""
    caller = await world.partner()
    product = await world.product(available=100_000)
    for _ in range(20):
        await world.order(caller, a_line(product))
    backup.backup(dsns[1], tmp_path / "b", quiet)
    whole = (tmp_path / "b").read_bytes()
    (tmp_path / "half").write_bytes(whole[: len(whole) * 3 // 4])
    target = empty()

    with pytest.raises((BackupFailed, BackupUnreadable)):
        backup.restore(target[1], tmp_path / "half", quiet)

    assert tables(target[1]) == []


async def test_progress_names_the_tables(dsns: tuple[str, str], tmp_path: Path) -> None:
    """Progress names each table and never goes back."""
    seen: list[tuple[str, float]] = []

    backup.backup(dsns[1], tmp_path / "b", lambda table, share: seen.append((table, share)))

    assert "public.orders" in [table for table, _ in seen]
    assert [share for _, share in seen] == sorted(share for _, share in seen)
    assert all(0 <= share <= 1 for _, share in seen)
