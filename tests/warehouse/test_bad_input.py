"""What a warehouse gets wrong: each is a named problem, and nothing has changed."""

import pytest

from fulfillment.inventory.domain import LotNumberTaken, LotState, LotStateInvalid, NegativeStock
from fulfillment.kernel.errors import FulfillmentError
from fulfillment.orders import service as orders
from fulfillment.orders.domain import HoldCode, IllegalTransition, OrderHeld
from fulfillment.shipping.tracking_numbers import TrackingNumberInvalid
from fulfillment.warehouse.domain import (
    Actor,
    BatchEmpty,
    LabelAsk,
    LabelMismatch,
    LotAlreadyRecalled,
    LotNotUsable,
    LotOfOtherProduct,
    OverPicked,
    PackAlreadyConfirmed,
    PacksNotConfirmed,
    UnderPicked,
    UnknownPack,
    WrongLot,
)
from fulfillment.warehouse.packing import Scan, Scanned
from fulfillment.warehouse.service import batching, holding, reading, recalling, stepping, stocking
from tests.warehouse.conftest import OPERATOR, Bench, a_line

pytestmark = pytest.mark.anyio


async def _in_production(bench: Bench) -> str:
    """Return a released order of one product out of the lot RIGHT; LATER is its second lot, OTHER another's."""
    product, other = await bench.world.product(), await bench.world.product()
    await bench.lot(product, 600, days=300, number="RIGHT")
    await bench.lot(product, 600, days=400, number="LATER")
    await bench.lot(other, 600, days=300, number="OTHER")
    order_id = await bench.order(a_line(product, 2))
    await stepping.release_order(bench.env, OPERATOR, order_id)
    return order_id


@pytest.mark.parametrize(
    ("scanned", "problem"),
    [
        ((Scanned("LATER", 1),), WrongLot),
        ((Scanned("NONE", 1),), WrongLot),
        ((Scanned("OTHER", 1),), LotOfOtherProduct),
        ((Scanned("RIGHT", 2),), OverPicked),
        ((Scanned("RIGHT", 1), Scanned("RIGHT", 1)), OverPicked),
        ((), UnderPicked),
    ],
)
async def test_a_wrong_scan(bench: Bench, scanned: tuple[Scanned, ...], problem: type[FulfillmentError]) -> None:
    """A wrong lot, a lot of another product, too much and too little are told apart, and no pack is confirmed."""
    order_id = await _in_production(bench)

    with pytest.raises(problem):
        await stepping.confirm_packs(bench.env, OPERATOR, order_id, [Scan(f"{order_id}-01M", scanned)])

    assert (await reading.get_order(bench.env, order_id)).confirmed == 0


async def test_a_pack_of_no_order(bench: Bench) -> None:
    """A pack that the order does not have is unknown, and the right one beside it is not confirmed either."""
    order_id = await _in_production(bench)

    with pytest.raises(UnknownPack):
        await stepping.confirm_packs(bench.env, OPERATOR, order_id, [Scan(f"{order_id}-01M"), Scan(f"{order_id}-31M")])

    assert (await reading.get_order(bench.env, order_id)).confirmed == 0


async def test_a_pack_confirmed_by_another(bench: Bench) -> None:
    """The packer who confirmed a pack may say so again; another is refused."""
    order_id = await _in_production(bench)
    scan = [Scan(f"{order_id}-01M", (Scanned("RIGHT", 1),))]
    await stepping.confirm_packs(bench.env, Actor("c", None, "ann"), order_id, scan)

    await stepping.confirm_packs(bench.env, Actor("c", None, "ann"), order_id, scan)
    with pytest.raises(PackAlreadyConfirmed):
        await stepping.confirm_packs(bench.env, Actor("c", None, "bob"), order_id, scan)

    assert (await reading.get_order(bench.env, order_id)).confirmed == 1


async def test_unconfirmed_packs_keep_an_order_in_production(bench: Bench) -> None:
    """With 59 of 60 packs unconfirmed production can't be closed, and no pill leaves."""
    order_id = await _in_production(bench)
    await stepping.confirm_packs(bench.env, OPERATOR, order_id, [Scan(f"{order_id}-01M")])

    with pytest.raises(PacksNotConfirmed) as refused:
        await stepping.fulfill_order(bench.env, OPERATOR, order_id)

    assert refused.value.extra == {"missing": 59, "packs": 60}
    assert [one.state for one in await bench.held(order_id)] == ["OPEN"]


async def test_a_lot_taken_out_of_use(bench: Bench) -> None:
    """An order whose lot went into quarantine is not fulfilled; it says which lot, and its packs wait."""
    order_id = await _in_production(bench)
    lot_id = (await bench.held(order_id))[0].lot_id
    await stocking.change_lot_state(bench.env, OPERATOR, lot_id, LotState.QUARANTINED, "odd smell")

    with pytest.raises(LotNotUsable) as refused:
        await stepping.fulfill_order(bench.env, OPERATOR, order_id, confirm_all=True)

    assert refused.value.extra["lots"][0]["fault"] == "QUARANTINED"  # pyright: ignore[reportIndexIssue]
    assert (await reading.get_order(bench.env, order_id)).confirmed == 0
    assert (await bench.get(order_id)).status == "PROCESSING"


