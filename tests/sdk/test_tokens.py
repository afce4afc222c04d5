"""Tokens: fetched late, kept, renewed early, renewed once when refused, and by one caller at a time."""

import asyncio
import base64
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import unquote_plus

import pytest

from fulfillment.sdk import AsyncClient, AuthenticationError, Client, errors
from fulfillment.sdk.calls import get, loose
from fulfillment.sdk.connection import Connection
from fulfillment.sdk.exchange import Answer, Authorize, Exchange, Send
from fulfillment.sdk.retries import Retries
from tests.sdk.conftest import QUICK, Connect
from tests.sdk.samples import ORDER_CREATE, ORDER_ID, order, problem
from tests.sdk.server import Play, ScriptedServer


def test_no_token_before_the_first_call(server: ScriptedServer, connect: Connect):
    """Making a client asks the server nothing."""
    connect()

    assert server.tokens_seen == []


def test_one_token_serves_many_calls(server: ScriptedServer, client: Client):
    """The token is fetched once and sent with each call."""
    server.plays(Play(200, order()))

    for _ in range(3):
        client.get_order_by_id(ORDER_ID)

    assert len(server.tokens_seen) == 1
    assert [seen.headers["authorization"] for seen in server.seen] == ["Bearer token-1"] * 3


def test_the_credentials_are_sent_as_the_standard_says(server: ScriptedServer, client: Client):
    """Client id and secret are form-encoded, joined by a colon, and sent as HTTP Basic (RFC 6749, 2.3.1)."""
    server.plays(Play(200, order()))

    client.get_order_by_id(ORDER_ID)

    asked = server.tokens_seen[0]
    scheme, encoded = asked.headers["authorization"].split(" ")
    parts = base64.b64decode(encoded).decode().split(":")
    assert scheme == "Basic"
    assert [unquote_plus(part) for part in parts] == ["client-1", "s:cret/1"]
    assert asked.headers["content-type"] == "application/x-www-form-urlencoded"
    assert asked.body == b"grant_type=client_credentials"


def test_a_refused_token_is_renewed_once(server: ScriptedServer, client: Client):
    """After a 401 the call is sent again with a new token, also a POST without a key: a 401 did nothing."""
    server.plays(problem(401, "invalid_token"), Play(200, order()))

    client.cancel_order(ORDER_ID)

    assert [seen.headers["authorization"] for seen in server.seen] == ["Bearer token-1", "Bearer token-2"]


def test_a_renewed_token_keeps_the_key(server: ScriptedServer, client: Client):
    """The call that is sent again with a new token carries the same idempotency key."""
    server.plays(problem(401, "invalid_token"), Play(201, order()))

    client.create_order(ORDER_CREATE)

    assert len({seen.headers["idempotency-key"] for seen in server.seen}) == 1


def test_a_second_401_stands(server: ScriptedServer, client: Client):
    """A new token that is refused too is AuthenticationError, not a loop."""
    server.plays(problem(401, "invalid_token"))

    with pytest.raises(AuthenticationError, match="invalid_token"):
        client.get_order_by_id(ORDER_ID)

    assert len(server.seen) == 2
    assert len(server.tokens_seen) == 2


def test_wrong_credentials(server: ScriptedServer, client: Client):
    """A refusal of the credentials carries the code of RFC 6749, is not tried again, and shows no secret."""
    refusal = {"error": "invalid_client", "error_description": "unknown client"}
    server.token_script.append(Play(401, refusal))

    with pytest.raises(AuthenticationError) as caught:
        client.get_order_by_id(ORDER_ID)

    assert caught.value.code == "invalid_client"
    assert caught.value.detail == "unknown client"
    assert caught.value.request_id == "req-1"
    assert "cret" not in str(caught.value) + repr(caught.value)
    assert len(server.tokens_seen) == 1
    assert server.seen == []


def test_the_token_endpoint_is_retried(server: ScriptedServer, client: Client):
    """A token endpoint that fails for a moment is tried again."""
    server.token_script.extend([Play(0), problem(503, "unavailable")])
    server.plays(Play(200, order()))

    assert client.get_order_by_id(ORDER_ID).id == ORDER_ID

    assert len(server.tokens_seen) == 3


