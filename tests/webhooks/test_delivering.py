"""The engine against real receivers, good and bad. The clock stands, and moves when told."""

import asyncio
import hashlib
import hmac
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import standardwebhooks
import stripe

from fulfillment.infra.db import DatabaseUnavailable
from fulfillment.infra.env import Env, real_time
from fulfillment.infra.settings import Settings
from fulfillment.partners import service as partners
from fulfillment.webhooks import delivering, delivery_queries, sending
from fulfillment.webhooks import service as webhooks
from fulfillment.webhooks.delivering import Deliverer, Lane, deliver_due
from fulfillment.webhooks.signing import standard_secret
from tests import receivers
from tests.conftest import Clock
from tests.receivers import Authority, Behaviour, Connection, Receiver, answering, head, saying
from tests.webhooks.stage import Stage

pytestmark = pytest.mark.anyio

SCHEDULE = (5, 30, 120, 600, 1800, 7200, 18000, 36000, 50400, 72000, 86400)  # seconds, as published


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """The sandbox's, with an impatient time-out."""
    return Settings(data_dir=tmp_path, webhook_timeout_seconds=0.6, webhook_connect_seconds=0.4)


def failing_first(times: int, status: int = 500, **headers: str | int) -> Behaviour:
    """Answer the first requests with *status*, the others with 200."""
    seen = 0

    def behave(connection: Connection) -> None:
        nonlocal seen
        while connection.request():
            seen += 1
            failing = seen <= times
            connection.send(head(status if failing else 200, Content_Length=0, **(headers if failing else {})))

    return behave


def orders_of(receiver: Receiver) -> list[tuple[str, str]]:
    """Which order and sequence came in, in this order."""
    return [(one.body.decode()[21:48], one.headers["x-juniper-sequence"]) for one in receiver.requests]


async def test_a_delivery_carries_the_contracts_headers_and_body(env: Env):
    """Body and headers are the contract's, and signed with the partner's secret over the bytes that arrive."""
    with Receiver(answering()) as receiver:
        stage = await Stage.with_receiver(env, receiver.url)
        (event,) = await stage.happen(stage.new_order())

        assert await stage.deliver() == 1

    (got,) = receiver.requests
    secret, delivery = await stage.secret(), await stage.delivery()
    seconds = got.headers["x-juniper-signature"].partition(",")[0].removeprefix("t=")
    expected = hmac.new(secret.encode(), seconds.encode() + b"." + got.body, hashlib.sha256).hexdigest()
    assert got.body.decode() == event.payload
    assert got.headers["x-juniper-signature"] == f"t={seconds},v1={expected}"
    assert got.headers["x-juniper-webhook-id"] == got.headers["webhook-id"] == delivery["id"]
    assert got.headers["x-juniper-event-id"] == event.id
    assert got.headers["x-juniper-event-type"] == "order.created"
    assert got.headers["x-juniper-sequence"] == "1"
    assert got.headers["x-juniper-delivery-attempt"] == "1"
    assert got.headers["content-type"] == "application/json"
    assert delivery["status"] == "DELIVERED"


async def test_stripes_and_standard_webhooks_verifiers_accept_a_delivery(env: Env, clock: Clock):
    """Two verifiers of other people accept what arrives, and refuse it with another secret."""
    del clock
    env = replace(env, now=_real)
    with Receiver(answering()) as receiver:
        stage = await Stage.with_receiver(env, receiver.url)
        await stage.happen(stage.new_order())
        await stage.deliver()

    (got,) = receiver.requests
    secret = await stage.secret()
    text, signature = got.body.decode(), got.headers["x-juniper-signature"]
    assert stripe.WebhookSignature.verify_header(text, signature, secret, 300)
    assert standardwebhooks.Webhook(standard_secret(secret)).verify(text, dict(got.headers))
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.WebhookSignature.verify_header(text, signature, "0" * 64, 300)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(standard_secret("0" * 64)).verify(text, dict(got.headers))


def _real() -> Any:
    from fulfillment.infra.env import real_time

    return real_time()


