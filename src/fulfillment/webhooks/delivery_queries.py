"""SQL of the delivery engine: claiming, recording, giving back. It works for all partners at once."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, LiteralString

from fulfillment.infra import arrays
from fulfillment.infra.caches import SELECT_VERSION
from fulfillment.infra.db import ReadTx, Tx
from fulfillment.webhooks.domain import CIRCUIT_FAILURES, Claimed

# The planner's statistics are of a quieter hour, or there are none yet: walking the indexes is always right here.
CONFIGURE: Final = (
    "SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_sort = off; "
    "SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off"
)

# Partner by partner: a loose scan of the index finds those with something pending, and each gives as much as it has
# room for, so that neither a mountain of work nor a hanging receiver is in another's way. Of one order only the
# earliest is taken, and none while another one of it is under way.
# "finished_at IS NULL" says the same as PENDING, here and below, but does not tempt the planner to the index of
# everything that is pending.
CLAIM: Final[LiteralString] = """
WITH RECURSIVE waiting (partner_id) AS (
  (SELECT partner_id FROM webhook_deliveries WHERE status = 'PENDING' ORDER BY partner_id LIMIT 1)
  UNION ALL
  SELECT (SELECT later.partner_id FROM webhook_deliveries AS later
           WHERE later.status = 'PENDING' AND later.partner_id > waiting.partner_id
           ORDER BY later.partner_id LIMIT 1)
    FROM waiting WHERE waiting.partner_id IS NOT NULL
), known AS (
  SELECT * FROM unnest(%(partners)s::text[], %(rooms)s::int[], %(clocks)s::timestamptz[], %(reorder)s::boolean[])
             AS known (partner_id, room, clock, reorder)
), lanes AS (
  SELECT waiting.partner_id, known.clock, coalesce(known.reorder, false) AS reorder,
         CASE WHEN known.clock IS NULL THEN coalesce(endpoint.failures, 0)
              ELSE least(endpoint.failures, %(circuit)s - 1) END AS failures,
         CASE WHEN endpoint.failures >= %(circuit)s AND known.clock IS NULL THEN least(1, coalesce(known.room, 1))
              ELSE coalesce(known.room, %(room)s) END AS room
    FROM waiting
    LEFT JOIN known ON known.partner_id = waiting.partner_id
    LEFT JOIN webhook_endpoints AS endpoint ON endpoint.partner_id = waiting.partner_id
   WHERE waiting.partner_id IS NOT NULL
     AND (%(only)s::text IS NULL OR waiting.partner_id = %(only)s)
     AND waiting.partner_id <> ALL (%(closed)s::text[])
     AND coalesce(endpoint.status, 'ENABLED') = 'ENABLED'
     AND CASE WHEN endpoint.failures >= %(circuit)s AND known.clock IS NULL
              THEN coalesce(endpoint.probe_at, '-infinity') <= %(now)s
                   AND pg_try_advisory_xact_lock(hashtext('webhooks.probe'), hashtext(waiting.partner_id))
              ELSE true END
   ORDER BY random()
), picked AS (
  SELECT found.*, lanes.failures
    FROM lanes
   CROSS JOIN LATERAL (
     SELECT due.ctid AS place, due.partner_id, due.event_id
       FROM webhook_deliveries AS due
      WHERE due.partner_id = lanes.partner_id AND due.status = 'PENDING'
        AND due.due_at <= greatest(lanes.clock, %(now)s)
        AND due.due_at <= CASE WHEN due.on_clock THEN coalesce(lanes.clock, 'infinity') ELSE %(now)s END
        AND (due.leased_until IS NULL OR due.leased_until <= %(now)s)
        AND (due.order_id IS NULL OR lanes.reorder OR NOT EXISTS (
              SELECT FROM webhook_deliveries AS other
               WHERE other.order_id = due.order_id AND other.finished_at IS NULL AND other.id <> due.id
                 AND ((other.order_sequence, other.id) < (due.order_sequence, due.id)
                      OR other.leased_until > %(now)s)))
      ORDER BY due.due_at
      LIMIT lanes.room
        FOR UPDATE SKIP LOCKED) AS found
   LIMIT %(limit)s
), probing AS (
  UPDATE webhook_endpoints AS endpoint SET probe_at = %(lease)s
    FROM picked
   WHERE endpoint.partner_id = picked.partner_id AND picked.failures >= %(circuit)s
)
UPDATE webhook_deliveries AS claimed SET leased_until = %(lease)s
  FROM picked LEFT JOIN events AS event ON event.partner_id = picked.partner_id AND event.id = picked.event_id
 WHERE claimed.ctid = picked.place