@pytest.mark.parametrize(
    "body", [b"<html>", b"[]", b'{"token_type": "Bearer"}', b'{"access_token": "a", "expires_in": "x"}']
)
def test_no_token_in_the_answer(server: ScriptedServer, client: Client, body: bytes):
    """An answer without a token is named as such."""
    server.token_script.append(Play(200, body))

    with pytest.raises(errors.UnexpectedAnswer):
        client.get_order_by_id(ORDER_ID)


@pytest.mark.parametrize(("lives", "renewed_at"), [(3600, 3540.0), (100, 90.0)])
def test_renewed_before_it_expires(lives: int, renewed_at: float):
    """A token of an hour is renewed a minute before its end, a short one in the last tenth of its life."""
    now = [0.0]
    exchange = Exchange(Connection("http://api/v1", "http://token", "id", "secret"), Retries(), clock=lambda: now[0])
    renewal = exchange.renewal(Authorize(None, 1e9))
    next(renewal)
    with pytest.raises(StopIteration):
        renewal.send(Answer(200, {}, f'{{"access_token": "one", "expires_in": {lives}}}'.encode()))
    call = get("getEvent", "/events/1", loose)

    now[0] = renewed_at - 0.01
    assert isinstance(next(exchange.conversation(call)), Send)

    now[0] = renewed_at
    assert isinstance(next(exchange.conversation(call)), Authorize)


def test_threads_share_one_renewal(server: ScriptedServer):
    """Twenty threads that start without a token fetch one, together."""
    server.plays(Play(200, order()))
    server.on_token = lambda: time.sleep(0.05)
    gate = threading.Barrier(20)

    with Client(f"{server.url}/v1", f"{server.url}/oauth2/token", "i", "s", retries=QUICK) as client:

        def get_one(_: int) -> str:
            gate.wait()
            return client.get_order_by_id(ORDER_ID).id

        with ThreadPoolExecutor(20) as pool:
            ids = list(pool.map(get_one, range(20)))

    assert ids == [ORDER_ID] * 20
    assert len(server.tokens_seen) == 1


async def test_tasks_share_one_renewal(server: ScriptedServer):
    """Twenty tasks that start without a token fetch one, together."""
    server.plays(Play(200, order()))
    server.on_token = lambda: time.sleep(0.05)

    async with AsyncClient(f"{server.url}/v1", f"{server.url}/oauth2/token", "i", "s") as client:
        orders = await asyncio.gather(*(client.get_order_by_id(ORDER_ID) for _ in range(20)))

    assert [found.id for found in orders] == [ORDER_ID] * 20
    assert len(server.tokens_seen) == 1


async def test_tasks_share_the_renewal_of_a_refused_token(server: ScriptedServer):
    """Ten tasks whose common token is revoked fetch one new token, not ten."""
    server.plays(Play(200, order()))

    async with AsyncClient(f"{server.url}/v1", f"{server.url}/oauth2/token", "i", "s") as client:
        await client.get_order_by_id(ORDER_ID)
        server.revoked.add("token-1")
        await asyncio.gather(*(client.get_order_by_id(ORDER_ID) for _ in range(10)))

    assert len(server.tokens_seen) == 2


async def test_a_cancelled_renewal_holds_up_nobody(server: ScriptedServer):
    """When the task that fetches the token is cancelled, the next one fetches it."""
    server.plays(Play(200, order()))
    server.on_token = lambda: time.sleep(0.1)

    async with AsyncClient(f"{server.url}/v1", f"{server.url}/oauth2/token", "i", "s") as client:
        first = asyncio.create_task(client.get_order_by_id(ORDER_ID))
        await asyncio.sleep(0.03)
        second = asyncio.create_task(client.get_order_by_id(ORDER_ID))
        await asyncio.sleep(0)
        first.cancel()
        found = await second

    assert first.cancelled()
    assert found.id == ORDER_ID


def test_a_late_waiter_gives_up_at_once():
    """A call whose deadline passed while others tried to fetch a token does not start another round."""
    exchange = Exchange(Connection("http://api/v1", "http://token", "id", "secret"), Retries(), clock=lambda: 100.0)

    with pytest.raises(errors.Timeout):
        next(exchange.renewal(Authorize(None, deadline=99.0)))
