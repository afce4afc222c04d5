"""SQL over orders, holds and idempotency_keys. Every statement that reads an order starts from its partner."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from fulfillment.infra import arrays
from fulfillment.infra.db import Database, ReadTx, Row, Tx
from fulfillment.kernel.pages import Direction, PageRequest
from fulfillment.orders.domain import Order, OrderStatus

_COLUMNS: Final = """
id, partner_id, status, sequence, days_supply, shipping_method, customer::text, document::text, warnings::text,
holds::text, fulfillment::text, shipments::text, release_at, created_at, updated_at, protocol_id
"""

SELECT_ORDER: Final = f"SELECT {_COLUMNS} FROM orders WHERE partner_id = %(partner_id)s AND id = %(id)s"
LOCK_ORDER: Final = SELECT_ORDER + " FOR UPDATE"

# The warehouse's way in: any partner's order. Row-level security opens it to transactions of all tenants only.
SELECT_ANY_ORDER: Final = f"SELECT {_COLUMNS} FROM orders WHERE id = %(id)s"
LOCK_ANY_ORDER: Final = SELECT_ANY_ORDER + " FOR UPDATE"

SELECT_ANY_ORDERS: Final = f"""
SELECT {_COLUMNS} FROM orders
 WHERE (%(partner_id)s::text IS NULL OR partner_id = %(partner_id)s)
   AND (%(status)s::text IS NULL OR status = %(status)s)
 ORDER BY id DESC LIMIT %(limit)s
"""

SELECT_NEXT: Final = f"""
SELECT {_COLUMNS} FROM orders
 WHERE partner_id = %(partner_id)s AND id < %(after)s
 ORDER BY id DESC LIMIT %(limit)s
"""
SELECT_PREVIOUS: Final = f"""
SELECT {_COLUMNS} FROM orders
 WHERE partner_id = %(partner_id)s AND id > %(after)s
 ORDER BY id LIMIT %(limit)s
"""
SELECT_NEXT_OF_STATUS: Final = f"""
SELECT {_COLUMNS} FROM orders
 WHERE partner_id = %(partner_id)s AND status = %(status)s AND id < %(after)s
 ORDER BY id DESC LIMIT %(limit)s
"""
SELECT_PREVIOUS_OF_STATUS: Final = f"""
SELECT {_COLUMNS} FROM orders
 WHERE partner_id = %(partner_id)s AND status = %(status)s AND id > %(after)s
 ORDER BY id LIMIT %(limit)s
"""

# The hot reads: one statement that sets the tenant and reads (migration 6), for all who ask at the same moment.
READ_ORDERS: Final = "SELECT * FROM read_orders(%s, %s)"
READ_PAGES: Final = "SELECT * FROM read_order_pages(%s, %s, %s, %s)"

UPDATE_ORDER: Final = """
UPDATE orders
   SET status = %(status)s, sequence = %(sequence)s, holds = %(holds)s, fulfillment = %(fulfillment)s,
       shipments = %(shipments)s, release_at = %(release_at)s, updated_at = %(updated_at)s
 WHERE partner_id = %(partner_id)s AND id = %(id)s
"""

# A twin of the last two weeks: same partner, customer and content.
SELECT_LOOKALIKES: Final = """
SELECT DISTINCT ON (content_key) content_key, id, created_at
  FROM orders
 WHERE content_key = ANY(%s::bigint[]) AND status <> 'CANCELLED' AND created_at > %s
 ORDER BY content_key, created_at DESC
"""

SELECT_KEYS: Final = """
SELECT stored.partner_id, stored.operation, stored.key, stored.fingerprint, stored.status, stored.body,
       stored.created_at
  FROM unnest(%s::text[], %s::text[], %s::text[]) AS asked (partner_id, operation, key)
  JOIN idempotency_keys AS stored USING (partner_id, operation, key)
