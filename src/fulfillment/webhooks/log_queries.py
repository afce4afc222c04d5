"""SQL over the delivery log, the receivers' state and replays, as a partner sees them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, LiteralString

from fulfillment.infra.db import ReadTx, Row, Tx
from fulfillment.kernel.pages import Direction, PageRequest
from fulfillment.webhooks.domain import Attempt, Delivery, DeliveryStatus, Endpoint, Replay, first_id_at
from fulfillment.webhooks.queries import DELIVERED

_DELIVERY: Final = """
delivery.id, delivery.event_id, event.type AS event_type, delivery.order_id, delivery.order_sequence, delivery.status,
delivery.attempts, delivery.due_at, delivery.created_at, delivery.finished_at, delivery.replay_id
"""
_WITH_EVENT: Final = """
  FROM webhook_deliveries AS delivery
  LEFT JOIN events AS event ON event.partner_id = delivery.partner_id AND event.id = delivery.event_id
"""

SELECT_DELIVERY: Final = f"""
SELECT {_DELIVERY} {_WITH_EVENT} WHERE delivery.partner_id = %(partner_id)s AND delivery.id = %(id)s
"""
LOCK_DELIVERY: Final = SELECT_DELIVERY + " FOR UPDATE OF delivery"

# A status as a literal each, so that the planner sees which index serves it.
_OF_STATUS: Final[Mapping[str | None, LiteralString]] = {
    None: "",
    "PENDING": "AND delivery.status = 'PENDING'",
    "DELIVERED": "AND delivery.status = 'DELIVERED'",
    "FAILED": "AND delivery.status = 'FAILED'",
    "DISCARDED": "AND delivery.status = 'DISCARDED'",
}
_OLDER: Final = "AND delivery.id < %(after)s ORDER BY delivery.id DESC LIMIT %(limit)s"
_NEWER: Final = "AND delivery.id > %(after)s ORDER BY delivery.id LIMIT %(limit)s"
SELECT_OLDER: Final[Mapping[str | None, LiteralString]] = {
    status: f"SELECT {_DELIVERY} {_WITH_EVENT} WHERE delivery.partner_id = %(partner_id)s {wanted} {_OLDER}"
    for status, wanted in _OF_STATUS.items()
}
SELECT_NEWER: Final[Mapping[str | None, LiteralString]] = {
    status: f"SELECT {_DELIVERY} {_WITH_EVENT} WHERE delivery.partner_id = %(partner_id)s {wanted} {_NEWER}"
    for status, wanted in _OF_STATUS.items()
}

# An order has a handful: found first, sorted then.
_OF_ORDER: Final = f"""
WITH delivery AS MATERIALIZED (
  SELECT * FROM webhook_deliveries WHERE partner_id = %(partner_id)s AND order_id = %(order_id)s)
SELECT {_DELIVERY} FROM delivery
  LEFT JOIN events AS event ON event.partner_id = delivery.partner_id AND event.id = delivery.event_id
 WHERE (%(status)s::text IS NULL OR delivery.status = %(status)s)
"""
SELECT_OLDER_OF_ORDER: Final = _OF_ORDER + _OLDER
SELECT_NEWER_OF_ORDER: Final = _OF_ORDER + _NEWER

SELECT_ATTEMPTS: Final = """
SELECT attempt AS number, created_at, duration_ms, status_code, error, excerpt FROM webhook_attempts
 WHERE partner_id = %(partner_id)s AND delivery_id = %(id)s ORDER BY attempt LIMIT 200
"""

UPDATE_REDELIVER: Final = """
UPDATE webhook_deliveries
   SET status = 'PENDING', due_at = %(at)s, on_clock = %(on_clock)s, leased_until = NULL, finished_at = NULL
 WHERE partner_id = %(partner_id)s AND id = %(id)s
"""

SELECT_ENDPOINT: Final = """
SELECT status = 'DISABLED' AS disabled, failures, failing_since, disabled_at, disabled_reason FROM webhook_endpoints
 WHERE partner_id = %(partner_id)s
