"""Transactions over PostgreSQL: who may see what, who may write, and what a lost database looks like.

A small pool of our own (docs/decisions/0004): it connects on demand, so that the first request after the database's
return is served, and it sends the tenant with BEGIN, so that a transaction costs no further round trip.
"""

import asyncio
import logging
import re
import select
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, LiteralString

import psycopg
from psycopg import AsyncConnection, AsyncCursor, sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import dict_row, tuple_row

from fulfillment.kernel.errors import FulfillmentError, Kind

Row = dict[str, Any]

ALL_TENANTS: Final = "*"  # the warehouse and the workers
_TENANT: Final = re.compile(r"[0-9A-Za-z,]+|\*")
# A network that swallows packets must not hold a request for the quarter of an hour that TCP would wait.
_TCP: Final = {
    "keepalives_idle": 5,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}
_UNKNOWN: Final = (
    "The database went away while it saved this: whether it was done is not known. Repeat the request with the same "
    "Idempotency-Key, or read before you repeat one without."
)
_HUNG_UP: Final = select.POLLRDHUP | select.POLLHUP | select.POLLERR
_log = logging.getLogger(__name__)

# What a prepared statement says whose columns a migration has changed: its connection is closed, and on another one it
# is prepared anew.
_STALE: Final = "0A000"
# SQLSTATE classes that say "not now" rather than "wrong": connection, resources (disk full), operator intervention
# (shutdown, cancel), and the transaction that lost a race and may simply run again.
_PASSING_CLASSES: Final = frozenset({"08", "53", "57", "58"})
_REFUSALS: Final = frozenset({"40", "53", "55"})  # classes that end a statement and never a commit
_PASSING_STATES: Final = frozenset({"40001", "40P01", "55P03", "25006", "25P03", "25P04", _STALE})


class DatabaseUnavailable(FulfillmentError):
    """The database can't be reached, or has no room; the detail says whether something may have been done."""

    kind = Kind.UNAVAILABLE
    code = "database_unavailable"
    title = "The database is not available"


class ReadTx:
    """A transaction that PostgreSQL itself holds to reading."""

    __slots__ = ("_conn",)

    def __init__(self, conn: AsyncConnection[Any]) -> None:
        self._conn = conn

    async def all(self, statement: LiteralString, **params: object) -> Sequence[Row]:
        """Return every row. The statement bounds how many (LIMIT, or a key)."""
        cursor: AsyncCursor[Row] = self._conn.cursor(row_factory=dict_row)
        await cursor.execute(statement, params)
        return await cursor.fetchall()

    async def one_or_none(self, statement: LiteralString, **params: object) -> Row | None:
        """Return the first row, or None."""
        cursor: AsyncCursor[Row] = self._conn.cursor(row_factory=dict_row)
        await cursor.execute(statement, params)
        return await cursor.fetchone()

    async def one(self, statement: LiteralString, **params: object) -> Row:
        """Return the first row of a statement that always has one."""
        row = await self.one_or_none(statement, **params)
        if row is None:
            raise LookupError("the statement returned no row")
        return row

    async def configure(self, statement: LiteralString) -> None:
        """Run a SET LOCAL, which holds until the transaction ends."""
        await self._conn.execute(statement)

    async def tuples(
        self, statement: LiteralString, params: Sequence[object] | Mapping[str, object]
    ) -> list[tuple[Any, ...]]:
        """Return every row as a tuple, for the statements of the hot path."""
        cursor: AsyncCursor[tuple[Any, ...]] = self._conn.cursor(row_factory=tuple_row)
        await cursor.execute(statement, params)
        return await cursor.fetchall()


class Tx(ReadTx):
    """A transaction that may write."""

    __slots__ = ()

    async def execute(self, statement: LiteralString, **params: object) -> int:
        """Run one statement and return the number of rows it touched."""
        return (await self._conn.execute(statement, params)).rowcount

    @property
    def connection(self) -> AsyncConnection[Any]:
        """The connection itself, for pipelines and COPY inside this transaction."""
        return self._conn


