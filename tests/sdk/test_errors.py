"""What a refusal becomes, and what it shows of itself."""

import copy
import logging
import pickle

import pytest

from fulfillment.sdk import Client, ConnectionFailed, errors
from tests.sdk.samples import CUSTOMER, ORDER_CREATE, ORDER_ID, SECRET, SETTINGS, order, problem
from tests.sdk.server import Play, ScriptedServer


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (400, "malformed_json", errors.ValidationError),
        (401, "invalid_token", errors.AuthenticationError),
        (403, "forbidden", errors.PermissionDenied),
        (404, "order_not_found", errors.NotFound),
        (404, "webhook_not_configured", errors.WebhookNotConfigured),
        (405, "method_not_allowed", errors.ApiError),
        (409, "something_new", errors.Conflict),
        (409, "insufficient_stock", errors.InsufficientStock),
        (409, "order_not_cancellable", errors.OrderNotCancellable),
        (413, "body_too_large", errors.ValidationError),
        (415, "unsupported_media_type", errors.ValidationError),
        (422, "validation_failed", errors.ValidationError),
        (422, "unknown_product", errors.UnknownProduct),
        (422, "product_not_orderable", errors.ProductNotOrderable),
        (422, "invalid_cursor", errors.InvalidCursor),
        (422, "idempotency_key_reused", errors.IdempotencyKeyReused),
        (422, "insufficient_stock", errors.ValidationError),
        (500, "internal", errors.ServerError),
        (599, "odd", errors.ServerError),
    ],
)
def test_class_by_code_and_status(
    server: ScriptedServer, client: Client, status: int, code: str, expected: type[errors.ApiError]
):
    """The code chooses the class within the family of the status; an unknown code is its family."""
    server.plays(problem(status, code))

    with pytest.raises(errors.ApiError) as caught:
        client.get_order_by_id(ORDER_ID)

    assert type(caught.value) is expected
    assert (caught.value.status, caught.value.code) == (status, code)


def test_rate_limited(server: ScriptedServer, client: Client):
    """A 429 that stays is RateLimited and says when to come back."""
    server.plays(problem(429, "rate_limited", {"Retry-After": "60"}))

    with pytest.raises(errors.RateLimited) as caught:
        client.get_order_by_id(ORDER_ID)

    assert caught.value.retry_after_seconds == 60


def test_everything_the_problem_says(server: ScriptedServer, client: Client):
    """The error carries title, detail, request id, every fault with its place, and the whole document."""
    faults = [
        {"pointer": "/customer/email", "message": "is not an e-mail address"},
        {"pointer": "/lineItems/0/quantity", "message": "is 0", "code": "too_small"},
    ]
    server.plays(problem(422, "validation_failed", detail="Two faults.", requestId="req-7", errors=faults, more=[1]))

    with pytest.raises(errors.ValidationError) as caught:
        client.create_order(ORDER_CREATE)

    error = caught.value
    assert error.title == "A title"
    assert error.detail == "Two faults."
    assert error.request_id == "req-7"
    assert error.errors == (
        errors.FieldError("/customer/email", "is not an e-mail address"),
        errors.FieldError("/lineItems/0/quantity", "is 0", "too_small"),
    )
    assert error.raw["more"] == [1]
    assert str(error) == ("422 validation_failed: A title at /customer/email, /lineItems/0/quantity (request id req-7)")


def test_explained_in_full(server: ScriptedServer, client: Client):
    """For a person's eyes the error says all the server said, one fault a line."""
    server.plays(
        problem(422, "validation_failed", detail="One fault.", errors=[{"pointer": "/a", "message": "is wrong"}])
    )

    with pytest.raises(errors.ValidationError) as caught:
        client.create_order(ORDER_CREATE)

    assert caught.value.explain().splitlines()[1:] == ["One fault.", "  /a: is wrong"]


@pytest.mark.parametrize(
    "body", [b"<html>Bad Gateway</html>", b"", b"[1]", b'{"code": 5, "errors": "x", "title": null}', b"\xff"]
)
def test_a_refusal_that_is_no_problem(server: ScriptedServer, client: Client, body: bytes):
    """A proxy's page is an error too: by its status, with the request id of the header."""
    server.plays(Play(418, body))

    with pytest.raises(errors.ApiError) as caught:
        client.get_order_by_id(ORDER_ID)

    assert str(caught.value) == "418 http_418: I'm a Teapot (request id req-1)"


