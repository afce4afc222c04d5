"""What `/metrics` shows of events and deliveries."""

from collections.abc import Mapping
from typing import Final

from fulfillment.infra.db import ReadTx
from fulfillment.infra.metrics import Labels

# Ages are of what we could send: not of partners without a receiver, or with one that is switched off, nor of those
# with a test clock, whose deliveries are due at a time of their own.
MEASURE_DELIVERIES: Final = """
SELECT count(*)::float8 AS pending,
       coalesce(extract(epoch FROM now() - min(delivery.due_at)
         FILTER (WHERE delivery.due_at <= now() AND ours.sendable)), 0)::float8 AS queue_age,
       coalesce(extract(epoch FROM now() - min(delivery.created_at) FILTER (WHERE ours.sendable)), 0)::float8 AS lag
  FROM webhook_deliveries AS delivery
  LEFT JOIN partners AS partner ON partner.id = delivery.partner_id
  LEFT JOIN webhook_endpoints AS endpoint ON endpoint.partner_id = delivery.partner_id
 CROSS JOIN LATERAL (
       SELECT NOT delivery.on_clock AND partner.webhook_url IS NOT NULL
              AND coalesce(endpoint.status, 'ENABLED') = 'ENABLED' AS sendable) AS ours
 WHERE delivery.status = 'PENDING'
"""
MEASURE_EVENTS: Final = """
SELECT extract(epoch FROM now() - max(newest.created_at))::float8 AS age
  FROM partners
 CROSS JOIN LATERAL (
       SELECT created_at FROM events WHERE events.partner_id = partners.id
        ORDER BY era DESC, txid DESC, id DESC LIMIT 1) AS newest
"""
COUNT_DISABLED: Final = "SELECT count(*)::float8 AS amount FROM webhook_endpoints WHERE status = 'DISABLED'"


async def delivery_gauges(tx: ReadTx) -> Mapping[tuple[str, Labels], float]:
    """Return how far the deliveries are behind the events."""
    deliveries = await tx.one(MEASURE_DELIVERIES)
    events = await tx.one(MEASURE_EVENTS)
    gauges: dict[tuple[str, Labels], float] = {
        ("fulfillment_deliveries_pending", ()): deliveries["pending"],
        ("fulfillment_delivery_queue_age_seconds", ()): max(0.0, deliveries["queue_age"]),
        ("fulfillment_delivery_lag_seconds", ()): max(0.0, deliveries["lag"]),
        ("fulfillment_webhook_endpoints_disabled", ()): (await tx.one(COUNT_DISABLED))["amount"],
    }
    if events["age"] is not None:
        gauges["fulfillment_event_age_seconds", ()] = max(0.0, events["age"])
    return gauges
