"""Recalls and traces: who has pills of a lot, in both directions, and what is done about it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from fulfillment.catalog import service as catalog
from fulfillment.infra import jsontext
from fulfillment.infra.db import ALL_TENANTS, ReadTx, Tx
from fulfillment.infra.env import Env
from fulfillment.infra.wake import wake_workers
from fulfillment.inventory import service as inventory
from fulfillment.inventory.domain import Lot, LotState, Reservation, ReservationState
from fulfillment.kernel.errors import Unavailable
from fulfillment.kernel.ids import new_id
from fulfillment.orders import operating
from fulfillment.orders import service as orders
from fulfillment.orders.domain import HoldCode, Order, OrderStatus
from fulfillment.partners.domain import Partner
from fulfillment.warehouse import packing, queries
from fulfillment.warehouse.domain import Actor, LotAlreadyRecalled
from fulfillment.warehouse.recalls import Action, Reached, Stage, Trace, event_body, reached_by
from fulfillment.warehouse.service.locking import contents, partners_of, planned_day, promised, record
from fulfillment.warehouse.service.stocking import audited
from fulfillment.webhooks import service as webhooks
from fulfillment.webhooks.domain import NewEvent

_TRIES = 5
_EVENT = "lot.recalled"
_PICKABLE = (OrderStatus.CREATED, OrderStatus.PROCESSING)
_GONE = (OrderStatus.SHIPPED, OrderStatus.CANCELLED)


@dataclass(frozen=True, slots=True)
class OrderLot:
    """What an order has, or had, of one lot."""

    lot: Lot
    product_name: str
    quantity: int  # pills or units
    state: ReservationState


class _Raced(Exception):
    """An order came in, or moved, while the recall collected its locks: collect them anew."""


async def trace_lot(env: Env, lot_id: str) -> Trace:
    """Return everyone whom a lot reached: the orders that reserved it, have it in production or were sent it.

    Raises:
        LotNotFound: There is no such lot.
    """
    async with env.db.reading(ALL_TENANTS) as tx:
        lot = await inventory.get_lot(tx, lot_id)
        reservations = await inventory.reservations_of_lot(tx, lot_id)
        found = await operating.select_orders(tx, {reservation.order_id for reservation in reservations})
        everyone = await partners_of(env, found.values())
        return await _trace(tx, lot, reservations, found, everyone)


async def lots_of_order(env: Env, order_id: str) -> Sequence[OrderLot]:
    """Return the lots of an order's pills: what it holds, was sent, gave back, or what was made anew.

    Raises:
        OrderNotFound: There is none.
    """
    async with env.db.reading(ALL_TENANTS) as tx:
        found = await operating.select_orders(tx, [order_id])
        if order_id not in found:
            raise orders.OrderNotFound("There is no order with this id.")
        reservations = await inventory.reservations_of_orders(tx, [order_id])
        lots = await inventory.select_lots(tx, {reservation.lot_id for reservation in reservations})
    names = {content.product_id: content.name for content in contents(found[order_id])}
    return [OrderLot(lots[one.lot_id], names[one.product_id], one.quantity, one.state) for one in reservations]


async def recall_lot(env: Env, actor: Actor, lot_id: str, *, dry_run: bool, reason: str = "") -> Trace:
    """Recall a lot, and return whom it reached and what was done about each order.

    All in one transaction: the lot is RECALLED; orders whose packs are not made are picked from other lots where
    there are any, else held with LOT_RECALLED; packed and labelled ones are held; every affected partner gets one
    lot.recalled event that names its orders.

    Args:
        dry_run: Only look.

    Raises:
        LotNotFound: There is no such lot.
        LotAlreadyRecalled: It was recalled before.
    """
    if dry_run:
        trace = await trace_lot(env, lot_id)
        _refuse_recalled(trace.lot)
        return trace
    for _ in range(_TRIES):
        try:
            trace = await _recall(env, actor, lot_id, reason)
        except _Raced:
            continue
        wake_workers(env)
        return trace
    raise Unavailable("Orders of this lot are changing at this moment. Try again.", retry_after_seconds=1)


async def _recall(env: Env, actor: Actor, lot_id: str, reason: str) -> Trace:
    now = env.now()
    async with env.db.transaction(ALL_TENANTS) as tx:
        seen = await inventory.get_lot(tx, lot_id)
        _refuse_recalled(seen)
        before = {one.order_id for one in await inventory.reservations_of_lot(tx, lot_id)}
        found = dict(await operating.lock_orders(tx, before))
        lots = await inventory.lock_lots_to_repick(tx, _unshipped(found), [seen.product_id], [lot_id])
        _refuse_recalled(lots[lot_id])
        # No order can come to the lot any more. Those that did since the first look are locked without waiting: whoever
        # has them may wait for the lot.
        reservations = await inventory.reservations_of_lot(tx, lot_id)
        late = {one.order_id for one in reservations} - before
        found.update(await operating.lock_free_orders(tx, late))
        if late - set(found):
            raise _Raced
        everyone = await partners_of(env, found.values())
        was, lot = await inventory.change_lot_state(tx, lot_id, LotState.RECALLED, now)
        trace = await _trace(tx, lot, reservations, found, everyone)
        lots = {**lots, lot_id: lot}
        acted = await _act(env, tx, trace, found, lots, everyone, now)
        await webhooks.announce(tx, _events(acted, everyone, now))
        after = {**audited(lot), "reason": reason, "orders": len(acted.reached)}
        await record(tx, actor, "lot.recalled", "lot", lot_id, audited(was), after, now)
    return acted


async def _act(
    env: Env,
    tx: Tx,
    trace: Trace,
    found: Mapping[str, Order],
    lots: Mapping[str, Lot],
    everyone: Mapping[str, Partner],
    now: datetime,
) -> Trace:
    here = [one for one in trace.reached if one.stage in (Stage.RESERVED, Stage.IN_PRODUCTION)]
    open_ones = [one for one in here if found[one.order_id].status in _PICKABLE]
    had = await _repick(env, tx, trace.lot, [found[one.order_id] for one in open_ones], lots, everyone, now)
    await queries.delete_confirmations(tx, [order_id for order_id, possible in had.items() if possible])
    acted: list[Reached] = []
    for one in trace.reached:
        if one.stage is Stage.SHIPPED:
            acted.append(replace(one, action=Action.SHIPPED))
        elif one not in here:
            acted.append(one)
        elif had.get(one.order_id):
            acted.append(replace(one, action=Action.REPICKED))
        else:
            order, partner = found[one.order_id], everyone[one.partner_id]
            note = f"Lot {trace.lot.lot_number} of {trace.product_name} was recalled."
            at = orders.now_of(env, partner)
            await orders.hold_order(tx, partner, order, HoldCode.LOT_RECALLED, note, "system", at)
            acted.append(replace(one, action=Action.HELD))
    return replace(trace, reached=tuple(acted))


async def _repick(
    env: Env,
    tx: Tx,
    lot: Lot,
    affected: Sequence[Order],
    lots: Mapping[str, Lot],
    everyone: Mapping[str, Partner],
    now: datetime,
) -> dict[str, bool]:
    needs = [
        packing.needs_of(
            order.id,
            contents(order),
            order.days_supply,
            promised(env, order, planned_day(env, orders.now_of(env, everyone[order.partner_id]))),
        )[lot.product_id]
        for order in sorted(affected, key=lambda order: (order.status is OrderStatus.CREATED, order.id))
    ]
    done = await inventory.repick(tx, needs, lots, now)
    return {order_id: possible for (order_id, _), possible in done.items()}


async def _trace(
    tx: ReadTx,
    lot: Lot,
    reservations: Sequence[Reservation],
    found: Mapping[str, Order],
    everyone: Mapping[str, Partner],
) -> Trace:
    products = await catalog.select_products(tx, [lot.product_id])
    shipments = await queries.select_shipments(tx, list(found))
    reached: list[Reached] = []
    for reservation in reservations:
        order = found.get(reservation.order_id)
        if order is None:
            continue
        one = reached_by(
            reservation,
            order,
            source_id=orders.customer_of(order)["sourceId"],
            partner_name=everyone[order.partner_id].name,
            contents={content.product_id: content for content in contents(order)},
            shipment=next(iter(shipments.get(order.id, ())), None),
        )
        if one is not None:
            reached.append(one)
    return Trace(lot, products[lot.product_id].name, tuple(reached))


def _unshipped(found: Mapping[str, Order]) -> list[str]:
    return sorted(order.id for order in found.values() if order.status not in _GONE)


def _events(trace: Trace, everyone: Mapping[str, Partner], now: datetime) -> list[NewEvent]:
    events: list[NewEvent] = []
    for partner_id in sorted({one.partner_id for one in trace.reached if one.action is not None}):
        partner = everyone[partner_id]
        at = partner.clock_frozen_at or now
        own = [one for one in trace.reached if one.partner_id == partner_id and one.action is not None]
        events.append(
            NewEvent(
                id=new_id(at),
                partner_id=partner_id,
                type=_EVENT,
                payload=jsontext.write(event_body(trace, own, now)).decode(),
                created_at=at,
                deliver=partner.webhook_url is not None,
                on_clock=partner.clock_frozen_at is not None,
            )
        )
    return events


def _refuse_recalled(lot: Lot) -> None:
    if lot.state is LotState.RECALLED:
        raise LotAlreadyRecalled("The lot was recalled before. Its trace shows whom it reached.")
