"""One hand at a time moves a partner's orders: the worker, an advance of the clock, or a request."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Final

from fulfillment.infra.env import Env
from fulfillment.sandbox import queries
from fulfillment.sandbox.domain import SandboxBusy

_LEASE: Final = timedelta(seconds=30)
_PAUSE_SECONDS: Final = 0.05


class Hand:
    """The right to move a partner's orders; it ends by itself if its holder dies."""

    def __init__(self, env: Env, partner_id: str, until: datetime) -> None:
        self._env = env
        self._partner_id = partner_id
        self._until = until

    async def keep(self) -> None:
        """Lengthen the right where half of it is over.

        Raises:
            SandboxBusy: It had ended, and somebody else has it.
        """
        now = self._env.now()
        if self._until - now > _LEASE / 2:
            return
        until = now + _LEASE
        async with self._env.db.transaction(self._partner_id) as tx:
            if not await queries.keep_hand(tx, self._partner_id, self._until, until):
                raise _busy()
        self._until = until

    async def leave(self) -> None:
        """Give the right back."""
        async with self._env.db.transaction(self._partner_id) as tx:
            await queries.leave_hand(tx, self._partner_id, self._until)


@asynccontextmanager
async def hand_on(env: Env, partner_id: str, *, wait_seconds: float = 0) -> AsyncGenerator[Hand]:
    """Give the right to move the partner's orders while the block runs.

    Raises:
        SandboxBusy: Somebody else has it, still after *wait_seconds*.
    """
    tries = max(1, int(wait_seconds / _PAUSE_SECONDS))
    for attempt in range(tries):
        now = env.now()
        async with env.db.transaction(partner_id) as tx:
            await queries.insert_state(tx, partner_id, partner_id)
            if await queries.take_hand(tx, partner_id, now, now + _LEASE):
                hand = Hand(env, partner_id, now + _LEASE)
                break
        if attempt + 1 < tries:
            await asyncio.sleep(_PAUSE_SECONDS)
    else:
        raise _busy()
    try:
        yield hand
    finally:
        await hand.leave()


def _busy() -> SandboxBusy:
    return SandboxBusy("Your orders are being moved at this moment. Try again.", retry_after_seconds=1)
