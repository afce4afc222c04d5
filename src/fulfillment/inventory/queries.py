"""SQL over lots, inventory_movements and reservations. Lots are locked in the order of their ids, everywhere."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Final

from fulfillment.infra import arrays
from fulfillment.infra.db import Database, ReadTx, Row, Tx
from fulfillment.inventory.allocation import LotView
from fulfillment.inventory.domain import (
    Difference,
    Lot,
    LotState,
    Movement,
    MovementKind,
    Reservation,
    ReservationState,
)
from fulfillment.kernel.pages import Direction, PageRequest

_LOT: Final = """
id, product_id, lot_number, expiry, supplier, location, state, received, on_hand, reserved, received_at, updated_at
"""

SELECT_AVAILABLE: Final = """
SELECT product_id, sum(on_hand - reserved)::bigint
  FROM lots
 WHERE product_id = ANY (%(product_ids)s::bigint[]) AND state = 'APPROVED'
   AND (expiry IS NULL OR expiry >= %(required_expiry)s)
 GROUP BY product_id
"""

SELECT_FREE_LOTS: Final = """
SELECT id, product_id, lot_number, expiry, received_at, on_hand - reserved
  FROM lots
 WHERE product_id = ANY (%(product_ids)s::bigint[]) AND state = 'APPROVED' AND on_hand > reserved
 ORDER BY id
"""

# NO KEY: the ledger's lines refer to their lot, and writing one must not wait for whoever holds the lot.
LOCK_LOTS: Final = """
SELECT id, product_id, lot_number, expiry, received_at, on_hand - reserved
  FROM lots
 WHERE product_id = ANY (%(product_ids)s::bigint[]) AND state = 'APPROVED' AND on_hand > reserved
 ORDER BY id
   FOR NO KEY UPDATE
"""

LOCK_LOTS_BY_ID: Final = "SELECT id FROM lots WHERE id = ANY (%(ids)s) ORDER BY id FOR NO KEY UPDATE"

LOCK_LOTS_OF_ORDER: Final = """
SELECT id FROM lots
 WHERE id IN (SELECT lot_id FROM reservations WHERE order_id = %(order_id)s AND state = 'OPEN')
 ORDER BY id
   FOR NO KEY UPDATE
"""

RESERVE_LOTS: Final = """
UPDATE lots
   SET reserved = lots.reserved + taken.quantity
  FROM (SELECT lot_id, sum(quantity)::int AS quantity
          FROM unnest(%(lot_ids)s::text[], %(quantities)s::int[]) AS pick (lot_id, quantity)
         GROUP BY lot_id) AS taken
 WHERE lots.id = taken.lot_id
"""

INSERT_RESERVATIONS: Final = """
INSERT INTO reservations (order_id, product_id, lot_id, quantity)
SELECT * FROM unnest(%(order_ids)s::text[], %(product_ids)s::bigint[], %(lot_ids)s::text[], %(quantities)s::int[])
"""

RELEASE_RESERVATIONS: Final = """
WITH released AS (
  UPDATE reservations SET state = 'RELEASED'
   WHERE order_id = %(order_id)s AND state = 'OPEN'
  RETURNING order_id, product_id, lot_id, quantity, state
), given_back AS (
  UPDATE lots
     SET reserved = lots.reserved - given.quantity, updated_at = %(at)s
    FROM (SELECT lot_id, sum(quantity)::int AS quantity FROM released GROUP BY lot_id) AS given
   WHERE lots.id = given.lot_id
)
SELECT order_id, product_id, lot_id, quantity, state FROM released ORDER BY lot_id, product_id
"""

CONSUME_RESERVATIONS: Final = """
WITH consumed AS (
  UPDATE reservations SET state = 'CONSUMED'
   WHERE order_id = %(order_id)s AND state = 'OPEN'
  RETURNING order_id, product_id, lot_id, quantity, state
), taken AS (
  UPDATE lots
     SET on_hand = lots.on_hand - gone.quantity, reserved = lots.reserved - gone.quantity, updated_at = %(at)s,
         state = CASE WHEN lots.on_hand = gone.quantity AND lots.state = 'APPROVED' THEN 'DEPLETED' ELSE lots.state END
    FROM (SELECT lot_id, sum(quantity)::int AS quantity FROM consumed GROUP BY lot_id) AS gone
   WHERE lots.id = gone.lot_id
)
SELECT order_id, product_id, lot_id, quantity, state FROM consumed ORDER BY lot_id, product_id
"""

# Every lot that a new pick may touch, in one statement, so that lots are locked in the order of their ids: those the
# orders have something of, those named, and those of the products that something can be taken from.
LOCK_LOTS_TO_REPICK: Final = f"""
SELECT {_LOT} FROM lots
 WHERE id = ANY (ARRAY(
         SELECT lot_id FROM reservations WHERE order_id = ANY (%(order_ids)s) AND state IN ('OPEN', 'CONSUMED')
          UNION
         SELECT unnest(%(lot_ids)s::text[])
          UNION
         SELECT id FROM lots
          WHERE product_id = ANY (%(product_ids)s::bigint[]) AND state = 'APPROVED' AND on_hand > reserved))
 ORDER BY id
   FOR NO KEY UPDATE