@pytest.mark.parametrize("body", [b"<html>", b"", b'"text"', b'{"id": "x"}', b'{"id": 5}', b'{"customer": null}'])
def test_a_success_that_is_no_order(server: ScriptedServer, client: Client, body: bytes):
    """A 200 without the promised object is UnexpectedAnswer, with the request id."""
    server.plays(Play(200, body))

    with pytest.raises(errors.UnexpectedAnswer, match="req-1"):
        client.get_order_by_id(ORDER_ID)


def test_nothing_private_is_shown(server: ScriptedServer, client: Client):
    """Neither str() nor repr() of an error quotes what the server wrote about the customer."""
    server.plays(
        problem(
            422,
            "validation_failed",
            detail="john.doe@example.com is taken",
            errors=[{"pointer": "/customer/email", "message": "john.doe@example.com is taken"}],
        )
    )

    with pytest.raises(errors.ValidationError) as caught:
        client.create_order(ORDER_CREATE)

    shown = f"{caught.value} {caught.value!r} {caught.value.errors!r}"
    assert "/customer/email" in shown
    assert "john" not in shown


def test_objects_show_nothing_private(server: ScriptedServer, client: Client):
    """repr() of orders, settings, secrets and clients shows no personal data and no secret."""
    server.plays(Play(200, order()), Play(200, SETTINGS), Play(200, SECRET))

    objects = [
        client.get_order_by_id(ORDER_ID),
        client.get_partner_settings(),
        client.get_webhook_secret(),
        Client("http://api/v1", "http://token", "client-1", "s:cret/1"),
    ]

    address = [value for name, value in CUSTOMER["address"].items() if name != "state"]
    private = [*address, "John", "Doe", "555-123", "support@", "123 Main", SECRET["webhookSecret"], "cret/1"]
    assert [value for value in private if value in repr(objects)] == []
    assert repr(objects[0]).startswith(f"Order(id='{ORDER_ID}', customer=Customer(source_id='1234567890')")


def test_logs_show_nothing_private(server: ScriptedServer, client: Client, caplog: pytest.LogCaptureFixture):
    """Even at the finest level no log line holds a search, a body, a token or a secret; retries are logged."""
    caplog.set_level(logging.DEBUG)
    server.plays(problem(503, "unavailable", detail="Zebrowski"), Play(200, {"protocols": []}))

    client.list_protocols(search="Zebrowski")

    lines = "\n".join(record.getMessage() for record in caplog.records)
    assert "listProtocols: 503 (request id req-1), again in" in lines
    assert [word for word in ("Zebrowski", "token-1", "cret") if word in lines] == []


def test_connection_failures_do_not_name_the_query(server: ScriptedServer, client: Client):
    """A connection that failed names the operation, not the URL with the customer's name."""
    server.plays(Play(0))

    with pytest.raises(ConnectionFailed) as caught:
        client.list_protocols(search="Zebrowski")

    assert "listProtocols" in str(caught.value)
    assert "Zebrowski" not in f"{caught.value} {caught.value!r}"


def test_errors_survive_being_copied():
    """An error can cross a process boundary."""
    error = errors.from_answer(409, b'{"code": "insufficient_stock", "title": "T"}', request_id="r")

    found = pickle.loads(pickle.dumps(error))

    assert type(found) is errors.InsufficientStock
    assert (str(found), found.request_id) == (str(error), "r")
    assert copy.copy(error).code == "insufficient_stock"


@pytest.mark.parametrize("id", ["", ".", ".."])
def test_an_id_that_is_none(server: ScriptedServer, client: Client, id: str):
    """An empty id is refused here: its path would be that of the whole list."""
    with pytest.raises(ValueError, match="an id is missing"):
        client.get_order_by_id(id)

    assert server.seen == []


def test_ids_are_one_segment(server: ScriptedServer, client: Client):
    """An id can't change which path is meant."""
    server.plays(Play(200, order()))

    client.get_order_by_id("../settings?x=1#y")

    assert server.seen[0].path == "/v1/orders/..%2Fsettings%3Fx%3D1%23y"
    assert server.seen[0].query == {}
