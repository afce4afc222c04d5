"""Events, deliveries and replays over HTTP, as a partner's client sees them."""

import asyncio
import json
import time
from datetime import timedelta
from typing import Any

import httpx2
import pytest

from fulfillment.infra.env import Env
from fulfillment.kernel.times import to_wire
from fulfillment.webhooks import service as webhooks
from tests import receivers
from tests.conftest import Clock
from tests.receivers import Receiver, answering
from tests.webhooks.stage import Stage
from tests.world import World

pytestmark = pytest.mark.anyio

NOWHERE = "http://127.0.0.1:9/hook"
SETTINGS = "/v1/partners/settings"


class Api:
    """The API as one partner calls it."""

    def __init__(self, client: httpx2.AsyncClient, headers: dict[str, str]) -> None:
        self._client = client
        self._headers = headers

    async def get(self, path: str, expected: int = 200, **query: Any) -> Any:
        """GET, with the status expected."""
        answer = await self._client.get(path, params=query, headers=self._headers)
        assert answer.status_code == expected, answer.text
        return answer.json()

    async def post(self, path: str, body: Any = None, status: int = 200) -> Any:
        """POST, with the status expected."""
        answer = await self._client.post(path, json=body, headers=self._headers)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def patch(self, path: str, body: Any) -> Any:
        """PATCH."""
        answer = await self._client.patch(path, json=body, headers=self._headers)
        assert answer.status_code == 200, answer.text
        return answer.json()


async def stage_and_api(env: Env, client: httpx2.AsyncClient, url: str) -> tuple[Stage, Api]:
    """A partner with a receiver, and its API."""
    world = World(env)
    stage = Stage(env, await world.partner())
    await stage.set_url(url)
    return stage, Api(client, await world.headers(stage.caller))


async def test_the_feed_pages_to_its_end_and_its_cursor_goes_on(env: Env, api: httpx2.AsyncClient, clock: Clock):
    """The last cursor is good at the end of the feed, and brings what happened since."""
    stage, partner = await stage_and_api(env, api, NOWHERE)
    one, two = stage.new_order(), stage.new_order()
    (event, _) = await stage.happen(one, two)

    first = await partner.get("/v1/events", limit=1)
    second = await partner.get("/v1/events", limit=1, cursor=first["cursor"])
    end = await partner.get("/v1/events", limit=1, cursor=second["cursor"])
    await stage.happen(one)
    after = await partner.get("/v1/events", limit=1, cursor=end["cursor"])

    (shown,) = first["events"]
    assert shown.pop("cursor") == first["cursor"]
    assert shown == {
        "id": event.id,
        "type": "order.created",
        "orderId": one,
        "orderSequence": 1,
        "createdAt": to_wire(clock()),
        "data": json.loads(event.payload),
    }
    assert first["hasMore"]
    assert [item["orderId"] for item in second["events"]] == [two]
    assert (end["events"], end["hasMore"]) == ([], False)
    assert [(item["orderId"], item["orderSequence"]) for item in after["events"]] == [(one, 2)]


async def test_the_feed_waits_when_asked(env: Env, api: httpx2.AsyncClient):
    """`wait` holds an empty answer back for so long."""
    _, partner = await stage_and_api(env, api, NOWHERE)
    began = time.monotonic()

    page = await partner.get("/v1/events", wait=1)

    assert page["events"] == []
    assert 1.0 <= time.monotonic() - began < 2.5


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "101"}, "limit"),
        ({"limit": "ten"}, "limit"),
        ({"type": "Order Created"}, "type"),
        ({"orderId": "x"}, "orderId"),
        ({"undelivered": "perhaps"}, "undelivered"),
        ({"wait": "31"}, "wait"),
        ({"cursor": "bm9uc2Vuc2U"}, "cursor"),
        ({"colour": "red"}, "colour"),
    ],
)
async def test_the_feed_refuses_a_wrong_query(env: Env, api: httpx2.AsyncClient, query: dict[str, str], pointer: str):
    """Each wrong parameter is named."""
    _, partner = await stage_and_api(env, api, NOWHERE)

    problem = await partner.get("/v1/events", 422, **query)

    assert [fault["pointer"] for fault in problem["errors"]] == [pointer]


