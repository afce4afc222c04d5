"""What `/metrics` shows of orders."""

from collections.abc import Mapping
from typing import Final

from fulfillment.infra.db import ReadTx
from fulfillment.infra.env import Env
from fulfillment.infra.metrics import Histogram, Labels, Metrics, metrics_of
from fulfillment.orders.intake import intake_of

_BATCHES: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
_SETTLED_SECONDS: Final = 300.0

# By partner, so that the index (partner, status, id) is walked and no order is read. What is settled grows for ever and
# is counted rarely; what is in work is as much as the warehouse holds.
COUNT_ORDERS: Final = """
SELECT wanted.status, coalesce(sum(found.amount), 0)::float8 AS amount
  FROM unnest(%(statuses)s::text[]) AS wanted (status)
  LEFT JOIN partners AS partner ON true
  LEFT JOIN LATERAL (
       SELECT count(*) AS amount FROM orders
        WHERE orders.partner_id = partner.id AND orders.status = wanted.status) AS found ON true
 GROUP BY wanted.status
"""
COUNT_HELD: Final = """
SELECT count(DISTINCT order_id)::float8 AS amount FROM holds WHERE released_at IS NULL
"""
_OPEN: Final = ("CREATED", "PROCESSING", "FULFILLED", "AWAITING_SHIPMENT")
_SETTLED: Final = ("SHIPPED", "CANCELLED")


class OrderGauges:
    """Orders by status, asked of the database."""

    def __init__(self, env: Env) -> None:
        self._env = env
        self._settled: dict[tuple[str, Labels], float] = {}
        self._settled_at: float | None = None

    async def __call__(self, tx: ReadTx) -> Mapping[tuple[str, Labels], float]:
        """Return the gauges."""
        at = self._env.now().timestamp()
        if self._settled_at is None or at - self._settled_at > _SETTLED_SECONDS:
            self._settled, self._settled_at = await _count(tx, _SETTLED), at
        held = (await tx.one(COUNT_HELD))["amount"]
        return {**self._settled, **await _count(tx, _OPEN), ("fulfillment_orders_held", ()): held}


async def _count(tx: ReadTx, statuses: tuple[str, ...]) -> dict[tuple[str, Labels], float]:
    rows = await tx.all(COUNT_ORDERS, statuses=list(statuses))
    return {("fulfillment_orders", (("status", row["status"]),)): row["amount"] for row in rows}


def measure_intake(env: Env) -> None:
    """Show the sizes of this process's batches of creates."""

    def show(metrics: Metrics) -> None:
        sizes = Histogram(_BATCHES)
        for size, times in intake_of(env).batches.items():
            sizes.observe(size, times)
        metrics.histograms["fulfillment_intake_batch_orders", ()] = sizes

    metrics_of(env).sources.append(show)
