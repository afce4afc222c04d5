"""Holds: put on and released, by the operator and by the partner itself."""

from fulfillment.infra.env import Env
from fulfillment.kernel.callers import Caller
from fulfillment.orders import service as orders
from fulfillment.orders.domain import HoldCode, HoldNotFound, Order
from fulfillment.warehouse.domain import Actor, check_holdable, check_partner_releases
from fulfillment.warehouse.service.locking import Locked, locked_order, open_holds, record_order

_OPERATOR, _PARTNER = "operator", "partner"


async def hold_order(env: Env, actor: Actor, order_id: str, code: HoldCode, note: str) -> Order:
    """Hold an order: until the hold is released it makes no further step.

    Raises:
        OrderNotFound: There is none.
        OrderNotHoldable: It is shipped or cancelled.
    """
    async with locked_order(env, order_id) as locked:
        check_holdable(locked.order)
        order = await _hold(locked, code, note, _OPERATOR)
        await record_order(locked, actor, "order.held", {"code": code.value})
    return order


async def release_hold(env: Env, actor: Actor, order_id: str, hold_id: str) -> Order:
    """Release one hold of an order; the operator may release any.

    Raises:
        OrderNotFound: There is none.
        HoldNotFound: It has no such open hold.
    """
    async with locked_order(env, order_id) as locked:
        code = _code_of(locked.order, hold_id)
        order = await orders.release_hold(locked.tx, locked.partner, locked.order, hold_id, _OPERATOR, locked.at)
        await record_order(locked, actor, "order.hold_released", {"holdId": hold_id, "code": code.value})
    return order


async def hold_own_order(env: Env, caller: Caller, order_id: str, note: str, *, request_id: str | None = None) -> Order:
    """Hold one of the caller's orders with PARTNER_REQUEST; a second time changes nothing.

    Raises:
        OrderNotFound: The partner has no such order.
        OrderNotHoldable: It is shipped or cancelled.
    """
    async with locked_order(env, order_id, tenant=caller.partner_id) as locked:
        check_holdable(locked.order)
        if any(hold["code"] == HoldCode.PARTNER_REQUEST for hold in open_holds(locked.order)):
            return locked.order
        order = await _hold(locked, HoldCode.PARTNER_REQUEST, note, _PARTNER)
        actor = Actor(caller.client_id, request_id)
        await record_order(locked, actor, "order.held", {"code": HoldCode.PARTNER_REQUEST.value})
    return order


async def release_own_hold(
    env: Env, caller: Caller, order_id: str, hold_id: str, *, request_id: str | None = None
) -> Order:
    """Release a hold of one of the caller's orders: PARTNER_REQUEST or DUPLICATE_SUSPECTED.

    Raises:
        OrderNotFound: The partner has no such order.
        HoldNotFound: It has no such open hold.
        HoldNotYours: The hold is the operator's to release.
    """
    async with locked_order(env, order_id, tenant=caller.partner_id) as locked:
        code = _code_of(locked.order, hold_id)
        check_partner_releases(code)
        order = await orders.release_hold(locked.tx, locked.partner, locked.order, hold_id, _PARTNER, locked.at)
        actor = Actor(caller.client_id, request_id)
        await record_order(locked, actor, "order.hold_released", {"holdId": hold_id, "code": code.value})
    return order


async def _hold(locked: Locked, code: HoldCode, note: str, by: str) -> Order:
    return await orders.hold_order(locked.tx, locked.partner, locked.order, code, note, by, locked.at)


def _code_of(order: Order, hold_id: str) -> HoldCode:
    for hold in open_holds(order):
        if hold["id"] == hold_id:
            return HoldCode(hold["code"])
    raise HoldNotFound("The order has no open hold with this id.")
