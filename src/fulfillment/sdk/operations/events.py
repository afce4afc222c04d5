"""The event feed, and the log of webhook deliveries."""

from collections.abc import Sequence
from datetime import datetime

from ..calls import Call, get, loose, operation, page_of, paged, segment
from ..codec import Json
from ..models import FeedEvent, OrderState, Page


class Events:
    """Operations on events and on the webhooks that carry them."""

    @operation
    def list_events(
        self,
        *,
        cursor: str | None = None,
        limit: int | None = None,
        type: str | None = None,
        order_id: str | None = None,
        undelivered: bool | None = None,
    ) -> Call[Page[FeedEvent]]:
        """Return one page of the feed, which is the truth: a webhook can be missed, an event can't."""
        params = {
            "cursor": cursor,
            "limit": limit,
            "type": type,
            "orderId": order_id,
            "undelivered": undelivered,
        }
        return get("listEvents", "/events", page_of(FeedEvent.from_wire, "events"), **params)

    @paged
    def iter_events(
        self,
        *,
        cursor: str | None = None,
        limit: int | None = None,
        type: str | None = None,
        order_id: str | None = None,
        undelivered: bool | None = None,
    ) -> Call[Page[FeedEvent]]:
        """Go through the feed from *cursor* on, *limit* a page."""
        params = {
            "cursor": cursor,
            "limit": limit,
            "type": type,
            "orderId": order_id,
            "undelivered": undelivered,
        }
        return get("listEvents", "/events", page_of(FeedEvent.from_wire, "events"), **params)

    @operation
    def get_event(self, event_id: str) -> Call[FeedEvent]:
        """Return an event.

        Raises:
            NotFound: You have no such event, or it is older than the feed keeps.
        """
        return get("getEvent", f"/events/{segment(event_id)}", FeedEvent.from_wire)

    @operation
    def reconcile(
        self, since: datetime | str, *, cursor: str | None = None, limit: int | None = None
    ) -> Call[Page[OrderState]]:
        """Return where each order stands that changed since *since*: compare it with your own records."""
        read = page_of(OrderState.from_wire, "orders")
        return get("reconcile", "/reconcile", read, since=since, cursor=cursor, limit=limit)

    @operation
    def list_webhook_deliveries(
        self,
        *,
        order_id: str | None = None,
        status: str | None = None,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> Call[Page[Json]]:
        """Return one page of the delivery log."""
        params = {"orderId": order_id, "status": status, "cursor": cursor, "limit": limit}
        return get("listWebhookDeliveries", "/webhook-deliveries", page_of(loose, "deliveries"), **params)

    @operation
    def get_webhook_delivery(self, delivery_id: str) -> Call[Json]:
        """Return one delivery with all its attempts."""
        return get("getWebhookDelivery", f"/webhook-deliveries/{segment(delivery_id)}", loose)

    @operation
    def redeliver_webhook(self, delivery_id: str) -> Call[Json]:
        """Send one delivery again."""
        path = f"/webhook-deliveries/{segment(delivery_id)}/redeliver"
        return Call("redeliverWebhook", "POST", path, loose)

    @operation
    def replay_webhooks(
        self,
        since: datetime | str,
        until: datetime | str | None = None,
        *,
        types: Sequence[str] | None = None,
        only_failed: bool | None = None,
    ) -> Call[Json]:
        """Send a span of events again, in order for each order, and return the job that does it."""
        wanted = {"since": since, "until": until, "types": types, "onlyFailed": only_failed}
        body = {name: value for name, value in wanted.items() if value is not None}
        return Call("replayWebhooks", "POST", "/webhooks/replay", loose, body=body)

    @operation
    def send_test_webhook(self) -> Call[Json]:
        """Send a signed test event to your receiver, and return what it answered."""
        return Call("sendTestWebhook", "POST", "/webhooks/test", loose)
