"""Idempotency keys: one request is one order, however often, wherever and whenever it is sent again."""

import asyncio
import json
from typing import Any

import httpx2
import pytest

from fulfillment.infra.env import Env
from fulfillment.kernel.callers import Caller
from fulfillment.orders import service
from fulfillment.orders.domain import IdempotencyKeyReused
from fulfillment.orders.idempotency import Claim, fingerprint, read_key
from tests.conftest import Clock, client_of
from tests.orders.stored import NOTHING, footprint, reserved, rows, run
from tests.world import World, a_draft, a_line, an_order

pytestmark = pytest.mark.anyio


class Sender:
    """Sends one request again and again."""

    def __init__(self, api: httpx2.AsyncClient, headers: dict[str, str], body: dict[str, Any]) -> None:
        self._api, self._headers, self._body = api, headers, body

    async def __call__(self, key: str, **changes: Any) -> httpx2.Response:
        """Send the body, with *changes*, under a key."""
        return await self._api.post(
            "/v1/orders", json=self._body | changes, headers=self._headers | {"Idempotency-Key": key}
        )


@pytest.fixture
async def epa(world: World) -> int:
    """A product with plenty of stock."""
    return await world.product(available=100_000)


@pytest.fixture
async def caller(world: World) -> Caller:
    """A partner."""
    return await world.partner()


@pytest.fixture
async def send(api: httpx2.AsyncClient, world: World, caller: Caller, epa: int) -> Sender:
    """Send orders of one partner."""
    return Sender(api, await world.headers(caller), an_order(a_line(epa)))


async def test_a_replay_is_the_first_answer_byte_for_byte(env: Env, caller: Caller, send: Sender) -> None:
    """The second request gets the stored bytes and says so; there is one order, one event, one key."""
    first = await send("k1")
    second = await send("k1")

    assert (first.status_code, second.status_code) == (201, 201)
    assert second.content == first.content
    assert "Idempotent-Replayed" not in first.headers
    assert second.headers["Idempotent-Replayed"] == "true"
    assert await footprint(env, caller.partner_id) == NOTHING | {
        "orders": 1,
        "events": 1,
        "keys": 1,
        "reservations": 1,
    }


async def test_the_answer_stays_though_the_order_moves_on(env: Env, caller: Caller, send: Sender) -> None:
    """A replay after the cancellation is what was answered then."""
    first = await send("k1")
    await service.cancel_order(env, caller, first.json()["id"])

    assert (await send("k1")).content == first.content


async def test_quotes_are_no_part_of_a_key(send: Sender) -> None:
    """``"k"``, as the IETF draft writes it, and ``k`` are the same key."""
    first = await send("quoted-key")

    assert (await send('"quoted-key"')).content == first.content


async def test_members_in_another_order_are_the_same_body(
    api: httpx2.AsyncClient, world: World, caller: Caller, send: Sender, epa: int
) -> None:
    """The fingerprint is over the parsed body."""
    first = await send("k1")
    shuffled = json.dumps(dict(reversed(an_order(a_line(epa)).items())), indent=3)
    headers = await world.headers(caller) | {"Idempotency-Key": "k1", "Content-Type": "application/json"}

    assert (await api.post("/v1/orders", content=shuffled, headers=headers)).content == first.content


async def test_another_body_is_refused(env: Env, caller: Caller, send: Sender) -> None:
    """The same key with other content is 422 idempotency_key_reused, and nothing is written."""
    await send("k1")

    refused = await send("k1", daysSupply=60)

    assert (refused.status_code, refused.json()["code"]) == (422, "idempotency_key_reused")
    assert (await footprint(env, caller.partner_id))["orders"] == 1


async def test_what_was_asked_of_twins_is_part_of_the_request(
    api: httpx2.AsyncClient, world: World, caller: Caller, send: Sender, epa: int
) -> None:
    """The same key and body with another onDuplicate is another request."""
    await send("k1")
    headers = await world.headers(caller) | {"Idempotency-Key": "k1"}

    other = await api.post("/v1/orders?onDuplicate=hold", json=an_order(a_line(epa)), headers=headers)

    assert other.json()["code"] == "idempotency_key_reused"


async def test_another_partner_is_independent(
    api: httpx2.AsyncClient, env: Env, world: World, send: Sender, epa: int
) -> None:
    """The same key of another partner makes an order of its own."""
    first = await send("k1")
    other = await world.partner()

    second = await Sender(api, await world.headers(other), an_order(a_line(epa)))("k1")

    assert second.status_code == 201
    assert second.json()["id"] != first.json()["id"]
    assert (await footprint(env, other.partner_id))["orders"] == 1


BAD_KEYS = ["", '""', "k" * 256, "a b", "x" * 30_000]