async def test_a_feed_cursor_belongs_to_its_partner_and_filters(env: Env, api: httpx2.AsyncClient):
    """Another partner, or another filter, makes a cursor worthless."""
    stage, partner = await stage_and_api(env, api, NOWHERE)
    _, stranger = await stage_and_api(env, api, NOWHERE)
    await stage.happen(stage.new_order())
    cursor = (await partner.get("/v1/events"))["cursor"]

    assert (await stranger.get("/v1/events", 422, cursor=cursor))["code"] == "invalid_cursor"
    assert (await partner.get("/v1/events", 422, cursor=cursor, type="order.created"))["code"] == "invalid_cursor"


async def test_one_event(env: Env, api: httpx2.AsyncClient):
    """An event is read by its id; an unknown, a stranger's and a senseless id are all 404."""
    stage, partner = await stage_and_api(env, api, NOWHERE)
    _, stranger = await stage_and_api(env, api, NOWHERE)
    (event,) = await stage.happen(stage.new_order())

    assert (await partner.get(f"/v1/events/{event.id}"))["data"] == json.loads(event.payload)
    for who, id_ in ((stranger, event.id), (partner, "0" * 27), (partner, "%00")):
        assert (await who.get(f"/v1/events/{id_}", 404))["code"] == "event_not_found"


async def test_reconcile(env: Env, api: httpx2.AsyncClient, clock: Clock):
    """Compact rows of what changed, with a cursor to follow; `since` needs a zone and a sensible year."""
    stage, partner = await stage_and_api(env, api, NOWHERE)
    one, two = stage.new_order(), stage.new_order()
    await stage.happen(one, two, one)
    since = to_wire(clock() - timedelta(minutes=1))

    page = await partner.get("/v1/reconcile", since=since)

    assert page["orders"] == [
        {"orderId": two, "status": "CREATED", "orderSequence": 1, "updatedAt": to_wire(clock())},
        {"orderId": one, "status": "PROCESSING", "orderSequence": 2, "updatedAt": to_wire(clock())},
    ]
    assert page["hasMore"] is False
    follow = await partner.get("/v1/reconcile", since=since, cursor=page["cursor"])
    assert follow["orders"] == []
    for wrong in ("yesterday", "2023-10-01T12:00:00", "1700000000", "0001-01-01T00:00:00Z", "9999-01-01T00:00:00Z"):
        problem = await partner.get("/v1/reconcile", 422, since=wrong)
        assert [fault["pointer"] for fault in problem["errors"]] == ["since"]


async def test_the_delivery_log(env: Env, api: httpx2.AsyncClient):
    """A delivery shows its event, and of each attempt the time, status, duration, fault and answer."""
    with Receiver(answering(500, b"sorry \xff")) as receiver:
        stage, partner = await stage_and_api(env, api, receiver.url)
        order = stage.new_order()
        (event,) = await stage.happen(order)
        await stage.deliver()
    stored = await stage.delivery()

    page = await partner.get("/v1/webhook-deliveries", orderId=order, status="PENDING")
    detail = await partner.get(f"/v1/webhook-deliveries/{stored['id']}")

    (shown,) = page["deliveries"]
    assert shown == {
        "id": stored["id"],
        "eventId": event.id,
        "type": "order.created",
        "orderId": order,
        "orderSequence": 1,
        "status": "PENDING",
        "attemptCount": 1,
        "nextAttemptAt": to_wire(stored["due_at"]),
        "createdAt": to_wire(stored["created_at"]),
        "finishedAt": None,
        "replayId": None,
    }
    (attempt,) = detail["attempts"]
    assert attempt.pop("durationMs") >= 0
    assert attempt == {
        "number": 1,
        "at": to_wire(env.now()),
        "statusCode": 500,
        "error": None,
        "answer": "sorry \ufffd",
    }
    assert detail["event"]["data"] == json.loads(event.payload)


