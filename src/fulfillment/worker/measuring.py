"""What `/metrics` shows of the system as a whole, whichever process shows it."""

from collections.abc import Sequence

from fulfillment.infra.env import Env
from fulfillment.infra.exposing import Ask
from fulfillment.orders.measuring import OrderGauges
from fulfillment.webhooks.measuring import delivery_gauges


def questions(env: Env) -> Sequence[Ask]:
    """Return what is asked of the database for each view of the metrics."""
    return (OrderGauges(env), delivery_gauges)