@pytest.mark.parametrize(
    ("behave", "status", "error"),
    [
        pytest.param(answering(500), 500, None, id="answers 500"),
        pytest.param(answering(404), 404, None, id="answers 404"),
        pytest.param(receivers.hanging, None, "timeout", id="hangs"),
        pytest.param(receivers.closing, None, "reset", id="closes without a word"),
        pytest.param(receivers.cut_short, 200, "reset", id="closes in the middle of the answer"),
        pytest.param(receivers.resetting, None, "reset", id="resets"),
        pytest.param(receivers.dripping(head(200)), 200, "too_slow", id="drips without an end"),
        pytest.param(saying(b"hello\r\n\r\n"), None, "protocol", id="does not speak HTTP"),
    ],
)
async def test_a_fault_is_retried(env: Env, behave: Behaviour, status: int | None, error: str | None):
    """Everything but a whole 2xx is a failure: it is logged with its class, and tried again in about five seconds."""
    with Receiver(behave) as receiver:
        stage = await Stage.with_receiver(env, receiver.url)
        await stage.happen(stage.new_order())

        await stage.deliver()

    delivery, (attempt,) = await stage.delivery(), await stage.attempts()
    assert (attempt["status_code"], attempt["error"]) == (status, error)
    assert (delivery["status"], delivery["attempts"], delivery["leased_until"]) == ("PENDING", 1, None)
    assert timedelta(seconds=4) <= delivery["due_at"] - env.now() <= timedelta(seconds=6)


async def test_a_receiver_that_is_gone_is_retried(env: Env):
    """A refused connection is a failure like any other."""
    with Receiver(answering()) as receiver:
        url = receiver.url
    stage = await Stage.with_receiver(env, url)
    await stage.happen(stage.new_order())

    await stage.deliver()

    assert [row["error"] for row in await stage.attempts()] == ["connect_refused"]


async def test_bad_tls_is_a_failure(env: Env, tmp_path: Path):
    """A certificate nobody vouches for gets no webhook."""
    with Receiver(answering(), tls=Authority(tmp_path).context("127.0.0.1")) as receiver:
        stage = await Stage.with_receiver(env, receiver.url)
        await stage.happen(stage.new_order())

        await stage.deliver()

    assert [row["error"] for row in await stage.attempts()] == ["tls"]
    assert receiver.requests == []


async def test_a_gigabyte_is_not_read(env: Env):
    """Of a huge answer 64 KiB are read and 4 KiB are kept; it counts as taken, and the rest is not waited for."""
    with Receiver(receivers.flooding(1_000_000_000)) as receiver:
        stage = await Stage.with_receiver(env, receiver.url)
        await stage.happen(stage.new_order())

        await stage.deliver()

    (attempt,) = await stage.attempts()
    assert len(attempt["excerpt"]) == 4096
    assert receiver.sent_bytes < 10_000_000
    assert await stage.statuses() == ["DELIVERED"]


async def test_a_redirect_is_not_followed(env: Env):
    """A redirect is a failure, and where it points to hears nothing."""
    with Receiver(answering()) as inside, Receiver(answering(302, Location=inside.url)) as receiver:
        stage = await Stage.with_receiver(env, receiver.url)
        await stage.happen(stage.new_order())

        await stage.deliver()

    assert inside.connections == 0
    assert [(row["status_code"], row["error"]) for row in await stage.attempts()] == [(302, None)]
    assert await stage.statuses() == ["PENDING"]


async def test_a_name_that_turns_to_a_private_address_is_refused_at_sending(env: Env):
    """A name that was public when it was saved and is private when it is sent to gets nothing."""

    async def private(name: str) -> Sequence[str]:
        del name
        return ("10.0.0.8",)

    stage = await Stage.with_receiver(env, "https://hooks.partner.example/hook")
    await stage.happen(stage.new_order())

    await stage.deliver(private)

    assert [row["error"] for row in await stage.attempts()] == ["forbidden_address"]
    assert await stage.statuses() == ["PENDING"]


async def test_a_name_that_is_private_on_the_second_look_up_is_refused(env: Env):
    """Each connection is checked anew: the second attempt meets the private address and stops there."""
    turns = [("127.0.0.1",), ("192.168.1.1",)]

    async def rebinding(name: str) -> Sequence[str]:
        del name
        return turns.pop(0) if len(turns) > 1 else turns[0]

    with Receiver(receivers.closing, name="hooks.partner.example") as receiver:
        stage = await Stage.with_receiver(env, receiver.url)
        await stage.happen(stage.new_order())
        await stage.deliver(rebinding)
        _move(env, seconds=7)

        await stage.deliver(rebinding)

    assert [row["error"] for row in await stage.attempts()] == ["reset", "forbidden_address"]
    assert len(receiver.requests) == 1