async def test_the_delivery_log_pages_newest_first(env: Env, api: httpx2.AsyncClient):
    """The log is a list like the others: newest first, both ways, null at its end."""
    stage, partner = await stage_and_api(env, api, NOWHERE)
    for _ in range(3):
        await stage.happen(stage.new_order())
    ids = sorted((row["id"] for row in await stage.deliveries()), reverse=True)

    first = await partner.get("/v1/webhook-deliveries", limit=2)
    second = await partner.get("/v1/webhook-deliveries", limit=2, cursor=first["cursor"])

    assert [item["id"] for item in (*first["deliveries"], *second["deliveries"])] == ids
    assert second["cursor"] is None


async def test_redelivery_sends_the_same_delivery_again(env: Env, api: httpx2.AsyncClient):
    """A finished delivery goes out once more under its own id, as its next attempt; a pending one is refused."""
    with Receiver(answering()) as receiver:
        stage, partner = await stage_and_api(env, api, receiver.url)
        await stage.happen(stage.new_order())
        id_ = (await stage.delivery())["id"]
        pending = await partner.post(f"/v1/webhook-deliveries/{id_}/redeliver", status=409)
        await stage.deliver()

        queued = await partner.post(f"/v1/webhook-deliveries/{id_}/redeliver", status=202)
        await stage.deliver()

    assert pending["code"] == "delivery_pending"
    assert (queued["id"], queued["status"]) == (id_, "PENDING")
    assert [one.headers["x-juniper-webhook-id"] for one in receiver.requests] == [id_, id_]
    assert [one.headers["x-juniper-delivery-attempt"] for one in receiver.requests] == ["1", "2"]
    assert await stage.statuses() == ["DELIVERED"]


async def test_redelivery_is_refused_where_nothing_can_be_sent(env: Env, api: httpx2.AsyncClient):
    """A receiver that is switched off, a URL that is gone, and a stranger's delivery: each is refused."""
    with Receiver(answering()) as receiver:
        stage, partner = await stage_and_api(env, api, receiver.url)
        _, stranger = await stage_and_api(env, api, receiver.url)
        await stage.happen(stage.new_order())
        await stage.deliver()
    path = f"/v1/webhook-deliveries/{(await stage.delivery())['id']}/redeliver"

    assert (await stranger.post(path, status=404))["code"] == "delivery_not_found"
    await _switch_off(env, stage)
    assert (await partner.post(path, status=409))["code"] == "webhook_disabled"
    await partner.patch(SETTINGS, {"webhookUrl": None})
    assert (await partner.post(path, status=404))["code"] == "webhook_not_configured"
    assert await stage.statuses() == ["DELIVERED"]


async def test_replay_sends_a_span_again_in_order(env: Env, api: httpx2.AsyncClient):
    """A replay is a job: every event of the span comes again under a new delivery id, in sequence for each order."""
    with Receiver(answering()) as receiver:
        stage, partner = await stage_and_api(env, api, receiver.url)
        orders = [stage.new_order() for _ in range(3)]
        await stage.happen(*orders, *orders, *orders)
        await stage.deliver()
        before = len(receiver.requests)
        since = to_wire(env.now() - timedelta(hours=1))

        job = await partner.post("/v1/webhooks/replay", {"since": since, "until": _later(env)}, status=202)
        again = await partner.post("/v1/webhooks/replay", {"since": since}, status=409)
        queued = await webhooks.queue_replays(env)
        running = await partner.get(f"/v1/webhooks/replays/{job['id']}")
        await stage.deliver()
        done = await partner.get(f"/v1/webhooks/replays/{job['id']}")

    replayed = receiver.requests[before:]
    assert (job["status"], job["total"], job["done"]) == ("PENDING", 9, 0)
    assert again["code"] == "replay_running"
    assert (queued, running["status"], running["done"]) == (9, "RUNNING", 0)
    assert (done["status"], done["done"]) == ("DONE", 9)
    for order in orders:
        of_order = [one for one in replayed if order in one.body.decode()]
        assert [one.headers["x-juniper-sequence"] for one in of_order] == ["1", "2", "3"]
    firsts = {one.headers["x-juniper-webhook-id"] for one in receiver.requests[:before]}
    assert not firsts & {one.headers["x-juniper-webhook-id"] for one in replayed}


