"""Webhook faults on demand."""

from typing import Any

import pytest

from fulfillment.infra.env import Env
from fulfillment.webhooks.delivering import deliver_due
from tests.receivers import Receiver, answering
from tests.sandbox.conftest import Acme

pytestmark = pytest.mark.anyio

START = "2026-03-02T18:00:00.000Z"


async def run(acme: Acme, faults: dict[str, Any], *, orders: int = 10) -> list[list[int]]:
    """Let orders live through a day with *faults*; return the sequences each receiver got of each, in their order."""
    with Receiver(answering()) as receiver:
        await acme.call("PATCH", "/partners/settings", {"webhookUrl": receiver.url})
        await acme.clock(START, seed="faults")
        await acme.call("PUT", "/sandbox/webhook-faults", faults)
        await acme.call("PUT", "/sandbox/auto-advance", {"stageSeconds": 600})
        made = [(await acme.order(f"N{number}"))["id"] for number in range(orders)]
        moved = await acme.advance("2026-03-03T18:00:00Z")
        got = list(receiver.requests)
        await (await acme.fresh()).call("DELETE", "/sandbox/webhook-faults", status=204)
    assert moved["completed"]
    return [
        [int(one.headers["x-juniper-sequence"]) for one in got if order_id.encode() in one.body] for order_id in made
    ]


async def test_dropped_webhooks_arrive_at_last(acme: Acme) -> None:
    """With half of all attempts lost every event still arrives, in the order of each order's events."""
    for sequences in await run(acme, {"drop": 0.5, "seed": 1}, orders=5):
        assert sequences == list(range(1, 9))


async def test_duplicates_arrive_twice(acme: Acme) -> None:
    """With every attempt sent twice each event arrives twice."""
    for sequences in await run(acme, {"duplicate": 1.0}, orders=2):
        assert sequences == [number for number in range(1, 9) for _ in range(2)]


async def test_delayed_webhooks_arrive_late_by_the_clock(acme: Acme) -> None:
    """A delay on a test clock takes the clock's time, not the test's."""
    with Receiver(answering()) as receiver:
        await acme.call("PATCH", "/partners/settings", {"webhookUrl": receiver.url})
        await acme.clock(START)
        await acme.call("PUT", "/sandbox/webhook-faults", {"delaySeconds": 1800})
        order = await acme.order()
        await acme.advance("2026-03-02T18:29:59Z")
        before = len(receiver.requests)
        await acme.advance("2026-03-02T18:30:00Z")
        after = len(receiver.requests)

    delivery = (await acme.call("GET", f"/webhook-deliveries?orderId={order['id']}"))["deliveries"][0]
    assert (before, after) == (0, 1)
    assert (delivery["status"], delivery["attemptCount"], delivery["finishedAt"]) == (
        "DELIVERED",
        1,
        "2026-03-02T18:30:00.000Z",
    )


async def test_reordered_events_overtake(acme: Acme) -> None:
    """Later events arrive before earlier ones, all of them at last."""
    found = await run(acme, {"reorder": True, "seed": 3}, orders=4)

    assert [sorted(sequences) for sequences in found] == [list(range(1, 9))] * 4
    assert any(sequences != sorted(sequences) for sequences in found)


async def test_the_same_seed_fares_the_same(env: Env, acme: Acme) -> None:
    """Two runs with the same seed lose, double and swap the same deliveries; another seed others."""
    faults = {"drop": 0.3, "duplicate": 0.3, "reorder": True, "delaySeconds": 60}

    first = await run(acme, {**faults, "seed": 7}, orders=4)
    again = await run(acme, {**faults, "seed": 7}, orders=4)
    other = await run(acme, {**faults, "seed": 8}, orders=4)

    assert first == again
    assert first != other


async def test_without_faults_they_arrive_as_they_should(env: Env, acme: Acme) -> None:
    """After DELETE everything arrives once."""
    with Receiver(answering()) as receiver:
        await acme.call("PATCH", "/partners/settings", {"webhookUrl": receiver.url})
        await acme.call("PUT", "/sandbox/webhook-faults", {"duplicate": 1})
        await acme.call("DELETE", "/sandbox/webhook-faults", status=204)
        await acme.order()
        await deliver_due(env, acme.caller.partner_id)

    assert len(receiver.requests) == 1


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"drop": 1.5}, "/drop"),
        ({"drop": -0.1}, "/drop"),
        ({"duplicate": "often"}, "/duplicate"),
        ({"delaySeconds": -1}, "/delaySeconds"),
        ({"reorder": 2}, "/reorder"),
        ({"seed": -1}, "/seed"),
        ({"lose": 1}, "/lose"),
    ],
)
async def test_faults_have_bounds(acme: Acme, body: Any, pointer: str) -> None:
    """Shares from 0 to 1, seconds up to a day, nothing else."""
    refusal = await acme.call("PUT", "/sandbox/webhook-faults", body, 422)

    assert [error["pointer"] for error in refusal["errors"]] == [pointer]
