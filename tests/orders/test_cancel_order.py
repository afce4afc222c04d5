"""Cancelling an order: its stock returns once, and only while it is CREATED."""

import asyncio

import pytest

from fulfillment.infra.env import Env
from fulfillment.orders import service
from fulfillment.orders.domain import OrderNotCancellable, OrderNotFound, OrderStatus
from tests.orders.stored import footprint, reserved, rows, run
from tests.world import World, a_line

pytestmark = pytest.mark.anyio


async def test_cancelling_gives_the_stock_back(env: Env, world: World) -> None:
    """All of it can be sold again, and the partner is told with the order's next event."""
    caller = await world.partner()
    epa = await world.product(available=100)
    order = await world.order(caller, a_line(epa))

    cancelled = await service.cancel_order(env, caller, order.id)

    assert (cancelled.status, cancelled.sequence) == (OrderStatus.CANCELLED, 2)
    assert (await reserved(env, epa), await world.available(epa)) == (0, 100)
    events = await rows(env, "SELECT type, order_sequence FROM events WHERE order_id = %(id)s ORDER BY 2", id=order.id)
    assert events == [("order.created", 1), ("order.cancelled", 2)]
    assert await service.get_order(env, caller, order.id) == cancelled


async def test_cancelling_twice_returns_nothing_twice(env: Env, world: World) -> None:
    """The second is a conflict, writes no event, and what others have reserved meanwhile is untouched."""
    caller = await world.partner()
    epa = await world.product(available=100)
    order = await world.order(caller, a_line(epa))
    await service.cancel_order(env, caller, order.id)
    await world.order(caller, a_line(epa, 1))

    with pytest.raises(OrderNotCancellable) as caught:
        await service.cancel_order(env, caller, order.id)

    assert caught.value.extra["orderStatus"] == "CANCELLED"
    assert await reserved(env, epa) == 30
    assert (await footprint(env, caller.partner_id))["events"] == 3


async def test_twenty_cancels_at_once_are_one(env: Env, world: World) -> None:
    """One of twenty concurrent cancellations succeeds, nineteen are conflicts, and the stock returns once."""
    caller = await world.partner()
    epa = await world.product(available=100)
    order = await world.order(caller, a_line(epa))

    results = await asyncio.gather(
        *(service.cancel_order(env, caller, order.id) for _ in range(20)), return_exceptions=True
    )

    assert sum(isinstance(result, OrderNotCancellable) for result in results) == 19
    assert (await reserved(env, epa), await world.available(epa)) == (0, 100)


@pytest.mark.parametrize("status", ["PROCESSING", "FULFILLED", "AWAITING_SHIPMENT", "SHIPPED"])
async def test_an_order_in_work_stays(env: Env, world: World, status: str) -> None:
    """Past CREATED the refusal names the status; stock and events stay as they are."""
    caller = await world.partner()
    epa = await world.product(available=100)
    order = await world.order(caller, a_line(epa))
    await run(env, "UPDATE orders SET status = %(status)s WHERE id = %(id)s", status=status, id=order.id)

    with pytest.raises(OrderNotCancellable, match=status):
        await service.cancel_order(env, caller, order.id)

    assert await reserved(env, epa) == 60
    assert (await footprint(env, caller.partner_id))["events"] == 1


async def test_another_partners_order_is_none(env: Env, world: World) -> None:
    """It can be neither read nor cancelled, and the refusal is that of an order that does not exist."""
    owner, other = await world.partner(), await world.partner()
    order = await world.order(owner)

    for operation in (service.get_order, service.cancel_order):
        with pytest.raises(OrderNotFound) as foreign:
            await operation(env, other, order.id)
        with pytest.raises(OrderNotFound) as missing:
            await operation(env, other, "2vSGym0bH8qVEwCIGlyFoRgJq1A")
        assert foreign.value.detail == missing.value.detail

    assert (await service.get_order(env, owner, order.id)).status is OrderStatus.CREATED


async def test_a_held_order_can_be_cancelled(env: Env, world: World) -> None:
    """A hold is no obstacle, and the stock returns."""
    caller = await world.partner()
    epa = await world.product(available=100)
    address = {"line1": "1 Main St", "city": "Palo Alto", "state": "CA", "zipCode": "00001"}
    customer = {"sourceId": "1", "firstName": "J", "lastName": "D", "address": address}
    order = await world.order(caller, a_line(epa), customer=customer)
    assert order.holds is not None

    await service.cancel_order(env, caller, order.id)

    assert await reserved(env, epa) == 0
