"""The one list of background jobs. The delivery engine is not in it: it runs all the time."""

from collections.abc import Sequence
from typing import Final

from fulfillment.infra import ratelimit, requestlog
from fulfillment.orders import service as orders
from fulfillment.sandbox import service as sandbox
from fulfillment.warehouse.service import batching, stocking
from fulfillment.webhooks import service as webhooks
from fulfillment.worker.loop import Job

_MINUTE: Final = 60.0

JOBS: Final[Sequence[Job]] = (
    Job("replays.queued", webhooks.queue_replays, 0.5),
    Job("events.purged", webhooks.purge_events, 10 * _MINUTE),
    Job("orders.released", batching.release_due, 5.0),
    Job("lots.ended", stocking.expire_lots, 5 * _MINUTE),
    Job("tracking_messages.purged", stocking.forget_tracking_messages, 60 * _MINUTE),
    Job("rate_limits.purged", ratelimit.purge_rate_limits, 60 * _MINUTE),
    Job("sandbox_orders.advanced", sandbox.advance_due, 0.5),
    Job("requests.purged", requestlog.purge, 10 * _MINUTE),
    Job("idempotency_keys.purged", orders.purge_idempotency_keys, 10 * _MINUTE),
)
