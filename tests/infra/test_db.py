"""Transactions: who sees what, who may write, and what a lost or full database looks like."""

import asyncio

import psycopg
import pytest

from fulfillment.infra.db import ALL_TENANTS, Database, DatabaseUnavailable
from fulfillment.infra.env import Env
from tests.conftest import Databases

pytestmark = pytest.mark.anyio
COUNT = "SELECT 4 AS n"


async def test_a_transaction_commits_or_rolls_back(env: Env) -> None:
    """What a block wrote stays when it ends and is gone when it raises."""
    insert = """
        INSERT INTO audit_log (id, actor, action, object_type, object_id, created_at)
        VALUES (%(id)s, 'a', 'b', 'c', 'd', now())
    """
    async with env.db.transaction(ALL_TENANTS) as tx:
        await tx.execute(insert, id="kept")
    with pytest.raises(RuntimeError):
        async with env.db.transaction(ALL_TENANTS) as tx:
            await tx.execute(insert, id="gone")
            raise RuntimeError

    async with env.db.reading(ALL_TENANTS) as tx:
        found = await tx.tuples("SELECT id FROM audit_log WHERE actor = 'a'", {})
    assert found == [("kept",)]


async def test_reading_cannot_write(env: Env) -> None:
    """PostgreSQL itself refuses a write in a reading block, and the answer is a passing fault."""
    with pytest.raises(DatabaseUnavailable) as caught:
        async with env.db.reading(ALL_TENANTS) as tx:
            await tx.all("UPDATE partners SET name = 'x' RETURNING id")

    assert caught.value.context["sqlstate"] == "25006"


@pytest.mark.parametrize("tenant", ["", "'", "a'; DROP TABLE orders; --", "a b", "*,a"])
async def test_a_tenant_is_ids(env: Env, tenant: str) -> None:
    """Anything but ids is refused before it reaches the database."""
    with pytest.raises(ValueError, match="tenant"):
        async with env.db.transaction(tenant):
            raise AssertionError


async def test_a_tenant_ends_with_its_transaction(env: Env) -> None:
    """A connection that comes back to the pool sees nobody's rows."""
    async with env.db.transaction(ALL_TENANTS) as tx:
        await tx.one("SELECT current_setting('fulfillment.tenant') AS tenant")
    async with env.db.connection() as conn:
        (tenant,) = await (await conn.execute("SELECT current_setting('fulfillment.tenant', true)")).fetchone() or ()

    assert tenant in {None, ""}


async def test_the_pool_has_an_end(dsns: tuple[str, str]) -> None:
    """With every connection lent, a caller waits its time, is told to come back, and takes nothing away."""
    db = Database(dsns[0], size=2, timeout_seconds=0.05)
    async with db.reading(ALL_TENANTS), db.reading(ALL_TENANTS):
        with pytest.raises(DatabaseUnavailable) as caught:
            async with db.reading(ALL_TENANTS):
                raise AssertionError
        assert (db.in_use, db.waiting) == (2, 0)

    assert caught.value.retry_after_seconds == 1
    assert db.in_use == 0
    async with db.reading(ALL_TENANTS) as tx:
        assert (await tx.one(COUNT))["n"] == 4
    await db.close()


async def test_waiting_callers_are_served(dsns: tuple[str, str]) -> None:
    """A hundred callers share one connection, each in turn."""
    db = Database(dsns[0], size=1)

    async def ask() -> int:
        async with db.reading(ALL_TENANTS) as tx:
            return (await tx.one(COUNT))["n"]

    assert await asyncio.gather(*(ask() for _ in range(100))) == [4] * 100
    assert (db.in_use, db.waiting) == (0, 0)
    await db.close()


async def test_a_cancelled_caller_leaves_nothing_open(dsns: tuple[str, str]) -> None:
    """Its transaction is rolled back and its connection serves the next."""
    db = Database(dsns[0], size=1)
    entered = asyncio.Event()

    async def hang() -> None:
        async with db.transaction(ALL_TENANTS) as tx:
            await tx.execute("UPDATE partners SET name = name WHERE false")
            entered.set()
            await tx.all("SELECT pg_sleep(30)")

    task = asyncio.create_task(hang())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    async with asyncio.timeout(5), db.reading(ALL_TENANTS) as tx:
        assert (await tx.one(COUNT))["n"] == 4
    assert db.in_use == 0
    await db.close()


async def test_broken_connections_are_replaced(env: Env, dsns: tuple[str, str]) -> None:
    """After the database has ended every connection the next request is served all the same."""
    db = Database(dsns[0], size=4)
    await db.warm(4)
    with psycopg.connect(dsns[1], autocommit=True) as conn:
        conn.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid() AND usename = current_user"
        )
    with psycopg.connect(dsns[0], autocommit=True) as conn:
        conn.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid() AND usename = current_user"
        )

    async with db.reading(ALL_TENANTS) as tx:
        assert (await tx.one(COUNT))["n"] == 4
    await db.close()


async def test_a_connection_lost_inside_is_a_passing_fault(dsns: tuple[str, str]) -> None:
    """A backend that is ended in the middle: 503 to the caller, no word of the statement in it."""
    db = Database(dsns[0], size=1)
    with pytest.raises(DatabaseUnavailable) as caught:
        async with db.transaction(ALL_TENANTS) as tx:
            pid = (await tx.one("SELECT pg_backend_pid() AS pid"))["pid"]
            with psycopg.connect(dsns[0], autocommit=True) as conn:
                conn.execute("SELECT pg_terminate_backend(%s)", [pid])
            await tx.all("SELECT 'secret'")

    assert "secret" not in str(caught.value.detail) + str(caught.value.context)
    async with db.reading(ALL_TENANTS) as tx:
        assert (await tx.one(COUNT))["n"] == 4
    await db.close()


async def test_no_database_is_a_passing_fault() -> None:
    """Nobody listens there: 503, and the place is free again."""
    db = Database("host=127.0.0.1 port=1 user=x dbname=x", size=1, timeout_seconds=2)
    for _ in range(3):
        with pytest.raises(DatabaseUnavailable):
            async with db.reading(ALL_TENANTS):
                raise AssertionError
    assert db.in_use == 0


async def test_a_wrong_statement_is_a_fault_of_ours(env: Env) -> None:
    """A statement that can never work is not turned into 'try again'."""
    with pytest.raises(psycopg.errors.UndefinedTable):
        async with env.db.reading(ALL_TENANTS) as tx:
            await tx.all("SELECT * FROM no_such_table")


async def test_a_lost_race_is_a_passing_fault(env: Env, databases: Databases) -> None:
    """A deadlock's loser may simply run again: 503."""
    async with env.db.transaction(ALL_TENANTS) as tx:
        await tx.execute("CREATE TEMP TABLE a ON COMMIT DROP AS SELECT 1 AS n")
        with pytest.raises(DatabaseUnavailable):
            async with env.db.transaction(ALL_TENANTS) as other:
                await other.execute("DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '40P01'; END $$")


async def test_one_wants_a_row(env: Env) -> None:
    """`one` of no row is a fault of ours; `one_or_none` is None."""
    async with env.db.reading(ALL_TENANTS) as tx:
        assert await tx.one_or_none("SELECT 1 AS n WHERE false") is None
        with pytest.raises(LookupError):
            await tx.one("SELECT 1 AS n WHERE false")