async def test_the_schedule_lasts_about_three_days(env: Env):
    """Twelve attempts over 72 hours and more, each wait within 20 % of the published one; then it is given up, once."""
    with Receiver(answering(503)) as receiver:
        stage = await Stage.with_receiver(env, receiver.url)
        await stage.happen(stage.new_order())

        waits: list[float] = []
        for _ in SCHEDULE:
            await stage.deliver()
            delivery = await stage.delivery()
            waits.append((delivery["due_at"] - env.now()).total_seconds())
            _move(env, seconds=waits[-1])
        await stage.deliver()
        _move(env, days=30)
        await stage.deliver()

    delivery = await stage.delivery()
    assert all(0.8 * planned <= waited <= 1.2 * planned for planned, waited in zip(SCHEDULE, waits, strict=True))
    assert len({waits[i] / SCHEDULE[i] for i in range(len(waits))}) > 1
    assert (delivery["status"], delivery["attempts"]) == ("FAILED", 12)
    assert sum(SCHEDULE) >= 72 * 3600
    assert env.settings.webhook_retry_seconds == SCHEDULE
    assert {one.headers["x-juniper-webhook-id"] for one in receiver.requests} == {delivery["id"]}
    assert [one.headers["x-juniper-delivery-attempt"] for one in receiver.requests] == [str(n) for n in range(1, 13)]


async def test_every_attempt_is_signed_afresh(env: Env):
    """The second attempt carries its own time and signature, and the same webhook id."""
    with Receiver(failing_first(1)) as receiver:
        stage = await Stage.with_receiver(env, receiver.url)
        await stage.happen(stage.new_order())
        await stage.deliver()
        _move(env, seconds=10)

        await stage.deliver()

    first, second = (one.headers for one in receiver.requests)
    assert int(second["webhook-timestamp"]) - int(first["webhook-timestamp"]) == 10
    assert first["x-juniper-signature"] != second["x-juniper-signature"]
    assert first["x-juniper-webhook-id"] == second["x-juniper-webhook-id"]
    assert await stage.statuses() == ["DELIVERED"]


@pytest.mark.parametrize(("asked", "least", "most"), [(90, 90, 90), (1, 4, 6), (7200, 3600, 3600)])
async def test_retry_after_is_honoured_up_to_an_hour(env: Env, asked: int, least: int, most: int):
    """The next try comes no sooner than the receiver asked, nor than the schedule says; an hour is the most."""
    with Receiver(answering(429, Retry_After=asked)) as receiver:
        stage = await Stage.with_receiver(env, receiver.url)
        await stage.happen(stage.new_order())

        await stage.deliver()

    wait = ((await stage.delivery())["due_at"] - env.now()).total_seconds()
    assert least <= wait <= most


async def test_a_failing_event_holds_back_its_order_alone(env: Env):
    """While an order's event waits for its retry, its later events wait too, and other orders' go out."""

    def behave(connection: Connection) -> None:
        while (got := connection.request()) is not None:
            connection.send(head(500 if poisoned in got.body.decode() else 200, Content_Length=0))

    with Receiver(behave) as receiver:
        stage = await Stage.with_receiver(env, receiver.url)
        poisoned, healthy = stage.new_order(), stage.new_order()
        await stage.happen(poisoned, healthy, poisoned, healthy, poisoned, healthy)

        await stage.deliver()

    assert sorted(orders_of(receiver)) == sorted([(poisoned, "1"), (healthy, "1"), (healthy, "2"), (healthy, "3")])
    assert [number for order, number in orders_of(receiver) if order == healthy] == ["1", "2", "3"]


async def test_held_back_events_follow_in_order_once_the_first_is_taken(env: Env):
    """After the retry succeeds the order's other events follow at once, in sequence."""
    with Receiver(failing_first(1)) as receiver:
        stage = await Stage.with_receiver(env, receiver.url)
        order = stage.new_order()
        await stage.happen(order, order, order)
        await stage.deliver()
        _move(env, seconds=7)

        await stage.deliver()

    assert [number for _, number in orders_of(receiver)] == ["1", "1", "2", "3"]
    assert await stage.statuses() == ["DELIVERED"] * 3


