"""SQL over protocols. Every statement starts from the partner."""

from typing import Final

from psycopg.types.json import Jsonb

from fulfillment.infra.db import ReadTx, Row, Tx
from fulfillment.kernel.pages import Direction, PageRequest
from fulfillment.protocols.domain import Protocol, searchable_name

_COLUMNS: Final = (
    "id, partner_id, customer, days_supply, order_type, shipping_method, line_items, created_at, updated_at"
)

INSERT_PROTOCOL: Final = """
INSERT INTO protocols (id, partner_id, customer, customer_name, days_supply, order_type, shipping_method, line_items,
                       created_at, updated_at)
VALUES (%(id)s, %(partner_id)s, %(customer)s, %(customer_name)s, %(days_supply)s, %(order_type)s, %(shipping_method)s,
        %(line_items)s, %(created_at)s, %(updated_at)s)
"""
UPDATE_PROTOCOL: Final = """
UPDATE protocols
   SET customer = %(customer)s, customer_name = %(customer_name)s, days_supply = %(days_supply)s,
       order_type = %(order_type)s, shipping_method = %(shipping_method)s, line_items = %(line_items)s,
       updated_at = %(updated_at)s
 WHERE partner_id = %(partner_id)s AND id = %(id)s
"""
DELETE_PROTOCOL: Final = "DELETE FROM protocols WHERE partner_id = %(partner_id)s AND id = %(id)s"
SELECT_PROTOCOL: Final = f"SELECT {_COLUMNS} FROM protocols WHERE partner_id = %(partner_id)s AND id = %(id)s"
LOCK_PROTOCOL: Final = SELECT_PROTOCOL + " FOR UPDATE"

# Every word of the search is like some word of the name: "jon doe" finds John Doe, not John Smith. The first condition
# is the index's; 0.3 lets one typo in a short name through, 0.4 is asked of each word.
_LIKE: Final = """
 AND (%(search)s::text IS NULL OR (
      customer_name %%> %(search)s
      AND (SELECT bool_and(word_similarity(word, customer_name) >= 0.4)
             FROM unnest(string_to_array(%(search)s, ' ')) AS word)))
"""
SET_THRESHOLD: Final = "SET LOCAL pg_trgm.word_similarity_threshold = 0.3"
SELECT_NEXT: Final = f"""
SELECT {_COLUMNS} FROM protocols WHERE partner_id = %(partner_id)s AND id < %(after)s {_LIKE}
 ORDER BY id DESC LIMIT %(limit)s
"""
SELECT_PREVIOUS: Final = f"""
SELECT {_COLUMNS} FROM protocols WHERE partner_id = %(partner_id)s AND id > %(after)s {_LIKE}
 ORDER BY id LIMIT %(limit)s
"""


def _protocol_of(row: Row) -> Protocol:
    return Protocol(
        id=row["id"],
        partner_id=row["partner_id"],
        customer=row["customer"],
        days_supply=row["days_supply"],
        order_type=row["order_type"],
        shipping_method=row["shipping_method"],
        line_items=row["line_items"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


async def insert_protocol(tx: Tx, protocol: Protocol) -> None:
    """Write a new protocol."""
    await tx.execute(INSERT_PROTOCOL, created_at=protocol.created_at, **_values(protocol))


async def update_protocol(tx: Tx, protocol: Protocol) -> None:
    """Write all that can change of a protocol."""
    await tx.execute(UPDATE_PROTOCOL, **_values(protocol))


async def delete_protocol(tx: Tx, partner_id: str, protocol_id: str) -> int:
    """Remove a protocol; return 0 when there is none."""
    return await tx.execute(DELETE_PROTOCOL, partner_id=partner_id, id=protocol_id)


async def select_protocol(tx: ReadTx, partner_id: str, protocol_id: str) -> Protocol | None:
    """Return the partner's protocol, or None."""
    row = await tx.one_or_none(SELECT_PROTOCOL, partner_id=partner_id, id=protocol_id)
    return _protocol_of(row) if row else None


async def lock_protocol(tx: Tx, partner_id: str, protocol_id: str) -> Protocol | None:
    """Return the partner's protocol, locked until *tx* ends, or None."""
    row = await tx.one_or_none(LOCK_PROTOCOL, partner_id=partner_id, id=protocol_id)
    return _protocol_of(row) if row else None


async def select_page(tx: ReadTx, partner_id: str, search: str | None, request: PageRequest) -> list[Protocol]:
    """Return one row more than the page's limit, in reading order."""
    forward = request.direction is Direction.NEXT
    after = request.after[0] if request.after else ("~" if forward else "")
    if search is not None:
        await tx.configure(SET_THRESHOLD)
    rows = await tx.all(
        SELECT_NEXT if forward else SELECT_PREVIOUS,
        partner_id=partner_id,
        after=after,
        search=search,
        limit=request.limit + 1,
    )
    return [_protocol_of(row) for row in rows]


def _values(protocol: Protocol) -> dict[str, object]:
    return {
        "id": protocol.id,
        "partner_id": protocol.partner_id,
        "customer": Jsonb(protocol.customer),
        "customer_name": searchable_name(protocol.customer),
        "days_supply": protocol.days_supply,
        "order_type": protocol.order_type,
        "shipping_method": protocol.shipping_method,
        "line_items": Jsonb(protocol.line_items),
        "updated_at": protocol.updated_at,
    }
