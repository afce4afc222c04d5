"""One time for all processes: the database's, so that machines whose clocks differ agree on leases and tokens."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from typing import Final

from fulfillment.infra.db import Database
from fulfillment.infra.env import Env
from fulfillment.kernel.errors import FulfillmentError

# Over a socket of the file system, at the database's end; a pooler may stand between, so ours is looked at as well.
SELECT_NOW: Final = "SELECT clock_timestamp() AS at, inet_server_addr() IS NULL AS here"
_EVERY_SECONDS: Final = 5.0
_PATIENCE_SECONDS: Final = 2.0
_SLOW: Final = timedelta(seconds=1)  # an answer that took longer says too little about the present
_EQUAL: Final = timedelta(milliseconds=250)  # clocks this close are left alone: correcting them would only add noise


# Of these, the one that goes on while the machine sleeps.
_RUNNING: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class DatabaseClock:
    """Returns the present when called: the database's time, as the machine's clock tells it.

    On the database's machine its clock is the database's, also when it is set. On another it may be set at any time
    and the database's is not: there the time that has passed since the last comparison is counted by the clock that
    nobody sets, or leases and signatures would be off by an hour until the next one.
    """

    def __init__(self) -> None:
        self._here = True
        self._offset = timedelta(0)  # here: of the machine's clock
        self._began = _present() - _running()  # elsewhere: when the clock that nobody sets was at 0

    def __call__(self) -> datetime:
        """Return the present, aware UTC."""
        return _present() + self._offset if self._here else self._began + _running()

    async def keep(self, db: Database) -> None:
        """Compare the clocks again and again, until cancelled: the database's may be set at any time, too."""
        while True:
            await asyncio.sleep(_EVERY_SECONDS)
            await self.compare(db)

    async def compare(self, db: Database) -> None:
        """Compare the clocks once; without the database the last correction stays."""
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS), db.connection() as conn:
                before, set_before = _running(), _present()
                row = await (await conn.execute(SELECT_NOW)).fetchone()
                after, set_after = _running(), _present()
                ours = conn.info.host.startswith(("/", "@"))
        except (FulfillmentError, TimeoutError):
            return
        half = (after - before) / 2
        stood = abs(set_after - set_before - 2 * half) < _EQUAL  # not set in between
        if row is None or after - before > _SLOW or not stood:
            return
        at: datetime = row[0]
        self._here = row[1] and ours
        offset = at - (set_before + half)
        self._offset = offset if abs(offset) > _EQUAL else timedelta(0)
        began = at - (before + half)
        if abs(began - self._began) > _EQUAL:
            self._began = began


def _present() -> datetime:
    return datetime.now(UTC)


def _running() -> timedelta:
    return timedelta(seconds=time.clock_gettime(_RUNNING))


@contextlib.asynccontextmanager
async def kept(env: Env) -> AsyncGenerator[None]:
    """Compare the clock of *env* with the database's before the block, and from time to time while it runs."""
    if not isinstance(env.now, DatabaseClock):
        yield
        return
    await env.now.compare(env.db)
    keeping = asyncio.create_task(env.now.keep(env.db))
    try:
        yield
    finally:
        keeping.cancel()