"""

DELETE_OLD_KEYS: Final = """
DELETE FROM idempotency_keys WHERE ctid = ANY (ARRAY(
  SELECT ctid FROM idempotency_keys
   WHERE created_at < %(before)s AND partner_id <> ALL (%(kept)s::text[])
   LIMIT 1000 FOR UPDATE SKIP LOCKED))
"""

INSERT_HOLD: Final = """
INSERT INTO holds (id, order_id, partner_id, code, note, actor, created_at)
VALUES (%(id)s, %(order_id)s, %(partner_id)s, %(code)s, %(note)s, %(actor)s, %(created_at)s)
"""

SELECT_OPEN_HOLDS: Final = """
SELECT id, code, note, actor, created_at FROM holds
 WHERE partner_id = %(partner_id)s AND order_id = %(order_id)s AND released_at IS NULL
 ORDER BY id
"""

UPDATE_HOLD_RELEASED: Final = """
UPDATE holds SET released_at = %(at)s, released_by = %(actor)s
 WHERE partner_id = %(partner_id)s AND order_id = %(order_id)s AND id = %(id)s AND released_at IS NULL
"""


_STATUSES: Final = {status.value: status for status in OrderStatus}  # OrderStatus(text) takes ten times as long


def order_of(row: Row) -> Order:
    """Return the order of a row."""
    return Order(
        id=row["id"],
        partner_id=row["partner_id"],
        status=OrderStatus(row["status"]),
        sequence=row["sequence"],
        days_supply=row["days_supply"],
        shipping_method=row["shipping_method"],
        customer=row["customer"],
        document=row["document"],
        warnings=row["warnings"],
        holds=row["holds"],
        fulfillment=row["fulfillment"],
        shipments=row["shipments"],
        release_at=row["release_at"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        protocol_id=row["protocol_id"],
    )


async def select_order(tx: ReadTx, partner_id: str, order_id: str) -> Order | None:
    """Return the partner's order, or None."""
    row = await tx.one_or_none(SELECT_ORDER, partner_id=partner_id, id=order_id)
    return order_of(row) if row else None


async def read_orders(db: Database, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Order]:
    """Return the orders of (partner, id) pairs, in one round trip; an absent one is left out."""
    partners, ids = zip(*keys, strict=True)
    async with db.connection() as conn:
        cursor = await conn.execute(READ_ORDERS, (arrays.texts(partners), arrays.texts(ids)))
        return {(row[0], row[1]): _order_of_tuple(row) for row in await cursor.fetchall()}


class Newest(NamedTuple):
    """The newest orders of a partner before an id."""

    mark: str  # changes whenever one of them does, and when one comes or goes
    orders: list[Order] | None  # newest first; None: as they were when the mark was the one that the reader knew


PageKey = tuple[str, str, int, str | None]  # partner, the id they are before, how many, the mark that is known


async def read_pages(db: Database, keys: Sequence[PageKey]) -> dict[PageKey, Newest]:
    """Return the newest orders for each key, in one round trip."""
    partners, befores, limits, known = zip(*keys, strict=True)
    columns = (arrays.texts(partners), arrays.texts(befores), arrays.ints(limits), arrays.texts(known))
    found: dict[PageKey, Newest] = {}
    async with db.connection() as conn:
        rows = await (await conn.execute(READ_PAGES, columns)).fetchall()
    for place, mark, *order in rows:
        key = keys[place - 1]
        page = found.get(key)
        if page is None:
            page = found[key] = Newest(mark, None if mark == key[3] else [])
        if page.orders is not None and order[0] is not None:
            page.orders.append(_order_of_tuple(order))
    return found


def _order_of_tuple(row: Sequence[Any]) -> Order:
    return Order(row[1], row[0], _STATUSES[row[2]], *row[3:])


async def lock_order(tx: Tx, partner_id: str, order_id: str) -> Order | None:
    """Return the partner's order, locked until *tx* ends, or None."""
    row = await tx.one_or_none(LOCK_ORDER, partner_id=partner_id, id=order_id)
    return order_of(row) if row else None