"""

RELEASE_RESERVATIONS_OF_PRODUCTS: Final = """
WITH released AS (
  UPDATE reservations SET state = 'RELEASED'
    FROM unnest(%(order_ids)s::text[], %(product_ids)s::bigint[]) AS given (order_id, product_id)
   WHERE reservations.order_id = given.order_id AND reservations.product_id = given.product_id
     AND reservations.state = 'OPEN'
  RETURNING reservations.lot_id, reservations.quantity
)
UPDATE lots
   SET reserved = lots.reserved - given_back.quantity, updated_at = %(at)s
  FROM (SELECT lot_id, sum(quantity)::int AS quantity FROM released GROUP BY lot_id) AS given_back
 WHERE lots.id = given_back.lot_id
"""

# An order may come back to a lot that it had given back before.
REINSERT_RESERVATIONS: Final = """
INSERT INTO reservations (order_id, product_id, lot_id, quantity)
SELECT * FROM unnest(%(order_ids)s::text[], %(product_ids)s::bigint[], %(lot_ids)s::text[], %(quantities)s::int[])
    ON CONFLICT (order_id, product_id, lot_id) DO UPDATE SET quantity = excluded.quantity, state = 'OPEN'
     WHERE reservations.state IN ('RELEASED', 'REPLACED')
"""

REPLACE_CONSUMED: Final = """
UPDATE reservations SET state = 'REPLACED'
 WHERE order_id = %(order_id)s AND lot_id = ANY (%(lot_ids)s) AND state = 'CONSUMED'
RETURNING order_id, product_id, lot_id, quantity, state
"""

TAKE_FROM_LOTS: Final = """
UPDATE lots
   SET on_hand = lots.on_hand - taken.quantity, updated_at = %(at)s,
       state = CASE WHEN lots.on_hand = taken.quantity AND lots.state = 'APPROVED' THEN 'DEPLETED' ELSE lots.state END
  FROM (SELECT lot_id, sum(quantity)::int AS quantity
          FROM unnest(%(lot_ids)s::text[], %(quantities)s::int[]) AS pick (lot_id, quantity)
         GROUP BY lot_id) AS taken
 WHERE lots.id = taken.lot_id
"""

INSERT_CONSUMED: Final = """
INSERT INTO reservations (order_id, product_id, lot_id, quantity, state)
SELECT order_id, product_id, lot_id, quantity, 'CONSUMED'
  FROM unnest(%(order_ids)s::text[], %(product_ids)s::bigint[], %(lot_ids)s::text[], %(quantities)s::int[])
    AS new (order_id, product_id, lot_id, quantity)
    ON CONFLICT (order_id, product_id, lot_id) DO UPDATE
       SET quantity = excluded.quantity
                      + CASE WHEN reservations.state = 'CONSUMED' THEN reservations.quantity ELSE 0 END,
           state = 'CONSUMED'
"""

LOCK_ENDED_LOTS: Final = f"""
SELECT {_LOT} FROM lots
 WHERE (state IN ('APPROVED', 'QUARANTINED', 'ON_HOLD') AND expiry < %(today)s) OR (state = 'APPROVED' AND on_hand = 0)
 ORDER BY id
   FOR NO KEY UPDATE
