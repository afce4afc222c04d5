"""Connections that are broken, or no longer what the driver believes, are not lent again."""

from collections.abc import AsyncGenerator
from typing import Any

import psycopg
import pytest

from fulfillment.infra.db import ALL_TENANTS, Database, DatabaseUnavailable

pytestmark = pytest.mark.anyio

_FAIL = "SELECT 1 / %s::int"
_LATER = "SELECT %s::int + 1"


@pytest.fixture
async def db(dsns: tuple[str, str]) -> AsyncGenerator[Database]:
    """A pool of one connection."""
    made = Database(dsns[0], size=1)
    yield made
    await made.close()


async def backends(dsn: str) -> list[int]:
    """Return the process ids of the pool's connections."""
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        cursor = await connection.execute(
            "SELECT pid FROM pg_stat_activity "
            "WHERE application_name = 'fulfillment' AND datname = current_database() AND pid <> pg_backend_pid()"
        )
        return [pid for (pid,) in await cursor.fetchall()]


async def test_a_failed_pipeline_leaves_no_statement_unprepared(db: Database) -> None:
    """A statement whose preparation was skipped behind a failing one works in the next transaction."""
    for _ in range(2):  # from here on the driver takes no notice of a ROLLBACK
        with pytest.raises(LookupError):
            async with db.transaction(ALL_TENANTS):
                raise LookupError
    for _ in range(2):  # the third time it is prepared
        async with db.transaction(ALL_TENANTS) as tx:
            await tx.tuples(_LATER, [1])

    with pytest.raises(psycopg.errors.DivisionByZero):
        async with db.transaction(ALL_TENANTS) as tx, tx.connection.pipeline():
            await tx.connection.execute(_FAIL, [0])
            await tx.connection.execute(_LATER, [1])

    async with db.transaction(ALL_TENANTS) as tx:
        assert await tx.tuples(_LATER, [1]) == [(2,)]


async def test_a_connection_that_the_server_ended_is_not_lent(db: Database, dsns: tuple[str, str]) -> None:
    """After the server has ended an idle connection, the next caller gets a new one and notices nothing."""
    async with db.connection() as conn:
        await conn.execute("SELECT 1")
    for pid in await backends(dsns[0]):
        async with await psycopg.AsyncConnection.connect(dsns[0], autocommit=True) as other:
            await other.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])

    async with db.connection() as conn:
        cursor = await conn.execute("SELECT 2")
        assert await cursor.fetchall() == [(2,)]


async def test_a_commit_that_was_cut_off_is_not_called_undone(db: Database) -> None:
    """A connection lost before the commit was answered leaves open whether it was done; the refusal says so."""
    with pytest.raises(DatabaseUnavailable, match="is not known"):
        async with db.transaction(ALL_TENANTS) as tx:
            await tx.execute("CREATE TEMPORARY TABLE noted (x int)")
            tx.connection.pgconn.finish()  # the answer to COMMIT will never come


@pytest.mark.parametrize("alone", [False, True])
async def test_a_statement_whose_columns_changed_is_prepared_anew(
    db: Database, dsns: tuple[str, str], alone: bool
) -> None:
    """A migration that changes a prepared statement's columns costs one caller a 503, in a transaction or alone."""

    async def read() -> list[tuple[Any, ...]]:
        if alone:
            async with db.connection() as conn:
                return await (await conn.execute("SELECT * FROM changing")).fetchall()
        async with db.reading(ALL_TENANTS) as tx:
            return await tx.tuples("SELECT * FROM changing", [])

    async with await psycopg.AsyncConnection.connect(dsns[1], autocommit=True) as owner:
        await owner.execute("CREATE TABLE changing (a int); GRANT SELECT ON changing TO fulfillment")
        try:
            for _ in range(4):  # the third time it is prepared
                assert await read() == []
            await owner.execute("ALTER TABLE changing ADD COLUMN b text; INSERT INTO changing VALUES (1, 'x')")

            with pytest.raises(DatabaseUnavailable) as refused:
                await read()
            found = await read()
        finally:
            await owner.execute("DROP TABLE changing")

    assert refused.value.retry_after_seconds == 1
    assert found == [(1, "x")]
