"""The promise of expiry through an order's life: at creation, at release, when packs are made, and at the dock."""

import json

import pytest

from fulfillment.inventory.domain import LotState
from fulfillment.orders.domain import InsufficientStock, OrderHeld, OrderStatus
from fulfillment.warehouse.domain import LotNotUsable, Outcome
from fulfillment.warehouse.packing import contents_of, packs_of
from fulfillment.warehouse.service import batching, holding, repicking, stepping, stocking
from fulfillment.warehouse.service.locking import uses_of
from tests.conftest import Clock
from tests.warehouse.conftest import OPERATOR, Bench, a_line

pytestmark = pytest.mark.anyio


async def test_the_first_to_expire_goes_first(bench: Bench) -> None:
    """Of the lots that last, the one that expires first is taken; one that does not last is passed over."""
    product = await bench.world.product()
    await bench.lot(product, 600, days=40, number="TOO-SOON")
    await bench.lot(product, 600, days=400, number="LATER")
    first = await bench.lot(product, 600, days=200, number="FIRST")

    order_id = await bench.order(a_line(product, 2))

    assert [(one.lot_id, one.quantity) for one in await bench.held(order_id)] == [(first.id, 60)]


async def test_stock_that_does_not_last_is_no_stock(bench: Bench) -> None:
    """An order that only short-lived stock could serve is refused, and the refusal says until when it must last."""
    product = await bench.world.product()
    lot = await bench.lot(product, 600, days=40)

    with pytest.raises(InsufficientStock) as refused:
        await bench.order(a_line(product, 2))

    assert refused.value.extra["products"] == [{"productId": product, "requested": 60, "available": 0}]
    assert "lastsUntil" in refused.value.extra
    assert (await bench.lot_now(lot)).reserved == 0


async def test_release_picks_anew_what_no_longer_lasts(bench: Bench, clock: Clock) -> None:
    """An order that lay held for weeks is released with a lot that lasts from now, its old lot given back."""
    product = await bench.world.product()
    soon = await bench.lot(product, 600, days=75, number="SOON")
    late = await bench.lot(product, 600, days=400, number="LATE")
    order_id = await bench.order(a_line(product, 2))
    assert (await bench.lot_now(soon)).reserved == 60
    clock.move(days=25)

    step = await stepping.release_order(bench.env, OPERATOR, order_id)

    assert step.order.status is OrderStatus.PROCESSING
    assert ((await bench.lot_now(soon)).reserved, (await bench.lot_now(late)).reserved) == (0, 60)


async def test_release_without_stock_holds(bench: Bench) -> None:
    """Without another lot the order is held with STOCK_SHORT and stays CREATED; with one it goes on after the hold."""
    product = await bench.world.product()
    lot = await bench.lot(product, 600, number="ONLY")
    order_id = await bench.order(a_line(product, 2))
    await stocking.change_lot_state(bench.env, OPERATOR, lot.id, LotState.ON_HOLD, "a question")

    step = await stepping.release_order(bench.env, OPERATOR, order_id)
    with pytest.raises(OrderHeld):
        await stepping.release_order(bench.env, OPERATOR, order_id)

    assert (step.outcome, step.order.status) == (Outcome.HELD, OrderStatus.CREATED)
    assert [hold["code"] for hold in json.loads(step.order.holds or "[]")] == ["STOCK_SHORT"]
    await bench.lot(product, 600, number="NEW")
    assert (await repicking.repick_order(bench.env, OPERATOR, order_id)).outcome is Outcome.DONE
    released = await stepping.release_order(bench.env, OPERATOR, order_id)
    assert (released.outcome, released.order.holds) == (Outcome.DONE, None)