RETURNING claimed.id, claimed.partner_id, claimed.event_id, event.type, claimed.order_sequence, event.payload::text,
          claimed.attempts, picked.failures > 0
"""

RECORD_DELIVERED: Final = """
UPDATE webhook_deliveries AS delivery
   SET status = 'DELIVERED', attempts = result.attempt, finished_at = result.at, leased_until = NULL
  FROM unnest(%s::text[], %s::text[], %s::int[], %s::timestamptz[]) AS result (partner_id, id, attempt, at)
 WHERE delivery.partner_id = result.partner_id AND delivery.id = result.id AND delivery.finished_at IS NULL
"""

# Only by the holder of the lease: whoever came too late has been overtaken, and its failure says nothing any more.
RECORD_FAILED: Final = """
UPDATE webhook_deliveries AS delivery
   SET status = CASE WHEN result.due_at IS NULL THEN 'FAILED' ELSE 'PENDING' END, attempts = result.attempt,
       due_at = coalesce(result.due_at, delivery.due_at), leased_until = NULL,
       finished_at = CASE WHEN result.due_at IS NULL THEN result.at END
  FROM unnest(%s::text[], %s::text[], %s::int[], %s::timestamptz[], %s::timestamptz[], %s::timestamptz[])
    AS result (partner_id, id, attempt, at, due_at, lease)
 WHERE delivery.partner_id = result.partner_id AND delivery.id = result.id AND delivery.finished_at IS NULL
   AND delivery.leased_until = result.lease
"""

INSERT_ATTEMPTS: Final = """
INSERT INTO webhook_attempts (delivery_id, attempt, partner_id, created_at, duration_ms, status_code, error, excerpt)
SELECT * FROM unnest(%s::text[], %s::int[], %s::text[], %s::timestamptz[], %s::int[], %s::int[], %s::text[],
                     %s::bytea[])
    ON CONFLICT (delivery_id, attempt) DO NOTHING
"""

RECORD_STREAKS: Final = """
INSERT INTO webhook_endpoints AS endpoint (partner_id, failures, failing_since, probe_at)
SELECT partner_id, failures, since, %s FROM unnest(%s::text[], %s::int[], %s::timestamptz[])
    AS streak (partner_id, failures, since)
 ORDER BY partner_id
    ON CONFLICT (partner_id) DO UPDATE
       SET failures = excluded.failures
                    + CASE WHEN excluded.partner_id = ANY (%s::text[]) THEN 0 ELSE endpoint.failures END,
           failing_since = CASE WHEN excluded.partner_id = ANY (%s::text[]) THEN excluded.failing_since
                                ELSE coalesce(endpoint.failing_since, excluded.failing_since) END,
           probe_at = excluded.probe_at
RETURNING partner_id, failures, failing_since, status
"""

DISABLE: Final = """
UPDATE webhook_endpoints SET status = 'DISABLED', disabled_at = %(at)s, disabled_reason = %(reason)s
 WHERE partner_id = %(partner_id)s AND status = 'ENABLED'
"""

DISCARD: Final = """
UPDATE webhook_deliveries SET status = 'DISCARDED', finished_at = %s, leased_until = NULL
 WHERE (partner_id, id) IN (SELECT * FROM unnest(%s::text[], %s::text[])) AND finished_at IS NULL
"""

GIVE_BACK: Final = """
UPDATE webhook_deliveries AS delivery SET leased_until = NULL
  FROM unnest(%s::text[], %s::text[], %s::timestamptz[]) AS unsent (partner_id, id, lease)
 WHERE delivery.partner_id = unsent.partner_id AND delivery.id = unsent.id AND delivery.finished_at IS NULL
   AND delivery.leased_until = unsent.lease