async def test_a_dead_letter_releases_the_later_events_of_its_order(env: Env):
    """When the last attempt has failed, the order's next event goes out."""
    env = _with(env, webhook_retry_seconds=(5,))
    with Receiver(failing_first(2)) as receiver:
        stage = await Stage.with_receiver(env, receiver.url)
        order = stage.new_order()
        await stage.happen(order, order)
        await stage.deliver()
        _move(env, seconds=7)

        await stage.deliver()

    assert await stage.statuses() == ["FAILED", "DELIVERED"]
    assert [number for _, number in orders_of(receiver)] == ["1", "1", "2"]


async def test_what_waits_behind_a_failure_is_parked_until_its_retry(env: Env):
    """Held back events leave the range that claims look through, and are due when the first is tried again."""
    with Receiver(answering(500)) as receiver:
        stage = await Stage.with_receiver(env, receiver.url)
        order, other = stage.new_order(), stage.new_order()
        await stage.happen(order, order, order)
        await stage.deliver()
        await stage.happen(other)

        async with env.db.transaction("*") as tx:
            parked = await delivery_queries.park(tx, [stage.partner_id], env.now(), 100)

    first, second, third, fresh = await stage.deliveries()
    assert parked == 2
    assert first["due_at"] == second["due_at"] == third["due_at"] > env.now()
    assert fresh["due_at"] == env.now()


async def test_gone_switches_the_receiver_off_and_keeps_everything_in_order(env: Env):
    """After a 410 nothing is sent; when it is switched on again, all that was kept follows in order, the first too."""
    with Receiver(failing_first(1, 410)) as receiver:
        stage = await Stage.with_receiver(env, receiver.url)
        order = stage.new_order()
        await stage.happen(order, order)
        await stage.deliver()
        await stage.happen(order)
        _move(env, days=1)
        assert await stage.deliver() == 0
        endpoint = await stage.endpoint()

        await webhooks.enable_webhook(env, stage.caller)
        await stage.deliver()

    assert (endpoint["status"], endpoint["disabled_reason"]) == ("DISABLED", "gone")
    assert [number for _, number in orders_of(receiver)] == ["1", "1", "2", "3"]
    assert await stage.statuses() == ["DELIVERED"] * 3


async def test_five_days_of_nothing_but_failure_switch_the_receiver_off(env: Env):
    """A receiver that has only failed for 120 hours is switched off; a success on the way starts the count anew."""
    env = _with(env, webhook_retry_seconds=(3600,) * 200)
    with Receiver(answering(500)) as receiver:
        stage = await Stage.with_receiver(env, receiver.url)
        await stage.happen(stage.new_order())
        for _ in range(118):
            await stage.deliver()
            _move(env, hours=1, minutes=1)
        before = await stage.endpoint()
        for _ in range(3):
            _move(env, hours=2)
            await stage.deliver()

    after = await stage.endpoint()
    assert before["status"] == "ENABLED"
    assert (after["status"], after["disabled_reason"]) == ("DISABLED", "failing")
    assert await stage.statuses() == ["PENDING"]


async def test_sporadic_failures_do_not_switch_the_receiver_off(env: Env):
    """A receiver that fails once a day for ten days, and takes something in between, stays on."""
    turns = 0

    def every_other(connection: Connection) -> None:
        nonlocal turns
        while connection.request():
            turns += 1
            connection.send(head(500 if turns % 2 else 200, Content_Length=0))

    with Receiver(every_other) as receiver:
        stage = await Stage.with_receiver(env, receiver.url)
        for _ in range(10):
            await stage.happen(stage.new_order())
            await stage.deliver()
            _move(env, hours=24)
            await stage.deliver()

    endpoint = await stage.endpoint()
    assert (endpoint["status"], endpoint["failures"], endpoint["failing_since"]) == ("ENABLED", 0, None)
    assert await stage.statuses() == ["DELIVERED"] * 10


