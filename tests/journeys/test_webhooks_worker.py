"""A real worker process: it picks up at once, stops gently, and follows a rotation under load."""

import asyncio
import time
from dataclasses import replace

import pytest
import standardwebhooks
import stripe

from fulfillment.infra.env import Env, real_time
from fulfillment.infra.wake import wake_workers
from fulfillment.partners import service as partners
from fulfillment.webhooks.signing import standard_secret
from tests.journeys.workers import Worker
from tests.receivers import Connection, Receiver, answering, head
from tests.webhooks.stage import Stage

pytestmark = pytest.mark.anyio


async def until_received(receiver: Receiver, count: int, seconds: float = 10) -> None:
    """Wait until so many requests have come in."""
    ends = time.monotonic() + seconds
    while len(receiver.requests) < count:
        assert time.monotonic() < ends, len(receiver.requests)
        await asyncio.sleep(0.002)


async def pick_up_seconds(stage: Stage, receiver: Receiver, *, told: bool) -> float:
    """How long after its commit an event arrives at an idle worker's receiver."""
    before = len(receiver.requests)
    await stage.happen(stage.new_order())
    if told:
        wake_workers(stage.env)
    began = time.monotonic()
    await until_received(receiver, before + 1)
    return time.monotonic() - began


@pytest.mark.parametrize(
    ("told", "typical"), [pytest.param(True, 0.1, id="told"), pytest.param(False, 0.25, id="the word was lost")]
)
async def test_an_idle_worker_picks_up_at_once(env: Env, dsns: tuple[str, str], told: bool, typical: float):
    """An event reaches the receiver within a tenth of a second; also, by looking, when no notification came."""
    env = replace(env, now=real_time)
    with Receiver(answering()) as receiver, Worker(dsns[0], env.settings.data_dir):
        stage = await Stage.with_receiver(env, receiver.url)
        await pick_up_seconds(stage, receiver, told=told)

        took = sorted([await pick_up_seconds(stage, receiver, told=told) for _ in range(9)])

    assert took[4] < typical, took


async def test_sigterm_finishes_what_is_under_way(env: Env, dsns: tuple[str, str]):
    """The delivery on the wire is finished and recorded, the worker ends by itself, and nothing stays leased."""
    env = replace(env, now=real_time)

    def slow(connection: Connection) -> None:
        while connection.request():
            time.sleep(0.5)
            connection.send(head(200, Content_Length=0))

    with Receiver(slow) as receiver, Worker(dsns[0], env.settings.data_dir) as worker:
        stage = await Stage.with_receiver(env, receiver.url)
        order = stage.new_order()
        await stage.happen(order, order)
        await until_received(receiver, 1)

        status = await asyncio.to_thread(worker.stop)

    rows = await stage.deliveries()
    assert status == 0
    assert [(row["status"], row["leased_until"]) for row in rows] == [("DELIVERED", None), ("PENDING", None)]
    assert len(receiver.requests) == 1


async def test_a_rotation_holds_at_once_under_load(env: Env, dsns: tuple[str, str]):
    """Every delivery verifies, by two verifiers of others, with the secret of its moment; the old one signs no more.

    The moment of a rotation itself, in which a request may already be on the wire, is left a tenth of a second.
    """
    env = replace(env, now=real_time)
    arrived: list[float] = []

    def noting(connection: Connection) -> None:
        while connection.request():
            arrived.append(time.monotonic())
            connection.send(head(200, Content_Length=0))

    with Receiver(noting) as receiver, Worker(dsns[0], env.settings.data_dir):
        stage = await Stage.with_receiver(env, receiver.url)
        secrets = [(0.0, await stage.secret())]
        for _ in range(6):
            for _ in range(10):
                await stage.happen(*(stage.new_order() for _ in range(5)))
                wake_workers(env)
                await asyncio.sleep(0.02)
            new = await partners.rotate_webhook_secret(env, stage.caller)
            secrets.append((time.monotonic(), new))
        await stage.happen(*(stage.new_order() for _ in range(5)))
        wake_workers(env)
        await until_received(receiver, 305)

    for received, at in zip(receiver.requests, arrived, strict=True):
        text, headers = received.body.decode(), dict(received.headers)
        fitting = [place for place, (_, secret) in enumerate(secrets) if _verifies(text, headers, secret)]
        in_force = max(place for place, (since, _) in enumerate(secrets) if since <= at)
        just_rotated = at - secrets[in_force][0] < 0.1 and in_force > 0
        next_known = in_force + 1 < len(secrets)
        assert len(fitting) == 1
        allowed = {in_force, *([in_force - 1] if just_rotated else []), *([in_force + 1] if next_known else [])}
        assert fitting[0] in allowed


def _verifies(text: str, headers: dict[str, str], secret: str) -> bool:
    try:
        stripe.WebhookSignature.verify_header(text, headers["x-juniper-signature"], secret, 300)
    except stripe.SignatureVerificationError:
        with pytest.raises(standardwebhooks.WebhookVerificationError):
            standardwebhooks.Webhook(standard_secret(secret)).verify(text, headers)
        return False
    standardwebhooks.Webhook(standard_secret(secret)).verify(text, headers)
    return True