"""

SELECT_LOTS_BY_NUMBER: Final = f"SELECT {_LOT} FROM lots WHERE lot_number = ANY (%(numbers)s) ORDER BY id"

SELECT_MOVEMENTS_NEXT: Final = """
SELECT id, lot_id, kind, quantity, order_id, reason, actor, created_at
  FROM inventory_movements
 WHERE lot_id = %(lot_id)s AND id < %(after)s
 ORDER BY id DESC LIMIT %(limit)s
"""
SELECT_MOVEMENTS_PREVIOUS: Final = """
SELECT id, lot_id, kind, quantity, order_id, reason, actor, created_at
  FROM inventory_movements
 WHERE lot_id = %(lot_id)s AND id > %(after)s
 ORDER BY id LIMIT %(limit)s
"""

SELECT_RESERVATIONS_OF_ORDERS: Final = """
SELECT order_id, product_id, lot_id, quantity, state
  FROM reservations
 WHERE order_id = ANY (%(order_ids)s)
 ORDER BY order_id, product_id, lot_id
"""

SELECT_RESERVATIONS_OF_LOT: Final = """
SELECT order_id, product_id, lot_id, quantity, state
  FROM reservations
 WHERE lot_id = %(lot_id)s
 ORDER BY order_id, product_id
"""

SELECT_LOT: Final = f"SELECT {_LOT} FROM lots WHERE id = %(id)s"
LOCK_LOT: Final = SELECT_LOT + " FOR NO KEY UPDATE"
SELECT_LOTS: Final = f"SELECT {_LOT} FROM lots WHERE id = ANY (%(ids)s) ORDER BY id"

SELECT_LOTS_NEXT: Final = f"""
SELECT {_LOT} FROM lots
 WHERE id < %(after)s
   AND (%(product_id)s::bigint IS NULL OR product_id = %(product_id)s)
   AND (%(state)s::text IS NULL OR state = %(state)s)
 ORDER BY id DESC LIMIT %(limit)s
"""
SELECT_LOTS_PREVIOUS: Final = f"""
SELECT {_LOT} FROM lots
 WHERE id > %(after)s
   AND (%(product_id)s::bigint IS NULL OR product_id = %(product_id)s)
   AND (%(state)s::text IS NULL OR state = %(state)s)
 ORDER BY id LIMIT %(limit)s
"""

INSERT_LOT: Final = f"""
INSERT INTO lots (id, product_id, lot_number, expiry, supplier, location, state, received, on_hand, received_at,
                  updated_at)
VALUES (%(id)s, %(product_id)s, %(lot_number)s, %(expiry)s, %(supplier)s, %(location)s, %(state)s, %(quantity)s,
        %(quantity)s, %(at)s, %(at)s)
    ON CONFLICT ON CONSTRAINT lots_number_unique DO NOTHING
RETURNING {_LOT}
"""

UPDATE_LOT: Final = """
UPDATE lots SET state = %(state)s, on_hand = %(on_hand)s, updated_at = %(updated_at)s WHERE id = %(id)s
"""

INSERT_MOVEMENTS: Final = """
INSERT INTO inventory_movements (id, lot_id, kind, quantity, order_id, reason, actor, created_at)
SELECT id, lot_id, kind, quantity, order_id, reason, actor, created_at
  FROM unnest(%(ids)s::text[], %(lot_ids)s::text[], %(kinds)s::text[], %(quantities)s::int[], %(order_ids)s::text[],
              %(reasons)s::text[], %(actors)s::text[], %(created)s::timestamptz[])
    AS new (id, lot_id, kind, quantity, order_id, reason, actor, created_at)
"""

SELECT_MOVEMENTS: Final = """
SELECT id, lot_id, kind, quantity, order_id, reason, actor, created_at
  FROM inventory_movements
 WHERE lot_id = %(lot_id)s
 ORDER BY id
"""

_LEDGERS: Final = """
SELECT lots.id AS lot_id, lots.on_hand, coalesce(moved.quantity, 0)::bigint AS on_hand_by_ledger,
       lots.reserved, coalesce(held.quantity, 0)::bigint AS reserved_by_ledger
  FROM lots
