"""What a partner can do in the sandbox with its orders: let them move, move one, let deliveries go wrong."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final

from fulfillment.infra.env import Env
from fulfillment.infra.wake import wake_workers
from fulfillment.kernel.callers import Caller
from fulfillment.kernel.errors import FulfillmentError, Kind
from fulfillment.orders import service as orders
from fulfillment.orders.domain import IllegalTransition, Order, OrderStatus
from fulfillment.partners import service as partners
from fulfillment.partners.domain import Partner
from fulfillment.sandbox import acting, clocks, domain, planning, queries
from fulfillment.sandbox.domain import Made, Plan, SandboxBusy, Scenario, ScenarioOver, StepName
from fulfillment.sandbox.hands import hand_on
from fulfillment.warehouse.domain import reached

_WAIT_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Moved:
    """An order after a request moved it."""

    order: Order
    scenario: Scenario
    made: Sequence[Made]
    next: StepName | None


async def set_auto_advance(env: Env, caller: Caller, seconds: int | None) -> Partner:
    """Let the caller's orders move on by themselves, a step every so many seconds; None stops them.

    On a test clock the seconds are the clock's.
    """
    async with hand_on(env, caller.partner_id, wait_seconds=_WAIT_SECONDS):
        async with env.db.transaction(caller.partner_id) as tx:
            partner = await partners.lock_partner(tx, caller.partner_id)
            await partners.set_auto_advance(tx, partner.id, seconds)
            at = orders.now_of(env, partner)
            await queries.respace(tx, partner.id, at + timedelta(seconds=seconds or 0))
        env.caches.drop(partners.PARTNERS)
    return replace(partner, auto_advance_seconds=seconds)


async def set_webhook_faults(env: Env, caller: Caller, faults: Mapping[str, Any] | None) -> None:
    """Let the caller's deliveries go wrong from now on; None ends it.

    Args:
        faults: Shares and seconds as the wire names them.
    """
    async with env.db.transaction(caller.partner_id) as tx:
        # Chance counts the deliveries from here on, so that the same calls fare the same.
        since = await queries.select_transaction(tx)
        await partners.set_webhook_faults(tx, caller.partner_id, {**faults, "since": since} if faults else None)
    env.caches.drop(partners.PARTNERS)


async def advance_order(
    env: Env,
    caller: Caller,
    order_id: str,
    *,
    to: OrderStatus | None = None,
    steps: int | None = None,
    scenario: Scenario | None = None,
) -> Moved:
    """Move one of the caller's orders at once: to a status, by some steps of its scenario, or through a scenario.

    Raises:
        OrderNotFound: The partner has no such order.
        IllegalTransition: *to* is not ahead of it.
        ScenarioOver: The order is past the point where the scenario differs.
        OrderHeld, and what else the warehouse's operations raise: The steps before stay made.
        SandboxBusy: Somebody else moves the partner's orders.
    """
    await orders.get_order(env, caller, order_id)
    async with hand_on(env, caller.partner_id, wait_seconds=_WAIT_SECONDS) as hand:
        partner = await partners.get_settings(env, caller)
        env.caches.drop(partners.PARTNERS)
        plan = await planning.plan_of(env, partner, order_id)
        order = await orders.get_order(env, caller, order_id)
        if scenario is not None:
            plan = _through(plan, order, scenario)
        elif to is not None:
            _check_ahead(order, to)
        made: list[Made] = []
        try:
            while plan.next is not None and not _enough(order, made, to, steps):
                await hand.keep()
                plan, step = await acting.make_step(env, plan, order)
                made.append(step)
                order = await orders.get_order(env, caller, order_id)
        finally:
            await planning.save(env, partner, [plan], orders.now_of(env, partner))
    wake_workers(env)
    return Moved(order, plan.scenario, made, plan.next)


async def advance_due(env: Env) -> int:
    """Make the steps that are due for partners whose orders move by themselves in real time. For the worker."""
    if not env.settings.sandbox:
        return 0
    made = 0
    for partner in tuple((await partners.get_partners(env)).value.values()):
        if partner.auto_advance_seconds is None or partner.clock_frozen_at is not None:
            continue
        try:
            async with hand_on(env, partner.id) as hand:
                await planning.plan_new(env, partner)
                made += await clocks.run_due(env, partner, env.now(), hand)
        except SandboxBusy:
            continue  # whoever moves them makes what is due
        except FulfillmentError as error:
            if error.kind is not Kind.UNAVAILABLE:
                raise
    return made


def _through(plan: Plan, order: Order, scenario: Scenario) -> Plan:
    """Return a plan that leads *order* through *scenario* from where it is.

    Raises:
        ScenarioOver: It is past the point where the scenario differs from the others.
    """
    done = domain.first_step(order, scenario)
    over = order.status is OrderStatus.CANCELLED or (order.status is OrderStatus.SHIPPED and plan.next is None)
    if over or done > _differs_at(scenario):
        raise ScenarioOver(
            f"The order is past the point where {scenario.value} begins to differ.",
            extra={"orderStatus": order.status.value, "scenario": plan.scenario.value},
        )
    return replace(plan, scenario=scenario, step=done)


def _differs_at(scenario: Scenario) -> int:
    steps, usual = domain.STORIES[scenario].steps, set(domain.STORIES[Scenario.HAPPY].steps)
    return next((place for place, step in enumerate(steps) if step not in usual), len(steps))


def _check_ahead(order: Order, to: OrderStatus) -> None:
    if to is OrderStatus.CANCELLED or (order.status is not to and not _is_ahead(order, to)):
        raise IllegalTransition(
            f"An order that is {order.status} can't be advanced to {to}.",
            extra={"orderStatus": order.status.value},
        )


def _is_ahead(order: Order, to: OrderStatus) -> bool:
    return order.status is not OrderStatus.CANCELLED and not reached(order.status, to)


def _enough(order: Order, made: Sequence[Made], to: OrderStatus | None, steps: int | None) -> bool:
    if to is not None:
        return order.status is to
    return steps is not None and len(made) >= steps
