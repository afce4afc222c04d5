"""An order's way: release, confirm packs, fulfil, label, ship. Each step may be repeated without harm."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from random import Random

from fulfillment.infra.env import Env
from fulfillment.inventory import service as inventory
from fulfillment.inventory.domain import Lot
from fulfillment.kernel.errors import ValidationFailed
from fulfillment.kernel.ids import new_id
from fulfillment.orders import service as orders
from fulfillment.orders.domain import HoldCode, Order, OrderHeld, OrderStatus, check_move
from fulfillment.shipping.calendar import ShippingMethod
from fulfillment.shipping.carriers import LabelRequest, ManualCarrier, Recipient, SimulatedCarrier
from fulfillment.shipping.tracking import Checkpoint, TrackingStatus, merge
from fulfillment.shipping.tracking_numbers import check as check_number
from fulfillment.warehouse import packing, parcels, queries
from fulfillment.warehouse.domain import (
    ALL_PACKS,
    Actor,
    LabelAsk,
    LabelMismatch,
    LotNotUsable,
    Outcome,
    PackAlreadyConfirmed,
    PacksNotConfirmed,
    Shipment,
    Step,
)
from fulfillment.warehouse.packing import Pack, Scan
from fulfillment.warehouse.service.locking import (
    Locked,
    contents,
    held_of,
    locked_order,
    planned_day,
    promised,
    record_order,
    today,
    uses_of,
)
from fulfillment.warehouse.service.repicking import faulty_lots, repick_open

_PICKED_UP = "Shipment picked up"
_WAREHOUSE = "San Francisco, CA, USA"


async def release_order(env: Env, actor: Actor, order_id: str, *, batch_id: str | None = None) -> Step:
    """Release an order into production: CREATED to PROCESSING. From here it can't be cancelled.

    Its lots are looked at again, for the day on which it will really ship; where one may not leave, the product is
    picked anew, and where that fails the order is held with STOCK_SHORT and stays CREATED (outcome "held").

    Args:
        batch_id: The batch it is released into.

    Raises:
        OrderNotFound: There is none.
        IllegalTransition: It is past PROCESSING, or cancelled.
        OrderHeld: A hold is in the way.
    """
    async with locked_order(env, order_id) as locked:
        order = locked.order
        if order.status is not OrderStatus.PROCESSING:
            check_move(order, OrderStatus.PROCESSING)
            lasts_until = promised(env, order, planned_day(env, locked.at))
            if not await repick_open(locked, actor, lasts_until):
                return Step(await _hold_short(locked, actor), Outcome.HELD)
            if order.release_at is not None and order.release_at > locked.at:
                order = order._replace(release_at=locked.at)
            order = await orders.move_order(locked.tx, locked.partner, order, OrderStatus.PROCESSING, locked.at)
            await _record_move(locked, actor, "order.released", order)
        outcome = Outcome.UNCHANGED if order is locked.order else Outcome.DONE
        if batch_id is not None and await queries.insert_batch_order(locked.tx, order.id, batch_id, order.partner_id):
            outcome = Outcome.DONE
    return Step(order, outcome)


async def confirm_packs(env: Env, actor: Actor, order_id: str, scans: Sequence[Scan] | None) -> tuple[Step, int, int]:
    """Note that packs of an order in production were made and checked.

    Args:
        scans: The packs, with what was scanned into them; None confirms all that are left.

    Returns:
        The order, how many packs are confirmed, and how many there are.

    Raises:
        OrderNotFound: There is none.
        IllegalTransition, OrderHeld: It is not in production, or held.
        UnknownPack, WrongLot, LotOfOtherProduct, OverPicked, UnderPicked: What was scanned is not the pack's.
        LotNotUsable: A lot of the pack may not leave.
        PackAlreadyConfirmed: Somebody else confirmed one of the packs; nothing of this call was noted.
    """
    async with locked_order(env, order_id) as locked:
        check_move(locked.order, OrderStatus.FULFILLED)
        packs = await _packs(locked)
        if scans is None:
            await _refuse_faulty(env, locked)
            done = await _confirm_all(locked, actor, packs)
        else:
            done = await _confirm(env, locked, actor, packs, scans)
        confirmed = await _confirmed(locked, packs)
    return Step(locked.order, Outcome.DONE if done else Outcome.UNCHANGED), len(confirmed), len(packs)


async def fulfill_order(env: Env, actor: Actor, order_id: str, *, confirm_all: bool = False) -> Step:
    """Close an order's production: PROCESSING to FULFILLED. Its pills leave their lots here, and only here.

    Args:
        confirm_all: Confirm the packs that nobody confirmed, in the same step.

    Raises:
        OrderNotFound: There is none.
        IllegalTransition, OrderHeld: It is not in production, or held.
        PacksNotConfirmed: Packs are left to be checked.
        LotNotUsable: A lot may not leave, or would expire before the supply's end.
    """
    async with locked_order(env, order_id) as locked:
        order = locked.order
        if order.status is OrderStatus.FULFILLED:
            return Step(order, Outcome.UNCHANGED)
        check_move(order, OrderStatus.FULFILLED)
        packs = await _packs(locked)
        if confirm_all:
            await _confirm_all(locked, actor, packs)
        missing = len(packs) - len(await _confirmed(locked, packs))
        if missing:
            raise PacksNotConfirmed(
                f"{missing} of {len(packs)} packs are not confirmed.", extra={"missing": missing, "packs": len(packs)}
            )
        _refuse(faulty_lots(await inventory.lock_lots_of_order(locked.tx, order.id), _promise_today(env, locked)))
        await inventory.consume_order(locked.tx, order.id, actor.id, locked.now)
        order = await orders.move_order(locked.tx, locked.partner, order, OrderStatus.FULFILLED, locked.at)
        await _record_move(locked, actor, "order.fulfilled", order)
    return Step(order, Outcome.DONE)


async def make_label(env: Env, actor: Actor, order_id: str, ask: LabelAsk | None = None) -> Step:
    """Make an order's label and set its fulfillmentInfo: FULFILLED to AWAITING_SHIPMENT.

    Args:
        ask: What the operator typed. Without a number the sandbox's simulated carrier makes one; in production the
            carrier and the number are needed.

    Raises:
        OrderNotFound: There is none.
        IllegalTransition, OrderHeld: It is not FULFILLED, or held.
        LotNotUsable: A lot of it may not leave any more.
        LabelIncomplete, CarrierNotServing, TrackingNumberInvalid: The label can't be made like that.
        LabelMismatch: It has another label.
    """
    ask = ask or LabelAsk()
    async with locked_order(env, order_id) as locked:
        order = locked.order
        if order.status is OrderStatus.AWAITING_SHIPMENT:
            _check_same_label(await _shipments(locked), ask.carrier, ask.tracking_number)
            return Step(order, Outcome.UNCHANGED)
        check_move(order, OrderStatus.AWAITING_SHIPMENT)
        await _refuse_faulty(env, locked)
        shipment = _labelled(env, locked, ask, 1)
        await queries.insert_shipment(locked.tx, shipment)
        order = await orders.move_order(
            locked.tx,
            locked.partner,
            order,
            OrderStatus.AWAITING_SHIPMENT,
            locked.at,
            fulfillment=parcels.fulfillment_json(shipment),
            shipments=parcels.shipments_json([shipment]),
        )
        await _record_move(locked, actor, "order.labelled", order, shipment_id=shipment.id, carrier=shipment.carrier)
    return Step(order, Outcome.DONE)


async def add_shipment(env: Env, actor: Actor, order_id: str, ask: LabelAsk) -> tuple[Order, Shipment]:
    """Make the label of a further parcel of an order that has one; fulfillmentInfo stays the first parcel's.

    Raises:
        OrderNotFound: There is none.
        IllegalTransition: It has no label yet.
        OrderHeld: It is held.
        LabelIncomplete, CarrierNotServing, TrackingNumberInvalid: The label can't be made like that.
    """
    async with locked_order(env, order_id) as locked:
        order = locked.order
        if order.status is not OrderStatus.SHIPPED:
            check_move(order, OrderStatus.SHIPPED)
        elif order.holds is not None:
            raise OrderHeld("Release its holds first.", extra={"orderStatus": order.status.value})
        await _refuse_faulty(env, locked)
        earlier = await _shipments(locked)
        known = ask.tracking_number and check_number(ask.carrier, ask.tracking_number).number
        for shipment in earlier:
            if shipment.tracking_number == known:
                return order, shipment
        added = _labelled(env, locked, ask, len(earlier) + 1)
        if order.status is OrderStatus.SHIPPED:
            added = replace(added, shipped_at=locked.at)
        await queries.insert_shipment(locked.tx, added)
        changed = order._replace(shipments=parcels.shipments_json([*earlier, added]))
        order = await orders.note_change(locked.tx, locked.partner, changed, "order.tracking_updated", locked.at)
        await record_order(locked, actor, "order.shipment_added", {"shipmentId": added.id, "carrier": added.carrier})
    return order, added


async def ship_order(
    env: Env, actor: Actor, order_id: str, *, carrier: str | None = None, tracking_number: str | None = None
) -> Step:
    """Note that the carrier has the parcel: AWAITING_SHIPMENT to SHIPPED.

    Args:
        carrier: Where given, it must be the label's.
        tracking_number: What was scanned at the dock; where given, it must be the label's.

    Raises:
        OrderNotFound: There is none.
        IllegalTransition, OrderHeld: It has no label yet, or is held, or cancelled.
        LotNotUsable: A lot of it was recalled, quarantined or expired since, or expires before the supply's end.
        LabelMismatch: The parcel is not this order's.
    """
    async with locked_order(env, order_id) as locked:
        order = locked.order
        if order.status is OrderStatus.SHIPPED:
            _check_same_label(await _shipments(locked), carrier, tracking_number)
            return Step(order, Outcome.UNCHANGED)
        check_move(order, OrderStatus.SHIPPED)
        await _refuse_faulty(env, locked)
        parcels_of_order = await _shipments(locked)
        _check_same_label(parcels_of_order, carrier, tracking_number)
        shipped = [_picked_up(shipment, locked) for shipment in parcels_of_order]
        for shipment in shipped:
            await queries.update_shipment(locked.tx, shipment)
        order = await orders.move_order(
            locked.tx,
            locked.partner,
            order,
            OrderStatus.SHIPPED,
            locked.at,
            fulfillment=parcels.fulfillment_json(shipped[0]),
            shipments=parcels.shipments_json(shipped),
        )
        await _record_move(locked, actor, "order.shipped", order, shipment_ids=[shipment.id for shipment in shipped])
    return Step(order, Outcome.DONE)


async def advance_order(env: Env, actor: Actor, order_id: str, to: OrderStatus, ask: LabelAsk | None = None) -> Step:
    """Walk an order through every step up to the status *to*; all packs count as confirmed.

    Raises:
        OrderNotFound: There is none.
        IllegalTransition: *to* is not ahead of it.
        TrackingNumberInvalid: The number is mistyped; no step was made.
        And what each step raises; the steps before stay done.
    """
    if ask is not None and ask.tracking_number is not None:
        check_number(ask.carrier, ask.tracking_number)
    step = Step(await orders.get_any_order(env, order_id), Outcome.UNCHANGED)
    if to is OrderStatus.CANCELLED:
        raise ValidationFailed("An order is cancelled by its partner, not advanced to it.")
    while step.order.status is not to:
        status = step.order.status
        if status is OrderStatus.CREATED and to is not OrderStatus.CREATED:
            step = await release_order(env, actor, order_id)
        elif status is OrderStatus.PROCESSING and to is not OrderStatus.CREATED:
            step = await fulfill_order(env, actor, order_id, confirm_all=True)
        elif status is OrderStatus.FULFILLED and to in (OrderStatus.AWAITING_SHIPMENT, OrderStatus.SHIPPED):
            step = await make_label(env, actor, order_id, ask)
        elif status is OrderStatus.AWAITING_SHIPMENT and to is OrderStatus.SHIPPED:
            step = await ship_order(env, actor, order_id)
        else:
            check_move(step.order, to)
        if step.outcome is Outcome.HELD:
            raise OrderHeld("Its stock does not last to the supply's end, and there is no other: the order is held.")
    return step


async def _hold_short(locked: Locked, actor: Actor) -> Order:
    note = "No stock that lasts to the end of the supply is left for what this order needs."
    order = await orders.hold_order(
        locked.tx, locked.partner, locked.order, HoldCode.STOCK_SHORT, note, "system", locked.at
    )
    await record_order(locked, actor, "order.held", {"code": HoldCode.STOCK_SHORT.value})
    return order


async def _packs(locked: Locked) -> dict[str, Pack]:
    order = locked.order
    uses = (await uses_of(locked.tx, [order.id]))[order.id]
    return {pack.id: pack for pack in packing.packs_of(order.id, contents(order), order.days_supply, uses)}


async def _confirmed(locked: Locked, packs: dict[str, Pack]) -> set[str]:
    by_pack = (await queries.select_confirmations(locked.tx, [locked.order.id])).get(locked.order.id, {})
    return set(packs) if ALL_PACKS in by_pack else set(by_pack)


async def _confirm_all(locked: Locked, actor: Actor, packs: dict[str, Pack]) -> bool:
    order = locked.order
    if len(await _confirmed(locked, packs)) == len(packs):
        return False
    by = _confirmer(actor)
    await queries.insert_confirmations(locked.tx, order.id, order.partner_id, [ALL_PACKS], by, locked.now)
    await record_order(locked, actor, "order.packs_confirmed", {"packs": ALL_PACKS})
    return True


async def _confirm(env: Env, locked: Locked, actor: Actor, packs: dict[str, Pack], scans: Sequence[Scan]) -> bool:
    order = locked.order
    numbers = {scanned.lot_number for scan in scans for scanned in scan.contents or ()}
    lots = await inventory.select_lots_by_number(locked.tx, numbers) if numbers else []
    checked = [packing.check_scan(packs, scan, lots) for scan in scans]
    wanted = {item.lot_id for pack in checked for item in pack.items if item.lot_id is not None}
    _refuse(faulty_lots(await inventory.select_lots(locked.tx, wanted), _promise_today(env, locked)))
    by_pack = (await queries.select_confirmations(locked.tx, [order.id])).get(order.id, {})
    others = sorted(
        pack.id
        for pack in checked
        if (by := by_pack.get(pack.id) or by_pack.get(ALL_PACKS)) and by != _confirmer(actor)
    )
    if others:
        raise PackAlreadyConfirmed(f"Somebody else has confirmed {', '.join(others[:5])}.", extra={"packIds": others})
    fresh = sorted({pack.id for pack in checked} - set(by_pack)) if ALL_PACKS not in by_pack else []
    if fresh:
        by = _confirmer(actor)
        await queries.insert_confirmations(locked.tx, order.id, order.partner_id, fresh, by, locked.now)
        await record_order(locked, actor, "order.packs_confirmed", {"packs": fresh})
    return bool(fresh)


def _confirmer(actor: Actor) -> str:
    return f"{actor.id}/{actor.packer}" if actor.packer else actor.id


def _promise_today(env: Env, locked: Locked) -> date:
    return promised(env, locked.order, today(env, locked.at))


async def _refuse_faulty(env: Env, locked: Locked) -> None:
    held = await held_of(locked.tx, locked.order.id)
    lots = await inventory.select_lots(locked.tx, {reservation.lot_id for reservation in held})
    _refuse(faulty_lots(lots, _promise_today(env, locked)))


def _refuse(faulty: Sequence[tuple[Lot, str]]) -> None:
    if faulty:
        named = ", ".join(f"{lot.lot_number} of product {lot.product_id} ({fault})" for lot, fault in faulty)
        raise LotNotUsable(
            f"Pick the order anew: {named} may not leave.",
            extra={
                "lots": [
                    {"lotId": lot.id, "lotNumber": lot.lot_number, "productId": lot.product_id, "fault": fault}
                    for lot, fault in faulty
                ]
            },
        )


async def _shipments(locked: Locked) -> list[Shipment]:
    return (await queries.select_shipments(locked.tx, [locked.order.id])).get(locked.order.id, [])


def _check_same_label(shipments: Sequence[Shipment], carrier: str | None, tracking_number: str | None) -> None:
    if tracking_number is None:
        return
    number = check_number(carrier, tracking_number).number
    if number not in {shipment.tracking_number for shipment in shipments}:
        raise LabelMismatch("The order's label has another tracking number.")


def _labelled(env: Env, locked: Locked, ask: LabelAsk, place: int) -> Shipment:
    order = locked.order
    # Whoever types a number has a label of a real carrier, in the sandbox too.
    simulated = env.settings.sandbox and ask.tracking_number is None
    # The order's id seeds the numbers, so that a run of the sandbox can be repeated.
    carrier = SimulatedCarrier(Random(f"{order.id}/{place}")) if simulated else ManualCarrier()  # noqa: S311
    label = carrier.make_label(
        LabelRequest(
            order.id,
            ShippingMethod(order.shipping_method),
            recipient_of(order),
            ask.carrier,
            ask.service,
            ask.tracking_number,
        )
    )
    return Shipment(
        id=new_id(locked.at),
        order_id=order.id,
        partner_id=order.partner_id,
        carrier=label.carrier,
        service=label.service,
        tracking_number=label.tracking_number,
        tracking_url=label.tracking_url,
        check_digit=label.check_digit,
        simulated=simulated,
        tracking_status=TrackingStatus.PENDING,
        checkpoints=(),
        created_at=locked.at,
        shipped_at=None,
        updated_at=locked.at,
    )


def recipient_of(order: Order) -> Recipient:
    """Return where *order* goes."""
    customer = orders.customer_of(order)
    address = customer["address"]
    return Recipient(
        name=f"{customer['firstName']} {customer['lastName']}",
        line1=address["line1"],
        line2=address.get("line2"),
        city=address["city"],
        state=address["state"],
        zip_code=address["zipCode"],
    )


def _picked_up(shipment: Shipment, locked: Locked) -> Shipment:
    shipped = replace(shipment, shipped_at=shipment.shipped_at or locked.at, updated_at=locked.at)
    if not shipment.simulated:  # a real carrier says so itself
        return shipped
    scan = Checkpoint(
        locked.at,
        locked.at.isoformat(),
        True,
        _WAREHOUSE,
        _PICKED_UP,
        TrackingStatus.IN_TRANSIT,
        None,
        None,
        locked.at,
    )
    merged = merge(shipment.checkpoints, [scan])
    return replace(shipped, checkpoints=merged.checkpoints, tracking_status=merged.status)


async def _record_move(locked: Locked, actor: Actor, action: str, order: Order, **more: object) -> None:
    before = {"status": locked.order.status.value}
    await record_order(locked, actor, action, {"status": order.status.value, **more}, before)
