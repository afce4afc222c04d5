"""SQL over events and webhook_deliveries that joins the transaction of a change."""

from collections.abc import Sequence
from typing import Any, Final

from fulfillment.infra import arrays
from fulfillment.infra.db import Tx

INSERT_EVENTS: Final = """
INSERT INTO events (id, partner_id, order_id, order_sequence, type, payload, created_at)
SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::int[], %s::text[], %s::json[], %s::timestamptz[])
"""

# A receiver that is switched off gets no deliveries; the feed and a replay have what it missed.
INSERT_DELIVERIES: Final = """
INSERT INTO webhook_deliveries (id, event_id, partner_id, order_id, order_sequence, due_at, on_clock, created_at)
SELECT new.id, new.event_id, new.partner_id, new.order_id, new.order_sequence, new.at, new.on_clock, new.at
  FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::int[], %s::boolean[], %s::timestamptz[])
       AS new (id, event_id, partner_id, order_id, order_sequence, on_clock, at)
 WHERE NOT EXISTS (SELECT FROM webhook_endpoints AS endpoint
                    WHERE endpoint.partner_id = new.partner_id AND endpoint.status = 'DISABLED')
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
