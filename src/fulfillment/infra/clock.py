"""One time for all processes: the database's, so that machines whose clocks differ agree on leases and tokens."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from typing import Final

from fulfillment.infra.db import ALL_TENANTS, Database
from fulfillment.infra.env import Env
from fulfillment.kernel.errors import FulfillmentError

SELECT_NOW: Final = "SELECT clock_timestamp() AS at"
_EVERY_SECONDS: Final = 5.0
_PATIENCE_SECONDS: Final = 2.0
_SLOW: Final = timedelta(seconds=1)  # an answer that took longer says too little about the present
_EQUAL: Final = timedelta(milliseconds=250)  # clocks this close are left alone: correcting them would only add noise


class DatabaseClock:
    """Returns the present when called: the machine's clock, corrected by what it is off from the database's."""

    def __init__(self) -> None:
        self._offset = timedelta(0)

    def __call__(self) -> datetime:
        """Return the present, aware UTC."""
        return datetime.now(UTC) + self._offset

    async def keep(self, db: Database) -> None:
        """Compare the clocks again and again, until cancelled: a machine's clock may be set at any time."""
        while True:
            await asyncio.sleep(_EVERY_SECONDS)
            await self.compare(db)

    async def compare(self, db: Database) -> None:
        """Compare the clocks once; without the database the last correction stays."""
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS), db.reading(ALL_TENANTS) as tx:
                before = datetime.now(UTC)
                at: datetime = (await tx.one(SELECT_NOW))["at"]
                after = datetime.now(UTC)
        except (FulfillmentError, TimeoutError):
            return
        if timedelta(0) <= after - before <= _SLOW:
            offset = at - (before + (after - before) / 2)
            self._offset = offset if abs(offset) > _EQUAL else timedelta(0)


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