"""

ENABLE_ENDPOINT: Final = """
UPDATE webhook_endpoints
   SET status = 'ENABLED', failures = 0, failing_since = NULL, probe_at = NULL, disabled_at = NULL,
       disabled_reason = NULL
 WHERE partner_id = %(partner_id)s AND (status = 'DISABLED' OR failures > 0)
"""

HASTEN_DELIVERIES: Final = """
UPDATE webhook_deliveries SET due_at = %(at)s
 WHERE partner_id = %(partner_id)s AND status = 'PENDING' AND due_at > %(at)s AND leased_until IS NULL
"""

LEAVE_CLOCK: Final = """
UPDATE webhook_deliveries SET on_clock = false, due_at = %(at)s
 WHERE partner_id = %(partner_id)s AND status = 'PENDING' AND on_clock
"""

# What is pending anyway is not queued twice.
_REPLAYED: Final = f"""
event.partner_id = %(partner_id)s AND event.id > %(after_id)s AND event.id >= %(first_id)s AND event.id < %(end_id)s
AND event.created_at >= %(since)s AND event.created_at < %(until)s
AND (%(types)s::text[] IS NULL OR event.type = ANY (%(types)s))
AND NOT (%(only_failed)s AND ({DELIVERED}))
AND NOT EXISTS (SELECT FROM webhook_deliveries AS delivery
                 WHERE delivery.order_id = event.order_id AND delivery.order_sequence = event.order_sequence
                   AND delivery.partner_id = %(partner_id)s AND delivery.finished_at IS NULL)
"""

COUNT_REPLAY: Final = f"SELECT count(*)::int AS total FROM events AS event WHERE {_REPLAYED}"

SELECT_REPLAY_EVENTS: Final = f"""
SELECT event.id, event.order_id, event.order_sequence FROM events AS event
 WHERE {_REPLAYED} ORDER BY event.id LIMIT %(limit)s
"""

INSERT_REPLAY: Final = """
INSERT INTO webhook_replays (id, partner_id, since, until, types, only_failed, total, created_at)
VALUES (%(id)s, %(partner_id)s, %(since)s, %(until)s, %(types)s, %(only_failed)s, %(total)s, %(created_at)s)
    ON CONFLICT (partner_id) WHERE queued_at IS NULL DO NOTHING
"""

SELECT_REPLAY: Final = """
SELECT replay.id, partner_id, since, until, types, only_failed, total, queued, queued_at, created_at,
       (SELECT count(*)::int FROM webhook_deliveries AS delivery
         WHERE delivery.replay_id = replay.id AND delivery.finished_at IS NOT NULL) AS done
  FROM webhook_replays AS replay WHERE partner_id = %(partner_id)s AND id = %(id)s
"""

LOCK_OPEN_REPLAY: Final = """
SELECT id, partner_id, since, until, types, only_failed, total, queued, queued_at, created_at, 0 AS done, after_id
  FROM webhook_replays WHERE queued_at IS NULL
 ORDER BY created_at LIMIT 1 FOR UPDATE SKIP LOCKED
"""

INSERT_REPLAYED: Final = """
INSERT INTO webhook_deliveries (id, event_id, partner_id, order_id, order_sequence, due_at, on_clock, created_at,
                                replay_id)
SELECT new.id, new.event_id, %(partner_id)s, new.order_id, new.order_sequence, %(at)s, %(on_clock)s, %(at)s,
       %(replay_id)s
  FROM unnest(%(ids)s::text[], %(events)s::text[], %(orders)s::text[], %(sequences)s::int[])
       AS new (id, event_id, order_id, order_sequence)
"""

UPDATE_REPLAY: Final = """
UPDATE webhook_replays SET queued = queued + %(count)s, after_id = %(after_id)s, queued_at = %(queued_at)s
 WHERE partner_id = %(partner_id)s AND id = %(id)s
