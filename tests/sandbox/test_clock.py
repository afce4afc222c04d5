"""Test clocks: one partner's time, moved through everything that falls due."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from fulfillment.infra.db import ALL_TENANTS
from fulfillment.infra.env import Env
from fulfillment.infra.settings import Settings
from fulfillment.orders import service as orders
from fulfillment.sandbox import clocks
from tests.conftest import Clock
from tests.receivers import Connection, Receiver, answering, head
from tests.sandbox.conftest import Acme
from tests.world import World, a_line, an_order

pytestmark = pytest.mark.anyio

START = "2026-03-02T18:00:00.000Z"  # a Monday, 10:00 in Los Angeles


async def test_a_clock_stands(acme: Acme) -> None:
    """What is made while the clock stands is made at that moment."""
    shown = await acme.clock(START)

    order = await acme.order()

    assert (shown["frozenAt"], shown["now"]) == (START, START)
    assert (order["createdAt"], order["updatedAt"]) == (START, START)
    assert await acme.call("GET", "/sandbox/clock") == shown


async def test_only_one_partners_time_stands(acme: Acme, world: World, clock: Clock) -> None:
    """Everybody else lives on in real time."""
    await acme.clock(START)

    other = await world.order(await world.partner(), a_line(acme.product))

    assert other.created_at == clock()


async def test_thawed_the_time_runs_again(acme: Acme, clock: Clock) -> None:
    """null gives the partner the world's time back."""
    await acme.clock(START)

    shown = await acme.clock(None)

    assert (shown["frozenAt"], datetime.fromisoformat(shown["now"])) == (None, clock())
    assert datetime.fromisoformat((await acme.order())["createdAt"]) == clock()


async def test_orders_move_stage_by_stage(acme: Acme) -> None:
    """With auto-advance every stage is due so many seconds of the clock after the last one, to the second."""
    await acme.call("PUT", "/sandbox/auto-advance", {"stageSeconds": 3600})
    await acme.clock(START)
    order = await acme.order()

    assert order["cancellableUntil"] == "2026-03-02T19:00:00.000Z"
    half = await acme.advance("2026-03-02T21:30:00Z")
    assert (await acme.read(order))["status"] == "AWAITING_SHIPMENT"
    assert half == {"frozenAt": "2026-03-02T21:30:00.000Z", "completed": True, "steps": 3, "deliveries": 0}
    await acme.advance("2026-03-03T18:00:00Z")

    events = await acme.events(order)
    assert [(event["type"], event["createdAt"]) for event in events] == [
        ("order.created", "2026-03-02T18:00:00.000Z"),
        ("order.processing", "2026-03-02T19:00:00.000Z"),
        ("order.fulfilled", "2026-03-02T20:00:00.000Z"),
        ("order.awaiting_shipment", "2026-03-02T21:00:00.000Z"),
        ("order.shipped", "2026-03-02T22:00:00.000Z"),
        ("order.tracking_updated", "2026-03-02T23:00:00.000Z"),
        ("order.tracking_updated", "2026-03-03T00:00:00.000Z"),
        ("order.tracking_updated", "2026-03-03T01:00:00.000Z"),
    ]
    shown = await acme.read(order)
    assert shown["fulfillmentInfo"]["trackingStatus"] == "Delivered"
    assert [checkpoint["checkpointTime"] for checkpoint in shown["fulfillmentInfo"]["checkpoints"]] == [
        "2026-03-02T22:00:00Z",
        "2026-03-02T23:00:00Z",
        "2026-03-03T00:00:00Z",
        "2026-03-03T01:00:00Z",
    ]


async def test_until_the_cut_off_an_order_can_be_cancelled(acme: Acme) -> None:
    """A second before cancellableUntil a cancel works; at that moment the order is released."""
    await acme.call("PUT", "/sandbox/auto-advance", {"stageSeconds": 60})
    await acme.clock(START)
    in_time, late = await acme.order("A"), await acme.order("B")

    await acme.advance("2026-03-02T18:00:59Z")
    cancelled = await acme.call("POST", f"/orders/{in_time['id']}/cancel")
    await acme.advance("2026-03-02T18:01:00Z")
    refusal = await acme.call("POST", f"/orders/{late['id']}/cancel", status=409)

    assert (cancelled["status"], cancelled["updatedAt"]) == ("CANCELLED", "2026-03-02T18:00:59.000Z")
    assert refusal["orderStatus"] == "PROCESSING"