@pytest.mark.parametrize("state", [LotState.QUARANTINED, LotState.ON_HOLD, LotState.EXPIRED])
async def test_a_packed_order_whose_lot_fell_out_of_use_stays(bench: Bench, state: LotState) -> None:
    """Between label and ship the lots are looked at once more."""
    order_id = await _in_production(bench)
    await stepping.advance_order(bench.env, OPERATOR, order_id, orders.OrderStatus.AWAITING_SHIPMENT)
    lot_id = (await bench.held(order_id))[0].lot_id
    await stocking.change_lot_state(bench.env, OPERATOR, lot_id, state, "found out")

    with pytest.raises(LotNotUsable):
        await stepping.ship_order(bench.env, OPERATOR, order_id)

    assert (await bench.get(order_id)).status == "AWAITING_SHIPMENT"


async def test_a_held_order_does_not_ship(bench: Bench) -> None:
    """Any one of several holds keeps an order from shipping."""
    order_id = await _in_production(bench)
    await stepping.advance_order(bench.env, OPERATOR, order_id, orders.OrderStatus.AWAITING_SHIPMENT)
    await holding.hold_order(bench.env, OPERATOR, order_id, HoldCode.ADDRESS, "")
    held = await holding.hold_order(bench.env, OPERATOR, order_id, HoldCode.OPERATOR, "")
    first = holding.open_holds(held)[0]["id"]
    await holding.release_hold(bench.env, OPERATOR, order_id, first)

    with pytest.raises(OrderHeld):
        await stepping.ship_order(bench.env, OPERATOR, order_id)

    assert (await bench.get(order_id)).status == "AWAITING_SHIPMENT"


async def test_a_cancelled_order_does_not_ship(bench: Bench) -> None:
    """A cancelled order makes no step."""
    product = await bench.world.product(available=600)
    order_id = await bench.order(a_line(product))
    await orders.cancel_order(bench.env, bench.partner, order_id)

    for step in (stepping.release_order, stepping.fulfill_order, stepping.make_label, stepping.ship_order):
        with pytest.raises(IllegalTransition) as refused:
            await step(bench.env, OPERATOR, order_id)
        assert refused.value.extra["allowedMoves"] == []


async def test_a_mistyped_tracking_number(bench: Bench) -> None:
    """A number with a wrong check digit makes no label."""
    order_id = await _in_production(bench)
    await stepping.fulfill_order(bench.env, OPERATOR, order_id, confirm_all=True)

    with pytest.raises(TrackingNumberInvalid):
        await stepping.make_label(bench.env, OPERATOR, order_id, LabelAsk("UPS", None, "1Z5R89390357567128"))

    assert (await bench.get(order_id)).fulfillment is None


async def test_the_parcel_of_another_order(bench: Bench) -> None:
    """At the dock the scanned number must be the label's."""
    order_id = await _in_production(bench)
    await stepping.fulfill_order(bench.env, OPERATOR, order_id, confirm_all=True)
    await stepping.make_label(bench.env, OPERATOR, order_id, LabelAsk("UPS", None, "1Z5R89390357567127"))

    with pytest.raises(LabelMismatch):
        await stepping.ship_order(bench.env, OPERATOR, order_id, tracking_number="9400111206206406260787")
    with pytest.raises(LabelMismatch):
        await stepping.make_label(bench.env, OPERATOR, order_id, LabelAsk("USPS", None, "9400111206206406260787"))

    assert (await bench.get(order_id)).status == "AWAITING_SHIPMENT"


async def test_stock_below_what_orders_hold(bench: Bench) -> None:
    """A count can't take away what orders hold."""
    product = await bench.world.product()
    lot = await bench.lot(product, 100)
    await bench.order(a_line(product, 2))

    with pytest.raises(NegativeStock):
        await stocking.adjust_lot(bench.env, OPERATOR, lot.id, -41, "counted")

    assert (await bench.lot_now(lot)).on_hand == 100


async def test_wrong_states_of_a_lot(bench: Bench) -> None:
    """A lot is not received twice, not emptied by decree, not recalled by a change of state, nor twice."""
    product = await bench.world.product()
    lot = await bench.lot(product, 100, number="TWICE")

    with pytest.raises(LotNumberTaken):
        await bench.lot(product, 100, number="TWICE")
    for state in (LotState.DEPLETED, LotState.RECALLED, LotState.APPROVED):
        with pytest.raises(LotStateInvalid):
            await stocking.change_lot_state(bench.env, OPERATOR, lot.id, state, "because")
    await recalling.recall_lot(bench.env, OPERATOR, lot.id, dry_run=False)
    for dry_run in (True, False):
        with pytest.raises(LotAlreadyRecalled):
            await recalling.recall_lot(bench.env, OPERATOR, lot.id, dry_run=dry_run)
    with pytest.raises(LotStateInvalid):
        await stocking.change_lot_state(bench.env, OPERATOR, lot.id, LotState.APPROVED, "a mistake")


async def test_a_batch_of_nothing(bench: Bench) -> None:
    """A batch of which no order can be released is not made, and says why for each."""
    product = await bench.world.product(available=600)
    order_id = await bench.order(a_line(product))
    await holding.hold_order(bench.env, OPERATOR, order_id, HoldCode.OPERATOR, "")
    before = await batching.list_batches(bench.env, reading.PageRequest())

    with pytest.raises(BatchEmpty) as refused:
        await batching.create_batch(bench.env, OPERATOR, [order_id, "2vSGym0bH8qVEwCIGlyFoRgJq1A"])

    codes = [result["code"] for result in refused.value.extra["results"]]  # pyright: ignore[reportGeneralTypeIssues, reportUnknownVariableType]
    assert codes == ["order_held", "order_not_found"]
    assert await batching.list_batches(bench.env, reading.PageRequest()) == before
