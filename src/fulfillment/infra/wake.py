"""Telling the workers that something is due, without a NOTIFY in every transaction.

A NOTIFY inside a transaction takes a lock of the whole database at its commit, so that commits queue behind each
other's fsync. This one goes out on its own, after the commit, at most every twentieth of a second; if the process
dies in between, the workers' poll finds the row.
"""

import asyncio
from typing import Final, LiteralString

from fulfillment.infra.env import Env
from fulfillment.kernel.errors import FulfillmentError

CHANNEL: Final = "fulfillment_due"
NOTIFY: Final[LiteralString] = "NOTIFY fulfillment_due"
_PAUSE_SECONDS: Final = 0.02
_NAME: Final = "infra.wake"


class Wake:
    """One process's voice towards the workers."""

    def __init__(self, env: Env) -> None:
        self._env = env
        self._task: asyncio.Task[None] | None = None
        self._again = False

    def soon(self) -> None:
        """Tell the workers within a few milliseconds."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._tell())
        else:
            self._again = True

    async def _tell(self) -> None:
        while True:
            self._again = False
            try:
                async with self._env.db.connection() as conn:
                    await conn.execute(NOTIFY)
            except FulfillmentError:
                return
            await asyncio.sleep(_PAUSE_SECONDS)
            if not self._again:
                return


def wake_workers(env: Env) -> None:
    """Tell the workers that something may be due. A hint: the rows are the truth."""
    wake = env.local.get(_NAME)
    if wake is None:
        wake = env.local[_NAME] = Wake(env)
    wake.soon()
