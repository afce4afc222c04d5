"""HTTP for events, deliveries and replays. A route reads the request, calls one service function, writes the answer."""

import re
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response

from fulfillment.infra import jsontext
from fulfillment.infra.cursors import Listing, cursors_of, link_headers, read_page, seal, to_page, unseal
from fulfillment.infra.web import StrictRoute
from fulfillment.kernel.pages import DEFAULT_LIMIT, MAX_LIMIT, Direction
from fulfillment.oauth.http import CallerDep, EnvDep
from fulfillment.webhooks import service, testing, wire
from fulfillment.webhooks.domain import (
    DeliveryNotFound,
    DeliveryStatus,
    EventNotFound,
    FeedFilter,
    FeedKey,
    ReplayNotFound,
)

_ID: Final = re.compile(r"[0-9A-Za-z]{27}", re.ASCII)
_PROBLEM: Final[dict[str, Any]] = {
    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
}
_NOT_FOUND: Final[dict[int | str, dict[str, Any]]] = {404: {"description": "There is none, or not for you"} | _PROBLEM}
_CONFLICT: Final[dict[int | str, dict[str, Any]]] = {409: {"description": "Not at this moment"} | _PROBLEM}

Limit = Annotated[wire.WholeNumber, Query(ge=1, le=MAX_LIMIT)]
Cursor = Annotated[str | None, Query(max_length=2000)]
OrderId = Annotated[str | None, Query(alias="orderId", pattern="^[0-9A-Za-z]{27}$")]
Id = Annotated[str, Path()]

events = APIRouter(tags=["Events"], route_class=StrictRoute)
deliveries = APIRouter(tags=["Webhook Deliveries"], route_class=StrictRoute)


@events.get("/events", operation_id="listEvents", response_model=wire.EventPage)
async def list_events(
    request: Request,
    env: EnvDep,
    caller: CallerDep,
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
    type_: Annotated[str | None, Query(alias="type", pattern=wire.TYPE_PATTERN)] = None,
    order_id: OrderId = None,
    undelivered: Annotated[Literal["true", "false"] | None, Query()] = None,
    wait: Annotated[wire.WholeNumber, Query(ge=0, le=service.LONGEST_WAIT_SECONDS)] = 0,
    start: Annotated[Literal["oldest", "newest"], Query()] = "oldest",
) -> Response:
    """Read the feed of events, oldest first. It is the truth: a webhook can be missed, an event can't.

    Keep the last cursor: it goes on where you stopped, and at the end it waits for what comes. `wait` holds the
    answer back for so many seconds while there is nothing to read. `undelivered` leaves out what a webhook brought.
    Without a cursor, `start=newest` begins with what happens from now on.
    """
    filters = {name: str(request.query_params[name]) for name in _FILTERS if name in request.query_params}
    listing = Listing("/v1/events", caller.partner_id, filters)
    wanted = FeedFilter(type_, order_id, undelivered == "true")
    after = _read_place(env, listing, cursor)
    if after is None and start == "newest":
        after = await service.get_end(env, caller)
    page = await service.list_events(
        env,
        caller,
        wanted,
        after,
        limit,
        wait_seconds=wait,
        leaving=lambda: request.app.state.front.draining,
    )
    shown = [wire.event_json(event, _place(env, listing, event.key)) for event in page.events]
    return _text(wire.events_json(shown, _place(env, listing, page.last), page.more))


@events.get("/events/{eventId}", operation_id="getEvent", response_model=wire.EventOut, responses=_NOT_FOUND)
async def get_event(event_id: Annotated[str, Path(alias="eventId")], env: EnvDep, caller: CallerDep) -> Response:
    """Return one event."""
    if not _ID.fullmatch(event_id):
        raise EventNotFound("You have no event with this id.")
    return _text(wire.event_json(await service.get_event(env, caller, event_id)))


@events.get("/reconcile", operation_id="reconcile", response_model=wire.OrderStatePage)
async def reconcile(
    env: EnvDep,
    caller: CallerDep,
    since: Annotated[wire.Moment, Query()],
    cursor: Cursor = None,
    limit: Limit = MAX_LIMIT,
) -> Response:
    """Return where each order stands that changed since a moment: compare it with your own records."""
    listing = Listing("/v1/reconcile", caller.partner_id, {"since": since.isoformat()})
    after = _read_place(env, listing, cursor)
    states, more = await service.reconcile(env, caller, since, after, limit)
    last = states[-1].key if states else after
    return _json(
        {
            "orders": [wire.order_state_json(state) for state in states],
            "cursor": _place(env, listing, last) if last else None,
            "hasMore": more,
        }
    )


