"""What is sent again, how often, and after how long."""

import time
from datetime import UTC, datetime
from email.utils import format_datetime
from uuid import UUID

import pytest

from fulfillment.sdk import Client, ConnectionFailed, RateLimited, Retries, ServerError, Timeout, errors
from fulfillment.sdk.retries import asked_seconds
from tests.sdk.conftest import Connect
from tests.sdk.samples import ORDER_CREATE, ORDER_ID, PROTOCOL, SECRET, order, problem
from tests.sdk.server import Play, ScriptedServer

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
CREATED = Play(201, order())


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_passing_failures_are_retried(server: ScriptedServer, client: Client, status: int):
    """A refusal that passes by itself is tried again until the answer is there."""
    server.plays(problem(status, "busy"), problem(status, "busy"), Play(200, order()))

    assert client.get_order_by_id(ORDER_ID).id == ORDER_ID

    assert len(server.seen) == 3


def test_a_lost_connection_is_retried(server: ScriptedServer, client: Client):
    """A connection that closes without an answer is tried again."""
    server.plays(Play(0), Play(200, order()))

    assert client.get_order_by_id(ORDER_ID).id == ORDER_ID

    assert len(server.seen) == 2


def test_one_key_for_one_logical_call(server: ScriptedServer, client: Client):
    """All attempts of one create carry the same UUID4 as their idempotency key, and the same bytes."""
    server.plays(Play(0), problem(503, "unavailable"), CREATED)

    client.create_order(ORDER_CREATE)

    keys = {seen.headers["idempotency-key"] for seen in server.seen}
    assert len(server.seen) == 3
    assert len(keys) == 1
    assert UUID(keys.pop()).version == 4
    assert len({seen.body for seen in server.seen}) == 1


def test_two_logical_calls_have_two_keys(server: ScriptedServer, client: Client):
    """Two creates of the same order are two orders."""
    server.plays(CREATED)

    client.create_order(ORDER_CREATE)
    client.create_order(ORDER_CREATE)

    assert len({seen.headers["idempotency-key"] for seen in server.seen}) == 2


def test_the_callers_own_key(server: ScriptedServer, client: Client):
    """A key the caller gives is used as it is, also for an order from a protocol."""
    server.plays(CREATED)

    client.create_order(ORDER_CREATE, idempotency_key="mine-1")
    client.create_order_from_protocol("p1", idempotency_key="mine-2")

    assert [seen.headers["idempotency-key"] for seen in server.seen] == ["mine-1", "mine-2"]


def test_the_first_attempt_still_runs(server: ScriptedServer, client: Client):
    """409 idempotency_in_progress is waited out; the caller gets the order."""
    server.plays(problem(409, "idempotency_in_progress", {"Retry-After": "0"}), CREATED)

    assert client.create_order(ORDER_CREATE).id == ORDER_ID


def test_other_conflicts_stand(server: ScriptedServer, client: Client):
    """A conflict that does not pass by itself is not tried again."""
    server.plays(problem(409, "insufficient_stock"))

    with pytest.raises(errors.InsufficientStock):
        client.create_order(ORDER_CREATE)

    assert len(server.seen) == 1


@pytest.mark.parametrize("failure", [Play(0), problem(503, "unavailable"), problem(429, "rate_limited")])
@pytest.mark.parametrize(
    ("operation", "args"),
    [
        ("cancel_order", [ORDER_ID]),
        ("create_protocol", [ORDER_CREATE]),
        ("rotate_webhook_secret", []),
        ("redeliver_webhook", ["d1"]),
        ("replay_webhooks", ["2026-01-01T00:00:00Z"]),
        ("advance_clock", ["2026-01-01T00:00:00Z"]),
    ],
)
def test_without_a_key_nothing_is_done_twice(
    server: ScriptedServer, client: Client, operation: str, args: list[object], failure: Play
):
    """A POST that the server can't recognise as a repetition is sent exactly once."""
    server.plays(failure)

    with pytest.raises((ConnectionFailed, ServerError, RateLimited)):
        getattr(client, operation)(*args)

    assert len(server.seen) == 1
    assert "idempotency-key" not in server.seen[0].headers