"""
SELECT_DIFFERENCES: Final = f"""
{_LEDGERS}
  LEFT JOIN (SELECT lot_id, sum(quantity) AS quantity FROM inventory_movements GROUP BY lot_id) AS moved
    ON moved.lot_id = lots.id
  LEFT JOIN (SELECT lot_id, sum(quantity) AS quantity FROM reservations WHERE state = 'OPEN' GROUP BY lot_id) AS held
    ON held.lot_id = lots.id
 WHERE lots.on_hand <> coalesce(moved.quantity, 0) OR lots.reserved <> coalesce(held.quantity, 0)
 ORDER BY lots.id
"""
SELECT_DIFFERENCES_OF: Final = f"""
{_LEDGERS}
 CROSS JOIN LATERAL (SELECT sum(quantity) AS quantity FROM inventory_movements WHERE lot_id = lots.id) AS moved
 CROSS JOIN LATERAL (
       SELECT sum(quantity) AS quantity FROM reservations WHERE lot_id = lots.id AND state = 'OPEN') AS held
 WHERE lots.id = ANY (%(ids)s)
   AND (lots.on_hand <> coalesce(moved.quantity, 0) OR lots.reserved <> coalesce(held.quantity, 0))
 ORDER BY lots.id
"""

UPDATE_COUNTERS: Final = """
UPDATE lots SET on_hand = %(on_hand)s, reserved = %(reserved)s, updated_at = %(at)s WHERE id = %(id)s
"""


async def select_available(tx: ReadTx, product_ids: Iterable[int], required_expiry: date) -> dict[int, int]:
    """Return what is free of each product, in approved lots that last long enough; products without are absent."""
    return dict(await tx.tuples(SELECT_AVAILABLE, _asked(product_ids, required_expiry)))


async def read_available(db: Database, product_ids: Iterable[int], required_expiry: date) -> dict[int, int]:
    """Return the same in one round trip: lots belong to no tenant, and one statement needs no transaction."""
    async with db.connection() as conn:
        cursor = await conn.execute(SELECT_AVAILABLE, _asked(product_ids, required_expiry))
        return dict(await cursor.fetchall())


def _asked(product_ids: Iterable[int], required_expiry: date) -> dict[str, object]:
    return {"product_ids": arrays.bigints(list(product_ids)), "required_expiry": required_expiry}


async def select_free_lots(tx: ReadTx, product_ids: Iterable[int]) -> list[LotView]:
    """Return the approved lots with anything free, as they are at this moment."""
    rows = await tx.tuples(SELECT_FREE_LOTS, {"product_ids": arrays.bigints(list(product_ids))})
    return [LotView(*row) for row in rows]


async def lock_lots(tx: Tx, product_ids: Iterable[int]) -> list[LotView]:
    """Return the approved lots with anything free, locked until *tx* ends."""
    return [LotView(*row) for row in await tx.tuples(LOCK_LOTS, {"product_ids": arrays.bigints(list(product_ids))})]


async def lock_lots_by_id(tx: Tx, ids: Sequence[str]) -> None:
    """Lock lots until *tx* ends."""
    await tx.tuples(LOCK_LOTS_BY_ID, {"ids": list(ids)})


async def lock_lots_of_order(tx: Tx, order_id: str) -> None:
    """Lock the lots an order holds something of, until *tx* ends."""
    await tx.tuples(LOCK_LOTS_OF_ORDER, {"order_id": order_id})


async def insert_reservations(tx: Tx, picks: Sequence[tuple[str, int, str, int]]) -> None:
    """Write (order id, product id, lot id, quantity) and raise the lots' counters."""
    orders, products, lots, amounts = zip(*picks, strict=True)
    lot_ids, quantities = arrays.texts(lots), arrays.ints(amounts)
    await tx.execute(RESERVE_LOTS, lot_ids=lot_ids, quantities=quantities)
    await tx.execute(
        INSERT_RESERVATIONS,
        order_ids=arrays.texts(orders),
        product_ids=arrays.bigints(products),
        lot_ids=lot_ids,
        quantities=quantities,
    )


async def release_reservations(tx: Tx, order_id: str, at: datetime) -> list[Reservation]:
    """Give back what an order holds; its lots are locked."""
    rows = await tx.tuples(RELEASE_RESERVATIONS, {"order_id": order_id, "at": at})
    return [_reservation(*row) for row in rows]


