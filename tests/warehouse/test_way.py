"""An order's way through the warehouse."""

import json

import pytest

from fulfillment.inventory.domain import ReservationState
from fulfillment.orders.domain import IllegalTransition, OrderStatus
from fulfillment.warehouse.service import stepping
from tests.warehouse.conftest import OPERATOR, Bench, a_line

pytestmark = pytest.mark.anyio


async def test_the_whole_way(bench: Bench) -> None:
    """Released, fulfilled, labelled and shipped, an order tells its partner each step, and its pills leave once."""
    product = await bench.world.product()
    lot = await bench.lot(product, 600)
    order_id = await bench.order(a_line(product, 2))

    await stepping.release_order(bench.env, OPERATOR, order_id)
    assert (await bench.lot_now(lot)).on_hand == 600
    await stepping.fulfill_order(bench.env, OPERATOR, order_id, confirm_all=True)
    after = await bench.lot_now(lot)
    await stepping.make_label(bench.env, OPERATOR, order_id)
    shipped = (await stepping.ship_order(bench.env, OPERATOR, order_id)).order

    assert (after.on_hand, after.reserved) == (540, 0)
    assert (await bench.lot_now(lot)).on_hand == 540
    assert [one.state for one in await bench.held(order_id)] == [ReservationState.CONSUMED]
    assert await bench.events(order_id) == [
        "order.created",
        "order.processing",
        "order.fulfilled",
        "order.awaiting_shipment",
        "order.shipped",
    ]
    info = json.loads(shipped.fulfillment or "null")
    assert set(info) == {"carrier", "trackingNumber", "trackingStatus", "trackingUrl", "checkpoints"}
    assert info["trackingStatus"] == "InTransit"
    assert shipped.status is OrderStatus.SHIPPED


async def test_steps_out_of_order_name_the_allowed_moves(bench: Bench) -> None:
    """An order that is CREATED can't be shipped; the refusal says what it can become."""
    product = await bench.world.product(available=600)
    order_id = await bench.order(a_line(product))

    with pytest.raises(IllegalTransition) as refused:
        await stepping.ship_order(bench.env, OPERATOR, order_id)

    assert refused.value.extra["allowedMoves"] == ["PROCESSING", "CANCELLED"]
