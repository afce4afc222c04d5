"""One step of an order's scenario, made with the operations of the warehouse."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random
from typing import Any, Final

from fulfillment.infra.db import Tx
from fulfillment.infra.env import Env
from fulfillment.inventory import service as inventory
from fulfillment.inventory.domain import NewLot
from fulfillment.kernel.callers import Caller, Scope
from fulfillment.orders import service as orders
from fulfillment.orders.domain import HoldCode, Order, OrderHeld, OrderNotCancellable, OrderStatus
from fulfillment.partners import service as partners
from fulfillment.sandbox import domain
from fulfillment.sandbox.domain import Made, Plan, ScenarioOver, StepName
from fulfillment.shipping.calendar import ShippingMethod
from fulfillment.shipping.carriers import services_for
from fulfillment.warehouse import packing
from fulfillment.warehouse.domain import Actor, LabelAsk, Outcome, reached
from fulfillment.warehouse.service import following, holding, recalling, repicking, stepping
from fulfillment.warehouse.service.locking import contents, locked_order, open_holds, planned_day, promised

ACTOR: Final = Actor("sandbox")
_OWN_LOT_DAYS: Final = 400  # that a lot of the order's own lasts longer than it must


async def make_step(env: Env, plan: Plan, order: Order) -> tuple[Plan, Made]:
    """Make the next step of *plan*, and return the plan behind it with what was made; its time is left as it was.

    A step that the order has behind it is not made again.

    Args:
        order: As it was a moment ago; what matters is looked at again under its lock.

    Raises:
        ScenarioOver: There is no next step.
        OrderHeld, and what else the warehouse's operations raise: The step can't be made now.
    """
    step = plan.next
    if step is None:
        raise ScenarioOver("The order's scenario is over.", extra={"scenario": plan.scenario.value})
    partner = await partners.get_partner(env, plan.partner_id)
    at = orders.now_of(env, partner)
    if order.status is OrderStatus.CANCELLED:
        return replace(plan, step=len(plan.steps)), Made(step, Outcome.UNCHANGED.value, at)
    target = domain.STATUS_AFTER.get(step)
    if target is not None and reached(order.status, target):
        return replace(plan, step=plan.step + 1), Made(step, Outcome.UNCHANGED.value, at)
    plan, outcome, code = await _act(env, plan, step, order, at)
    return replace(plan, step=plan.step + 1), Made(step, outcome.value, at, code)


async def _act(env: Env, plan: Plan, step: StepName, order: Order, at: datetime) -> tuple[Plan, Outcome, str | None]:
    if step in domain.TRACKED:
        place = domain.checkpoint(step, plan.dice, _destination(order), at)
        return plan, (await following.add_checkpoints(env, order.id, [place])).outcome, None
    if step is StepName.OWN_LOT:
        return replace(plan, lot_id=await _give_own_lot(env, order)), Outcome.DONE, None
    if step is StepName.RECALL:
        return plan, await _recall(env, plan), None
    if step is StepName.TRY_CANCEL:
        return plan, Outcome.REFUSED, await _try_cancel(env, order)
    return plan, await _STEPS[step](env, plan, order), None


async def _release(env: Env, plan: Plan, order: Order) -> Outcome:
    made = await stepping.release_order(env, ACTOR, order.id)
    if made.outcome is Outcome.HELD:
        raise OrderHeld("Its stock is short: the order is held.", extra={"orderStatus": order.status.value})
    return made.outcome


async def _pack(env: Env, plan: Plan, order: Order) -> Outcome:
    return (await stepping.fulfill_order(env, ACTOR, order.id, confirm_all=True)).outcome


async def _label(env: Env, plan: Plan, order: Order) -> Outcome:
    services = services_for(ShippingMethod(order.shipping_method), stepping.recipient_of(order))
    carriers = sorted({service.carrier.value for service in services})
    random = Random(f"{plan.dice}/carrier")  # noqa: S311  to be repeated, not guessed
    ask = LabelAsk(carrier=random.choice(carriers)) if carriers else None
    return (await stepping.make_label(env, ACTOR, order.id, ask)).outcome


async def _ship(env: Env, plan: Plan, order: Order) -> Outcome:
    return (await stepping.ship_order(env, ACTOR, order.id)).outcome


async def _hold_short(env: Env, plan: Plan, order: Order) -> Outcome:
    return await _hold(env, order, HoldCode.STOCK_SHORT, "The sandbox pretends that stock is short.")


async def _restock(env: Env, plan: Plan, order: Order) -> Outcome:
    return (await repicking.repick_order(env, ACTOR, order.id)).outcome


async def _hold_address(env: Env, plan: Plan, order: Order) -> Outcome:
    return await _hold(env, order, HoldCode.ADDRESS, "The sandbox pretends that the address is in doubt.")


async def _clear_address(env: Env, plan: Plan, order: Order) -> Outcome:
    found = [hold["id"] for hold in open_holds(order) if hold["code"] == HoldCode.ADDRESS]
    for hold_id in found:
        await holding.release_hold(env, ACTOR, order.id, hold_id)
    return Outcome.DONE if found else Outcome.UNCHANGED


async def _hold(env: Env, order: Order, code: HoldCode, note: str) -> Outcome:
    if any(hold["code"] == code for hold in open_holds(order)):
        return Outcome.UNCHANGED
    await holding.hold_order(env, ACTOR, order.id, code, note)
    return Outcome.HELD


_STEPS: Final[Mapping[StepName, Callable[[Env, Plan, Order], Awaitable[Outcome]]]] = {
    StepName.RELEASE: _release,
    StepName.PACK: _pack,
    StepName.LABEL: _label,
    StepName.SHIP: _ship,
    StepName.HOLD_SHORT: _hold_short,
    StepName.RESTOCK: _restock,
    StepName.HOLD_ADDRESS: _hold_address,
    StepName.CLEAR_ADDRESS: _clear_address,
}


async def _try_cancel(env: Env, order: Order) -> str:
    caller = Caller(ACTOR.id, Scope.PARTNER, order.partner_id)
    try:
        await orders.cancel_order(env, caller, order.id)
    except OrderNotCancellable as error:
        return error.code
    raise ScenarioOver("The order could still be cancelled.")  # it is released in the step before


async def _give_own_lot(env: Env, order: Order) -> str:
    """Let the order's first product come from a lot of its own, so that its recall reaches nobody else."""
    async with locked_order(env, order.id) as locked:
        if locked.order.status is not OrderStatus.CREATED:
            raise ScenarioOver("Only an order that is CREATED can get a lot that will be recalled.")
        lasts_until = promised(env, locked.order, planned_day(env, locked.at))
        needs = packing.needs_of(order.id, contents(locked.order), order.days_supply, lasts_until)
        need = needs[next(iter(needs))]
        lot = NewLot(
            need.product_id,
            f"SANDBOX-{order.id}",
            lasts_until + timedelta(days=_OWN_LOT_DAYS),
            need.amount,
            supplier="Sandbox",
        )
        return await _swap(locked.tx, order.id, lot, need, locked.now)


async def _swap(tx: Tx, order_id: str, new: NewLot, need: packing.Need, now: datetime) -> str:
    lot = await inventory.receive_lot(tx, new, ACTOR.id, now)
    lots = await inventory.lock_lots_to_repick(tx, [order_id], [need.product_id], [lot.id])
    done = await inventory.repick(tx, [need], {lot.id: lots[lot.id]}, now)
    if not all(done.values()):
        raise ScenarioOver("The order could not be given a lot of its own.")
    return lot.id


async def _recall(env: Env, plan: Plan) -> Outcome:
    if plan.lot_id is None:
        raise ScenarioOver("The order has no lot of its own that could be recalled.")
    await recalling.recall_lot(env, ACTOR, plan.lot_id, dry_run=False, reason="The sandbox's recall scenario.")
    return Outcome.DONE


def _destination(order: Order) -> str:
    address: Mapping[str, Any] = orders.customer_of(order)["address"]
    return f"{address['city']}, {address['state']}, USA"