@pytest.mark.parametrize(
    ("operation", "args", "answer"),
    [
        ("replace_protocol", ["p1", ORDER_CREATE], Play(200, PROTOCOL)),
        ("update_protocol", ["p1", {"daysSupply": 60}], Play(200, PROTOCOL)),
        ("delete_protocol", ["p1"], Play(204)),
        ("preview_order", [ORDER_CREATE], Play(200, {})),
        ("get_webhook_secret", [], Play(200, SECRET)),
    ],
)
def test_what_can_be_repeated_is(
    server: ScriptedServer, client: Client, operation: str, args: list[object], answer: Play
):
    """A call whose repetition has no further effect is tried again without any key."""
    server.plays(Play(0), answer)

    getattr(client, operation)(*args)

    assert len(server.seen) == 2
    assert "idempotency-key" not in server.seen[1].headers


def test_patience_ends(server: ScriptedServer, client: Client):
    """After four retries the last failure is raised."""
    server.plays(problem(503, "unavailable", requestId="req-9"))

    with pytest.raises(ServerError, match="req-9"):
        client.get_order_by_id(ORDER_ID)

    assert len(server.seen) == 5


def test_no_retries_when_told(server: ScriptedServer, connect: Connect):
    """With max_retries=0 each call is one attempt."""
    server.plays(problem(503, "unavailable"))

    with pytest.raises(ServerError):
        connect(Retries(max_retries=0)).get_order_by_id(ORDER_ID)

    assert len(server.seen) == 1


def test_retry_after_is_honoured(server: ScriptedServer, client: Client):
    """The next attempt comes no sooner than the server asked for."""
    server.plays(problem(429, "rate_limited", {"Retry-After": "1"}), Play(200, order()))
    started = time.monotonic()

    client.get_order_by_id(ORDER_ID)

    assert time.monotonic() - started >= 1.0


def test_a_wait_beyond_the_deadline_is_not_begun(server: ScriptedServer, connect: Connect):
    """When the server asks for more time than the call has, the refusal is raised at once."""
    server.plays(problem(429, "rate_limited", {"Retry-After": "3600"}))
    started = time.monotonic()

    with pytest.raises(RateLimited) as caught:
        connect(Retries(deadline_seconds=5.0)).get_order_by_id(ORDER_ID)

    assert caught.value.retry_after_seconds == 3600
    assert time.monotonic() - started < 2.0
    assert len(server.seen) == 1


def test_nobody_listens(connect: Connect):
    """A server that is not there is ConnectionFailed."""
    with pytest.raises(ConnectionFailed, match="token: no answer"):
        connect(url="http://127.0.0.1:9").get_order_by_id(ORDER_ID)


def test_an_answer_too_late(server: ScriptedServer, connect: Connect):
    """A server that accepts the connection and says nothing is a Timeout, which is a ConnectionFailed."""
    server.on_token = lambda: time.sleep(0.5)

    with pytest.raises(Timeout, match=r"no answer within 0\.1 s"):
        connect(Retries(max_retries=0, timeout_seconds=0.1)).get_order_by_id(ORDER_ID)


def test_redirects_are_not_followed(server: ScriptedServer, client: Client):
    """A redirect is an error: following it could hand the token to somebody else."""
    server.plays(Play(302, None, {"Location": "http://127.0.0.1:9/"}))

    with pytest.raises(errors.ApiError, match="302"):
        client.get_order_by_id(ORDER_ID)

    assert len(server.seen) == 1


def test_waits_are_drawn_from_the_whole_range():
    """The upper bound doubles from a quarter of a second to eight; the lower stays zero (full jitter)."""
    drawn: list[tuple[float, float]] = []

    def pick(low: float, high: float) -> float:
        drawn.append((low, high))
        return high

    waits = [Retries(pick=pick).wait_seconds(retry, None) for retry in range(8)]

    assert waits == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0]
    assert {low for low, _ in drawn} == {0.0}


def test_a_wait_asked_for_is_a_lower_bound():
    """What the server asks for is never undercut, and stretched by at most a quarter of a second."""
    assert Retries(pick=lambda low, high: low).wait_seconds(0, 7.0) == 7.0
    assert Retries(pick=lambda low, high: high).wait_seconds(3, 7.0) == 7.25


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        (" 120 ", 120.0),
        ("Mon, 23 Nov 2026 12:00:30 GMT", 30.0),
        ("Mon, 23 Nov 2026 11:00:00 GMT", 0.0),
        (format_datetime(NOW), 0.0),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("²", None),
        ("", None),
    ],
)
def test_retry_after_in_both_forms(text: str, seconds: float | None):
    """Retry-After is whole seconds or a date; a past date asks for nothing, nonsense is as if absent."""
    assert asked_seconds({"retry-after": text}, NOW) == seconds


def test_no_retry_after():
    """An absent Retry-After asks for nothing in particular."""
    assert asked_seconds({}, NOW) is None
