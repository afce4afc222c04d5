"""Events and deliveries: announced in the transaction of a change, read as a feed and as a log, sent again."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from fulfillment.infra.db import ReadTx, Tx
from fulfillment.infra.env import Env
from fulfillment.infra.wake import wake_workers
from fulfillment.kernel.callers import Caller
from fulfillment.kernel.ids import new_id
from fulfillment.kernel.pages import PageRequest
from fulfillment.kernel.times import to_wire as moment
from fulfillment.partners import service as partners
from fulfillment.partners.domain import Partner, WebhookNotConfigured
from fulfillment.webhooks import delivery_queries, log_queries, queries
from fulfillment.webhooks.domain import (
    Attempt,
    Delivery,
    DeliveryNotFound,
    DeliveryPending,
    DeliveryStatus,
    Endpoint,
    Event,
    EventNotFound,
    FeedFilter,
    FeedKey,
    NewEvent,
    OrderState,
    Replay,
    ReplayNotFound,
    ReplayRunning,
    WebhookDisabled,
)
from fulfillment.webhooks.listening import bell_of

LONGEST_WAIT_SECONDS: Final = 30
_START: Final = FeedKey(0, 0, "")
_LOOKS: Final = 5000  # events that one page of a filtered feed looks at
_LATE: Final = timedelta(minutes=5)  # no transaction of ours runs that long
_SETTLE_SECONDS: Final = 0.05  # until an older transaction that hides a new event has ended
_POLL_SECONDS: Final = 1.0
_SHARE_OF_WAITING: Final = 4  # of the requests that a process takes on, one in so many may be a long poll
_REPLAY_BATCH: Final = 500
_REMOVE_BATCH: Final = 1000


@dataclass(frozen=True, slots=True)
class FeedPage:
    """Events of the feed, oldest first."""

    events: Sequence[Event]
    last: FeedKey  # the next page begins behind it, also at the end of the feed
    more: bool  # there is more to look at now


async def announce(tx: Tx, events: Sequence[NewEvent]) -> None:
    """Write *events*, and a delivery for each whose partner has a receiver."""
    if not events:
        return
    await queries.insert_events(
        tx,
        [
            [event.id for event in events],
            [event.partner_id for event in events],
            [event.order_id for event in events],
            [event.order_sequence for event in events],
            [event.type for event in events],
            [event.payload for event in events],
            [event.created_at for event in events],
        ],
    )
    sent = [event for event in events if event.deliver]
    if sent:
        await queries.insert_deliveries(
            tx,
            [
                [new_id(event.created_at) for event in sent],
                [event.id for event in sent],
                [event.partner_id for event in sent],
                [event.order_id for event in sent],
                [event.order_sequence for event in sent],
                [event.on_clock for event in sent],
                [event.created_at for event in sent],
            ],
        )


async def list_events(
    env: Env,
    caller: Caller,
    wanted: FeedFilter,
    after: FeedKey | None,
    limit: int,
    *,
    wait_seconds: float = 0.0,
    leaving: Callable[[], bool] = lambda: False,
) -> FeedPage:
    """Return the partner's events behind *after*, oldest first.

    Args:
        wait_seconds: How long to wait for one when there is none; not at all where too many wait already.
        leaving: Says that the process is stopping, so that nobody should wait.
    """
    after = after or _START
    with bell_of(env).seat(caller.partner_id, env.settings.max_in_flight // _SHARE_OF_WAITING) as seated:
        until = time.monotonic() + (min(wait_seconds, LONGEST_WAIT_SECONDS) if seated else 0.0)
        while True:
            async with env.db.reading(caller.partner_id) as tx:
                events, last, more = await queries.select_feed(
                    tx, caller.partner_id, wanted, after, limit=limit, looks=max(_LOOKS, limit)
                )
            left = until - time.monotonic()
            if events or more or left <= 0 or leaving():
                return FeedPage(events, last, more)
            after = last
            await bell_of(env).wait(min(left, _POLL_SECONDS))
            await asyncio.sleep(min(max(left, 0), _SETTLE_SECONDS))


async def get_end(env: Env, caller: Caller) -> FeedKey:
    """Return the place behind which the feed goes on from now."""
    async with env.db.reading(caller.partner_id) as tx:
        return await queries.select_end(tx)


async def get_event(env: Env, caller: Caller, event_id: str) -> Event:
    """Return the partner's event.

    Raises:
        EventNotFound: The partner has no such event.
    """
    async with env.db.reading(caller.partner_id) as tx:
        event = await queries.select_event(tx, caller.partner_id, event_id)
    if event is None:
        raise EventNotFound("You have no event with this id, or it is older than the feed keeps.")
    return event


async def reconcile(
    env: Env, caller: Caller, since: datetime, after: FeedKey | None, limit: int
) -> tuple[Sequence[OrderState], bool]:
    """Return where each of the partner's orders changed since *since* stands, and whether there are more."""
    async with env.db.reading(caller.partner_id) as tx:
        start = after or await queries.select_start(tx, caller.partner_id, since - _LATE) or _START
        found = await queries.select_order_states(tx, caller.partner_id, since, start, limit + 1)
    return found[:limit], len(found) > limit