async def consume_reservations(tx: Tx, order_id: str, at: datetime) -> list[Reservation]:
    """Take what an order holds out of its lots, which are locked."""
    rows = await tx.tuples(CONSUME_RESERVATIONS, {"order_id": order_id, "at": at})
    return [_reservation(*row) for row in rows]


async def lock_lots_to_repick(
    tx: Tx, order_ids: Sequence[str], product_ids: Sequence[int], lot_ids: Sequence[str]
) -> list[Lot]:
    """Return the lots that a new pick of orders may touch, locked until *tx* ends."""
    rows = await tx.all(LOCK_LOTS_TO_REPICK, order_ids=order_ids, product_ids=product_ids, lot_ids=lot_ids)
    return [_lot(row) for row in rows]


async def release_reservations_of_products(tx: Tx, pairs: Sequence[tuple[str, int]], at: datetime) -> None:
    """Give back what orders hold of products, (order id, product id); the lots are locked."""
    order_ids, product_ids = [order for order, _ in pairs], [product for _, product in pairs]
    await tx.execute(RELEASE_RESERVATIONS_OF_PRODUCTS, order_ids=order_ids, product_ids=product_ids, at=at)


async def reinsert_reservations(tx: Tx, picks: Sequence[tuple[str, int, str, int]]) -> None:
    """Write (order id, product id, lot id, quantity), also where the order had given the lot back before."""
    order_ids, product_ids, lot_ids, quantities = (list(column) for column in zip(*picks, strict=True))
    await tx.execute(RESERVE_LOTS, lot_ids=lot_ids, quantities=quantities)
    await tx.execute(
        REINSERT_RESERVATIONS, order_ids=order_ids, product_ids=product_ids, lot_ids=lot_ids, quantities=quantities
    )


async def replace_consumed(tx: Tx, order_id: str, lot_ids: Sequence[str]) -> list[Reservation]:
    """Mark what an order took of lots as thrown away, and return it."""
    rows = await tx.tuples(REPLACE_CONSUMED, {"order_id": order_id, "lot_ids": list(lot_ids)})
    return [_reservation(*row) for row in rows]


async def insert_consumed(tx: Tx, picks: Sequence[tuple[str, int, str, int]], at: datetime) -> None:
    """Take (order id, product id, lot id, quantity) out of lots, which are locked, at once."""
    order_ids, product_ids, lot_ids, quantities = (list(column) for column in zip(*picks, strict=True))
    await tx.execute(TAKE_FROM_LOTS, lot_ids=lot_ids, quantities=quantities, at=at)
    await tx.execute(
        INSERT_CONSUMED, order_ids=order_ids, product_ids=product_ids, lot_ids=lot_ids, quantities=quantities
    )


async def lock_ended_lots(tx: Tx, today: date) -> list[Lot]:
    """Return the lots that have expired or run out without their state saying so, locked."""
    return [_lot(row) for row in await tx.all(LOCK_ENDED_LOTS, today=today)]


async def select_lots_by_number(tx: ReadTx, numbers: Iterable[str]) -> list[Lot]:
    """Return the lots with one of the numbers; several products may share one."""
    return [_lot(row) for row in await tx.all(SELECT_LOTS_BY_NUMBER, numbers=list(numbers))]


async def select_movements_page(tx: ReadTx, lot_id: str, request: PageRequest) -> list[Movement]:
    """Return one line more than the page's limit of a lot's ledger, in reading order."""
    forward = request.direction is Direction.NEXT
    rows = await tx.tuples(
        SELECT_MOVEMENTS_NEXT if forward else SELECT_MOVEMENTS_PREVIOUS,
        {
            "lot_id": lot_id,
            "after": request.after[0] if request.after else ("~" if forward else ""),
            "limit": request.limit + 1,
        },
    )
    return [_movement(*row) for row in rows]


async def select_reservations_of_orders(tx: ReadTx, order_ids: Iterable[str]) -> list[Reservation]:
    """Return what orders hold or held, by order, product and lot."""
    rows = await tx.tuples(SELECT_RESERVATIONS_OF_ORDERS, {"order_ids": list(order_ids)})
    return [_reservation(*row) for row in rows]


