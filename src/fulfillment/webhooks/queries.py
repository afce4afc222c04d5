"""SQL over events: written in the transaction of a change, read as a feed that skips nothing."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from fulfillment.infra import arrays
from fulfillment.infra.db import ReadTx, Tx
from fulfillment.webhooks.domain import Event, FeedFilter, FeedKey, OrderState, first_id_at

INSERT_EVENTS: Final = """
INSERT INTO events (id, partner_id, order_id, order_sequence, type, payload, created_at)
SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::int[], %s::text[], %s::json[], %s::timestamptz[])
"""

# A receiver that is switched off, too: what is meant for it waits, in order, until it is switched on again.
INSERT_DELIVERIES: Final = """
INSERT INTO webhook_deliveries (id, event_id, partner_id, order_id, order_sequence, due_at, on_clock, created_at)
SELECT new.id, new.event_id, new.partner_id, new.order_id, new.order_sequence, new.at, new.on_clock, new.at
  FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::int[], %s::boolean[], %s::timestamptz[])
       AS new (id, event_id, partner_id, order_id, order_sequence, on_clock, at)
"""

# The index of an order's deliveries, or, for an event of no order, that of events.
DELIVERED: Final = """
EXISTS (SELECT FROM webhook_deliveries AS delivery
         WHERE delivery.order_id = event.order_id AND delivery.order_sequence = event.order_sequence
           AND delivery.partner_id = %(partner_id)s AND delivery.status = 'DELIVERED')
OR EXISTS (SELECT FROM webhook_deliveries AS delivery
            WHERE delivery.event_id = event.id AND delivery.order_id IS NULL
              AND delivery.partner_id = %(partner_id)s AND delivery.status = 'DELIVERED')
"""
_EVENT: Final = """
event.id, event.era, event.txid, event.type, event.order_id, event.order_sequence, event.payload, event.created_at
"""
_SHOWN: Final = "id, era, txid::text, type, order_id, order_sequence, payload::text, created_at"
# Sub-selects, so that they are asked once and not for each row.
_SETTLED: Final = """
(event.era, event.txid) < ((SELECT current_event_era()), (SELECT pg_snapshot_xmin(pg_current_snapshot())))
"""
_BEHIND: Final = "(event.era, event.txid, event.id) > (%(era)s, %(txid)s::xid8, %(after)s)"

# Nothing of a transaction is shown while an older one still runs: what that one writes would be behind the reader.
# A filter looks at so many events and no more; the page then ends where it stopped looking.
SELECT_FEED: Final = f"""
WITH looked AS MATERIALIZED (
  SELECT {_EVENT} FROM events AS event
   WHERE event.partner_id = %(partner_id)s AND {_BEHIND} AND {_SETTLED}
   ORDER BY event.era, event.txid, event.id LIMIT %(looks)s
), shown AS (
  SELECT {_SHOWN} FROM looked AS event
   WHERE (%(type)s::text IS NULL OR event.type = %(type)s)
     AND (NOT %(undelivered)s OR NOT ({DELIVERED}))
   ORDER BY event.era, event.txid, event.id LIMIT %(limit)s
), last AS (
  SELECT era, txid::text, id FROM looked ORDER BY looked.era DESC, looked.txid DESC, looked.id DESC LIMIT 1
)
SELECT shown.*, last.era, last.txid, last.id, (SELECT count(*) FROM looked) FROM last LEFT JOIN shown ON true
"""

SELECT_FEED_OF_ORDER: Final = f"""
SELECT {_SHOWN} FROM events AS event
 WHERE event.partner_id = %(partner_id)s AND event.order_id = %(order_id)s AND {_BEHIND} AND {_SETTLED}
   AND (%(type)s::text IS NULL OR event.type = %(type)s)
   AND (NOT %(undelivered)s OR NOT ({DELIVERED}))
 ORDER BY event.era, event.txid, event.id LIMIT %(limit)s
"""

SELECT_EVENT: Final = (
    f"SELECT {_SHOWN} FROM events AS event WHERE event.partner_id = %(partner_id)s AND event.id = %(id)s"
)

# A few minutes before the moment asked for, no transaction was under way that wrote later than that.
SELECT_START: Final = """
SELECT era, txid::text FROM events
 WHERE partner_id = %(partner_id)s AND id >= %(first_id)s
 ORDER BY id LIMIT 1
"""

# Whatever is written from now on, or is being written, lies behind this place.
SELECT_END: Final = "SELECT current_event_era(), pg_snapshot_xmin(pg_current_snapshot())::text"

# Every order once, at its newest event: whoever changes while a reader pages comes again behind it.
SELECT_ORDER_STATES: Final = f"""
SELECT event.id, event.era, event.txid::text, event.order_id, event.payload -> 'order' ->> 'status',
       event.order_sequence, event.created_at
  FROM events AS event
 WHERE event.partner_id = %(partner_id)s AND event.order_id IS NOT NULL AND event.created_at >= %(since)s
   AND {_BEHIND} AND {_SETTLED}
   AND NOT EXISTS (SELECT FROM events AS later
                    WHERE later.order_id = event.order_id AND later.order_sequence > event.order_sequence)
 ORDER BY event.era, event.txid, event.id LIMIT %(limit)s
