"""Hearing that something is due: one connection of a process that listens, for the engine and for long polls."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final

import psycopg
from psycopg import AsyncConnection, sql

from fulfillment.infra.env import Env
from fulfillment.infra.wake import CHANNEL

SEATS_OF_ONE: Final = 16  # long polls of one partner that a process holds back; more are answered at once
_PAUSE_SECONDS: Final = 1.0
_NAME: Final = "webhooks.bell"
_log = logging.getLogger(__name__)


async def listen(dsn: str, on_due: Callable[[], None]) -> None:
    """Call *on_due* at every notification until cancelled; a lost connection is made again.

    What is missed meanwhile, whoever listens finds by looking from time to time.
    """
    while True:
        try:
            async with await AsyncConnection.connect(
                dsn, autocommit=True, application_name="fulfillment-due", keepalives_idle=10, keepalives_interval=5
            ) as conn:
                await conn.execute(sql.SQL("LISTEN {}").format(sql.Identifier(CHANNEL)))
                on_due()
                async for _ in conn.notifies():
                    on_due()
        except psycopg.Error as error:
            _log.warning("webhooks.listen_lost", extra={"sqlstate": error.sqlstate or type(error).__name__})
        await asyncio.sleep(_PAUSE_SECONDS)


class Bell:
    """Wakes everybody in this process who waits for events. It listens only while somebody waits."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._rung = asyncio.Event()
        self._waiting = 0
        self._seats: Counter[str] = Counter()
        self._listening: asyncio.Task[None] | None = None

    @contextmanager
    def seat(self, partner_id: str, most: int) -> Generator[bool]:
        """Give the partner a place to wait while the block runs, and say whether there was one.

        Who waits is a request under way, of which a process bears so many: one partner's must not be all of them.

        Args:
            most: Places for everybody together.
        """
        free = self._seats[partner_id] < SEATS_OF_ONE and self._seats.total() < most
        if not free:
            yield False
            return
        self._seats[partner_id] += 1
        try:
            yield True
        finally:
            self._seats[partner_id] -= 1
            if not self._seats[partner_id]:
                del self._seats[partner_id]

    async def wait(self, seconds: float) -> None:
        """Return at the next notification, or after *seconds*."""
        self._waiting += 1
        if self._listening is None:
            self._listening = asyncio.create_task(listen(self._dsn, self._ring))
        try:
            async with asyncio.timeout(seconds):
                await self._rung.wait()
        except TimeoutError:
            return
        finally:
            self._waiting -= 1
            if self._waiting == 0:
                self._listening.cancel()
                self._listening = None

    def _ring(self) -> None:
        self._rung.set()
        self._rung = asyncio.Event()


def bell_of(env: Env) -> Bell:
    """Return the process's bell."""
    bell = env.local.get(_NAME)
    if bell is None:
        bell = env.local[_NAME] = Bell(env.db.dsn)
    return bell
