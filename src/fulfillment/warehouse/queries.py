"""SQL over batches, batch_orders, pack_confirmations, shipments, tracking_messages, and what is read of the audit log.

All of it runs in transactions of all tenants, or of the partner whose order it is.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from psycopg.types.json import Json

from fulfillment.infra.db import ReadTx, Row, Tx
from fulfillment.kernel.pages import Direction, PageRequest
from fulfillment.shipping.tracking import Checkpoint, TrackingStatus
from fulfillment.warehouse.domain import Batch, Shipment

_SHIPMENT: Final = """
id, order_id, partner_id, carrier, service, tracking_number, tracking_url, check_digit, simulated, tracking_status,
checkpoints, created_at, shipped_at, updated_at
"""

INSERT_BATCH: Final = "INSERT INTO batches (id, actor, created_at) VALUES (%(id)s, %(actor)s, %(at)s)"
DELETE_EMPTY_BATCH: Final = """
DELETE FROM batches WHERE id = %(id)s AND NOT EXISTS (SELECT FROM batch_orders WHERE batch_id = %(id)s)
"""
INSERT_BATCH_ORDER: Final = """
INSERT INTO batch_orders (order_id, batch_id, partner_id) VALUES (%(order_id)s, %(batch_id)s, %(partner_id)s)
    ON CONFLICT (order_id) DO NOTHING
"""
SELECT_BATCH: Final = "SELECT id, actor, created_at FROM batches WHERE id = %(id)s"
SELECT_BATCHES_NEXT: Final = """
SELECT id, actor, created_at FROM batches WHERE id < %(after)s ORDER BY id DESC LIMIT %(limit)s
"""
SELECT_BATCHES_PREVIOUS: Final = """
SELECT id, actor, created_at FROM batches WHERE id > %(after)s ORDER BY id LIMIT %(limit)s
"""
SELECT_BATCH_STATUSES: Final = """
SELECT batch_orders.batch_id, orders.status, count(*)
  FROM batch_orders JOIN orders ON orders.id = batch_orders.order_id
 WHERE batch_orders.batch_id = ANY (%(ids)s)
 GROUP BY batch_orders.batch_id, orders.status
"""
SELECT_BATCH_ORDERS: Final = "SELECT order_id FROM batch_orders WHERE batch_id = %(batch_id)s ORDER BY order_id"
SELECT_BATCH_ORDERS_AFTER: Final = """
SELECT order_id FROM batch_orders
 WHERE batch_id = %(batch_id)s AND order_id > %(after)s
 ORDER BY order_id LIMIT %(limit)s
"""
SELECT_BATCH_ORDERS_BEFORE: Final = """
SELECT order_id FROM batch_orders
 WHERE batch_id = %(batch_id)s AND order_id < %(after)s
 ORDER BY order_id DESC LIMIT %(limit)s
"""
SELECT_BATCHES_OF: Final = "SELECT order_id, batch_id FROM batch_orders WHERE order_id = ANY (%(order_ids)s)"
# Released one by one, by the clock or by hand, and not in a batch yet.
SELECT_UNBATCHED: Final = """
SELECT id FROM orders
 WHERE status = 'PROCESSING' AND NOT EXISTS (SELECT FROM batch_orders WHERE order_id = orders.id)
   AND (%(partner_id)s::text IS NULL OR partner_id = %(partner_id)s)
 ORDER BY id LIMIT %(limit)s
"""

INSERT_CONFIRMATIONS: Final = """
INSERT INTO pack_confirmations (order_id, pack_id, partner_id, actor, created_at)
SELECT %(order_id)s, pack_id, %(partner_id)s, %(actor)s, %(at)s FROM unnest(%(pack_ids)s::text[]) AS new (pack_id)
"""
SELECT_CONFIRMATIONS: Final = """
SELECT order_id, pack_id, actor FROM pack_confirmations WHERE order_id = ANY (%(order_ids)s)
"""
DELETE_CONFIRMATIONS: Final = "DELETE FROM pack_confirmations WHERE order_id = ANY (%(order_ids)s)"

INSERT_SHIPMENT: Final = f"""
INSERT INTO shipments ({_SHIPMENT})
VALUES (%(id)s, %(order_id)s, %(partner_id)s, %(carrier)s, %(service)s, %(tracking_number)s, %(tracking_url)s,
        %(check_digit)s, %(simulated)s, %(tracking_status)s, %(checkpoints)s, %(created_at)s, %(shipped_at)s,
        %(updated_at)s)
"""
UPDATE_SHIPMENT: Final = """
UPDATE shipments
   SET tracking_status = %(tracking_status)s, checkpoints = %(checkpoints)s, shipped_at = %(shipped_at)s,
       updated_at = %(updated_at)s
 WHERE id = %(id)s
