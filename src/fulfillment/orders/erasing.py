"""Taking a customer out of orders: their rows, their holds, and the answers that idempotency keys replay."""

from collections.abc import Sequence
from typing import Any, Final

from fulfillment.infra import jsontext
from fulfillment.infra.db import Tx

SETTLED: Final = frozenset({"SHIPPED", "CANCELLED"})  # nothing is made or sent any more
GONE: Final = "erased"

LOCK_ORDERS_OF: Final = """
SELECT id, status FROM orders
 WHERE partner_id = %(partner_id)s AND customer_source_id = %(source_id)s
 ORDER BY id FOR UPDATE
"""

# Warnings quote the address, notes may say anything, checkpoints tell where the parcel went.
ERASE_ORDERS: Final = """
UPDATE orders
   SET customer = %(customer)s::json, customer_source_id = %(pseudonym)s, warnings = NULL, holds = NULL,
       content_key = NULL,
       fulfillment = CASE WHEN fulfillment IS NOT NULL
                          THEN (fulfillment::jsonb || '{"checkpoints": []}')::json END,
       shipments = CASE WHEN shipments IS NOT NULL THEN (
         SELECT json_agg(one || '{"checkpoints": []}') FROM jsonb_array_elements(shipments::jsonb) AS one) END
 WHERE partner_id = %(partner_id)s AND id = ANY (%(ids)s)
"""
ERASE_NOTES: Final = """
UPDATE holds SET note = '' WHERE partner_id = %(partner_id)s AND order_id = ANY (%(ids)s)
"""
LOCK_ANSWERS: Final = """
SELECT operation, key, body FROM idempotency_keys
 WHERE partner_id = %(partner_id)s AND order_id = ANY (%(ids)s)
 ORDER BY operation, key FOR UPDATE
"""
UPDATE_ANSWER: Final = """
UPDATE idempotency_keys SET body = %(body)s
 WHERE partner_id = %(partner_id)s AND operation = %(operation)s AND key = %(key)s
"""


async def lock_orders_of(tx: Tx, partner_id: str, source_id: str) -> list[tuple[str, str]]:
    """Return id and status of a customer's orders, locked until *tx* ends."""
    rows = await tx.all(LOCK_ORDERS_OF, partner_id=partner_id, source_id=source_id)
    return [(row["id"], row["status"]) for row in rows]


async def erase_orders(tx: Tx, partner_id: str, order_ids: Sequence[str], pseudonym: str) -> None:
    """Put *pseudonym* in the place of the customer in orders that are locked, and in the answers that are replayed."""
    customer = erased_customer(pseudonym)
    ids = list(order_ids)
    text = jsontext.write(customer).decode()
    await tx.execute(ERASE_ORDERS, partner_id=partner_id, ids=ids, pseudonym=pseudonym, customer=text)
    await tx.execute(ERASE_NOTES, partner_id=partner_id, ids=ids)
    # A key goes on guarding against a second order; its answer says what the order says now.
    for row in await tx.all(LOCK_ANSWERS, partner_id=partner_id, ids=ids):
        answer: dict[str, Any] = jsontext.read(bytes(row["body"]))
        body = jsontext.write(answer | {"customer": customer, "warnings": [], "holds": []})
        await tx.execute(UPDATE_ANSWER, partner_id=partner_id, operation=row["operation"], key=row["key"], body=body)


def erased_customer(pseudonym: str) -> dict[str, Any]:
    """Return the contract's Customer of whom nothing is known but a pseudonym."""
    address = {"line1": GONE, "line2": None, "city": GONE, "state": "XX", "zipCode": "00000"}
    return {
        "sourceId": pseudonym,
        "firstName": GONE,
        "lastName": GONE,
        "email": None,
        "phone": None,
        "address": address,
    }
