"""Announcing: an event and its delivery, written in the transaction of the change they tell of."""

from collections.abc import Sequence

from fulfillment.infra.db import Tx
from fulfillment.kernel.ids import new_id
from fulfillment.webhooks import queries
from fulfillment.webhooks.domain import NewEvent


async def announce(tx: Tx, events: Sequence[NewEvent]) -> None:
    """Write *events*, and a delivery for each whose partner has a receiver that is switched on."""
    if not events:
        return
    await queries.insert_events(
        tx,
        [
            [event.id for event in events],
            [event.partner_id for event in events],
            [event.order_id for event in events],
            [event.order_sequence for event in events],
            [event.type for event in events],
            [event.payload for event in events],
            [event.created_at for event in events],
        ],
    )
    sent = [event for event in events if event.deliver]
    if sent:
        await queries.insert_deliveries(
            tx,
            [
                [new_id(event.created_at) for event in sent],
                [event.id for event in sent],
                [event.partner_id for event in sent],
                [event.order_id for event in sent],
                [event.order_sequence for event in sent],
                [event.on_clock for event in sent],
                [event.created_at for event in sent],
            ],
        )