"""
SELECT_SHIPMENTS: Final = (
    f"SELECT {_SHIPMENT} FROM shipments WHERE order_id = ANY (%(order_ids)s) ORDER BY order_id, id"
)
# Carriers use their numbers again after some months: the newest parcel is meant.
SELECT_ORDER_OF_NUMBER: Final = """
SELECT order_id FROM shipments WHERE tracking_number = %(number)s ORDER BY id DESC LIMIT 1
"""

INSERT_MESSAGE: Final = """
INSERT INTO tracking_messages (key, received_at) VALUES (%(key)s, %(at)s) ON CONFLICT (key) DO NOTHING
"""
DELETE_OLD_MESSAGES: Final = """
DELETE FROM tracking_messages WHERE ctid = ANY (ARRAY(
  SELECT ctid FROM tracking_messages WHERE received_at < %(before)s LIMIT 1000 FOR UPDATE SKIP LOCKED))
"""

_AUDIT: Final = "id, actor, action, object_type, object_id, before, after, request_id, created_at"
_AUDIT_MATCHES: Final = """
       (%(object_type)s::text IS NULL OR object_type = %(object_type)s)
   AND (%(object_id)s::text IS NULL OR object_id = %(object_id)s)
   AND (%(actor)s::text IS NULL OR actor = %(actor)s)
"""
SELECT_AUDIT_NEXT: Final = f"""
SELECT {_AUDIT} FROM audit_log WHERE id < %(after)s AND {_AUDIT_MATCHES} ORDER BY id DESC LIMIT %(limit)s
"""
SELECT_AUDIT_PREVIOUS: Final = f"""
SELECT {_AUDIT} FROM audit_log WHERE id > %(after)s AND {_AUDIT_MATCHES} ORDER BY id LIMIT %(limit)s
"""


def _after(request: PageRequest) -> str:
    # "~" sorts behind, "" before every id in collation "C": the list's two ends.
    return request.after[0] if request.after else ("~" if request.direction is Direction.NEXT else "")


async def insert_batch(tx: Tx, batch_id: str, actor: str, at: datetime) -> None:
    """Write a batch without orders."""
    await tx.execute(INSERT_BATCH, id=batch_id, actor=actor, at=at)


async def delete_empty_batch(tx: Tx, batch_id: str) -> None:
    """Remove a batch that got no orders."""
    await tx.execute(DELETE_EMPTY_BATCH, id=batch_id)


async def insert_batch_order(tx: Tx, order_id: str, batch_id: str, partner_id: str) -> bool:
    """Put an order into a batch; return whether it was in none."""
    return bool(await tx.execute(INSERT_BATCH_ORDER, order_id=order_id, batch_id=batch_id, partner_id=partner_id))


async def select_batch(tx: ReadTx, batch_id: str) -> Batch | None:
    """Return a batch, or None."""
    row = await tx.one_or_none(SELECT_BATCH, id=batch_id)
    return (await _with_statuses(tx, [row]))[0] if row else None


async def select_batches(tx: ReadTx, request: PageRequest) -> list[Batch]:
    """Return one batch more than the page's limit, in reading order."""
    statement = SELECT_BATCHES_NEXT if request.direction is Direction.NEXT else SELECT_BATCHES_PREVIOUS
    return await _with_statuses(tx, await tx.all(statement, after=_after(request), limit=request.limit + 1))


async def _with_statuses(tx: ReadTx, rows: Sequence[Row]) -> list[Batch]:
    counted: dict[str, dict[str, int]] = {row["id"]: {} for row in rows}
    for batch_id, status, count in await tx.tuples(SELECT_BATCH_STATUSES, {"ids": list(counted)}):
        counted[batch_id][status] = count
    return [Batch(row["id"], row["actor"], row["created_at"], counted[row["id"]]) for row in rows]


async def select_batch_orders(tx: ReadTx, batch_id: str) -> list[str]:
    """Return the ids of a batch's orders."""
    return [row[0] for row in await tx.tuples(SELECT_BATCH_ORDERS, {"batch_id": batch_id})]


async def select_batch_orders_page(tx: ReadTx, batch_id: str, request: PageRequest) -> list[str]:
    """Return one order id more than the page's limit; the list begins with the smallest id."""
    forward = request.direction is Direction.NEXT
    after = request.after[0] if request.after else ("" if forward else "~")
    rows = await tx.tuples(
        SELECT_BATCH_ORDERS_AFTER if forward else SELECT_BATCH_ORDERS_BEFORE,
        {"batch_id": batch_id, "after": after, "limit": request.limit + 1},
    )
    return [row[0] for row in rows]


async def select_batches_of(tx: ReadTx, order_ids: Iterable[str]) -> dict[str, str]:
    """Return the batch of each order that is in one."""
    return dict(await tx.tuples(SELECT_BATCHES_OF, {"order_ids": list(order_ids)}))


async def select_unbatched(tx: ReadTx, partner_id: str | None, limit: int) -> list[str]:
    """Return the ids of released orders that are in no batch."""
    return [row[0] for row in await tx.tuples(SELECT_UNBATCHED, {"partner_id": partner_id, "limit": limit})]


async def insert_confirmations(
    tx: Tx, order_id: str, partner_id: str, pack_ids: Sequence[str], actor: str, at: datetime
) -> None:
    """Note that *actor* checked packs of an order, which is locked."""
    await tx.execute(
        INSERT_CONFIRMATIONS,
        order_id=order_id,
        partner_id=partner_id,
        pack_ids=list(pack_ids),
        actor=actor,
        at=at,
    )