@deliveries.get("/webhook-deliveries", operation_id="listWebhookDeliveries", response_model=wire.DeliveryPage)
async def list_webhook_deliveries(
    request: Request,
    env: EnvDep,
    caller: CallerDep,
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
    direction: Annotated[Literal["next", "previous"] | None, Query()] = None,
    order_id: OrderId = None,
    status: Annotated[DeliveryStatus | None, Query()] = None,
) -> Response:
    """List deliveries, newest first."""
    del cursor, limit, direction  # read together, below
    filters = {"orderId": order_id, "status": status.value if status else None}
    listing = Listing(
        "/v1/webhook-deliveries", caller.partner_id, {name: value for name, value in filters.items() if value}
    )
    key = env.secrets.cursor_key
    asked = read_page(request.query_params, key, listing)
    found = await service.list_deliveries(env, caller, order_id, status, asked)
    page = to_page(found, asked, lambda delivery: (delivery.id,))
    behind, links = cursors_of(page, asked, key, listing)
    answer = _json({"deliveries": [wire.delivery_json(one) for one in page.items], "cursor": behind})
    for name, value in link_headers(env.settings.base_url + "/v1/webhook-deliveries", links):
        answer.headers[name.decode()] = value.decode()
    return answer


@deliveries.get(
    "/webhook-deliveries/{deliveryId}",
    operation_id="getWebhookDelivery",
    response_model=wire.DeliveryDetail,
    responses=_NOT_FOUND,
)
async def get_webhook_delivery(
    delivery_id: Annotated[str, Path(alias="deliveryId")], env: EnvDep, caller: CallerDep
) -> Response:
    """Return one delivery with its attempts and its event."""
    return _text(wire.delivery_detail_json(*await service.get_delivery(env, caller, _delivery_id(delivery_id))))


@deliveries.post(
    "/webhook-deliveries/{deliveryId}/redeliver",
    operation_id="redeliverWebhook",
    status_code=202,
    response_model=wire.DeliveryOut,
    responses=_NOT_FOUND | _CONFLICT,
)
async def redeliver_webhook(
    delivery_id: Annotated[str, Path(alias="deliveryId")], env: EnvDep, caller: CallerDep
) -> Response:
    """Send a finished delivery again, under the same X-Juniper-Webhook-Id."""
    return _json(wire.delivery_json(await service.redeliver(env, caller, _delivery_id(delivery_id))), 202)


@deliveries.post(
    "/webhooks/replay",
    operation_id="replayWebhooks",
    status_code=202,
    response_model=wire.ReplayOut,
    responses=_NOT_FOUND | _CONFLICT,
)
async def replay_webhooks(body: wire.ReplayIn, env: EnvDep, caller: CallerDep) -> Response:
    """Send a span of events again, as new deliveries, in order for each order. Returns a job to watch."""
    made = await service.replay(
        env, caller, since=body.since, until=body.until, types=body.types, only_failed=body.onlyFailed
    )
    answer = _json(wire.replay_json(made), 202)
    answer.headers["location"] = f"{env.settings.base_url}/v1/webhooks/replays/{made.id}"
    return answer


@deliveries.get(
    "/webhooks/replays/{replayId}",
    operation_id="getWebhookReplay",
    response_model=wire.ReplayOut,
    responses=_NOT_FOUND,
)
async def get_webhook_replay(
    replay_id: Annotated[str, Path(alias="replayId")], env: EnvDep, caller: CallerDep
) -> Response:
    """Return how far a replay is."""
    if not _ID.fullmatch(replay_id):
        raise ReplayNotFound("You have no replay with this id.")
    return _json(wire.replay_json(await service.get_replay(env, caller, replay_id)))


@deliveries.post(
    "/webhooks/test",
    operation_id="sendTestWebhook",
    response_model=wire.TestOut,
    responses=_NOT_FOUND | _CONFLICT,
)
async def send_test_webhook(env: EnvDep, caller: CallerDep) -> Response:
    """Send a signed event of type `test` to your webhookUrl, at once, and return what it answered."""
    return _json(wire.test_json(await testing.send_test(env, caller)))


@deliveries.post(
    "/partners/settings/webhook/enable",
    operation_id="enableWebhook",
    response_model=wire.WebhookStatusOut,
    responses=_NOT_FOUND,
)
async def enable_webhook(env: EnvDep, caller: CallerDep) -> Response:
    """Switch deliveries on again, after failures or a 410 have switched them off. What was kept is sent in order."""
    return _json(service.status_json(*await service.enable_webhook(env, caller)))


_FILTERS: Final = ("type", "orderId", "undelivered")


def _read_place(env: EnvDep, listing: Listing, cursor: str | None) -> FeedKey | None:
    if cursor is None:
        return None
    (era, txid, id_), _ = unseal(env.secrets.cursor_key, listing, cursor)
    return FeedKey(int(era), int(txid), id_)


def _place(env: EnvDep, listing: Listing, key: FeedKey) -> str:
    return seal(env.secrets.cursor_key, listing, (str(key.era), str(key.txid), key.id), Direction.NEXT)


def _delivery_id(text: str) -> str:
    if not _ID.fullmatch(text):
        raise DeliveryNotFound("You have no delivery with this id.")
    return text


def _text(text: str) -> Response:
    return Response(text.encode(), media_type="application/json", headers={"cache-control": "no-store"})


def _json(value: object, status: int = 200) -> Response:
    return Response(jsontext.write(value), status, {"cache-control": "no-store"}, "application/json")