"""

# Only by the holder of the lease, as above.
PUT_OFF: Final = """
UPDATE webhook_deliveries AS delivery SET leased_until = NULL, due_at = later.due_at
  FROM unnest(%s::text[], %s::text[], %s::timestamptz[], %s::timestamptz[]) AS later (partner_id, id, lease, due_at)
 WHERE delivery.partner_id = later.partner_id AND delivery.id = later.id AND delivery.status = 'PENDING'
   AND delivery.leased_until = later.lease
"""

SELECT_NEXT_DUE: Final = """
SELECT min(due_at) AS at FROM webhook_deliveries
 WHERE partner_id = %(partner_id)s AND status = 'PENDING' AND on_clock AND due_at > %(after)s
"""

SELECT_PLACES: Final = """
SELECT asked.id, (SELECT count(*) FROM events
                   WHERE partner_id = %(partner_id)s AND events.id <= asked.id AND txid > %(since)s::text::xid8)
  FROM unnest(%(ids)s::text[]) AS asked (id)
"""

# What waits behind a failed delivery of its order is due when that is tried again: so it leaves the range that claims
# look through, and needs no word when the obstacle is gone.
PARK: Final = """
WITH blocked AS (
  SELECT waiting.partner_id, waiting.id, head.due_at
    FROM unnest(%(partners)s::text[]) AS failing (partner_id)
   CROSS JOIN LATERAL (
     SELECT due.partner_id, due.id, due.order_id, due.order_sequence FROM webhook_deliveries AS due
      WHERE due.partner_id = failing.partner_id AND due.status = 'PENDING' AND due.due_at <= %(now)s
        AND due.leased_until IS NULL AND NOT due.on_clock AND due.order_id IS NOT NULL
      ORDER BY due.due_at LIMIT %(limit)s) AS waiting
   CROSS JOIN LATERAL (
     SELECT earlier.due_at FROM webhook_deliveries AS earlier
      WHERE earlier.order_id = waiting.order_id AND earlier.finished_at IS NULL
        AND earlier.order_sequence < waiting.order_sequence
      ORDER BY earlier.order_sequence LIMIT 1) AS head
   WHERE head.due_at > %(now)s
), locked AS (
  SELECT delivery.ctid AS place, blocked.due_at
    FROM blocked JOIN webhook_deliveries AS delivery USING (partner_id, id)
   WHERE delivery.finished_at IS NULL AND delivery.leased_until IS NULL
     FOR UPDATE OF delivery SKIP LOCKED
)
UPDATE webhook_deliveries AS parked SET due_at = locked.due_at FROM locked WHERE parked.ctid = locked.place
"""

# What was made on a clock that has since been set back would wait until it is that late again.
HASTEN: Final = """
UPDATE webhook_deliveries SET due_at = %(now)s WHERE ctid = ANY (ARRAY(
  SELECT ctid FROM webhook_deliveries
   WHERE status = 'PENDING' AND due_at > %(now)s AND created_at > %(now)s AND NOT on_clock
     AND (%(only)s::text IS NULL OR partner_id = %(only)s)
     FOR UPDATE SKIP LOCKED))
"""

SELECT_UNDER_WAY: Final = """
SELECT EXISTS (
  SELECT FROM webhook_deliveries
   WHERE partner_id = %(partner_id)s AND status = 'PENDING' AND leased_until > %(now)s) AS found
