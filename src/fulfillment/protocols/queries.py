"""SQL over protocols. Every statement starts from the partner."""

from collections.abc import Sequence
from typing import Final, LiteralString

from psycopg.types.json import Jsonb

from fulfillment.infra.db import ReadTx, Row, Tx
from fulfillment.kernel.pages import Direction, PageRequest
from fulfillment.protocols.domain import Protocol, searchable_name, with_letters_swapped

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
DELETE_PROTOCOLS_OF: Final = """
DELETE FROM protocols WHERE partner_id = %(partner_id)s AND customer ->> 'sourceId' = %(source_id)s
"""
SELECT_PROTOCOL: Final = f"SELECT {_COLUMNS} FROM protocols WHERE partner_id = %(partner_id)s AND id = %(id)s"
LOCK_PROTOCOL: Final = SELECT_PROTOCOL + " FOR UPDATE"

# A name that holds every word of the search, each as the beginning of a word.
_NAMED: Final = "customer_name LIKE %(first)s AND ' ' || customer_name LIKE ALL (%(patterns)s)"
# Every word of the search is like some word of the name: "jon doe" finds John Doe, not John Smith. The first condition
# is the index's. 0.4 lets one typo in a short name through but not two letters that changed places, the commonest of
# all; these are tried by themselves.
_LIKE: Final = """
customer_name %%> %(search)s
AND (SELECT bool_and(word_similarity(word, customer_name) >= 0.4
                     OR string_to_array(swapped, ' ') && string_to_array(customer_name, ' '))
       FROM unnest(%(words)s::text[], %(swapped)s::text[]) AS asked (word, swapped))
"""
SET_THRESHOLD: Final = "SET LOCAL pg_trgm.word_similarity_threshold = 0.2"
SELECT_NAMED: Final = f"SELECT EXISTS (SELECT FROM protocols WHERE partner_id = %(partner_id)s AND {_NAMED}) AS found"
_NEXT: Final = f"SELECT {_COLUMNS} FROM protocols WHERE partner_id = %(partner_id)s AND id < %(after)s"
_PREVIOUS: Final = f"SELECT {_COLUMNS} FROM protocols WHERE partner_id = %(partner_id)s AND id > %(after)s"
_DOWN: Final = " ORDER BY id DESC LIMIT %(limit)s"
_UP: Final = " ORDER BY id LIMIT %(limit)s"
SELECT_NEXT: Final = _NEXT + _DOWN
SELECT_PREVIOUS: Final = _PREVIOUS + _UP
SELECT_NEXT_NAMED: Final = f"{_NEXT} AND {_NAMED} {_DOWN}"
SELECT_PREVIOUS_NAMED: Final = f"{_PREVIOUS} AND {_NAMED} {_UP}"
SELECT_NEXT_LIKE: Final = f"{_NEXT} AND {_LIKE} {_DOWN}"
SELECT_PREVIOUS_LIKE: Final = f"{_PREVIOUS} AND {_LIKE} {_UP}"


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


async def delete_protocols_of(tx: Tx, partner_id: str, source_id: str) -> int:
    """Remove a customer's protocols; return how many there were."""
    return await tx.execute(DELETE_PROTOCOLS_OF, partner_id=partner_id, source_id=source_id)


async def select_protocol(tx: ReadTx, partner_id: str, protocol_id: str) -> Protocol | None:
    """Return the partner's protocol, or None."""
    row = await tx.one_or_none(SELECT_PROTOCOL, partner_id=partner_id, id=protocol_id)
    return _protocol_of(row) if row else None


async def lock_protocol(tx: Tx, partner_id: str, protocol_id: str) -> Protocol | None:
    """Return the partner's protocol, locked until *tx* ends, or None."""
    row = await tx.one_or_none(LOCK_PROTOCOL, partner_id=partner_id, id=protocol_id)
    return _protocol_of(row) if row else None


async def select_page(tx: ReadTx, partner_id: str, request: PageRequest) -> list[Protocol]:
    """Return one row more than the page's limit, in reading order."""
    return await _page(tx, SELECT_NEXT, SELECT_PREVIOUS, partner_id, request)


async def select_page_of_name(
    tx: ReadTx, partner_id: str, words: Sequence[str], request: PageRequest
) -> list[Protocol]:
    """Return one row more than the page's limit of those whose customer is named so, or else nearly so."""
    patterns = [f"% {_literal(word)}%" for word in words]
    first = f"%{_literal(words[0])}%"
    if (await tx.one(SELECT_NAMED, partner_id=partner_id, first=first, patterns=patterns))["found"]:
        return await _page(
            tx, SELECT_NEXT_NAMED, SELECT_PREVIOUS_NAMED, partner_id, request, first=first, patterns=patterns
        )
    await tx.configure(SET_THRESHOLD)
    return await _page(
        tx,
        SELECT_NEXT_LIKE,
        SELECT_PREVIOUS_LIKE,
        partner_id,
        request,
        search=" ".join(words),
        words=list(words),
        swapped=[" ".join(with_letters_swapped(word)) for word in words],
    )


async def _page(
    tx: ReadTx,
    forward: LiteralString,
    backward: LiteralString,
    partner_id: str,
    request: PageRequest,
    **params: object,
) -> list[Protocol]:
    down = request.direction is Direction.NEXT
    after = request.after[0] if request.after else ("~" if down else "")
    rows = await tx.all(
        forward if down else backward, partner_id=partner_id, after=after, limit=request.limit + 1, **params
    )
    return [_protocol_of(row) for row in rows]


def _literal(word: str) -> str:
    return word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


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