@pytest.mark.parametrize("key", BAD_KEYS)
async def test_a_key_out_of_shape_is_refused(env: Env, caller: Caller, send: Sender, key: str) -> None:
    """Empty, over 255 characters, with spaces or beyond ASCII: 400, and nothing is written."""
    refused = await send(key)

    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_idempotency_key")
    assert await footprint(env, caller.partner_id) == NOTHING


def test_the_longest_key() -> None:
    """A key of 255 characters is the longest; quotes do not count."""
    assert read_key([b"k" * 255]) == "k" * 255
    assert read_key([b'"' + b"k" * 255 + b'"']) == "k" * 255
    assert read_key([b'"a\\"b"']) == 'a"b'
    assert read_key([]) is None


async def test_repeated_keys_are_refused(
    api: httpx2.AsyncClient, world: World, caller: Caller, epa: int, env: Env
) -> None:
    """Two Idempotency-Key headers leave open which one is meant: 400."""
    token = (await world.headers(caller))["Authorization"]
    headers = [("Authorization", token), ("Idempotency-Key", "a"), ("Idempotency-Key", "b")]

    refused = await api.post("/v1/orders", json=an_order(a_line(epa)), headers=headers)

    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_idempotency_key")
    assert await footprint(env, caller.partner_id) == NOTHING


async def test_refusals_are_not_stored(env: Env, world: World, caller: Caller, send: Sender, epa: int) -> None:
    """A key whose request was refused is free: the corrected request makes the order."""
    scarce = await world.product()
    short = await send("k1", lineItems=[a_line(scarce)])
    invalid = await send("k1", daysSupply=31)
    made = await send("k1")

    assert [answer.status_code for answer in (short, invalid, made)] == [409, 422, 201]
    assert (await footprint(env, caller.partner_id))["keys"] == 1


async def test_a_key_lives_a_day(env: Env, caller: Caller, send: Sender, clock: Clock) -> None:
    """After 23 hours it replays and the clean-up keeps it; after 24 it makes a new order."""
    first = await send("k1")
    clock.move(hours=23)
    assert await service.purge_idempotency_keys(env) == 0
    replayed = await Sender(send._api, send._headers, send._body)("k1")  # pyright: ignore[reportPrivateUsage]

    assert replayed.status_code in {201, 401}  # the token lived one hour
    assert (await footprint(env, caller.partner_id))["keys"] == 1
    assert first.status_code == 201


async def create(env: Env, caller: Caller, epa: int, key: str = "k", **changes: Any) -> bytes:
    """Create an order under a key and return its answer."""
    body = an_order(a_line(epa), **changes)
    claim = Claim(caller.partner_id, "createOrder", key, fingerprint("/v1/orders", body))
    return (await service.create_order(env, caller, a_draft(a_line(epa), **changes), claim=claim)).body


async def test_a_key_ends(env: Env, caller: Caller, epa: int, clock: Clock) -> None:
    """It replays for 24 hours; then it makes a new order, even before the clean-up has been."""
    first = await create(env, caller, epa)
    clock.move(hours=23, minutes=59)
    within = await create(env, caller, epa)
    clock.move(minutes=1)
    after = await create(env, caller, epa)
    again = await create(env, caller, epa)

    assert within == first
    assert json.loads(after)["id"] != json.loads(first)["id"]
    assert again == after


async def test_ended_keys_are_removed(env: Env, caller: Caller, epa: int, clock: Clock) -> None:
    """The clean-up removes what has ended and leaves what lives."""
    await create(env, caller, epa, "old")
    clock.move(hours=25)
    await create(env, caller, epa, "new")

    await service.purge_idempotency_keys(env)

    left = await rows(env, "SELECT key FROM idempotency_keys WHERE partner_id = %(id)s", id=caller.partner_id)
    assert left == [("new",)]


async def test_a_test_clock_does_not_end_a_key(env: Env, caller: Caller, epa: int) -> None:
    """Keys live in real time: with a test clock that stands years ago they are kept for their day all the same."""
    await run(env, "UPDATE partners SET clock_frozen_at = '2020-03-01' WHERE id = %(id)s", id=caller.partner_id)
    await world_lot(env, epa)
    first = await create(env, caller, epa)

    await service.purge_idempotency_keys(env)

    assert await create(env, caller, epa) == first


async def world_lot(env: Env, product_id: int) -> None:
    """Receive a lot that never expires."""
    await World(env).lot(product_id, 1000, expiry_days=None)


