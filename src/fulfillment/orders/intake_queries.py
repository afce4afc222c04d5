"""The intake's statements: a batch in one round trip, and, where anything is special, the two of the careful way.

They reach over rooms (lots, reservations, events, deliveries) so that a transaction of many orders is two statements
and not a dozen: what a driver spends on a statement is what a small batch pays (docs/decisions/0011). Whoever changes
a table of theirs finds them by its name; the rooms' own functions do the same for every other caller.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final, NamedTuple

import psycopg

from fulfillment.infra import arrays
from fulfillment.infra.db import Database, Tx
from fulfillment.orders.idempotency import Claim
from fulfillment.webhooks.domain import NewEvent

Identity = tuple[str, str, str]  # of a key: partner, operation, key
Pick = tuple[str, int, str, int]  # order, product, lot, amount

_VERSION: Final = 1
_KEY: Final = 2
_LOOKALIKE: Final = 3

# Sent before the lots are locked: who makes the same content at this moment, in one go or step by step, may take other
# lots, and would be met nowhere. In the order of the keys, so that no two wait for each other.
LOCK_CONTENTS: Final = "SELECT pg_advisory_xact_lock(content_key) FROM unnest(%s::bigint[]) AS content_key"

# Sent after the lots are locked: what is read after the wait for all these locks is as true as they are.
LOOK: Final = """
SELECT 1, name, NULL::text, NULL::text, version, NULL::timestamptz, NULL::bytea, NULL::bytea FROM cache_versions
UNION ALL
SELECT 2, stored.partner_id, stored.operation, stored.key, stored.status, stored.created_at, stored.fingerprint,
       stored.body
  FROM unnest(%s::text[], %s::text[], %s::text[]) AS asked (partner_id, operation, key)
  JOIN idempotency_keys AS stored USING (partner_id, operation, key)
UNION ALL
SELECT 3, twin.id, NULL, NULL, asked.content_key, twin.created_at, NULL, NULL
  FROM unnest(%s::bigint[]) AS asked (content_key)
 CROSS JOIN LATERAL (
       -- The newest one only: somebody may send the same content thousands of times.
       SELECT id, created_at FROM orders
        WHERE orders.content_key = asked.content_key AND status <> 'CANCELLED' AND created_at > %s
        ORDER BY created_at DESC LIMIT 1) AS twin