class Database:
    """Hands out transactions. Only operations open them; everything below joins.

    Args:
        dsn: A libpq URL or conninfo.
        size: Connections at most.
        timeout_seconds: How long a caller waits for a free one before DatabaseUnavailable.
        prepared_statements: Off behind a transaction pooler.
    """

    def __init__(
        self, dsn: str, *, size: int = 8, timeout_seconds: float = 5.0, prepared_statements: bool = True
    ) -> None:
        self._dsn = dsn
        given = conninfo_to_dict(dsn)
        self._conninfo = make_conninfo(dsn, **{name: value for name, value in _TCP.items() if name not in given})
        self._timeout = timeout_seconds
        self._size = size
        self._prepare_threshold = 2 if prepared_statements else None
        self._free: list[AsyncConnection[Any]] = []
        self._places = asyncio.Semaphore(size)
        self._closed = False
        self.in_use = 0  # connections lent, for the metrics
        self.waiting = 0  # callers without one

    @property
    def dsn(self) -> str:
        """The address of the database; holds a password where the operator gave one."""
        return self._dsn

    @asynccontextmanager
    async def transaction(self, tenant: str) -> AsyncGenerator[Tx]:
        """Commit when the block ends, roll back when it raises.

        Args:
            tenant: The partner whose rows are visible, several with commas between, or ALL_TENANTS.

        Raises:
            DatabaseUnavailable: No connection, no room, or a lost race; nothing was done, unless the commit itself
                was cut off, which the detail says.
        """
        async with self._open("BEGIN", tenant) as conn:
            yield Tx(conn)

    @asynccontextmanager
    async def reading(self, tenant: str) -> AsyncGenerator[ReadTx]:
        """Hold the block to reading.

        Raises:
            DatabaseUnavailable: No connection.
        """
        async with self._open("BEGIN READ ONLY", tenant) as conn:
            yield ReadTx(conn)

    @asynccontextmanager
    async def connection(self) -> AsyncGenerator[AsyncConnection[Any]]:
        """Lend a connection outside any transaction, for single statements that open their own.

        Raises:
            DatabaseUnavailable: No connection.
        """
        await self._wait_for_place()
        conn: AsyncConnection[Any] | None = None
        try:
            conn = self._take_free() or await self._connect()
            yield conn
        except psycopg.Error as error:
            if error.sqlstate == _STALE and conn is not None:
                await conn.close()
            raise _translated(error) from error
        finally:
            await self._give_back(conn)

    async def run(self, statement: LiteralString, params: Sequence[object]) -> list[tuple[Any, ...]]:
        """Run one statement that is its own transaction, sets its own tenant and may write; return its rows.

        Raises:
            DatabaseUnavailable: The detail says whether something may have been done.
        """
        await self._wait_for_place()
        conn: AsyncConnection[Any] | None = None
        sent = False
        try:
            conn = self._take_free() or await self._connect()
            cursor: AsyncCursor[tuple[Any, ...]] = conn.cursor(row_factory=tuple_row)
            sent = True
            await cursor.execute(statement, params)
            return await cursor.fetchall()
        except psycopg.Error as error:
            if error.sqlstate == _STALE and conn is not None:
                await conn.close()
            # What the server refused it did not do; where the connection ended, it may have been committing.
            raise _translated(error, committing=sent and (error.sqlstate or "")[:2] not in _REFUSALS) from error
        finally:
            await self._give_back(conn)

    async def warm(self, connections: int) -> None:
        """Open *connections* now, so that the first requests need not."""
        made = [await self._connect() for _ in range(min(connections, self._size))]
        self._free.extend(made)

    async def close(self) -> None:
        """Close every free connection; those in use close when they come back."""
        self._closed = True
        while self._free:
            await self._free.pop().close()

    @asynccontextmanager
    async def _open(self, begin: LiteralString, tenant: str) -> AsyncGenerator[AsyncConnection[Any]]:
        if _TENANT.fullmatch(tenant) is None:
            raise ValueError("a tenant is ids with commas between, or *")
        await self._wait_for_place()
        conn: AsyncConnection[Any] | None = None
        committing = False
        try:
            conn = await self._begin(sql.SQL(begin + "; SET LOCAL fulfillment.tenant = {}").format(sql.Literal(tenant)))
            yield conn
            committing = True
            await conn.execute("COMMIT")
        except psycopg.Error as error:
            raise _translated(error, committing=committing) from error
        finally:
            await self._give_back(conn)

    async def _begin(self, statement: sql.Composed) -> AsyncConnection[Any]:
        # A restart of the database breaks every pooled connection at once. Nothing has been done yet, so try the
        # next one, and at last a new one.
        while (conn := self._take_free()) is not None:
            try:
                await conn.execute(statement)
            except psycopg.OperationalError:
                await conn.close()
            else:
                return conn
        conn = await self._connect()
        await conn.execute(statement)
        return conn

    def _take_free(self) -> AsyncConnection[Any] | None:
        """Return a free connection that the server has not closed in the meantime, or None."""
        while self._free:
            conn = self._free.pop()
            if not _hung_up(conn):
                return conn
            conn.pgconn.finish()
        return None

    async def _connect(self) -> AsyncConnection[Any]:
        return await AsyncConnection.connect(
            self._conninfo,
            autocommit=True,
            prepare_threshold=self._prepare_threshold,
            connect_timeout=max(2, int(self._timeout)),
            application_name="fulfillment",
        )

    async def _wait_for_place(self) -> None:
        if not self._places.locked():
            await self._places.acquire()
            self.in_use += 1
            return
        self.waiting += 1
        try:
            async with asyncio.timeout(self._timeout):
                await self._places.acquire()
            self.in_use += 1
        except TimeoutError:
            raise DatabaseUnavailable("The service is busy. Try again.", retry_after_seconds=1) from None
        finally:
            self.waiting -= 1

    async def _give_back(self, conn: AsyncConnection[Any] | None) -> None:
        try:
            if conn is None or conn.closed:
                return
            status = conn.info.transaction_status
            if status == psycopg.pq.TransactionStatus.INERROR:
                # psycopg (3.3) may hold statements for prepared whose preparation a pipeline skipped after the error.
                await conn.close()
            elif status != psycopg.pq.TransactionStatus.IDLE:
                await self._roll_back(conn)
            if conn.closed or self._closed:
                await conn.close()
            else:
                self._free.append(conn)
        finally:
            self.in_use -= 1
            self._places.release()

    async def _roll_back(self, conn: AsyncConnection[Any]) -> None:
        try:
            # A cancelled caller must not leave its transaction open; a stuck database must not hold the caller.
            await asyncio.wait_for(asyncio.shield(conn.execute("ROLLBACK")), timeout=2)
        except (psycopg.Error, TimeoutError, asyncio.CancelledError):
            await conn.close()


def _hung_up(conn: AsyncConnection[Any]) -> bool:
    """Return whether the server has ended an idle connection, without a word to it."""
    if conn.closed:
        return True
    looking = select.poll()
    looking.register(conn.pgconn.socket, _HUNG_UP)
    return bool(looking.poll(0))


def _translated(error: psycopg.Error, *, committing: bool = False) -> Exception:
    # The text of a database error can hold personal data (the failing row): only the SQLSTATE goes on.
    state = error.sqlstate or ""
    if isinstance(error, psycopg.OperationalError) or state[:2] in _PASSING_CLASSES or state in _PASSING_STATES:
        return DatabaseUnavailable(
            _UNKNOWN if committing else "The database is not available at the moment; nothing was done. Try again.",
            retry_after_seconds=1,
            sqlstate=state or type(error).__name__,
        )
    return error