async def select_any_order(tx: ReadTx, order_id: str) -> Order | None:
    """Return any partner's order, or None."""
    row = await tx.one_or_none(SELECT_ANY_ORDER, id=order_id)
    return order_of(row) if row else None


async def lock_any_order(tx: Tx, order_id: str) -> Order | None:
    """Return any partner's order, locked until *tx* ends, or None."""
    row = await tx.one_or_none(LOCK_ANY_ORDER, id=order_id)
    return order_of(row) if row else None


async def select_any_orders(tx: ReadTx, partner_id: str | None, status: str | None, limit: int) -> list[Order]:
    """Return the newest orders of all partners, or of one."""
    rows = await tx.all(SELECT_ANY_ORDERS, partner_id=partner_id, status=status, limit=limit)
    return [order_of(row) for row in rows]


async def select_page(tx: ReadTx, partner_id: str, status: str | None, request: PageRequest) -> list[Order]:
    """Return one row more than the page's limit, in reading order."""
    forward = request.direction is Direction.NEXT
    # "~" sorts behind, "" before every id in collation "C": the list's two ends.
    after = request.after[0] if request.after else ("~" if forward else "")
    if status is None:
        statement = SELECT_NEXT if forward else SELECT_PREVIOUS
        rows = await tx.all(statement, partner_id=partner_id, after=after, limit=request.limit + 1)
    else:
        statement = SELECT_NEXT_OF_STATUS if forward else SELECT_PREVIOUS_OF_STATUS
        rows = await tx.all(statement, partner_id=partner_id, status=status, after=after, limit=request.limit + 1)
    return [order_of(row) for row in rows]


async def select_keys(tx: ReadTx, identities: Sequence[tuple[str, str, str]]) -> dict[tuple[str, ...], tuple[Any, ...]]:
    """Return fingerprint, status, body and moment of the keys that are stored, by partner, operation and key."""
    rows = await tx.tuples(SELECT_KEYS, [arrays.texts(column) for column in zip(*identities, strict=True)])
    return {tuple(row[:3]): tuple(row[3:]) for row in rows}


async def select_lookalike(tx: ReadTx, content_key: int, since: datetime) -> tuple[str, datetime] | None:
    """Return the id and the moment of the newest order since *since* with this content, or None."""
    rows = await tx.tuples(SELECT_LOOKALIKES, [arrays.bigints([content_key]), since])
    return (rows[0][1], rows[0][2]) if rows else None


async def update_order(tx: Tx, order: Order) -> None:
    """Write what can change of an order."""
    await tx.execute(
        UPDATE_ORDER,
        partner_id=order.partner_id,
        id=order.id,
        status=order.status.value,
        sequence=order.sequence,
        holds=order.holds,
        fulfillment=order.fulfillment,
        shipments=order.shipments,
        release_at=order.release_at,
        updated_at=order.updated_at,
    )


async def delete_old_keys(tx: Tx, before: datetime, kept: Sequence[str]) -> int:
    """Remove up to a thousand expired keys, but none of the partners *kept*; return how many."""
    return await tx.execute(DELETE_OLD_KEYS, before=before, kept=list(kept))


async def insert_hold(tx: Tx, **values: object) -> None:
    """Write a hold."""
    await tx.execute(INSERT_HOLD, **values)


async def select_open_holds(tx: ReadTx, partner_id: str, order_id: str) -> Sequence[dict[str, Any]]:
    """Return an order's open holds, oldest first."""
    return await tx.all(SELECT_OPEN_HOLDS, partner_id=partner_id, order_id=order_id)


async def update_hold_released(tx: Tx, *, partner_id: str, order_id: str, id: str, actor: str, at: datetime) -> int:
    """Mark an open hold as released; return 0 when there is none."""
    return await tx.execute(UPDATE_HOLD_RELEASED, partner_id=partner_id, order_id=order_id, id=id, actor=actor, at=at)
