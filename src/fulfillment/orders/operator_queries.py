"""SQL over orders for the warehouse, which works on all partners' orders at once.

Row-level security opens these statements to transactions of all tenants only.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from fulfillment.infra.db import ReadTx, Tx
from fulfillment.kernel.pages import Direction, PageRequest
from fulfillment.orders.domain import Order
from fulfillment.orders.queries import order_of

_COLUMNS: Final = """
id, partner_id, status, sequence, days_supply, shipping_method, customer::text, document::text, warnings::text,
holds::text, fulfillment::text, shipments::text, release_at, created_at, updated_at, protocol_id
"""

SELECT_ORDERS: Final = f"SELECT {_COLUMNS} FROM orders WHERE id = ANY (%(ids)s) ORDER BY id"
LOCK_ORDERS: Final = f"{SELECT_ORDERS} FOR UPDATE"
LOCK_FREE_ORDERS: Final = f"{SELECT_ORDERS} FOR UPDATE SKIP LOCKED"

_MATCHES: Final = """
       (%(partner_id)s::text IS NULL OR partner_id = %(partner_id)s)
   AND (%(status)s::text IS NULL OR status = %(status)s)
   AND (%(held)s::boolean IS NULL OR (holds IS NOT NULL) = %(held)s)
   AND (%(due_at)s::timestamptz IS NULL
        OR (status = 'CREATED' AND holds IS NULL AND (release_at IS NULL OR release_at <= %(due_at)s)))
"""
SELECT_PAGE_NEXT: Final = f"""
SELECT {_COLUMNS} FROM orders
 WHERE id < %(after)s AND {_MATCHES}
 ORDER BY id DESC LIMIT %(limit)s
"""
SELECT_PAGE_PREVIOUS: Final = f"""
SELECT {_COLUMNS} FROM orders
 WHERE id > %(after)s AND {_MATCHES}
 ORDER BY id LIMIT %(limit)s
"""

# A partner with a test clock lives at another time than the others.
SELECT_DUE: Final = """
SELECT orders.id
  FROM orders
  LEFT JOIN unnest(%(clocked)s::text[], %(times)s::timestamptz[]) AS clock (partner_id, at)
    ON clock.partner_id = orders.partner_id
 WHERE status = 'CREATED' AND holds IS NULL AND release_at IS NOT NULL
   AND release_at <= coalesce(clock.at, %(at)s)
 ORDER BY release_at LIMIT %(limit)s
"""

# Released by hand: what has no cut-off is due whenever somebody asks.
SELECT_RELEASABLE: Final = """
SELECT orders.id
  FROM orders
  LEFT JOIN unnest(%(clocked)s::text[], %(times)s::timestamptz[]) AS clock (partner_id, at)
    ON clock.partner_id = orders.partner_id
 WHERE status = 'CREATED' AND holds IS NULL
   AND (release_at IS NULL OR release_at <= coalesce(clock.at, %(at)s))
   AND (%(partner_id)s::text IS NULL OR orders.partner_id = %(partner_id)s)
 ORDER BY orders.id LIMIT %(limit)s
"""

SELECT_CUTOFFS: Final = """
SELECT id, release_at
  FROM orders
 WHERE partner_id = %(partner_id)s AND status = 'CREATED' AND holds IS NULL AND release_at IS NOT NULL
 ORDER BY release_at, id LIMIT %(limit)s
"""


@dataclass(frozen=True, slots=True)
class Filter:
    """What a list of all partners' orders is narrowed to; None: not at all."""

    partner_id: str | None = None
    status: str | None = None
    held: bool | None = None
    due_at: datetime | None = None  # only what may be released at this moment


async def select_orders(tx: ReadTx, ids: Iterable[str]) -> list[Order]:
    """Return the orders that exist of *ids*, by id."""
    return [order_of(row) for row in await tx.all(SELECT_ORDERS, ids=list(ids))]


async def lock_orders(tx: Tx, ids: Iterable[str]) -> list[Order]:
    """Return the orders that exist of *ids*, by id, locked until *tx* ends."""
    return [order_of(row) for row in await tx.all(LOCK_ORDERS, ids=list(ids))]


async def lock_free_orders(tx: Tx, ids: Iterable[str]) -> list[Order]:
    """Return those of *ids* that nobody else has locked, locked until *tx* ends."""
    return [order_of(row) for row in await tx.all(LOCK_FREE_ORDERS, ids=list(ids))]


async def select_page(tx: ReadTx, wanted: Filter, request: PageRequest) -> list[Order]:
    """Return one order more than the page's limit, in reading order."""
    forward = request.direction is Direction.NEXT
    # "~" sorts behind, "" before every id in collation "C": the list's two ends.
    after = request.after[0] if request.after else ("~" if forward else "")
    rows = await tx.all(
        SELECT_PAGE_NEXT if forward else SELECT_PAGE_PREVIOUS,
        after=after,
        limit=request.limit + 1,
        partner_id=wanted.partner_id,
        status=wanted.status,
        held=wanted.held,
        due_at=wanted.due_at,
    )
    return [order_of(row) for row in rows]


async def select_due(tx: ReadTx, at: datetime, clocks: Sequence[tuple[str, datetime]], limit: int) -> list[str]:
    """Return the ids of orders past their cut-off, the longest first.

    Args:
        clocks: (partner id, its present) of the partners with a test clock.
    """
    rows = await tx.tuples(SELECT_DUE, {"at": at, "limit": limit, **_clocks(clocks)})
    return [row[0] for row in rows]


async def select_releasable(
    tx: ReadTx, at: datetime, clocks: Sequence[tuple[str, datetime]], partner_id: str | None, limit: int
) -> list[str]:
    """Return the ids of orders that may be released now by hand, oldest first."""
    rows = await tx.tuples(SELECT_RELEASABLE, {"at": at, "limit": limit, "partner_id": partner_id, **_clocks(clocks)})
    return [row[0] for row in rows]


async def select_cutoffs(tx: ReadTx, partner_id: str, limit: int) -> list[tuple[str, datetime]]:
    """Return the partner's orders that wait for their cut-off, with it, the earliest first."""
    rows = await tx.tuples(SELECT_CUTOFFS, {"partner_id": partner_id, "limit": limit})
    return [(order_id, release_at) for order_id, release_at in rows]


def _clocks(clocks: Sequence[tuple[str, datetime]]) -> dict[str, object]:
    return {"clocked": [partner_id for partner_id, _ in clocks], "times": [at for _, at in clocks]}