async def list_deliveries(
    env: Env, caller: Caller, order_id: str | None, status: DeliveryStatus | None, page: PageRequest
) -> Sequence[Delivery]:
    """Return the partner's deliveries of one page and one more, in reading order."""
    async with env.db.reading(caller.partner_id) as tx:
        return await log_queries.select_deliveries(
            tx, caller.partner_id, order_id, status.value if status else None, page
        )


async def get_delivery(env: Env, caller: Caller, delivery_id: str) -> tuple[Delivery, Sequence[Attempt], Event | None]:
    """Return the partner's delivery, its attempts, and its event unless that is older than the feed keeps.

    Raises:
        DeliveryNotFound: The partner has no such delivery.
    """
    async with env.db.reading(caller.partner_id) as tx:
        delivery = await log_queries.select_delivery(tx, caller.partner_id, delivery_id)
        if delivery is None:
            raise _no_delivery()
        attempts = await log_queries.select_attempts(tx, caller.partner_id, delivery_id)
        return delivery, attempts, await queries.select_event(tx, caller.partner_id, delivery.event_id)


async def redeliver(env: Env, caller: Caller, delivery_id: str) -> Delivery:
    """Send a finished delivery again, under its own id, and return it as it waits.

    Raises:
        DeliveryNotFound: The partner has no such delivery.
        DeliveryPending: It is on its way already.
        WebhookNotConfigured, WebhookDisabled: There is nowhere to send it.
    """
    partner = await _ready_partner(env, caller)
    async with env.db.transaction(caller.partner_id) as tx:
        _check_enabled(await log_queries.select_endpoint(tx, partner.id))
        delivery = await log_queries.lock_delivery(tx, partner.id, delivery_id)
        if delivery is None:
            raise _no_delivery()
        if delivery.event_type is None:
            raise DeliveryNotFound("The event of this delivery is older than the feed keeps.")
        if delivery.status is DeliveryStatus.PENDING:
            raise DeliveryPending("The delivery is pending: it is sent without being asked for.")
        at = present(env, partner)
        await log_queries.update_redeliver(tx, partner.id, delivery_id, at, partner.clock_frozen_at is not None)
        waiting = await log_queries.select_delivery(tx, partner.id, delivery_id)
    wake_workers(env)
    return waiting or delivery


async def replay(
    env: Env,
    caller: Caller,
    *,
    since: datetime,
    until: datetime | None,
    types: Sequence[str] | None,
    only_failed: bool,
) -> Replay:
    """Ask for the events of a span to be sent again, in order for each order, and return the job.

    Args:
        until: The end of the span; now, when left out.
        types: The types of event wanted; all, when left out.
        only_failed: Leave out what was delivered.

    Raises:
        ReplayRunning: The partner's last one is still being queued.
        WebhookNotConfigured, WebhookDisabled: There is nowhere to send them.
    """
    partner = await _ready_partner(env, caller)
    at = present(env, partner)
    asked = Replay(new_id(at), partner.id, since, until or at, types, only_failed, 0, 0, 0, None, at)
    async with env.db.transaction(caller.partner_id) as tx:
        _check_enabled(await log_queries.select_endpoint(tx, partner.id))
        total = await log_queries.count_replay(tx, asked)
        made = Replay(asked.id, partner.id, asked.since, asked.until, types, only_failed, total, 0, 0, None, at)
        if not await log_queries.insert_replay(tx, made):
            raise ReplayRunning("Your last replay is still being queued. Wait until it is.", retry_after_seconds=2)
    wake_workers(env)
    return made


async def get_replay(env: Env, caller: Caller, replay_id: str) -> Replay:
    """Return the partner's replay with its progress.

    Raises:
        ReplayNotFound: The partner has no such replay.
    """
    async with env.db.reading(caller.partner_id) as tx:
        found = await log_queries.select_replay(tx, caller.partner_id, replay_id)
    if found is None:
        raise ReplayNotFound("You have no replay with this id.")
    return found


async def queue_replays(env: Env) -> int:
    """Queue what replays have asked for, a batch in a transaction; return how many deliveries were made."""
    total = 0
    while True:
        async with env.db.transaction("*") as tx:
            found = await log_queries.lock_open_replay(tx)
            if found is None:
                break
            total += await _queue_batch(env, tx, *found)
        wake_workers(env)
    return total