"""


async def hasten(tx: Tx, now: datetime, only: str | None) -> None:
    """Make due what was made later than *now*, of all partners or of one."""
    await tx.execute(HASTEN, now=now, only=only)


async def claim(tx: Tx, *, now: datetime, lease: datetime, **rooms: object) -> list[Claimed]:
    """Lease what is due, as far as there is room, and return it."""
    params = {"now": now, "lease": lease, "circuit": CIRCUIT_FAILURES, **rooms}
    return [
        Claimed(id_, partner, event, type_ or "", sequence, body and body.encode(), attempts, lease, troubled)
        for id_, partner, event, type_, sequence, body, attempts, troubled in await tx.tuples(CLAIM, params)
    ]


async def select_partners_version(tx: Tx) -> int:
    """Return the version of what processes keep in memory of the partners."""
    return (await tx.one(SELECT_VERSION, name="partners"))["version"]


async def record_delivered(tx: Tx, columns: Sequence[Sequence[Any]]) -> None:
    """Mark deliveries given by column: partner, id, attempt, moment."""
    partners, ids, attempts, moments = columns
    await tx.connection.execute(
        RECORD_DELIVERED,
        (arrays.texts(partners), arrays.texts(ids), arrays.ints(attempts), arrays.moments(moments)),
    )


async def record_failed(tx: Tx, columns: Sequence[Sequence[Any]]) -> None:
    """Put off deliveries given by column: partner, id, attempt, moment, next try (None: give up), lease."""
    partners, ids, attempts, moments, due, leases = columns
    await tx.connection.execute(
        RECORD_FAILED,
        (
            arrays.texts(partners),
            arrays.texts(ids),
            arrays.ints(attempts),
            arrays.moments(moments),
            arrays.moments(due),
            arrays.moments(leases),
        ),
    )


async def insert_attempts(tx: Tx, columns: Sequence[Sequence[Any]]) -> None:
    """Log attempts given by column: delivery, attempt, partner, moment, duration, status, error, excerpt."""
    deliveries, numbers, partners, moments, durations, statuses, errors, excerpts = columns
    await tx.connection.execute(
        INSERT_ATTEMPTS,
        (
            arrays.texts(deliveries),
            arrays.ints(numbers),
            arrays.texts(partners),
            arrays.moments(moments),
            arrays.ints(durations),
            arrays.optional_ints(statuses),
            arrays.texts(errors),
            arrays.bytes_(excerpts),
        ),
    )


async def discard(tx: Tx, at: datetime, columns: Sequence[Sequence[object]]) -> None:
    """Drop deliveries without an event, given by column: partner, id."""
    await tx.connection.execute(DISCARD, [at, *columns])


async def give_back(tx: Tx, columns: Sequence[Sequence[object]]) -> None:
    """End the leases of unsent deliveries given by column: partner, id, lease."""
    await tx.connection.execute(GIVE_BACK, columns)


async def put_off(tx: Tx, columns: Sequence[Sequence[object]]) -> None:
    """End the leases of unsent deliveries, given by column, until later: partner, id, lease, moment."""
    await tx.connection.execute(PUT_OFF, columns)


async def select_next_due(tx: ReadTx, partner_id: str, after: datetime) -> datetime | None:
    """Return when the partner's next delivery behind *after* is due on its test clock, or None."""
    return (await tx.one(SELECT_NEXT_DUE, partner_id=partner_id, after=after))["at"]


async def select_places(tx: ReadTx, partner_id: str, since: str, event_ids: Sequence[str]) -> list[tuple[str, int]]:
    """Return each event with its place among the partner's behind the transaction *since*, from 1."""
    params = {"partner_id": partner_id, "since": since, "ids": list(event_ids)}
    return [(event_id, place) for event_id, place in await tx.tuples(SELECT_PLACES, params)]


async def record_streaks(
    tx: Tx, probe_at: datetime, columns: Sequence[Sequence[object]], recovered: Sequence[str]
) -> list[tuple[Any, ...]]:
    """Note how receivers do, given by column: partner, failures at the end, the first of them.

    Args:
        probe_at: When those with an open circuit are tried next.
        recovered: The partners of whom one delivery succeeded before those failures.

    Returns:
        Partner, failures in a row, failing since, and status of each.
    """
    return await tx.tuples(RECORD_STREAKS, [probe_at, *columns, recovered, recovered])


async def disable_endpoint(tx: Tx, partner_id: str, reason: str, at: datetime) -> bool:
    """Switch a receiver off; return whether it was on."""
    return await tx.execute(DISABLE, partner_id=partner_id, reason=reason, at=at) > 0


async def park(tx: Tx, partners: Sequence[str], now: datetime, limit: int) -> int:
    """Put off what waits behind failed deliveries of these partners, looking at *limit* of each at most."""
    return await tx.execute(PARK, partners=partners, now=now, limit=limit)


async def is_under_way(tx: Tx, partner_id: str, now: datetime) -> bool:
    """Return whether anybody holds a lease on one of the partner's deliveries."""
    return (await tx.one(SELECT_UNDER_WAY, partner_id=partner_id, now=now))["found"]