async def select_reservations_of_lot(tx: ReadTx, lot_id: str) -> list[Reservation]:
    """Return what orders hold or held of a lot, by order and product."""
    return [_reservation(*row) for row in await tx.tuples(SELECT_RESERVATIONS_OF_LOT, {"lot_id": lot_id})]


async def select_lot(tx: ReadTx, lot_id: str) -> Lot | None:
    """Return a lot, or None."""
    row = await tx.one_or_none(SELECT_LOT, id=lot_id)
    return _lot(row) if row else None


async def lock_lot(tx: Tx, lot_id: str) -> Lot | None:
    """Return a lot, locked until *tx* ends, or None."""
    row = await tx.one_or_none(LOCK_LOT, id=lot_id)
    return _lot(row) if row else None


async def select_lots(tx: ReadTx, ids: Iterable[str]) -> list[Lot]:
    """Return the lots that exist of *ids*, by id."""
    return [_lot(row) for row in await tx.all(SELECT_LOTS, ids=list(ids))]


async def select_page(tx: ReadTx, product_id: int | None, state: LotState | None, request: PageRequest) -> list[Lot]:
    """Return one lot more than the page's limit, in reading order."""
    forward = request.direction is Direction.NEXT
    # "~" sorts behind, "" before every id in collation "C": the list's two ends.
    after = request.after[0] if request.after else ("~" if forward else "")
    rows = await tx.all(
        SELECT_LOTS_NEXT if forward else SELECT_LOTS_PREVIOUS,
        after=after,
        product_id=product_id,
        state=state,
        limit=request.limit + 1,
    )
    return [_lot(row) for row in rows]


async def insert_lot(tx: Tx, **values: object) -> Lot | None:
    """Write a lot and return it, or None where the product has one of this number."""
    row = await tx.one_or_none(INSERT_LOT, **values)
    return _lot(row) if row else None


async def update_lot(tx: Tx, lot: Lot) -> None:
    """Write what can change of a lot, its reservations aside."""
    await tx.execute(UPDATE_LOT, id=lot.id, state=lot.state, on_hand=lot.on_hand, updated_at=lot.updated_at)


async def insert_movements(tx: Tx, movements: Sequence[Movement]) -> None:
    """Write lines of the ledger."""
    await tx.execute(
        INSERT_MOVEMENTS,
        ids=[movement.id for movement in movements],
        lot_ids=[movement.lot_id for movement in movements],
        kinds=[movement.kind.value for movement in movements],
        quantities=[movement.quantity for movement in movements],
        order_ids=[movement.order_id for movement in movements],
        reasons=[movement.reason for movement in movements],
        actors=[movement.actor for movement in movements],
        created=[movement.created_at for movement in movements],
    )


async def select_movements(tx: ReadTx, lot_id: str) -> list[Movement]:
    """Return a lot's ledger, oldest first."""
    return [_movement(*row) for row in await tx.tuples(SELECT_MOVEMENTS, {"lot_id": lot_id})]


async def select_differences(tx: ReadTx) -> list[Difference]:
    """Return every lot whose counters are not what its ledger says."""
    return [Difference(**row) for row in await tx.all(SELECT_DIFFERENCES)]


async def select_differences_of(tx: ReadTx, ids: Sequence[str]) -> list[Difference]:
    """Return those of the lots *ids* whose counters are not what their ledger says."""
    return [Difference(**row) for row in await tx.all(SELECT_DIFFERENCES_OF, ids=list(ids))]


async def update_counters(tx: Tx, lot_id: str, on_hand: int, reserved: int, at: datetime) -> None:
    """Set a lot's counters."""
    await tx.execute(UPDATE_COUNTERS, id=lot_id, on_hand=on_hand, reserved=reserved, at=at)


def _lot(row: Row) -> Lot:
    row["state"] = LotState(row["state"])
    return Lot(**row)


def _reservation(order_id: str, product_id: int, lot_id: str, quantity: int, state: str) -> Reservation:
    return Reservation(order_id, product_id, lot_id, quantity, ReservationState(state))


def _movement(
    id_: str,
    lot_id: str,
    kind: str,
    quantity: int,
    order_id: str | None,
    reason: str | None,
    actor: str,
    created_at: datetime,
) -> Movement:
    return Movement(id_, lot_id, MovementKind(kind), quantity, order_id, reason, actor, created_at)