async def test_a_parcel_that_waits_too_long_does_not_leave(bench: Bench, clock: Clock) -> None:
    """A labelled order whose pills would no longer last when shipped today is refused at the dock."""
    product = await bench.world.product()
    await bench.lot(product, 600, days=75)
    order_id = await bench.order(a_line(product, 2))
    await stepping.advance_order(bench.env, OPERATOR, order_id, OrderStatus.AWAITING_SHIPMENT)
    clock.move(days=25)

    with pytest.raises(LotNotUsable) as refused:
        await stepping.ship_order(bench.env, OPERATOR, order_id)

    assert refused.value.extra["lots"][0]["fault"] == "EXPIRES_TOO_SOON"  # pyright: ignore[reportIndexIssue]


async def test_two_lots_part_an_order_between_days(bench: Bench) -> None:
    """When no lot covers an order alone, whole days come from each: day 16 to 30 from the second, and no pack mixes."""
    product = await bench.world.product()
    await bench.lot(product, 31, days=300, number="FIRST")
    await bench.lot(product, 45, days=400, number="SECOND")

    order_id = await bench.order(a_line(product, 2))
    order = await bench.get(order_id)
    async with bench.env.db.reading("*") as tx:
        uses = (await uses_of(tx, [order_id]))[order_id]
    packs = packs_of(order_id, contents_of(json.loads(order.document)), 30, uses)

    by_day = {pack.day: {item.lot_number for item in pack.items} for pack in packs}
    assert {day for day, lots in by_day.items() if lots == {"FIRST"}} == set(range(1, 16))
    assert {day for day, lots in by_day.items() if lots == {"SECOND"}} == set(range(16, 31))


async def test_expired_and_empty_lots_say_so(bench: Bench, clock: Clock) -> None:
    """The day after its last day a lot is EXPIRED, and one that ran out is DEPLETED; on its last day it is not."""
    product = await bench.world.product()
    old = await bench.lot(product, 60, days=30)
    empty = await bench.lot(product, 60, days=300)
    await stocking.adjust_lot(bench.env, OPERATOR, empty.id, -60, "spilled", scrapped=True)
    # Noon in the warehouse's zone, so that its day and that of UTC are the same.
    clock.at = clock.at.replace(hour=19)
    clock.move(days=30)

    await stocking.expire_lots(bench.env)
    on_its_last_day = (await bench.lot_now(old)).state
    clock.move(days=1)
    await stocking.expire_lots(bench.env)

    assert on_its_last_day is LotState.APPROVED
    assert (await bench.lot_now(old)).state is LotState.EXPIRED
    assert (await bench.lot_now(empty)).state is LotState.DEPLETED


async def test_the_clock_releases_what_is_due(bench: Bench, clock: Clock) -> None:
    """Past its cut-off an order is released by the worker; a held one waits until its hold is gone."""
    product = await bench.world.product(available=6000)
    due, held = [await bench.order(a_line(product)) for _ in range(2)]
    async with bench.env.db.transaction("*") as tx:
        await tx.execute(
            "UPDATE orders SET release_at = %(at)s WHERE id = ANY (%(ids)s)",
            at=clock.at.replace(microsecond=0),
            ids=[due, held],
        )
    await holding.hold_own_order(bench.env, bench.partner, held, "wait")
    clock.move(minutes=1)

    await batching.release_due(bench.env)

    assert (await bench.get(due)).status is OrderStatus.PROCESSING
    assert (await bench.get(held)).status is OrderStatus.CREATED


async def test_nothing_is_due_before_its_cut_off(bench: Bench, clock: Clock) -> None:
    """An order can still be cancelled until its cut-off: the worker leaves it alone."""
    product = await bench.world.product(available=6000)
    order_id = await bench.order(a_line(product))
    async with bench.env.db.transaction("*") as tx:
        later = clock.at.replace(microsecond=0)
        await tx.execute("UPDATE orders SET release_at = %(at)s WHERE id = %(id)s", at=later, id=order_id)
    clock.move(minutes=-1)

    await batching.release_due(bench.env)

    assert (await bench.get(order_id)).status is OrderStatus.CREATED
