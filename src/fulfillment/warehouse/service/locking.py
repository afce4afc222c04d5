"""How a step begins: the order locked, its partner and the partner's present at hand; and how it is recorded."""

from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from fulfillment.infra import audit, jsontext
from fulfillment.infra.db import ALL_TENANTS, ReadTx, Tx
from fulfillment.infra.env import Env
from fulfillment.infra.wake import wake_workers
from fulfillment.inventory import service as inventory
from fulfillment.inventory.domain import Reservation, ReservationState
from fulfillment.inventory.expiry import required_expiry, warehouse_day
from fulfillment.orders import service as orders
from fulfillment.orders.domain import Order
from fulfillment.partners import service as partners
from fulfillment.partners.domain import Partner
from fulfillment.shipping.calendar import ShippingMethod, max_transit_days, ship_date
from fulfillment.warehouse.domain import Actor
from fulfillment.warehouse.packing import Content, LotUse, contents_of

_HELD: Final = (ReservationState.OPEN, ReservationState.CONSUMED)


@dataclass(frozen=True, slots=True)
class Locked:
    """An order that nobody else can change until the transaction ends."""

    tx: Tx
    order: Order
    partner: Partner
    at: datetime  # the partner's present, which its test clock may have moved
    now: datetime  # the warehouse's


@asynccontextmanager
async def locked_order(env: Env, order_id: str, *, tenant: str = ALL_TENANTS) -> AsyncGenerator[Locked]:
    """Give the order, locked; commit when the block ends, and wake the workers.

    Args:
        tenant: The partner whose order it must be; the warehouse sees all.

    Raises:
        OrderNotFound: There is none, or it is not the tenant's.
    """
    everyone = (await partners.get_partners(env)).value
    async with env.db.transaction(tenant) as tx:
        order = await orders.lock_any_order(tx, order_id)
        if tenant not in (ALL_TENANTS, order.partner_id):
            raise orders.OrderNotFound("You have no order with this id.")
        partner = everyone.get(order.partner_id) or await partners.get_partner(env, order.partner_id)
        yield Locked(tx, order, partner, orders.now_of(env, partner), env.now())
    wake_workers(env)


async def partners_of(env: Env, found: Iterable[Order]) -> Mapping[str, Partner]:
    """Return the partners of orders, by id; one made a moment ago by another process too."""
    everyone = dict((await partners.get_partners(env)).value)
    for partner_id in {order.partner_id for order in found} - set(everyone):
        everyone[partner_id] = await partners.get_partner(env, partner_id)
    return everyone


async def record_order(
    locked: Locked,
    actor: Actor,
    action: str,
    after: Mapping[str, object],
    before: Mapping[str, object] | None = None,
) -> None:
    """Write an operator's action on a locked order into the audit log."""
    await record(locked.tx, actor, action, "order", locked.order.id, before, after, locked.now)


async def record(
    tx: Tx,
    actor: Actor,
    action: str,
    object_type: str,
    object_id: str,
    before: Mapping[str, object] | None,
    after: Mapping[str, object] | None,
    at: datetime,
) -> None:
    """Write an action into the audit log, in the transaction of what it tells of."""
    if actor.packer is not None:
        after = {**(after or {}), "packer": actor.packer}
    await audit.record(
        tx,
        actor=actor.id,
        action=action,
        object_type=object_type,
        object_id=object_id,
        before=before,
        after=after,
        request_id=actor.request_id,
        at=at,
    )


def contents(order: Order) -> tuple[Content, ...]:
    """Return what *order* consists of, by product."""
    return contents_of(orders.document_of(order))


def open_holds(order: Order) -> list[dict[str, Any]]:
    """Return the open holds of *order* as it shows them, oldest first."""
    return jsontext.read(order.holds.encode()) if order.holds else []


def planned_day(env: Env, at: datetime) -> date:
    """Return the day on which what is released at *at* ships."""
    return ship_date(at, orders.rules_of(env).zone)


def today(env: Env, at: datetime) -> date:
    """Return the warehouse's day at the moment *at*."""
    return warehouse_day(at, orders.rules_of(env).zone)


def promised(env: Env, order: Order, ships_on: date) -> date:
    """Return the least expiry date of the lots of *order* when it ships on the day *ships_on*."""
    transit = max_transit_days(ShippingMethod(order.shipping_method), ships_on)
    return required_expiry(ships_on, transit, order.days_supply, orders.rules_of(env).buffer_days)


async def held_of(tx: ReadTx, order_id: str) -> list[Reservation]:
    """Return what an order holds of lots, or took out of them to send."""
    found = await inventory.reservations_of_orders(tx, [order_id])
    return [reservation for reservation in found if reservation.state in _HELD]


async def uses_of(tx: ReadTx, order_ids: list[str]) -> dict[str, list[LotUse]]:
    """Return what orders have of lots now, by order id."""
    held = [
        reservation
        for reservation in await inventory.reservations_of_orders(tx, order_ids)
        if reservation.state in _HELD
    ]
    lots = await inventory.select_lots(tx, {reservation.lot_id for reservation in held})
    uses: dict[str, list[LotUse]] = {order_id: [] for order_id in order_ids}
    for reservation in held:
        uses[reservation.order_id].append(LotUse(lots[reservation.lot_id], reservation.quantity))
    return uses
