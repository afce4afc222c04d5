"""Lots that may not leave are replaced: before the packs are made by picking anew, afterwards by making anew."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date

from fulfillment.infra.env import Env
from fulfillment.inventory import service as inventory
from fulfillment.inventory.domain import Lot, Need, ReservationState, fault_of
from fulfillment.orders import service as orders
from fulfillment.orders.domain import HoldCode, Order, OrderStatus
from fulfillment.warehouse import packing, queries
from fulfillment.warehouse.domain import RECALL_HOLDS, Actor, Outcome, Step, check_holdable
from fulfillment.warehouse.service.locking import (
    Locked,
    contents,
    held_of,
    locked_order,
    open_holds,
    planned_day,
    promised,
    record_order,
    today,
)

_MADE = (OrderStatus.FULFILLED, OrderStatus.AWAITING_SHIPMENT)


def faulty_lots(lots: Mapping[str, Lot], lasts_until: date) -> list[tuple[Lot, str]]:
    """Return the lots that may not leave, each with why."""
    found = [(lot, fault_of(lot, lasts_until)) for _, lot in sorted(lots.items())]
    return [(lot, fault) for lot, fault in found if fault is not None]


async def repick_order(env: Env, actor: Actor, order_id: str) -> Step:
    """Replace the lots of an order that may not leave, and release the holds that they had caused.

    Before the packs are made, the product is picked anew and its packs are confirmed again. Afterwards what was made
    is thrown away and taken anew from other lots. Where there is no stock, the order is held with STOCK_SHORT
    (outcome "held").

    Raises:
        OrderNotFound: There is none.
        OrderNotHoldable: It is shipped or cancelled.
    """
    async with locked_order(env, order_id) as locked:
        check_holdable(locked.order)
        made = locked.order.status in _MADE
        day = today(env, locked.at) if made else planned_day(env, locked.at)
        lasts_until = promised(env, locked.order, day)
        had = await _remake(locked, actor, lasts_until) if made else await repick_open(locked, actor, lasts_until)
        order = await (_without_holds(locked, actor) if had else _held_short(locked, actor))
        changed = order is not locked.order
    return Step(order, Outcome.HELD if not had else Outcome.DONE if changed else Outcome.UNCHANGED)


async def repick_open(locked: Locked, actor: Actor, lasts_until: date) -> bool:
    """Make sure that a locked order, whose packs are not made, has lots that may leave; return whether it has."""
    held = await held_of(locked.tx, locked.order.id)
    lots = await inventory.select_lots(locked.tx, {reservation.lot_id for reservation in held})
    bad = {lot.id for lot, _ in faulty_lots(lots, lasts_until)}
    products = {reservation.product_id for reservation in held if reservation.lot_id in bad}
    if not products:
        return True
    needs = packing.needs_of(locked.order.id, contents(locked.order), locked.order.days_supply, lasts_until)
    locked_lots = await inventory.lock_lots_to_repick(locked.tx, [locked.order.id], products)
    had = await inventory.repick(locked.tx, [needs[product] for product in sorted(products)], locked_lots, locked.now)
    if any(had.values()):
        await queries.delete_confirmations(locked.tx, [locked.order.id])
        await record_order(
            locked,
            actor,
            "order.picked_anew",
            {"products": sorted(product for (_, product), found in had.items() if found)},
            {"lots": sorted(bad)},
        )
    return all(had.values())


async def _remake(locked: Locked, actor: Actor, lasts_until: date) -> bool:
    order = locked.order
    held = await held_of(locked.tx, order.id)
    products = {reservation.product_id for reservation in held}
    lots = await inventory.lock_lots_to_repick(locked.tx, [order.id], products)
    own = {reservation.lot_id: lots[reservation.lot_id] for reservation in held}
    bad = [lot.id for lot, _ in faulty_lots(own, lasts_until)]
    whole = packing.needs_of(order.id, contents(order), order.days_supply, lasts_until)
    needs = [
        replace(whole[reservation.product_id], amount=reservation.quantity)
        for reservation in held
        if reservation.lot_id in bad and reservation.state is ReservationState.CONSUMED
    ]
    if not needs:
        return True
    if not await inventory.remake(locked.tx, _summed(needs), bad, lots, actor=actor.id, at=locked.now):
        return False
    await record_order(
        locked,
        actor,
        "order.made_anew",
        {"products": sorted({need.product_id for need in needs})},
        {"lots": sorted(bad)},
    )
    return True


def _summed(needs: Sequence[Need]) -> list[Need]:
    by_product: dict[int, Need] = {}
    for need in needs:
        before = by_product.get(need.product_id)
        by_product[need.product_id] = replace(need, amount=need.amount + before.amount) if before else need
    return [by_product[product] for product in sorted(by_product)]


async def _without_holds(locked: Locked, actor: Actor) -> Order:
    order = locked.order
    for hold in open_holds(order):
        if HoldCode(hold["code"]) in RECALL_HOLDS:
            order = await orders.release_hold(locked.tx, locked.partner, order, hold["id"], "operator", locked.at)
            await record_order(locked, actor, "order.hold_released", {"holdId": hold["id"], "code": hold["code"]})
    return order


async def _held_short(locked: Locked, actor: Actor) -> Order:
    order = locked.order
    if any(hold["code"] == HoldCode.STOCK_SHORT for hold in open_holds(order)):
        return order
    note = "No other stock that lasts to the end of the supply is left."
    order = await orders.hold_order(locked.tx, locked.partner, order, HoldCode.STOCK_SHORT, note, "system", locked.at)
    await record_order(locked, actor, "order.held", {"code": HoldCode.STOCK_SHORT.value})
    return order