async def test_replay_of_what_failed_leaves_out_what_was_delivered(env: Env, api: httpx2.AsyncClient):
    """onlyFailed sends the dead letters, and types narrows them further."""
    env_once = _with(env, webhook_retry_seconds=())
    with Receiver(answering(500)) as bad, Receiver(answering()) as good:
        stage, partner = await stage_and_api(env_once, api, bad.url)
        dead = stage.new_order()
        await stage.happen(dead, dead)
        await stage.deliver()
        await stage.set_url(good.url)
        taken = stage.new_order()
        await stage.happen(taken, taken)
        await stage.deliver()
        before = len(good.requests)
        span = {"since": to_wire(env.now() - timedelta(hours=1)), "until": _later(env)}

        job = await partner.post(
            "/v1/webhooks/replay", {**span, "onlyFailed": True, "types": ["order.processing"]}, status=202
        )
        await webhooks.queue_replays(env)
        await stage.deliver()

    assert job["total"] == 1
    assert [(dead in one.body.decode(), one.headers["x-juniper-sequence"]) for one in good.requests[before:]] == [
        (True, "2")
    ]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"since": "yesterday"},
        {"since": "2023-10-01T12:00:00Z", "until": "2023-10-01T12:00:00Z"},
        {"since": "2023-10-01T12:00:00Z", "types": []},
        {"since": "2023-10-01T12:00:00Z", "types": ["Nope!"]},
        {"since": "2023-10-01T12:00:00Z", "onlyFailed": "yes"},
        {"since": "2023-10-01T12:00:00Z", "colour": "red"},
    ],
)
async def test_replay_refuses_a_wrong_body(env: Env, api: httpx2.AsyncClient, body: dict[str, Any]):
    """A body out of shape is 422, and no job is made."""
    stage, partner = await stage_and_api(env, api, NOWHERE)

    problem = await partner.post("/v1/webhooks/replay", body, status=422)

    assert problem["code"] == "validation_failed"
    async with env.db.reading(stage.partner_id) as tx:
        assert await tx.all("SELECT id FROM webhook_replays WHERE partner_id = %(id)s", id=stage.partner_id) == []


async def test_a_test_event_returns_the_receivers_answer(env: Env, api: httpx2.AsyncClient):
    """The test event is signed, is in neither feed nor log, and its answer comes back word for word."""
    with Receiver(answering(418, b"short and stout")) as receiver:
        _, partner = await stage_and_api(env, api, receiver.url)

        answer = await partner.post("/v1/webhooks/test")
        feed = await partner.get("/v1/events")
        log = await partner.get("/v1/webhook-deliveries")

    (got,) = receiver.requests
    assert answer.pop("durationMs") >= 0
    assert answer == {
        "delivered": False,
        "webhookId": got.headers["x-juniper-webhook-id"],
        "eventId": got.headers["x-juniper-event-id"],
        "statusCode": 418,
        "error": None,
        "answer": "short and stout",
    }
    assert got.headers["x-juniper-event-type"] == json.loads(got.body)["type"] == "test"
    assert "x-juniper-signature" in got.headers
    assert (feed["events"], log["deliveries"]) == ([], [])


async def test_a_test_event_does_not_reach_inside(env: Env, api: httpx2.AsyncClient):
    """Where the network's rules changed since the URL was saved, the test is refused like every sending."""
    with Receiver(answering()) as receiver:
        stage, _ = await stage_and_api(env, api, receiver.url)
        strict = _with(env, environment="production", webhook_allow_http=True, webhook_ports=(receiver.port,))
        from fulfillment.webhooks.testing import send_test

        sent = await send_test(strict, stage.caller)

    assert sent.answer.error_class == "forbidden_address"
    assert receiver.connections == 0