async def test_without_auto_advance_only_cut_offs_fall_due(
    env: Env, acme: Acme, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where orders have a cut-off, the clock releases them at it, and they stay in production."""
    monkeypatch.setitem(env.local, "orders.rules", None)
    env.local.pop("orders.rules")
    object.__setattr__(env, "settings", settings.model_copy(update={"release_minutes": 30}))
    await acme.clock(START)
    order = await acme.order()

    await acme.advance("2026-03-04T18:00:00Z")

    assert [(event["type"], event["createdAt"]) for event in await acme.events(order)] == [
        ("order.created", START),
        ("order.processing", "2026-03-02T18:30:00.000Z"),
    ]


@pytest.mark.parametrize(
    ("to", "pointer"),
    [
        ("2026-03-02T17:59:59Z", "/to"),
        ("2027-05-01T00:00:00Z", "/to"),
        ("2026-03-02", "/to"),
        ("2026-03-02T19:00:00", "/to"),
        (1772474400, "/to"),
        (None, "/to"),
    ],
)
async def test_a_clock_only_goes_forward(acme: Acme, to: Any, pointer: str) -> None:
    """Backwards, more than 400 days at once, or without a time zone: refused, and the clock stands."""
    await acme.clock(START)

    refusal = await acme.call("POST", "/sandbox/clock/advance", {"to": to}, 422)

    assert [error["pointer"] for error in refusal["errors"]] == [pointer]
    assert (await acme.call("GET", "/sandbox/clock"))["frozenAt"] == START


async def test_there_must_be_a_clock(acme: Acme) -> None:
    """Real time is nobody's to move."""
    refusal = await acme.call("POST", "/sandbox/clock/advance", {"to": "2030-01-01T00:00:00Z"}, 409)

    assert refusal["code"] == "clock_not_set"


@pytest.mark.parametrize("at", ["2014-12-31T23:59:59Z", "2100-01-01T00:00:00Z", "soon", 0])
async def test_a_clock_has_bounds(acme: Acme, at: Any) -> None:
    """Ids and dates hold a moment from 2015 to 2099."""
    await acme.call("POST", "/sandbox/clock", {"frozenAt": at}, 422)


async def test_tokens_end_by_the_clock(acme: Acme) -> None:
    """A token is good for an hour of the partner's clock, whatever the real time is."""
    await acme.clock(START)
    fresh = await acme.fresh()

    await fresh.advance("2026-03-02T18:59:00Z")
    await fresh.call("GET", "/orders")
    await fresh.advance("2026-03-02T19:01:00Z")
    refusal = await fresh.call("GET", "/orders", status=401)

    assert refusal["code"] == "invalid_token"
    assert (await (await acme.fresh()).call("GET", "/orders"))["orders"] == []


async def test_a_token_from_before_stays_good_when_the_clock_is_set_back(acme: Acme) -> None:
    """Setting the clock to the past does not lock the partner out."""
    await acme.clock("2020-01-01T00:00:00Z")

    assert (await acme.call("GET", "/orders"))["orders"] == []


async def test_a_token_of_the_clocks_future_is_not_good_in_real_time(acme: Acme) -> None:
    """What was issued at a moment that has not come is refused when the clock is taken away."""
    await acme.clock("2050-01-01T00:00:00Z")
    later = await acme.fresh()

    await later.clock(None)
    refusal = await later.call("GET", "/orders", status=401)

    assert refusal["code"] == "invalid_token"


async def test_another_partners_token_knows_nothing_of_it(acme: Acme, world: World) -> None:
    """Tokens of others end by real time."""
    other = replace(acme, headers=await world.headers(await world.partner()))

    await acme.clock("2090-01-01T00:00:00Z")

    assert (await other.call("GET", "/orders"))["orders"] == []


async def test_idempotency_keys_end_by_the_clock(env: Env, acme: Acme, world: World) -> None:
    """For 24 hours of the clock a key replays; after that it makes an order. The purge leaves it alone."""
    await acme.clock(START)
    body = an_order(a_line(acme.product))

    async def create() -> Any:
        headers = await world.headers(acme.caller) | {"Idempotency-Key": "k"}
        return await acme.api.post("/v1/orders", json=body, headers=headers)

    first = await create()
    await (await acme.fresh()).advance("2026-03-03T17:59:59Z")
    await orders.purge_idempotency_keys(env)
    again = await create()
    await (await acme.fresh()).advance("2026-03-03T18:00:00Z")
    later = await create()

    assert again.content == first.content
    assert later.json()["id"] != first.json()["id"]


async def test_webhooks_are_retried_by_the_clock(acme: Acme) -> None:
    """A delivery that fails is tried again after exactly the schedule's waits, of the clock."""
    answers = iter([500, 500, 500])

    def behave(connection: Connection) -> None:
        while connection.request():
            connection.send(head(next(answers, 200), Content_Length=0))

    with Receiver(behave) as receiver:
        await acme.call("PATCH", "/partners/settings", {"webhookUrl": receiver.url})
        await acme.clock(START)
        order = await acme.order()
        moved = await acme.advance("2026-03-02T18:30:00Z")

    log = await acme.call("GET", f"/webhook-deliveries?orderId={order['id']}")
    delivery = await acme.call("GET", f"/webhook-deliveries/{log['deliveries'][0]['id']}")
    assert moved["deliveries"] == len(receiver.requests) == 4
    # The schedule's first waits are 5, 30 and 120 seconds.
    assert [attempt["at"] for attempt in delivery["attempts"]] == [
        "2026-03-02T18:00:00.000Z",
        "2026-03-02T18:00:05.000Z",
        "2026-03-02T18:00:35.000Z",
        "2026-03-02T18:02:35.000Z",
    ]
    assert (delivery["status"], delivery["finishedAt"]) == ("DELIVERED", "2026-03-02T18:02:35.000Z")


async def test_a_dead_receiver_is_switched_off_by_the_clock(acme: Acme) -> None:
    """After 120 hours of nothing but failure, of the clock, the receiver is switched off; no circuit slows the way."""
    with Receiver(answering(500)) as receiver:
        await acme.call("PATCH", "/partners/settings", {"webhookUrl": receiver.url})
        await acme.clock(START)
        for number in range(30):
            await acme.order(f"N{number}")
        early = await acme.advance("2026-03-03T18:00:00Z")
        acme = await acme.fresh()
        on = (await acme.call("GET", "/partners/settings"))["webhookStatus"]
        await acme.advance("2026-03-07T19:00:00Z")
        acme = await acme.fresh()
        await acme.order("Late")
        await acme.advance("2026-03-07T19:00:01Z")
        off = (await acme.call("GET", "/partners/settings"))["webhookStatus"]

    # At 0, 5, 35, 155, 755, 2555, 9755, 27755 and 63755 seconds; a day has 86,400.
    assert early["deliveries"] == 30 * 9
    assert (on, off) == ("ENABLED", "DISABLED")


async def test_what_waits_leaves_with_the_clock(env: Env, acme: Acme, clock: Clock) -> None:
    """A retry of the clock's future is due at once when the clock is taken away."""
    with Receiver(answering(500)) as receiver:
        await acme.call("PATCH", "/partners/settings", {"webhookUrl": receiver.url})
        await acme.clock("2027-06-01T00:00:00Z")
        acme = await acme.fresh()
        await acme.order()
        await acme.advance("2027-06-01T00:00:01Z")
        await acme.clock(None)

    async with env.db.reading(ALL_TENANTS) as tx:
        row = await tx.one(
            "SELECT due_at, on_clock, attempts FROM webhook_deliveries WHERE partner_id = %(id)s",
            id=acme.caller.partner_id,
        )
    assert (row["due_at"], row["on_clock"], row["attempts"]) == (clock(), False, 1)


async def test_one_hand_at_a_time(env: Env, acme: Acme, monkeypatch: pytest.MonkeyPatch) -> None:
    """While somebody moves the partner's orders another advance is refused, and nothing moves twice."""
    monkeypatch.setattr(clocks, "_WAIT_SECONDS", 0.1)
    await acme.clock(START)
    async with env.db.transaction(ALL_TENANTS) as tx:
        await tx.execute(
            "UPDATE sandbox_states SET moving_until = %(until)s WHERE partner_id = %(id)s",
            until=datetime(2099, 1, 1, tzinfo=UTC),
            id=acme.caller.partner_id,
        )

    refusal = await acme.call("POST", "/sandbox/clock/advance", {"to": "2026-03-02T19:00:00Z"}, 409)

    assert refusal["code"] == "sandbox_busy"


async def test_a_hand_that_died_lets_go(env: Env, acme: Acme, clock: Clock) -> None:
    """A process that dies in an advance leaves a right that ends by itself."""
    await acme.clock(START)
    async with env.db.transaction(ALL_TENANTS) as tx:
        await tx.execute(
            "UPDATE sandbox_states SET moving_until = %(until)s WHERE partner_id = %(id)s",
            until=clock(),
            id=acme.caller.partner_id,
        )

    moved = await acme.advance("2026-03-02T19:00:00Z")

    assert moved["completed"]