"""

DELETE_OLD_REPLAYS: Final = """
DELETE FROM webhook_replays WHERE (partner_id, id) IN (
  SELECT partner_id, id FROM webhook_replays WHERE partner_id = %(partner_id)s AND id < %(first_id)s LIMIT %(limit)s)
"""

DELETE_OLD_DELIVERIES: Final = """
WITH gone AS (
  DELETE FROM webhook_deliveries WHERE (partner_id, id) IN (
    SELECT partner_id, id FROM webhook_deliveries
     WHERE partner_id = %(partner_id)s AND id < %(first_id)s
       AND (leased_until IS NULL OR leased_until < %(now)s)
     ORDER BY id LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
  RETURNING id
), attempts AS (
  DELETE FROM webhook_attempts USING gone WHERE delivery_id = gone.id
)
SELECT count(*)::int AS removed FROM gone
"""


async def select_delivery(tx: ReadTx, partner_id: str, delivery_id: str) -> Delivery | None:
    """Return the partner's delivery, or None."""
    row = await tx.one_or_none(SELECT_DELIVERY, partner_id=partner_id, id=delivery_id)
    return _delivery(row) if row else None


async def lock_delivery(tx: Tx, partner_id: str, delivery_id: str) -> Delivery | None:
    """Return the partner's delivery, locked until *tx* ends, or None."""
    row = await tx.one_or_none(LOCK_DELIVERY, partner_id=partner_id, id=delivery_id)
    return _delivery(row) if row else None


async def select_deliveries(
    tx: ReadTx, partner_id: str, order_id: str | None, status: str | None, page: PageRequest
) -> list[Delivery]:
    """Return the partner's deliveries of one page and one more, in reading order."""
    newer = page.direction is Direction.PREVIOUS
    params: dict[str, Any] = {
        "partner_id": partner_id,
        "after": page.after[0] if page.after else ("" if newer else "~"),
        "limit": page.limit + 1,
    }
    if order_id is None:
        return [_delivery(row) for row in await tx.all((SELECT_NEWER if newer else SELECT_OLDER)[status], **params)]
    statement = SELECT_NEWER_OF_ORDER if newer else SELECT_OLDER_OF_ORDER
    return [_delivery(row) for row in await tx.all(statement, **params, order_id=order_id, status=status)]


async def select_attempts(tx: ReadTx, partner_id: str, delivery_id: str) -> list[Attempt]:
    """Return the attempts of a delivery, first to last."""
    return [Attempt(**row) for row in await tx.all(SELECT_ATTEMPTS, partner_id=partner_id, id=delivery_id)]


async def update_redeliver(tx: Tx, partner_id: str, delivery_id: str, at: datetime, on_clock: bool) -> None:
    """Make a finished delivery due at *at*."""
    await tx.execute(UPDATE_REDELIVER, partner_id=partner_id, id=delivery_id, at=at, on_clock=on_clock)


async def select_endpoint(tx: ReadTx, partner_id: str) -> Endpoint:
    """Return how the partner's receiver does."""
    row = await tx.one_or_none(SELECT_ENDPOINT, partner_id=partner_id)
    return Endpoint(**row) if row else Endpoint()


async def enable_endpoint(tx: Tx, partner_id: str) -> bool:
    """Switch the partner's receiver on, with a clean slate; return whether there was anything to change."""
    return await tx.execute(ENABLE_ENDPOINT, partner_id=partner_id) > 0


async def hasten_deliveries(tx: Tx, partner_id: str, at: datetime) -> int:
    """Make all that waits for the partner due at *at*, if it is due later."""
    return await tx.execute(HASTEN_DELIVERIES, partner_id=partner_id, at=at)


async def leave_clock(tx: Tx, partner_id: str, at: datetime) -> int:
    """Make what waits on the partner's test clock due at *at*, on the real one."""
    return await tx.execute(LEAVE_CLOCK, partner_id=partner_id, at=at)


async def count_replay(tx: ReadTx, replay: Replay) -> int:
    """Return how many events a replay would send."""
    return (await tx.one(COUNT_REPLAY, **_span(replay, "")))["total"]


async def insert_replay(tx: Tx, replay: Replay) -> bool:
    """Add a replay; return False when the partner has one that is being queued."""
    added = await tx.execute(
        INSERT_REPLAY,
        id=replay.id,
        partner_id=replay.partner_id,
        since=replay.since,
        until=replay.until,
        types=replay.types,
        only_failed=replay.only_failed,
        total=replay.total,
        created_at=replay.created_at,
    )
    return added > 0


async def select_replay(tx: ReadTx, partner_id: str, replay_id: str) -> Replay | None:
    """Return the partner's replay, or None."""
    row = await tx.one_or_none(SELECT_REPLAY, partner_id=partner_id, id=replay_id)
    return Replay(**row) if row else None


async def lock_open_replay(tx: Tx) -> tuple[Replay, str] | None:
    """Return a replay that has more to queue, and the event its next batch begins behind; None when there is none."""
    row = await tx.one_or_none(LOCK_OPEN_REPLAY)
    if row is None:
        return None
    after_id = row.pop("after_id")
    return Replay(**row), after_id


async def select_replay_events(
    tx: ReadTx, replay: Replay, after_id: str, limit: int
) -> list[tuple[str, str | None, int | None]]:
    """Return event, order and sequence of a replay's next events, oldest first."""
    return [
        (id_, order_id, sequence)
        for id_, order_id, sequence in await tx.tuples(
            SELECT_REPLAY_EVENTS, {**_span(replay, after_id), "limit": limit}
        )
    ]


async def insert_replayed(
    tx: Tx,
    replay: Replay,
    events: Sequence[tuple[str, str | None, int | None]],
    ids: Sequence[str],
    at: datetime,
    *,
    on_clock: bool,
) -> None:
    """Write a delivery with one of *ids* for each of a replay's *events*."""
    await tx.execute(
        INSERT_REPLAYED,
        partner_id=replay.partner_id,
        replay_id=replay.id,
        at=at,
        on_clock=on_clock,
        ids=list(ids),
        events=[event for event, _, _ in events],
        orders=[order for _, order, _ in events],
        sequences=[sequence for _, _, sequence in events],
    )


async def update_replay(tx: Tx, replay: Replay, count: int, after_id: str, queued_at: datetime | None) -> None:
    """Note that *count* more deliveries of a replay were queued, up to the event *after_id*."""
    await tx.execute(
        UPDATE_REPLAY,
        partner_id=replay.partner_id,
        id=replay.id,
        count=count,
        after_id=after_id,
        queued_at=queued_at,
    )


async def delete_old_deliveries(tx: Tx, partner_id: str, before: datetime, now: datetime, limit: int) -> int:
    """Remove up to *limit* of the partner's deliveries of before *before*, with their attempts; return how many."""
    row = await tx.one(DELETE_OLD_DELIVERIES, partner_id=partner_id, first_id=first_id_at(before), now=now, limit=limit)
    return row["removed"]


async def delete_old_replays(tx: Tx, partner_id: str, before: datetime, limit: int) -> int:
    """Remove up to *limit* of the partner's replays of before *before*; return how many."""
    return await tx.execute(DELETE_OLD_REPLAYS, partner_id=partner_id, first_id=first_id_at(before), limit=limit)


def _span(replay: Replay, after_id: str) -> dict[str, Any]:
    last_second = replay.until.replace(microsecond=0)
    return {
        "partner_id": replay.partner_id,
        "since": replay.since,
        "until": replay.until,
        "types": list(replay.types) if replay.types is not None else None,
        "only_failed": replay.only_failed,
        "after_id": after_id,
        "first_id": first_id_at(replay.since),
        "end_id": first_id_at(last_second, seconds_later=1),
    }


def _delivery(row: Row) -> Delivery:
    status = DeliveryStatus(row.pop("status"))
    return Delivery(**row, status=status)
