"""One look at the lots for many askers: what comes while a look is under way shares the next one.

A look costs the sending, not the reading: at sixteen connections this halves the CPU of a list of products. Nobody is
answered from a look that began before the question came, and nothing waits when nothing is under way.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import date
from typing import Final

from fulfillment.infra.env import Env

Look = Callable[[Env, Sequence[int], date], Awaitable[Mapping[int, int]]]

_NAME: Final = "inventory.lookup"


class Lookup:
    """One process's line of questions.

    Args:
        look: Reads what is free of products that can be used on a day.
    """

    def __init__(self, env: Env, look: Look) -> None:
        self._env = env
        self._look = look
        self._asked: dict[date, list[tuple[Sequence[int], asyncio.Future[Mapping[int, int]]]]] = {}
        self._task: asyncio.Task[None] | None = None

    async def ask(self, product_ids: Sequence[int], promised: date) -> Mapping[int, int]:
        """Return what is free of each product, and perhaps of others; one without any is absent.

        Raises:
            DatabaseUnavailable: Nobody knows at the moment.
        """
        future: asyncio.Future[Mapping[int, int]] = asyncio.get_running_loop().create_future()
        self._asked.setdefault(promised, []).append((product_ids, future))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        return await future

    async def _run(self) -> None:
        while self._asked:
            promised, asked = self._asked.popitem()
            ids = list({id_ for product_ids, _ in asked for id_ in product_ids})
            waiting = [future for _, future in asked]
            try:
                found = await self._look(self._env, ids, promised)
            except Exception as error:
                for future in waiting:
                    if not future.done():
                        future.set_exception(error)
            else:
                for future in waiting:
                    if not future.done():
                        future.set_result(found)


def lookup_of(env: Env, look: Look) -> Lookup:
    """Return the process's line."""
    lookup = env.local.get(_NAME)
    if lookup is None:
        lookup = env.local[_NAME] = Lookup(env, look)
    return lookup