async def select_confirmations(tx: ReadTx, order_ids: Iterable[str]) -> dict[str, dict[str, str]]:
    """Return who checked which pack, by order and pack."""
    found: dict[str, dict[str, str]] = {}
    for order_id, pack_id, actor in await tx.tuples(SELECT_CONFIRMATIONS, {"order_ids": list(order_ids)}):
        found.setdefault(order_id, {})[pack_id] = actor
    return found


async def delete_confirmations(tx: Tx, order_ids: Iterable[str]) -> None:
    """Forget that packs were checked: they are made anew."""
    await tx.execute(DELETE_CONFIRMATIONS, order_ids=list(order_ids))


async def insert_shipment(tx: Tx, shipment: Shipment) -> None:
    """Write a parcel."""
    await tx.execute(INSERT_SHIPMENT, **_columns(shipment))


async def update_shipment(tx: Tx, shipment: Shipment) -> None:
    """Write what can change of a parcel."""
    await tx.execute(
        UPDATE_SHIPMENT,
        id=shipment.id,
        tracking_status=shipment.tracking_status.value,
        checkpoints=Json([_stored(checkpoint) for checkpoint in shipment.checkpoints]),
        shipped_at=shipment.shipped_at,
        updated_at=shipment.updated_at,
    )


async def select_shipments(tx: ReadTx, order_ids: Iterable[str]) -> dict[str, list[Shipment]]:
    """Return the parcels of orders, the first first; orders without are absent."""
    found: dict[str, list[Shipment]] = {}
    for row in await tx.all(SELECT_SHIPMENTS, order_ids=list(order_ids)):
        found.setdefault(row["order_id"], []).append(_shipment(row))
    return found


async def select_order_of_number(tx: ReadTx, number: str) -> str | None:
    """Return the order whose parcel has the tracking number, the newest where several have it."""
    row = await tx.one_or_none(SELECT_ORDER_OF_NUMBER, number=number)
    return row["order_id"] if row else None


async def insert_message(tx: Tx, key: str, at: datetime) -> bool:
    """Note a carrier's message; return False for one that came before."""
    return bool(await tx.execute(INSERT_MESSAGE, key=key, at=at))


async def delete_old_messages(tx: Tx, before: datetime) -> int:
    """Forget up to a thousand old messages; return how many."""
    return await tx.execute(DELETE_OLD_MESSAGES, before=before)


async def select_audit(
    tx: ReadTx, object_type: str | None, object_id: str | None, actor: str | None, request: PageRequest
) -> Sequence[Mapping[str, Any]]:
    """Return one entry more than the page's limit of the audit log, in reading order."""
    return await tx.all(
        SELECT_AUDIT_NEXT if request.direction is Direction.NEXT else SELECT_AUDIT_PREVIOUS,
        object_type=object_type,
        object_id=object_id,
        actor=actor,
        after=_after(request),
        limit=request.limit + 1,
    )


def _columns(shipment: Shipment) -> dict[str, object]:
    return {
        "id": shipment.id,
        "order_id": shipment.order_id,
        "partner_id": shipment.partner_id,
        "carrier": shipment.carrier,
        "service": shipment.service,
        "tracking_number": shipment.tracking_number,
        "tracking_url": shipment.tracking_url,
        "check_digit": shipment.check_digit,
        "simulated": shipment.simulated,
        "tracking_status": shipment.tracking_status.value,
        "checkpoints": Json([_stored(checkpoint) for checkpoint in shipment.checkpoints]),
        "created_at": shipment.created_at,
        "shipped_at": shipment.shipped_at,
        "updated_at": shipment.updated_at,
    }


def _shipment(row: Row) -> Shipment:
    row["tracking_status"] = TrackingStatus(row["tracking_status"])
    row["checkpoints"] = tuple(_checkpoint(stored) for stored in row["checkpoints"])
    return Shipment(**row)


def _stored(checkpoint: Checkpoint) -> dict[str, object]:
    return {
        "at": checkpoint.checkpoint_time.isoformat() if checkpoint.checkpoint_time else None,
        "raw": checkpoint.raw_time,
        "zoned": checkpoint.time_is_zoned,
        "location": checkpoint.location,
        "message": checkpoint.message,
        "tag": checkpoint.tag.value,
        "subtag": checkpoint.subtag,
        "index": checkpoint.index,
        "received": checkpoint.received_at.isoformat(),
    }


def _checkpoint(stored: Mapping[str, Any]) -> Checkpoint:
    return Checkpoint(
        checkpoint_time=datetime.fromisoformat(stored["at"]) if stored["at"] else None,
        raw_time=stored["raw"],
        time_is_zoned=stored["zoned"],
        location=stored["location"],
        message=stored["message"],
        tag=TrackingStatus(stored["tag"]),
        subtag=stored["subtag"],
        index=stored["index"],
        received_at=datetime.fromisoformat(stored["received"]),
    )
