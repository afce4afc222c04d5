"""Orders that move by themselves, in real time."""

from typing import Any

import pytest

from fulfillment.infra.env import Env
from fulfillment.sandbox import service
from tests.conftest import Clock
from tests.sandbox.conftest import Acme
from tests.world import World, a_line

pytestmark = pytest.mark.anyio

STATUSES = ["PROCESSING", "FULFILLED", "AWAITING_SHIPMENT", "SHIPPED"]


async def test_orders_move_by_themselves(env: Env, acme: Acme, clock: Clock) -> None:
    """Every stage an order makes one step, to Delivered; then it rests."""
    shown = await acme.call("PUT", "/sandbox/auto-advance", {"stageSeconds": 10})
    order = await acme.order()
    seen: list[Any] = []

    for _ in range(9):
        clock.move(seconds=10)
        await service.advance_due(env)
        now = await acme.read(order)
        seen.append(
            (now["fulfillmentInfo"] or {}).get("trackingStatus") if now["status"] == "SHIPPED" else now["status"]
        )

    assert shown == {"stageSeconds": 10}
    assert seen == [*STATUSES[:3], "InTransit", "InTransit", "OutForDelivery", "Delivered", "Delivered", "Delivered"]


async def test_a_stage_is_waited_for(env: Env, acme: Acme, clock: Clock) -> None:
    """Before its stage is over an order does not move, however often the worker looks."""
    await acme.call("PUT", "/sandbox/auto-advance", {"stageSeconds": 10})
    order = await acme.order()
    clock.move(seconds=9.9)

    for _ in range(3):
        await service.advance_due(env)

    assert (await acme.read(order))["status"] == "CREATED"


async def test_it_is_off_until_asked_for(env: Env, acme: Acme, clock: Clock) -> None:
    """Without auto-advance, and after it was switched off, orders stay where they are."""
    order = await acme.order()
    clock.move(minutes=10)
    await service.advance_due(env)
    before = (await acme.read(order))["status"]
    await acme.call("PUT", "/sandbox/auto-advance", {"stageSeconds": 10})
    clock.move(seconds=10)
    await service.advance_due(env)
    on = (await acme.read(order))["status"]
    await acme.call("PUT", "/sandbox/auto-advance", {"stageSeconds": None})
    clock.move(minutes=10)
    await service.advance_due(env)

    assert (before, on) == ("CREATED", "PROCESSING")
    assert (await acme.read(order))["status"] == "PROCESSING"


async def test_only_who_asked_for_it(env: Env, acme: Acme, world: World, clock: Clock) -> None:
    """Another partner's orders stay where they are."""
    other = await world.partner()
    order = await world.order(other, a_line(acme.product))
    await acme.call("PUT", "/sandbox/auto-advance", {"stageSeconds": 10})
    clock.move(seconds=100)

    await service.advance_due(env)

    stranger = Acme(acme.api, other, await world.headers(other), acme.product, world)
    assert (await stranger.call("GET", f"/orders/{order.id}"))["status"] == "CREATED"


async def test_a_held_order_waits_and_goes_on(env: Env, acme: Acme, clock: Clock) -> None:
    """An order that its partner holds is tried again every stage, and goes on when it is released."""
    await acme.call("PUT", "/sandbox/auto-advance", {"stageSeconds": 10})
    order = await acme.order()
    held = await acme.call("POST", f"/orders/{order['id']}/hold", {"note": "Wait"})
    for _ in range(3):
        clock.move(seconds=10)
        await service.advance_due(env)
    waiting = (await acme.read(order))["status"]
    await acme.call("POST", f"/orders/{order['id']}/holds/{held['holds'][0]['id']}/release")
    clock.move(seconds=10)
    await service.advance_due(env)

    assert waiting == "CREATED"
    assert (await acme.read(order))["status"] == "PROCESSING"


async def test_a_cancelled_order_rests(env: Env, acme: Acme, clock: Clock) -> None:
    """An order that was cancelled in time is not moved, and nothing of it is due for ever."""
    await acme.call("PUT", "/sandbox/auto-advance", {"stageSeconds": 10})
    order = await acme.order()
    await service.advance_due(env)
    await acme.call("POST", f"/orders/{order['id']}/cancel")
    clock.move(seconds=10)
    await service.advance_due(env)
    async with env.db.reading(acme.caller.partner_id) as tx:
        plan = await tx.one("SELECT next_at FROM sandbox_plans WHERE order_id = %(id)s", id=order["id"])

    assert plan["next_at"] is None
    assert (await acme.read(order))["status"] == "CANCELLED"


@pytest.mark.parametrize("seconds", [0, -1, 0.5, 2_592_001, "10", True])
async def test_a_stage_has_bounds(acme: Acme, seconds: Any) -> None:
    """A whole number of seconds, up to thirty days."""
    refusal = await acme.call("PUT", "/sandbox/auto-advance", {"stageSeconds": seconds}, 422)

    assert {error["pointer"] for error in refusal["errors"]} == {"/stageSeconds"}