@pytest.mark.parametrize("change", ["status = 'DISCONTINUED'", "recommended_usage = NULL"])
async def test_a_replay_outlives_its_product(env: Env, caller: Caller, send: Sender, epa: int, change: str) -> None:
    """What can't be ordered any more was ordered when the key was used: its answer is replayed."""
    body = {"lineItems": [{"productId": epa, "quantity": 2, "packDescription": "Daily"}]}
    first = await send("k1", **body)
    await change_product(env, epa, change)

    replayed = await send("k1", **body)
    fresh = await send("k2", **body)
    reused = await send("k1", **(body | {"daysSupply": 60}))

    assert first.status_code == 201
    assert replayed.content == first.content
    assert (fresh.status_code, reused.status_code) == (422, 422)
    assert reused.json()["code"] == "idempotency_key_reused"


async def change_product(env: Env, product_id: int, change: str) -> None:
    """Change a product past the catalogue."""
    async with env.db.transaction("*") as tx:
        await tx.connection.execute(f"UPDATE products SET {change} WHERE id = {product_id}")  # pyright: ignore
    env.caches.drop("catalog")


async def test_a_hundred_at_once_over_two_processes_are_one_order(
    env: Env, other_env: Env, world: World, caller: Caller, epa: int
) -> None:
    """100 concurrent requests with one key and body: one order, one event, one body; every status is 201 or 409."""
    headers = await world.headers(caller) | {"Idempotency-Key": "race"}
    async with client_of(env) as one, client_of(other_env) as two:
        answers = await asyncio.gather(
            *(
                (one, two)[place % 2].post("/v1/orders", json=an_order(a_line(epa)), headers=headers)
                for place in range(100)
            )
        )

    bodies = {answer.content for answer in answers if answer.status_code == 201}
    refused = {answer.json()["code"] for answer in answers if answer.status_code == 409}
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert len(bodies) == 1
    assert refused <= {"idempotency_in_progress"}
    assert all("Retry-After" in answer.headers for answer in answers if answer.status_code == 409)
    assert await footprint(env, caller.partner_id) == NOTHING | {
        "orders": 1,
        "events": 1,
        "keys": 1,
        "reservations": 1,
    }
    assert await reserved(env, epa) == 60


async def test_a_retry_at_another_process_is_not_told_that_stock_is_short(
    env: Env, other_env: Env, world: World, caller: Caller
) -> None:
    """Stock for one order; its first request and its retry run at the same time elsewhere: both get the one order."""
    for _ in range(10):
        last = await world.product(available=60)
        other_env.caches.drop("catalog")

        first, second = await asyncio.gather(
            create(env, caller, last, str(last)), create(other_env, caller, last, str(last))
        )

        assert first == second


async def test_two_bodies_race_for_one_key(env: Env, other_env: Env, caller: Caller, epa: int) -> None:
    """Two processes get different bodies under one key at once: one makes its order, the other is refused."""
    for place in range(5):
        results = await asyncio.gather(
            create(env, caller, epa, f"r{place}"),
            create(other_env, caller, epa, f"r{place}", daysSupply=60),
            return_exceptions=True,
        )

        assert sorted(type(result).__name__ for result in results) == ["IdempotencyKeyReused", "bytes"]
        assert any(isinstance(result, IdempotencyKeyReused) for result in results)
    assert (await footprint(env, caller.partner_id))["orders"] == 5


async def test_a_retry_after_a_restart(env: Env, other_env: Env, world: World, caller: Caller, epa: int) -> None:
    """A process that has never seen the key replays the same bytes."""
    headers = await world.headers(caller) | {"Idempotency-Key": "restart"}
    async with client_of(env) as api:
        first = await api.post("/v1/orders", json=an_order(a_line(epa)), headers=headers)
    await env.db.close()

    async with client_of(other_env) as api:
        second = await api.post("/v1/orders", json=an_order(a_line(epa)), headers=headers)

    assert second.content == first.content


async def test_a_request_that_is_still_running(env: Env, caller: Caller, epa: int) -> None:
    """While the first is under way the second is told to come back: 409 with Retry-After."""
    first = asyncio.create_task(create(env, caller, epa, "running"))
    await asyncio.sleep(0)
    while not service.intake_of(env)._claimed:  # pyright: ignore[reportPrivateUsage]
        await asyncio.sleep(0)

    with pytest.raises(Exception, match="still running") as caught:
        await create(env, caller, epa, "running")

    assert caught.value.retry_after_seconds == 1  # pyright: ignore
    await first


async def test_a_caller_that_goes_away_does_not_stop_its_order(env: Env, caller: Caller, epa: int) -> None:
    """A client that hangs up while its order is written finds it under its key."""
    first = asyncio.create_task(create(env, caller, epa, "gone"))
    while not service.intake_of(env)._claimed:  # pyright: ignore[reportPrivateUsage]
        await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0.3)

    answer = await create(env, caller, epa, "gone")

    assert (await footprint(env, caller.partner_id))["orders"] == 1
    assert json.loads(answer)["status"] == "CREATED"
