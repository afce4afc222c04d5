"""Orders move, receivers fail, workers are killed: every event arrives, and in order."""

import asyncio
import itertools
import random
import time
from collections import defaultdict
from typing import Any

import pytest

from fulfillment.infra.env import Env
from fulfillment.infra.wake import wake_workers
from fulfillment.kernel.callers import Caller
from fulfillment.orders import service as orders
from fulfillment.orders.domain import OrderStatus
from fulfillment.partners import service as partners
from tests.journeys.workers import Worker
from tests.receivers import Connection, Receiver, head
from tests.world import World, a_draft, a_line

pytestmark = pytest.mark.anyio

ORDERS = 500
STEPS = (OrderStatus.PROCESSING, OrderStatus.FULFILLED, OrderStatus.AWAITING_SHIPMENT, OrderStatus.SHIPPED)
FAILING = 0.3  # the share of requests that a receiver spoils
SETTINGS = {
    "webhook_retry_seconds": ",".join(["0", "0", "0", "1"] + ["1"] * 60),  # the real one takes three days
    "webhook_timeout_seconds": "0.5",
    "webhook_connect_seconds": "0.4",
}


def unreliable(seed: int) -> Any:
    """Spoil three requests of ten: an error, a reset, a cut answer, or none at all."""
    chance = random.Random(seed)

    def behave(connection: Connection) -> None:
        while connection.request():
            fate = chance.random()
            if fate > FAILING:
                connection.send(head(200, Content_Length=0))
            elif fate > 0.1:
                connection.send(head(500, Content_Length=0))
            elif fate > 0.05:
                connection.reset()
                return
            elif fate > 0.01:
                connection.send(head(200, Content_Length=100) + b"x")
                return
            else:
                connection.wait_for_close()
                return

    return behave


async def move_orders(env: Env, caller: Caller, product: int, count: int) -> list[str]:
    """Create orders and move each through all statuses, a few at a time."""
    partner = await partners.get_partner(env, caller.partner_id)
    made: list[str] = []
    left = iter(range(count))

    async def lane() -> None:
        for _ in left:
            created = await orders.create_order(env, caller, a_draft(a_line(product)))
            made.append(created.order_id)
            for status in STEPS:
                async with env.db.transaction("*") as tx:
                    order = await orders.lock_any_order(tx, created.order_id)
                    await orders.move_order(tx, partner, order, status, env.now())
                wake_workers(env)
            await asyncio.sleep(0.15)  # so that there is always something under way

    await asyncio.gather(*(lane() for _ in range(6)))
    return made


async def unfinished(env: Env) -> int:
    """How many deliveries are pending."""
    async with env.db.reading("*") as tx:
        row = await tx.one("SELECT count(*)::int AS left FROM webhook_deliveries WHERE status = 'PENDING'")
    return row["left"]


async def test_every_event_arrives_in_order_whatever_is_killed(env: Env, dsns: tuple[str, str]):
    """500 orders, two receivers that spoil 30 % of the requests, two workers of which one is killed after every second.

    Every event arrives, none is given up, and an order's arrivals never go back: only the event under way repeats.
    """
    world = World(env)
    product = await world.product(available=ORDERS * 200)
    with (
        Receiver(unreliable(1)) as one,
        Receiver(unreliable(2)) as two,
        Worker(dsns[0], env.settings.data_dir, **SETTINGS) as first,
        Worker(dsns[0], env.settings.data_dir, **SETTINGS) as second,
    ):
        callers = [await world.partner(), await world.partner()]
        for caller, receiver in zip(callers, (one, two), strict=True):
            await partners.update_settings(env, caller, {"webhook_url": receiver.url})
        moving = asyncio.gather(*(move_orders(env, caller, product, ORDERS // 2) for caller in callers))

        kills = 0
        until = time.monotonic() + 60
        starting: asyncio.Task[None] | None = None
        for worker in itertools.cycle((first, second)):
            await asyncio.sleep(1)
            if moving.done() and not await unfinished(env):
                break
            assert time.monotonic() < until, await unfinished(env)
            if starting is not None:
                await starting  # always one that works, and always another one killed
            worker.kill()
            kills += 1
            starting = asyncio.create_task(asyncio.to_thread(worker.start))
        if starting is not None:
            await starting
        made = [order for batch in await moving for order in batch]

    arrivals: dict[str, list[int]] = defaultdict(list)
    for received in itertools.chain(one.requests, two.requests):
        arrivals[received.body.decode()[21:48]].append(int(received.headers["x-juniper-sequence"]))
    async with env.db.reading("*") as tx:
        statuses = await tx.all("SELECT status, count(*)::int AS n FROM webhook_deliveries GROUP BY status")
    assert len(made) == ORDERS
    assert {order: sorted(set(numbers)) for order, numbers in arrivals.items()} == {
        order: [1, 2, 3, 4, 5] for order in made
    }
    assert [order for order, numbers in arrivals.items() if numbers != sorted(numbers)] == []
    assert list(statuses) == [{"status": "DELIVERED", "n": ORDERS * 5}]
    assert kills >= 3