async def test_after_twenty_failures_in_a_row_one_delivery_at_a_time_tries(env: Env):
    """An open circuit lets one probe through, and another a second later; one success opens the door to all."""
    healthy = False

    def behave(connection: Connection) -> None:
        while connection.request():
            connection.send(head(200 if healthy else 500, Content_Length=0))

    with Receiver(behave) as receiver:
        stage = await Stage.with_receiver(env, receiver.url)
        await stage.happen(*(stage.new_order() for _ in range(80)))
        async with stage.engine() as engine:
            await engine.drain()
            first = len(receiver.requests)
            await engine.drain()
            assert len(receiver.requests) == first
            for probes in (1, 2):
                _move(env, seconds=2)
                await engine.drain()
                assert len(receiver.requests) == first + probes

            healthy = True
            _move(env, seconds=2)
            await engine.drain()

    assert 20 <= first <= 20 + 31 + 1  # those under way at the twentieth, and one of a lease that was under way
    assert (await stage.endpoint())["failures"] == 0
    assert (await stage.statuses()).count("DELIVERED") >= 80 - first - 2


async def test_what_a_failing_database_left_in_line_is_sent(env: Env, monkeypatch: pytest.MonkeyPatch):
    """When the database goes away while many are in line, and one of them failed, the others are not forgotten."""
    env = replace(env, now=real_time)
    away = asyncio.Event()

    async def nothing(*_: object) -> None:
        raise DatabaseUnavailable("away")

    with Receiver(answering()) as receiver:
        stage = await Stage.with_receiver(env, receiver.url)
        await stage.happen(*(stage.new_order() for _ in range(600)))
        async with stage.engine() as engine:
            stopping = asyncio.Event()
            turn = engine.turn

            async def turn_if_there() -> int:
                if away.is_set():
                    raise DatabaseUnavailable("away")
                return await turn()

            monkeypatch.setattr(engine, "turn", turn_if_there)
            running = asyncio.create_task(engine.run(stopping))
            async with asyncio.timeout(20):
                while not (lane := _lane(engine, stage)) or len(lane.queue) < 100:
                    await asyncio.sleep(0)
            with monkeypatch.context() as patch:
                patch.setattr(sending.Targets, "of", nothing)
                away.set()
                lane.failures = 1  # an answer of 500 on the way: the lane is held shorter from now on
                await asyncio.sleep(0.3)
                lane.failures = 1
            away.clear()
            async with asyncio.timeout(20):
                while len(receiver.requests) < 600:  # those in hand come back when their leases end
                    await asyncio.sleep(0.05)
            stopping.set()
            await asyncio.wait_for(running, 20)


def _lane(engine: Deliverer, stage: Stage) -> Lane | None:
    return engine._lanes.get(stage.partner_id)  # pyright: ignore[reportPrivateUsage]


async def test_what_is_discarded_says_nothing_about_the_receiver(env: Env):
    """Deliveries whose events are no longer kept end unsent; the receiver is not taken to fail, and gets the rest."""
    with Receiver(answering()) as receiver:
        stage = await Stage.with_receiver(env, receiver.url)
        await stage.happen(*(stage.new_order() for _ in range(60)))
        async with env.db.transaction("*") as tx:
            await tx.execute("DELETE FROM events WHERE partner_id = %(id)s", id=stage.partner_id)
        await stage.happen(*(stage.new_order() for _ in range(3)))

        attempts = await stage.deliver()

    assert attempts == 3
    assert Counter(await stage.statuses()) == {"DISCARDED": 60, "DELIVERED": 3}
    assert len(receiver.requests) == 3
    async with env.db.reading(stage.partner_id) as tx:
        assert (
            await tx.all("SELECT failures FROM webhook_endpoints WHERE partner_id = %(id)s", id=stage.partner_id) == []
        )


async def test_a_lease_that_ended_gives_the_delivery_back(env: Env):
    """A worker that died while sending loses nothing: after the lease another one sends it again."""
    with Receiver(answering()) as receiver:
        stage = await Stage.with_receiver(env, receiver.url)
        await stage.happen(stage.new_order())
        async with env.db.transaction("*") as tx:
            claimed = await _claim(env, tx, stage)
        async with env.db.transaction("*") as tx:
            assert await _claim(env, tx, stage) == []
        _move(env, seconds=61)

        await stage.deliver()

    assert [one.id for one in claimed] == [(await stage.delivery())["id"]]
    assert await stage.statuses() == ["DELIVERED"]


async def _claim(env: Env, tx: Any, stage: Stage) -> list[Any]:
    rooms: dict[str, Any] = {"partners": [], "rooms": [], "clocks": [], "reorder": [], "closed": []}
    return await delivery_queries.claim(
        tx,
        now=env.now(),
        lease=env.now() + timedelta(seconds=60),
        **rooms,
        room=10,
        limit=100,
        only=stage.partner_id,
    )