async def _queue_batch(env: Env, tx: Tx, asked: Replay, after_id: str) -> int:
    partner = await partners.get_partner(env, asked.partner_id)
    at = present(env, partner)
    events = await log_queries.select_replay_events(tx, asked, after_id, _REPLAY_BATCH)
    on_clock = partner.clock_frozen_at is not None
    if events:
        await log_queries.insert_replayed(tx, asked, events, [new_id(at) for _ in events], at, on_clock=on_clock)
    last = events[-1][0] if events else after_id
    ended = len(events) < _REPLAY_BATCH
    await log_queries.update_replay(tx, asked, len(events), last, env.now() if ended else None)
    return len(events)


async def get_endpoint(env: Env, partner_id: str) -> Endpoint:
    """Return how the partner's receiver does."""
    async with env.db.reading(partner_id) as tx:
        return await log_queries.select_endpoint(tx, partner_id)


async def enable_webhook(env: Env, caller: Caller) -> tuple[Partner, Endpoint]:
    """Switch the partner's receiver on; what was kept for it is sent at once, in order.

    Raises:
        WebhookNotConfigured: It has no webhookUrl.
    """
    partner = await _ready_partner(env, caller)
    async with env.db.transaction(caller.partner_id) as tx:
        await enable_endpoint(tx, partner.id, present(env, partner))
        endpoint = await log_queries.select_endpoint(tx, partner.id)
    wake_workers(env)
    return partner, endpoint


def join_partners(env: Env) -> None:
    """Let the partners' settings show how the receiver does, and let setting its URL switch it on."""

    async def status(partner: Partner) -> Mapping[str, object]:
        return status_json(partner, await get_endpoint(env, partner.id))

    async def switch_on(tx: Tx, partner: Partner) -> None:
        await enable_endpoint(tx, partner.id, present(env, partner))

    env.local[partners.SETTINGS_EXTRA] = status
    env.local[partners.WEBHOOK_URL_SET] = switch_on


def status_json(partner: Partner, endpoint: Endpoint) -> dict[str, object]:
    """Return the additive members of the partner's settings that tell how its receiver does."""
    status = "UNCONFIGURED" if partner.webhook_url is None else "DISABLED" if endpoint.disabled else "ENABLED"
    return {
        "webhookStatus": status,
        "webhookDisabledAt": moment(endpoint.disabled_at) if endpoint.disabled and endpoint.disabled_at else None,
        "webhookDisabledReason": endpoint.disabled_reason if endpoint.disabled else None,
        "webhookFailingSince": moment(endpoint.failing_since) if endpoint.failing_since else None,
    }


async def enable_endpoint(tx: Tx, partner_id: str, at: datetime) -> None:
    """Switch the partner's receiver on, if it is off or failing, and make what waits for it due at *at*."""
    if await log_queries.enable_endpoint(tx, partner_id):
        await log_queries.hasten_deliveries(tx, partner_id, at)


async def next_due(tx: ReadTx, partner_id: str, after: datetime) -> datetime | None:
    """Return when the partner's next delivery behind *after* is due on its test clock, or None."""
    return await delivery_queries.select_next_due(tx, partner_id, after)


async def leave_clock(tx: Tx, partner_id: str, at: datetime) -> int:
    """Take what waits on the partner's test clock over to the real one, due at *at*; return how many that were."""
    return await log_queries.leave_clock(tx, partner_id, at)


async def purge_events(env: Env) -> int:
    """Remove deliveries and events older than the retention, a thousand in a transaction; return how many events.

    Writers are never locked out: only old rows are touched, and those in somebody's hands are left for next time.
    """
    retention = timedelta(days=env.settings.event_retention_days)
    removed = 0
    for partner in (await partners.get_partners(env)).value.values():
        # A partner's events are dated by its clock, which may stand years away from ours.
        before = min(present(env, partner), env.now()) - retention
        removed += await _purge_partner(env, partner.id, before)
    return removed


async def _purge_partner(env: Env, partner_id: str, before: datetime) -> int:
    removed, now = 0, env.now()
    while True:
        async with env.db.transaction(partner_id) as tx:
            deliveries = await log_queries.delete_old_deliveries(tx, partner_id, before, now, _REMOVE_BATCH)
            events = await queries.delete_old_events(tx, partner_id, before, _REMOVE_BATCH)
            replays = await log_queries.delete_old_replays(tx, partner_id, before, _REMOVE_BATCH)
        removed += events
        if max(deliveries, events, replays) < _REMOVE_BATCH:
            return removed


def present(env: Env, partner: Partner) -> datetime:
    """Return the partner's present: its test clock's, or the real one."""
    return partner.clock_frozen_at or env.now()


async def _ready_partner(env: Env, caller: Caller) -> Partner:
    partner = await partners.get_settings(env, caller)
    if partner.webhook_url is None:
        raise WebhookNotConfigured
    return partner


def _check_enabled(endpoint: Endpoint) -> None:
    if endpoint.disabled:
        raise WebhookDisabled(
            "Deliveries to you are switched off. POST /v1/partners/settings/webhook/enable switches them on."
        )


def _no_delivery() -> DeliveryNotFound:
    return DeliveryNotFound("You have no delivery with this id, or it is older than the log keeps.")