"""

DELETE_OLD_EVENTS: Final = """
DELETE FROM events WHERE (partner_id, id) IN (
  SELECT partner_id, id FROM events
   WHERE partner_id = %(partner_id)s AND id < %(first_id)s
   ORDER BY id LIMIT %(limit)s)
"""


async def insert_events(tx: Tx, columns: Sequence[Sequence[Any]]) -> None:
    """Write events given by column: id, partner, order, sequence, type, payload, moment."""
    ids, partners, orders, sequences, types, payloads, moments = columns
    await tx.connection.execute(
        INSERT_EVENTS,
        (
            arrays.texts(ids),
            arrays.texts(partners),
            arrays.texts(orders),
            arrays.optional_ints(sequences),
            arrays.texts(types),
            arrays.jsons(payloads),
            arrays.moments(moments),
        ),
    )


async def insert_deliveries(tx: Tx, columns: Sequence[Sequence[Any]]) -> None:
    """Write deliveries given by column: id, event, partner, order, sequence, on_clock, moment."""
    ids, events, partners, orders, sequences, on_clock, moments = columns
    await tx.connection.execute(
        INSERT_DELIVERIES,
        (
            arrays.texts(ids),
            arrays.texts(events),
            arrays.texts(partners),
            arrays.texts(orders),
            arrays.optional_ints(sequences),
            arrays.booleans(on_clock),
            arrays.moments(moments),
        ),
    )


async def select_feed(
    tx: ReadTx, partner_id: str, wanted: FeedFilter, after: FeedKey, *, limit: int, looks: int
) -> tuple[list[Event], FeedKey, bool]:
    """Return events behind *after*, oldest first, the last place looked at, and whether there is more to look at.

    Args:
        looks: How many events a filter looks at.
    """
    filtered = wanted.type is not None or wanted.undelivered
    looks = looks if filtered else limit + 1
    params = _params(partner_id, after) | {
        "type": wanted.type,
        "undelivered": wanted.undelivered,
        "order_id": wanted.order_id,
        "limit": limit,
        "looks": looks,
    }
    if wanted.order_id is not None:
        events = [_event(row) for row in await tx.tuples(SELECT_FEED_OF_ORDER, params)]
        return events, events[-1].key if events else after, len(events) == limit
    rows = await tx.tuples(SELECT_FEED, params)
    if not rows:
        return [], after, False
    events = [_event(row[:8]) for row in rows if row[0] is not None]
    era, txid, id_, looked = rows[0][8:]
    if len(events) == limit:
        return events, events[-1].key, filtered or looked > limit
    return events, FeedKey(era, int(txid), id_), looked == looks


async def select_event(tx: ReadTx, partner_id: str, event_id: str) -> Event | None:
    """Return the partner's event, or None."""
    rows = await tx.tuples(SELECT_EVENT, {"partner_id": partner_id, "id": event_id})
    return _event(rows[0]) if rows else None


async def select_start(tx: ReadTx, partner_id: str, at: datetime) -> FeedKey | None:
    """Return a place of the feed that lies before every event of *at* and later; None when there is none."""
    rows = await tx.tuples(SELECT_START, {"partner_id": partner_id, "first_id": first_id_at(at)})
    return FeedKey(rows[0][0], int(rows[0][1]), "") if rows else None


async def select_end(tx: ReadTx) -> FeedKey:
    """Return the place behind which the feed goes on from now."""
    ((era, txid),) = await tx.tuples(SELECT_END, {})
    return FeedKey(era, int(txid), "")


async def select_order_states(
    tx: ReadTx, partner_id: str, since: datetime, after: FeedKey, limit: int
) -> list[OrderState]:
    """Return where orders changed since *since* stand, behind *after*."""
    params = _params(partner_id, after) | {"since": since, "limit": limit}
    return [
        OrderState(FeedKey(era, int(txid), id_), order_id, status or "", sequence, at)
        for id_, era, txid, order_id, status, sequence, at in await tx.tuples(SELECT_ORDER_STATES, params)
    ]


async def delete_old_events(tx: Tx, partner_id: str, before: datetime, limit: int) -> int:
    """Remove up to *limit* of the partner's events of before *before*; return how many."""
    return await tx.execute(DELETE_OLD_EVENTS, partner_id=partner_id, first_id=first_id_at(before), limit=limit)


def _params(partner_id: str, after: FeedKey) -> dict[str, object]:
    return {"partner_id": partner_id, "era": after.era, "txid": str(after.txid), "after": after.id}


def _event(row: Sequence[Any]) -> Event:
    id_, era, txid, type_, order_id, sequence, payload, created_at = row
    return Event(FeedKey(era, int(txid), id_), type_, order_id, sequence, payload, created_at)
