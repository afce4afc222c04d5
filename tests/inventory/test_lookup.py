"""The shared look at the lots: who comes while one is under way shares the next, and each gets its own answer."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import date

import pytest

from fulfillment.infra.db import DatabaseUnavailable
from fulfillment.infra.env import Env
from fulfillment.inventory.lookup import Lookup, lookup_of

pytestmark = pytest.mark.anyio

DAY, LATER = date(2027, 1, 1), date(2027, 6, 1)


class Lots:
    """Counts looks; each takes until it is let go. A product has as many pills as its id says."""

    def __init__(self) -> None:
        self.looks: list[tuple[set[int], date]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.fails = False

    async def look(self, env: Env, product_ids: Sequence[int], promised: date) -> Mapping[int, int]:
        """Return as many pills as each id says."""
        self.looks.append((set(product_ids), promised))
        await self.open.wait()
        if self.fails:
            raise DatabaseUnavailable("no database")
        return {id_: id_ for id_ in product_ids}


async def test_idle_question_is_answered_at_once(env: Env) -> None:
    """A question that comes alone has a look of its own."""
    lots = Lots()

    assert await Lookup(env, lots.look).ask([5, 7], DAY) == {5: 5, 7: 7}
    assert lots.looks == [({5, 7}, DAY)]


async def test_questions_during_a_look_share_the_next(env: Env) -> None:
    """While a look is under way, further questions wait for one look that began after they came."""
    lots = Lots()
    lookup = Lookup(env, lots.look)
    lots.open.clear()
    first = asyncio.create_task(lookup.ask([1], DAY))
    await asyncio.sleep(0.01)
    later = [asyncio.create_task(lookup.ask([id_, 3], DAY)) for id_ in (2, 4)]
    await asyncio.sleep(0.01)
    lots.open.set()

    assert (await first)[1] == 1
    assert [(await task)[3] for task in later] == [3, 3]
    assert lots.looks == [({1}, DAY), ({2, 3, 4}, DAY)]


async def test_promises_of_different_days_are_looked_up_apart(env: Env) -> None:
    """A partner with a clock of its own is answered for its own day."""
    lots = Lots()
    lookup = Lookup(env, lots.look)

    await asyncio.gather(lookup.ask([1], DAY), lookup.ask([1], LATER))

    assert sorted(lots.looks, key=lambda look: look[1]) == [({1}, DAY), ({1}, LATER)]


async def test_failure_reaches_all_who_wait_and_nobody_after(env: Env) -> None:
    """When a look fails, everybody in it is told, also beside one who has gone; the next question works."""
    lots = Lots()
    lookup = Lookup(env, lots.look)
    lots.fails = True
    lots.open.clear()
    gone, first, second = (asyncio.create_task(lookup.ask([id_], DAY)) for id_ in (1, 2, 3))
    await asyncio.sleep(0.01)
    gone.cancel()
    await asyncio.sleep(0)
    lots.open.set()

    for task in (first, second):
        with pytest.raises(DatabaseUnavailable):
            await task
    lots.fails = False
    assert await lookup.ask([9], DAY) == {9: 9}


async def test_who_has_gone_does_not_disturb(env: Env) -> None:
    """A caller that is cancelled leaves the others their answer."""
    lots = Lots()
    lookup = Lookup(env, lots.look)
    lots.open.clear()
    gone, stays = (asyncio.create_task(lookup.ask([id_], DAY)) for id_ in (1, 2))
    await asyncio.sleep(0.01)
    gone.cancel()
    await asyncio.sleep(0)
    lots.open.set()

    assert (await stays)[2] == 2


async def test_one_line_a_process(env: Env) -> None:
    """All operations of a process stand in the same line."""
    lots = Lots()

    assert lookup_of(env, lots.look) is lookup_of(env, lots.look)