async def test_only_one_test_at_a_time(env: Env, api: httpx2.AsyncClient):
    """A second test while the first waits for its answer is 409."""
    with Receiver(receivers.hanging) as receiver:
        slow = _with(env, webhook_timeout_seconds=1.0)
        stage, _ = await stage_and_api(slow, api, receiver.url)
        from fulfillment.webhooks.domain import WebhookTestRunning
        from fulfillment.webhooks.testing import send_test

        first = asyncio.create_task(send_test(slow, stage.caller))
        while not receiver.requests:
            await asyncio.sleep(0.01)
        with pytest.raises(WebhookTestRunning):
            await send_test(slow, stage.caller)

        assert (await first).answer.error_class == "timeout"


async def test_a_url_inside_our_network_is_refused_on_save(env: Env, api: httpx2.AsyncClient):
    """A private address, a metadata address in an odd spelling, and credentials in the URL are refused at once."""
    _, partner = await stage_and_api(env, api, NOWHERE)

    for url in ("http://10.0.0.1/", "http://169.254.169.254/", "http://0xa9fea9fe/", "http://a:b@example.com/"):
        answer = await partner._client.patch(SETTINGS, json={"webhookUrl": url}, headers=partner._headers)  # pyright: ignore[reportPrivateUsage]
        assert answer.status_code == 422, url
        assert [fault["pointer"] for fault in answer.json()["errors"]] == ["/webhookUrl"]


async def test_settings_show_how_the_receiver_does(env: Env, api: httpx2.AsyncClient, clock: Clock):
    """webhookStatus is UNCONFIGURED without a URL, ENABLED with one, DISABLED after it was switched off."""
    world = World(env)
    stage = Stage(env, await world.partner())
    partner = Api(api, await world.headers(stage.caller))

    before = await partner.get(SETTINGS)
    with Receiver(answering(410)) as receiver:
        enabled = await partner.patch(SETTINGS, {"webhookUrl": receiver.url})
        await stage.happen(stage.new_order())
        await stage.deliver()
    disabled = await partner.get(SETTINGS)

    assert before["webhookStatus"] == "UNCONFIGURED"
    assert (enabled["webhookStatus"], enabled["webhookDisabledAt"]) == ("ENABLED", None)
    assert disabled["webhookStatus"] == "DISABLED"
    assert disabled["webhookDisabledAt"] == disabled["webhookFailingSince"] == to_wire(clock())
    assert disabled["webhookDisabledReason"] == "gone"


async def test_enabling_sends_what_was_kept(env: Env, api: httpx2.AsyncClient):
    """POST .../enable, or setting the same URL again, switches the receiver on, and what waited goes out in order."""
    for again in ("enable", "set the URL"):
        with Receiver(answering()) as receiver:
            stage, partner = await stage_and_api(env, api, receiver.url)
            await _switch_off(env, stage)
            order = stage.new_order()
            await stage.happen(order, order)
            assert await stage.deliver() == 0

            if again == "enable":
                shown = await partner.post(f"{SETTINGS}/webhook/enable")
            else:
                shown = await partner.patch(SETTINGS, {"webhookUrl": receiver.url})
            await stage.deliver()

        assert shown["webhookStatus"] == "ENABLED"
        assert [one.headers["x-juniper-sequence"] for one in receiver.requests] == ["1", "2"]


async def test_enabling_without_a_url_is_404(env: Env, api: httpx2.AsyncClient):
    """There is nothing to switch on."""
    world = World(env)
    caller = await world.partner()

    problem = await Api(api, await world.headers(caller)).post(f"{SETTINGS}/webhook/enable", status=404)

    assert problem["code"] == "webhook_not_configured"


async def _switch_off(env: Env, stage: Stage) -> None:
    async with env.db.transaction(stage.partner_id) as tx:
        await tx.execute(
            "INSERT INTO webhook_endpoints (partner_id, status, disabled_at, disabled_reason, failures) "
            "VALUES (%(id)s, 'DISABLED', %(at)s, 'gone', 1)",
            id=stage.partner_id,
            at=env.now(),
        )


def _later(env: Env) -> str:
    return to_wire(env.now() + timedelta(minutes=1))


def _with(env: Env, **changes: Any) -> Env:
    from dataclasses import replace

    return replace(env, settings=env.settings.model_copy(update=changes))
