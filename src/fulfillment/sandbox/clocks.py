"""A partner's test clock: set, read, and moved forward through everything that falls due on the way."""

import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from fulfillment.infra.env import Env
from fulfillment.kernel.callers import Caller
from fulfillment.kernel.errors import FieldError, FulfillmentError, Kind, ValidationFailed
from fulfillment.orders import operating
from fulfillment.orders.domain import Order
from fulfillment.partners import service as partners
from fulfillment.partners.domain import Partner
from fulfillment.sandbox import acting, domain, planning, queries
from fulfillment.sandbox.domain import Advanced, ClockNotSet, Plan, State
from fulfillment.sandbox.hands import Hand, hand_on
from fulfillment.sandbox.moments import MovedCaches, moved_env
from fulfillment.warehouse.service import stepping
from fulfillment.webhooks import delivering, sending
from fulfillment.webhooks import service as webhooks

_CACHES: Final = (partners.PARTNERS, "clocks")
_MOST_STEPS: Final = 5000  # of one advance
_MOST_SECONDS: Final = 25.0  # of real time
_AT_ONCE: Final = 500
_WAIT_SECONDS: Final = 10.0


async def get_clock(env: Env, caller: Caller) -> tuple[Partner, State | None]:
    """Return the caller's partner, whose clock it is, and what the sandbox remembers of it."""
    async with env.db.reading(caller.partner_id) as tx:
        state = await queries.select_state(tx, caller.partner_id)
    return await partners.get_settings(env, caller), state


async def set_clock(
    env: Env, caller: Caller, frozen_at: datetime | None, seed: str | None
) -> tuple[Partner, State | None]:
    """Stop the caller's time at *frozen_at*, or let it run with the world's again.

    Chance begins anew: with the same seed the same calls give the same.

    Args:
        seed: Of everything that is left to chance; None: the partner and the moment.

    Raises:
        ValidationFailed: The moment is out of bounds.
    """
    if frozen_at is not None and not domain.EARLIEST <= frozen_at <= domain.LATEST:
        bounds = f"A moment from {domain.EARLIEST.date()} to {domain.LATEST.date()}."
        raise ValidationFailed("The request is not valid.", errors=[FieldError("/frozenAt", bounds)])
    async with hand_on(env, caller.partner_id, wait_seconds=_WAIT_SECONDS):
        async with env.db.transaction(caller.partner_id) as tx:
            partner = await partners.lock_partner(tx, caller.partner_id)
            await partners.set_clock(tx, partner.id, frozen_at)
            await queries.reseed(tx, partner.id, seed or _seed(partner, frozen_at))
            # What waits on the clock there was would wait for a time that does not come any more.
            await webhooks.leave_clock(tx, partner.id, env.now())
            stage = timedelta(seconds=partner.auto_advance_seconds or 0)
            await queries.respace(tx, partner.id, (frozen_at or env.now()) + stage)
        _forget(env)
    return await get_clock(env, caller)


async def advance_clock(env: Env, caller: Caller, to: datetime) -> Advanced:
    """Move the caller's clock forward to *to*; everything that falls due on the way happens, in the order of time.

    Orders move by themselves when auto-advance is on; cut-offs, parcels, deliveries and their retries always do.

    Returns:
        Where the clock stands now: at *to*, or where the bounds of one request ended it.

    Raises:
        ClockNotSet: Time runs with the world's.
        ValidationFailed: *to* lies behind, or more than 400 days ahead.
        SandboxBusy: Somebody else moves the partner's orders.
    """
    async with hand_on(env, caller.partner_id, wait_seconds=_WAIT_SECONDS) as hand:
        partner = await partners.get_settings(env, caller)
        _check_target(partner.clock_frozen_at, to)
        begin = partner.clock_frozen_at or to
        inside, caches = moved_env(env, partner.id, begin)
        env.caches.drop(partners.PARTNERS)
        walk = _Walk(inside, caches, hand, partner.id, to)
        try:
            completed = await walk.run()
        finally:
            async with env.db.transaction(partner.id) as tx:
                await partners.set_clock(tx, partner.id, caches.at)
            _forget(env)
    return Advanced(caches.at, completed, walk.steps, walk.deliveries)