async def test_two_claims_at_once_share_no_order(env: Env):
    """Two open transactions claim different orders, and of each order the first event only."""
    stage = await Stage.with_receiver(env, "http://127.0.0.1:9/hook")
    orders = [stage.new_order() for _ in range(15)]
    await stage.happen(*orders, *orders)

    async with env.db.transaction("*") as one, env.db.transaction("*") as two:
        first, second = await _claim(env, one, stage), await _claim(env, two, stage)

    assert len(first) == 10
    assert len(second) == 5
    assert {one.order_sequence for one in (*first, *second)} == {1}
    assert not {one.id for one in first} & {one.id for one in second}


async def test_stopping_finishes_what_is_under_way_and_gives_the_rest_back(env: Env):
    """On a stop the deliveries on the wire are recorded, and those not yet sent are free for others at once."""
    env = _with(env, webhook_partner_concurrency=2)

    def slow(connection: Connection) -> None:
        while connection.request():
            time.sleep(0.3)
            connection.send(head(200, Content_Length=0))

    with Receiver(slow) as receiver:
        stage = await Stage.with_receiver(env, receiver.url)
        await stage.happen(*(stage.new_order() for _ in range(6)))
        async with stage.engine() as engine:
            engine._lanes[stage.partner_id] = _fast_lane()  # pyright: ignore[reportPrivateUsage]
            stopping = asyncio.Event()
            running = asyncio.create_task(engine.run(stopping))
            while len(receiver.requests) < 2:
                await asyncio.sleep(0.01)
            stopping.set()
            await running

    rows = await stage.deliveries()
    assert sorted(row["status"] for row in rows) == ["DELIVERED"] * 2 + ["PENDING"] * 4
    assert [row["leased_until"] for row in rows] == [None] * 6
    assert len(receiver.requests) == 2


def _fast_lane() -> Any:
    from fulfillment.webhooks.delivering import Lane

    return Lane(seconds=0.001, used_at=time.monotonic())


async def test_a_hanging_receiver_does_not_slow_another_partner(env: Env):
    """With a thousand events stuck at one partner, another's arrive within a fraction of the stuck one's time-out."""
    with Receiver(receivers.hanging) as stuck, Receiver(answering()) as good:
        one, two = await Stage.with_receiver(env, stuck.url), await Stage.with_receiver(env, good.url)
        await one.happen(*(one.new_order() for _ in range(1000)))
        await two.happen(*(two.new_order() for _ in range(20)))
        async with one.engine() as engine:
            engine._only = None  # pyright: ignore[reportPrivateUsage]
            stopping = asyncio.Event()
            began = time.monotonic()
            running = asyncio.create_task(engine.run(stopping))
            while len(good.requests) < 20 and time.monotonic() - began < 5:
                await asyncio.sleep(0.005)
            took = time.monotonic() - began
            stopping.set()
            await running

    assert len(good.requests) == 20
    assert took < 0.5
    assert await two.statuses() == ["DELIVERED"] * 20


async def test_the_secret_of_the_moment_of_sending_signs(env: Env):
    """What was announced before a rotation is signed with the new secret when it is sent after it."""
    with Receiver(answering()) as receiver:
        stage = await Stage.with_receiver(env, receiver.url)
        await stage.happen(stage.new_order())
        new = await partners.rotate_webhook_secret(env, stage.caller)

        await stage.deliver()

    (got,) = receiver.requests
    seconds, _, given = got.headers["x-juniper-signature"].partition(",v1=")
    assert given == hmac.new(new.encode(), seconds[2:].encode() + b"." + got.body, hashlib.sha256).hexdigest()


async def test_without_a_url_deliveries_wait(env: Env):
    """Clearing the URL stops sending; setting one again sends what was kept, in order."""
    with Receiver(answering()) as receiver:
        stage = await Stage.with_receiver(env, receiver.url)
        order = stage.new_order()
        await stage.happen(order, order)
        await stage.set_url(None)
        assert await stage.deliver() == 0
        await stage.set_url(receiver.url)

        await stage.deliver()

    assert [number for _, number in orders_of(receiver)] == ["1", "2"]


