"""Which scenario an order lives through, and when its steps are due."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from fulfillment.infra.db import Tx
from fulfillment.infra.env import Env
from fulfillment.kernel.ids import moment_of
from fulfillment.kernel.pages import Direction, PageRequest
from fulfillment.orders import operating
from fulfillment.orders import service as orders
from fulfillment.orders.domain import Order, OrderStatus
from fulfillment.orders.operating import Filter
from fulfillment.partners.domain import Partner
from fulfillment.sandbox import domain, queries
from fulfillment.sandbox.domain import Plan, Scenario, State, StepName
from fulfillment.warehouse.service.locking import open_holds
from fulfillment.webhooks.domain import first_id_at

_AT_ONCE: Final = 200
# Before anybody could release the order.
_AT_ONCE_STEPS: Final = frozenset({StepName.OWN_LOT, StepName.HOLD_SHORT, StepName.HOLD_ADDRESS})
_LOOK_BACK: Final = timedelta(minutes=5)  # an older id may become visible later: its transaction took longer


async def plan_new(env: Env, partner: Partner) -> int:
    """Plan the partner's orders that have no plan yet, in the order of their ids; return how many those were."""
    made = 0
    async with env.db.transaction(partner.id) as tx:
        state = await queries.lock_state(tx, partner.id)
        if state is None:
            return 0
        after = _begin(state)
        while True:
            found = await operating.list_orders(
                tx, Filter(partner.id), PageRequest(_AT_ONCE, Direction.PREVIOUS, (after,))
            )
            known = await queries.select_planned(tx, [order.id for order in found])
            for order in found[:_AT_ONCE]:
                after = order.id
                if order.id in known:
                    continue
                made += await _plan_one(env, tx, partner, order, f"{state.seed}/{state.planned + made}")
            if len(found) <= _AT_ONCE:
                break
        if made or after > state.planned_after:
            await queries.update_planned(tx, partner.id, state.planned + made, max(after, state.planned_after))
    return made


async def plan_of(env: Env, partner: Partner, order_id: str) -> Plan:
    """Return the plan of one of the partner's orders, made now if there is none.

    Raises:
        OrderNotFound: The partner has no such order.
    """
    async with env.db.transaction(partner.id) as tx:
        state = await queries.lock_state(tx, partner.id)
        plan = await queries.select_plan(tx, partner.id, order_id)
        if plan is not None:
            return plan
        found = await operating.select_orders(tx, [order_id])
        if order_id not in found or state is None:
            raise orders.OrderNotFound("You have no order with this id.")
        await _plan_one(env, tx, partner, found[order_id], f"{state.seed}/{state.planned}")
        await queries.update_planned(tx, partner.id, state.planned + 1, state.planned_after)
        plan = await queries.select_plan(tx, partner.id, order_id)
    if plan is None:
        raise orders.OrderNotFound("You have no order with this id.")
    return plan


async def save(env: Env, partner: Partner, plans: Sequence[Plan], at: datetime) -> None:
    """Write *plans* behind steps made at *at*: the next ones are due a stage later, where there are any."""
    stage = timedelta(seconds=partner.auto_advance_seconds or 0)
    async with env.db.transaction(partner.id) as tx, tx.connection.pipeline():
        for plan in plans:
            await queries.update_plan(tx, replace(plan, next_at=None if plan.next is None else at + stage))


def _begin(state: State) -> str:
    if not state.planned_after:
        return ""
    return first_id_at(moment_of(state.planned_after) - _LOOK_BACK)


async def _plan_one(env: Env, tx: Tx, partner: Partner, order: Order, dice: str) -> int:
    document = orders.document_of(order)
    scenario = domain.scenario_of(
        orders.customer_of(order),
        [line["productId"] for line in document["lineItems"]],
        [hold["code"] for hold in open_holds(order)],
    )
    step = domain.first_step(order, scenario)
    next_at = None if order.status is OrderStatus.CANCELLED else _first_moment(env, partner, order, scenario, step)
    plan = Plan(order.id, partner.id, scenario, dice, step, next_at)
    return int(await queries.insert_plan(tx, plan))


def _first_moment(env: Env, partner: Partner, order: Order, scenario: Scenario, step: int) -> datetime:
    stage = timedelta(seconds=partner.auto_advance_seconds or 0)
    at = orders.now_of(env, partner)
    if order.status is not OrderStatus.CREATED:
        return at + stage
    steps = domain.STORIES[scenario].steps
    if scenario is Scenario.CANCEL_TOO_LATE or steps[step] in _AT_ONCE_STEPS:
        return max(order.created_at, at)
    return max(order.release_at or order.created_at + stage, at)