"""

# A key that has expired makes room; a living one is a twin that was faster, and is missing in the count.
WRITE: Final = """
WITH taken AS (
  UPDATE lots SET reserved = lots.reserved + pick.quantity
    FROM (SELECT lot_id, sum(quantity)::int AS quantity
            FROM unnest(%s::text[], %s::int[]) AS each (lot_id, quantity) GROUP BY lot_id) AS pick
   WHERE lots.id = pick.lot_id
), reserved AS (
  INSERT INTO reservations (order_id, product_id, lot_id, quantity)
  SELECT * FROM unnest(%s::text[], %s::bigint[], %s::text[], %s::int[])
), made AS (
  INSERT INTO orders (id, partner_id, sequence, days_supply, shipping_method, protocol_id, customer_source_id, customer,
                      document, warnings, holds, content_key, release_at, created_at, updated_at)
  SELECT id, partner_id, sequence, days_supply, shipping_method, protocol_id, customer_source_id, customer,
         document, warnings, holds, content_key, release_at, at, at
    FROM unnest(%s::text[], %s::text[], %s::int[], %s::smallint[], %s::text[], %s::text[], %s::text[], %s::json[],
                %s::json[], %s::json[], %s::json[], %s::bigint[], %s::timestamptz[], %s::timestamptz[])
      AS new (id, partner_id, sequence, days_supply, shipping_method, protocol_id, customer_source_id, customer,
              document, warnings, holds, content_key, release_at, at)
), told AS (
  INSERT INTO events (id, partner_id, order_id, order_sequence, type, payload, created_at)
  SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::int[], %s::text[], %s::json[], %s::timestamptz[])
), due AS (
  INSERT INTO webhook_deliveries (id, event_id, partner_id, order_id, order_sequence, due_at, on_clock, created_at)
  SELECT id, event_id, partner_id, order_id, order_sequence, at, on_clock, at
    FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::int[], %s::boolean[], %s::timestamptz[])
      AS new (id, event_id, partner_id, order_id, order_sequence, on_clock, at)
), kept AS (
  INSERT INTO idempotency_keys (partner_id, operation, key, fingerprint, status, body, order_id, created_at)
  SELECT partner_id, operation, key, fingerprint, 201, body, order_id, at
    FROM unnest(%s::text[], %s::text[], %s::text[], %s::bytea[], %s::bytea[], %s::text[], %s::timestamptz[])
      AS new (partner_id, operation, key, fingerprint, body, order_id, at)
   ORDER BY partner_id, operation, key
      ON CONFLICT (partner_id, operation, key) DO UPDATE
         SET fingerprint = excluded.fingerprint, status = excluded.status, body = excluded.body,
             order_id = excluded.order_id, created_at = excluded.created_at
       WHERE idempotency_keys.created_at <= excluded.created_at - %s::interval
  RETURNING 1
)
SELECT count(*) FROM kept
"""


# The function is in migrations/20261123000012; it answers, or raises, what stood in the way, or answers "accepted".
ACCEPT: Final = "SELECT accept_batch(" + ", ".join(("%s",) * 29) + ")"
ACCEPTED: Final = "accepted"
STALE: Final = "stale"
LOOKALIKE: Final = "lookalike"
TAKEN: Final = "taken"  # others, or these orders together, want more of a lot than it has
REFUSED: Final = "refused"


@dataclass(frozen=True, slots=True)
class Seen:
    """What a batch has to know beside its lots."""

    versions: dict[str, int]  # of what processes keep in memory, by name
    stored: dict[Identity, tuple[Any, ...]]  # fingerprint, status, body, moment: of keys that were used
    lookalikes: dict[int, tuple[str, datetime]]  # the newest order with a content, by its hash


class PlainOrder(NamedTuple):
    """An order of which nothing is special, complete but for its lots: what the statement wants of it, by column."""

    id: str
    partner_id: str
    days_supply: int
    shipping_method: str
    protocol_id: str | None
    customer_source_id: str
    customer: str  # json text, as the two below
    document: str
    warnings: str | None
    content_key: int
    release_at: datetime | None
    created_at: datetime
    event_id: str
    payload: str  # of the event, json text
    delivery_id: str | None  # None: the partner has no receiver
    on_clock: bool
    operation: str | None  # with the three below: of its key, where it has one
    key: str | None
    fingerprint: bytes | None
    body: bytes | None


async def accept(
    db: Database,
    tenants: Iterable[str],
    versions: tuple[int, int, int],
    since: datetime,
    demands: Sequence[tuple[str, int, int, date]],
    orders: Sequence[PlainOrder],
) -> str:
    """Create *orders* in a transaction of their own, or nothing; return ACCEPTED or what was in the way.

    In the way is whatever the careful way must decide: changed versions (STALE), a key that is used, a look-alike, a
    product that no single lot covers, a lot that all of them together would oversell, a key that another process took
    in this moment.

    Args:
        versions: Of the catalogue, the partners and the shipping methods the orders were prepared with.
        since: A look-alike made after it is in the way.
        demands: Order, product, amount, and the least expiry of its lot.

    Raises:
        DatabaseUnavailable: The detail says whether it may have been done.
    """
    params = (
        ",".join(tenants),
        *versions,
        since,
        *(write(column) for write, column in zip(_DEMAND_COLUMNS, zip(*demands, strict=True), strict=True)),
        *(write(column) for write, column in zip(_PLAIN_COLUMNS, zip(*orders, strict=True), strict=True)),
    )
    try:
        return (await db.run(ACCEPT, params))[0][0]
    except psycopg.errors.RaiseException as error:
        return error.diag.message_primary or REFUSED
    except psycopg.errors.IntegrityError:
        return REFUSED


_DEMAND_COLUMNS: Final[Sequence[Callable[[Any], arrays.Array]]] = (
    *(arrays.texts, arrays.bigints, arrays.ints, arrays.dates),
)
_PLAIN_COLUMNS: Final[Sequence[Callable[[Any], arrays.Array]]] = (
    *(arrays.texts, arrays.texts, arrays.smallints, arrays.texts, arrays.texts, arrays.texts),
    *(arrays.jsons, arrays.jsons, arrays.jsons, arrays.bigints, arrays.moments, arrays.moments),
    *(arrays.texts, arrays.jsons, arrays.texts, arrays.booleans),
    *(arrays.texts, arrays.texts, arrays.bytes_, arrays.bytes_),
)


async def lock_contents(tx: Tx, content_keys: Iterable[int]) -> None:
    """Wait until nobody else is making an order of one of these contents, and keep others from it until the end."""
    await tx.tuples(LOCK_CONTENTS, (arrays.bigints(sorted(set(content_keys))),))


async def look(tx: Tx, claims: Sequence[Identity], content_keys: Sequence[int], since: datetime) -> Seen:
    """Return the versions of what is remembered, the answers of used keys, and the look-alikes *since*."""
    partners, operations, keys = zip(*claims, strict=True) if claims else ((), (), ())
    seen = Seen({}, {}, {})
    params = (
        arrays.texts(partners),
        arrays.texts(operations),
        arrays.texts(keys),
        arrays.bigints(content_keys),
        since,
    )
    for kind, a, b, c, number, at, fingerprint, body in await tx.tuples(LOOK, params):
        if kind == _VERSION:
            seen.versions[a] = number
        elif kind == _KEY:
            seen.stored[(a, b, c)] = (fingerprint, number, body, at)
        elif number not in seen.lookalikes or seen.lookalikes[number][1] < at:
            seen.lookalikes[number] = (a, at)
    return seen


async def write(
    tx: Tx,
    *,
    picks: Sequence[Pick],
    orders: Sequence[tuple[Any, ...]],
    events: Sequence[NewEvent],
    deliveries: Sequence[tuple[str, NewEvent]],
    keys: Sequence[tuple[Claim, bytes, str, datetime]],
    retention: timedelta,
) -> int:
    """Write a batch of orders with all that belongs to them, and return how many of its keys were free.

    Args:
        picks: What the orders take of the lots, which are locked.
        orders: Rows in the order of the statement's columns.
        deliveries: An id and the event it delivers.
        keys: A claim, its answer, its order, its moment.
        retention: How long a key holds.
    """
    order_ids, products, lots, amounts = zip(*picks, strict=True)
    lot_ids, quantities = arrays.texts(lots), arrays.ints(amounts)
    params = (
        *(lot_ids, quantities),
        *(arrays.texts(order_ids), arrays.bigints(products), lot_ids, quantities),
        *_order_columns(orders),
        *_event_columns(events),
        *_delivery_columns(deliveries),
        *_key_columns(keys),
        retention,
    )
    return (await tx.tuples(WRITE, params))[0][0]


def _order_columns(rows: Sequence[tuple[Any, ...]]) -> tuple[arrays.Array, ...]:
    ids, partners, sequences, days, methods, protocols, customer_ids, *rest = zip(*rows, strict=True)
    customers, documents, warnings, holds, content_keys, release_moments, moments = rest
    return (
        arrays.texts(ids),
        arrays.texts(partners),
        arrays.ints(sequences),
        arrays.smallints(days),
        arrays.texts(methods),
        arrays.texts(protocols),
        arrays.texts(customer_ids),
        arrays.jsons(customers),
        arrays.jsons(documents),
        arrays.jsons(warnings),
        arrays.jsons(holds),
        arrays.bigints(content_keys),
        arrays.moments(release_moments),
        arrays.moments(moments),
    )


def _event_columns(events: Sequence[NewEvent]) -> tuple[arrays.Array, ...]:
    return (
        arrays.texts([event.id for event in events]),
        arrays.texts([event.partner_id for event in events]),
        arrays.texts([event.order_id for event in events]),
        arrays.optional_ints([event.order_sequence for event in events]),
        arrays.texts([event.type for event in events]),
        arrays.jsons([event.payload for event in events]),
        arrays.moments([event.created_at for event in events]),
    )


def _delivery_columns(deliveries: Sequence[tuple[str, NewEvent]]) -> tuple[arrays.Array, ...]:
    events = [event for _, event in deliveries]
    return (
        arrays.texts([id_ for id_, _ in deliveries]),
        arrays.texts([event.id for event in events]),
        arrays.texts([event.partner_id for event in events]),
        arrays.texts([event.order_id for event in events]),
        arrays.optional_ints([event.order_sequence for event in events]),
        arrays.booleans([event.on_clock for event in events]),
        arrays.moments([event.created_at for event in events]),
    )


def _key_columns(keys: Sequence[tuple[Claim, bytes, str, datetime]]) -> tuple[arrays.Array, ...]:
    return (
        arrays.texts([claim.partner_id for claim, _, _, _ in keys]),
        arrays.texts([claim.operation for claim, _, _, _ in keys]),
        arrays.texts([claim.key for claim, _, _, _ in keys]),
        arrays.bytes_([claim.fingerprint for claim, _, _, _ in keys]),
        arrays.bytes_([body for _, body, _, _ in keys]),
        arrays.texts([order_id for _, _, order_id, _ in keys]),
        arrays.moments([at for _, _, _, at in keys]),
    )