@dataclass(slots=True)
class _Walk:
    """One advance, moment by moment."""

    env: Env  # in which the clock stands at the moment that is being lived through
    caches: MovedCaches
    hand: Hand
    partner_id: str
    to: datetime
    steps: int = 0
    deliveries: int = 0
    began: float = field(default_factory=time.monotonic)

    async def run(self) -> bool:
        """Live through every moment up to the end; return False when there was too much for one request."""
        async with _delivering(self.env, self.partner_id) as deliver:
            while True:
                await self.hand.keep()
                self.steps += await self._act()
                self.deliveries += await deliver()
                due = await self._next_due()
                if due is None or due > self.to:
                    self.caches.at = self.to
                    return True
                if self.steps >= _MOST_STEPS or time.monotonic() - self.began > _MOST_SECONDS:
                    return False
                self.caches.at = due

    async def _act(self) -> int:
        partner = await partners.get_partner(self.env, self.partner_id)
        if partner.auto_advance_seconds is not None:
            await planning.plan_new(self.env, partner)
            return await run_due(self.env, partner, self.caches.at, self.hand)
        return await self._release()

    async def _release(self) -> int:
        async with self.env.db.reading(self.partner_id) as tx:
            waiting = await operating.select_cutoffs(tx, self.partner_id, _AT_ONCE)
        due = [order_id for order_id, release_at in waiting if release_at <= self.caches.at]
        for order_id in due:
            try:
                await stepping.release_order(self.env, acting.ACTOR, order_id)
            except FulfillmentError as error:
                if error.kind is Kind.UNAVAILABLE:
                    raise
        return len(due)

    async def _next_due(self) -> datetime | None:
        partner = await partners.get_partner(self.env, self.partner_id)
        async with self.env.db.reading(self.partner_id) as tx:
            if partner.auto_advance_seconds is not None:
                moments: list[datetime | None] = [await queries.select_next(tx, self.partner_id)]
            else:
                moments = [at for _, at in await operating.select_cutoffs(tx, self.partner_id, _AT_ONCE)]
            if partner.webhook_url is not None:
                moments.append(await webhooks.next_due(tx, self.partner_id, self.caches.at))
        ahead = [at for at in moments if at is not None and at > self.caches.at]
        return min(ahead, default=None)


async def run_due(env: Env, partner: Partner, at: datetime, hand: Hand) -> int:
    """Make every step that is due at *at*; return how many. A step that can't be made now is due a stage later."""
    steps = 0
    while True:
        async with env.db.reading(partner.id) as tx:
            plans = await queries.select_due(tx, partner.id, at, _AT_ONCE)
            found = await operating.select_orders(tx, [plan.order_id for plan in plans])
        made: list[Plan] = []
        try:
            for plan in plans:
                await hand.keep()
                made.append(await _try_step(env, plan, found[plan.order_id]))
        finally:
            # Together: a step that was made and not noted is made again, which changes nothing.
            await planning.save(env, partner, made, at)
        steps += len(made)
        if len(plans) < _AT_ONCE:
            return steps


async def _try_step(env: Env, plan: Plan, order: Order) -> Plan:
    try:
        return (await acting.make_step(env, plan, order))[0]
    except FulfillmentError as error:
        if error.kind is Kind.UNAVAILABLE:
            raise
        return plan


@asynccontextmanager
async def _delivering(env: Env, partner_id: str) -> AsyncGenerator[Callable[[], Awaitable[int]]]:
    async with sending.make_poster(env) as poster:
        deliverer = delivering.Deliverer(env, poster, only=partner_id)

        async def deliver() -> int:
            partner = await partners.get_partner(env, partner_id)
            return await deliverer.drain() if partner.webhook_url is not None else 0

        yield deliver


def _check_target(frozen_at: datetime | None, to: datetime) -> None:
    if frozen_at is None:
        raise ClockNotSet("Set the clock first: POST /v1/sandbox/clock.")
    if to < frozen_at:
        problem = f"The clock only goes forward: it stands at {frozen_at.isoformat()}."
    elif to > frozen_at + domain.LONGEST_ADVANCE or to > domain.LATEST:
        problem = f"At most {domain.LONGEST_ADVANCE.days} days at once, and not beyond {domain.LATEST.date()}."
    else:
        return
    raise ValidationFailed("The request is not valid.", errors=[FieldError("/to", problem)])


def _seed(partner: Partner, frozen_at: datetime | None) -> str:
    return f"{partner.id}/{frozen_at.isoformat() if frozen_at else 'real'}"


def _forget(env: Env) -> None:
    for name in _CACHES:
        env.caches.drop(name)
