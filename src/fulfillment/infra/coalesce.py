"""Reads that arrive at once share one round trip."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

_MOST = 64  # keys in one round trip


class Coalescer(Generic[K, V]):
    """Collects keys while a fetch is under way and fetches them together with the next one.

    A lone key is fetched at once: nothing waits when idle. What a driver spends on a round trip, more than the database
    does on a row, is then divided by as many callers as wait.

    Args:
        fetch: Returns the values of keys; an absent key has none.
        at_once: Fetches under way at the same time, at most.
    """

    def __init__(self, fetch: Callable[[Sequence[K]], Awaitable[Mapping[K, V]]], *, at_once: int = 2) -> None:
        self._fetch = fetch
        self._at_once = at_once
        self._waiting: dict[K, asyncio.Future[V | None]] = {}
        self._running = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def get(self, key: K) -> V | None:
        """Return the value of *key*, or None.

        Raises:
            Whatever *fetch* raised for the keys it was asked together with.
        """
        future = self._waiting.get(key)
        if future is None:
            future = self._waiting[key] = asyncio.get_running_loop().create_future()
            if self._running < self._at_once:
                self._running += 1
                task = asyncio.create_task(self._run())
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        # A caller that goes away must not cancel what others wait for.
        return await asyncio.shield(future)

    async def _run(self) -> None:
        try:
            while self._waiting:
                keys = list(self._waiting)[:_MOST]
                asked = {key: self._waiting.pop(key) for key in keys}
                await self._answer(asked)
        finally:
            self._running -= 1

    async def _answer(self, asked: "dict[K, asyncio.Future[V | None]]") -> None:
        try:
            values = await self._fetch(list(asked))
        except Exception as error:
            for future in asked.values():
                if not future.done():
                    future.set_exception(error)
                    future.exception()  # told to whoever waits; nobody may be left to
            return
        for key, future in asked.items():
            if not future.done():
                future.set_result(values.get(key))