async def test_a_test_clock_decides_what_is_due(env: Env):
    """A partner on a frozen clock gets what is due by that clock, whatever the real time is."""
    frozen = env.now() - timedelta(days=400)
    with Receiver(answering()) as receiver:
        stage = await Stage.with_receiver(env, receiver.url)
        await _set_partner(env, stage, clock_frozen_at=frozen)
        await stage.happen(stage.new_order(), created_at=frozen + timedelta(hours=1), on_clock=True)
        assert await deliver_due(env, stage.partner_id) == 0
        await _set_partner(env, stage, clock_frozen_at=frozen + timedelta(hours=1))

        assert await deliver_due(env, stage.partner_id) == 1

    assert len(receiver.requests) == 1
    assert (await stage.attempts())[0]["created_at"] == frozen + timedelta(hours=1)


async def test_faults_on_demand_drop_and_duplicate(env: Env):
    """The sandbox drops or doubles every delivery when a partner asks for that."""
    with Receiver(answering()) as receiver:
        stage = await Stage.with_receiver(env, receiver.url)
        await stage.happen(stage.new_order())
        await _set_partner(env, stage, webhook_faults='{"drop": 1}')
        await stage.deliver()
        dropped = len(receiver.requests)
        await _set_partner(env, stage, webhook_faults='{"duplicate": 1}')
        _move(env, seconds=7)
        await stage.deliver()

    assert dropped == 0
    assert len(receiver.requests) == 2
    assert await stage.statuses() == ["DELIVERED"]


async def test_reordering_on_demand_lets_later_events_overtake(env: Env):
    """With reordering asked for, all events of an order are under way at once."""
    with Receiver(answering()) as receiver:
        stage = await Stage.with_receiver(env, receiver.url)
        await _set_partner(env, stage, webhook_faults='{"reorder": true, "seed": 3}')
        order = stage.new_order()
        await stage.happen(*[order] * 12)

        await stage.deliver()

    numbers = [int(number) for _, number in orders_of(receiver)]
    assert sorted(numbers) == list(range(1, 13))
    assert numbers != sorted(numbers)


async def _set_partner(env: Env, stage: Stage, **columns: Any) -> None:
    ((name, value),) = columns.items()
    statements = {
        "clock_frozen_at": "UPDATE partners SET clock_frozen_at = %(value)s WHERE id = %(id)s",
        "webhook_faults": "UPDATE partners SET webhook_faults = %(value)s::jsonb WHERE id = %(id)s",
    }
    async with env.db.transaction("*") as tx:
        await tx.execute(statements[name], value=value, id=stage.partner_id)
    env.caches.drop(partners.PARTNERS)


def _move(env: Env, **delta: float) -> None:
    clock = env.now
    assert isinstance(clock, Clock)
    clock.move(**delta)


def _with(env: Env, **changes: Any) -> Env:
    return replace(env, settings=env.settings.model_copy(update=changes))


async def test_a_clock_that_is_set_back_delays_nothing(env: Env, clock: Clock):
    """What was announced just before the clock was set back an hour is delivered at once, in its order."""
    with Receiver(answering()) as receiver:
        stage = await Stage.with_receiver(env, receiver.url)
        order = stage.new_order()
        async with stage.engine() as engine:
            await engine.drain()
            await stage.happen(order)
            clock.move(hours=-1)
            await stage.happen(order)

            assert await engine.drain() == 2

    assert orders_of(receiver) == [(order, "1"), (order, "2")]


async def test_what_is_committed_after_the_clock_was_set_back_is_found(
    env: Env, clock: Clock, monkeypatch: pytest.MonkeyPatch
):
    """A transaction that began before and commits after that is looked for once more, some seconds later."""
    monkeypatch.setattr(delivering, "_LATE_SECONDS", 0.1)
    with Receiver(answering()) as receiver:
        stage = await Stage.with_receiver(env, receiver.url)
        async with stage.engine() as engine:
            await engine.drain()
            before = env.now()
            clock.move(hours=-1)
            assert await engine.drain() == 0
            await stage.happen(stage.new_order(), created_at=before)
            await asyncio.sleep(0.2)

            assert await engine.drain() == 1


async def test_a_clock_that_was_set_back_before_the_start_delays_nothing(env: Env, clock: Clock):
    """An engine that is started after the clock was set back finds what was announced before."""
    with Receiver(answering()) as receiver:
        stage = await Stage.with_receiver(env, receiver.url)
        await stage.happen(stage.new_order())
        clock.move(hours=-1)

        assert await stage.deliver() == 1
