"""What processes keep in memory of slow-changing tables, and how they learn at once that it changed."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import psycopg
from psycopg import AsyncConnection

from fulfillment.infra.db import ALL_TENANTS, Database, ReadTx
from fulfillment.kernel.errors import FulfillmentError

T = TypeVar("T")

CHANNEL: Final = "fulfillment_changes"
_LISTEN: Final = "LISTEN " + CHANNEL  # a name of ours: the statement takes no parameter
SELECT_VERSIONS: Final = "SELECT name, version FROM cache_versions"
SELECT_VERSION: Final = "SELECT version FROM cache_versions WHERE name = %(name)s"
_POLL_SECONDS: Final = 1.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Snapshot(Generic[T]):
    """A cached value and the version of the tables it was read from."""

    version: int
    value: T


class Caches:
    """Values by name, each dropped when its version in `cache_versions` moves.

    A notification drops it within milliseconds; a poll every second does where notifications can't pass (a
    transaction pooler) or the listening connection was lost. Whoever must be exact reads the version again inside
    its own transaction.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        self._values: dict[str, Snapshot[Any]] = {}
        self._loading: dict[str, asyncio.Lock] = {}
        self.loads: dict[str, int] = {}  # how often each was read, for the metrics

    async def get(self, name: str, load: Callable[[ReadTx], Awaitable[T]]) -> Snapshot[T]:
        """Return the value of *name*, loading it when it is not here."""
        found = self._values.get(name)
        if found is not None:
            return found
        async with self._loading.setdefault(name, asyncio.Lock()):
            found = self._values.get(name)
            if found is not None:
                return found
            async with self._db.reading(ALL_TENANTS) as tx:
                # The version first: rows that change in between make the value newer than its version, never older.
                version = (await tx.one(SELECT_VERSION, name=name))["version"]
                snapshot = Snapshot(version, await load(tx))
            self._values[name] = snapshot
            self.loads[name] = self.loads.get(name, 0) + 1
            return snapshot

    def peek(self, name: str) -> Snapshot[Any] | None:
        """Return what is here, without loading."""
        return self._values.get(name)

    def drop(self, name: str) -> None:
        """Forget the value of *name*."""
        self._values.pop(name, None)

    async def watch(self) -> None:
        """Drop what changes, until cancelled."""
        listening: asyncio.Task[None] | None = None
        try:
            while True:
                if listening is None or listening.done():
                    listening = asyncio.create_task(self._listen())
                await self.compare()
                await asyncio.sleep(_POLL_SECONDS)
        finally:
            if listening is not None:
                listening.cancel()

    async def compare(self) -> None:
        """Drop what has changed, without waiting to be told: what is refused must not rest on what was true before.

        Without the database nothing is dropped.
        """
        if not self._values:
            return
        try:
            async with self._db.reading(ALL_TENANTS) as tx:
                for row in await tx.all(SELECT_VERSIONS):
                    self._drop_older(row["name"], row["version"])
        except FulfillmentError:
            # Without the database nothing is served from these values anyway: whoever uses them needs it too.
            return

    def _drop_older(self, name: str, version: int) -> None:
        found = self._values.get(name)
        if found is not None and found.version != version:
            del self._values[name]

    async def _listen(self) -> None:
        try:
            async with await AsyncConnection.connect(
                self._db.dsn, autocommit=True, application_name="fulfillment-listen"
            ) as conn:
                await conn.execute(_LISTEN)
                async for notice in conn.notifies():
                    self.drop(notice.payload)
        except psycopg.Error as error:
            _log.warning("caches.listen_lost", extra={"sqlstate": error.sqlstate or type(error).__name__})
            await asyncio.sleep(_POLL_SECONDS)
