"""Lines of the log: one a request, complete in time, and nothing in them that was not meant to be."""

import asyncio
import io
import json
import logging

import httpx2
import pytest

from fulfillment.app import create_app
from fulfillment.infra import logs
from fulfillment.infra.env import Env
from fulfillment.infra.logs import AccessLog
from tests.world import World

pytestmark = pytest.mark.anyio

FIELDS = {"time", "level", "event", "request_id", "method", "route", "status", "ms", "partner_id", "client_id"}


async def asked(env: Env, stream: io.StringIO, *requests: tuple[str, str], **headers: str) -> list[httpx2.Response]:
    """Return the answers to requests of an application that logs to *stream*."""
    transport = httpx2.ASGITransport(app=create_app(env, access_log=AccessLog(stream)), raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://fulfillment.test", headers=headers) as client:
        return [await client.request(method, path) for method, path in requests]


async def test_one_line_a_request_within_a_second(env: Env, world: World) -> None:
    """Each request is one JSON line with its id, route, status and caller, written without waiting for another one."""
    stream = io.StringIO()
    caller = await world.partner()
    answers = await asked(
        env,
        stream,
        ("GET", "/v1/orders"),
        ("GET", "/v1/orders/0ujsswThIGTUYm2K8FjOOfXtY1K"),
        ("GET", "/v1/shipping-methods"),
        ("GET", "/nothing/here"),
        **await world.headers(caller),
    )
    await asyncio.sleep(0.5)

    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["request_id"] for line in lines] == [answer.headers["x-request-id"] for answer in answers]
    assert [(line["route"], line["status"]) for line in lines] == [
        ("/v1/orders", 200),
        ("/v1/orders/{orderId}", 404),
        ("/v1/shipping-methods", 200),
        ("unmatched", 404),
    ]
    assert all(line["event"] == "request.served" and line["ms"] >= 0 for line in lines)
    assert (lines[0]["partner_id"], lines[0]["client_id"]) == (caller.partner_id, caller.client_id)
    assert lines[1]["code"] == "order_not_found"
    assert set(lines[0]) == FIELDS


async def test_a_fault_is_logged_by_type_and_place(env: Env, capsys: pytest.CaptureFixture[str]) -> None:
    """The text of an exception, which can quote a row, is in no line; its type is."""
    stream = io.StringIO()
    before = logging.getLogger().handlers[:]
    logs.configure("info", "json", stream)
    try:
        try:
            raise ValueError("Failing row contains (John, Doe)")
        except ValueError:
            logging.getLogger("fulfillment.test").exception("order.failed", extra={"order_id": "x"})
    finally:
        logging.getLogger().handlers[:] = before

    [line] = [json.loads(each) for each in stream.getvalue().splitlines()]
    assert line["event"] == "order.failed"
    assert line["error"] == "ValueError"
    assert line["order_id"] == "x"
    assert "John" not in stream.getvalue()


async def test_what_a_client_writes_can_not_forge_a_line(env: Env) -> None:
    """A method or a path with line ends and quotes is one line, and no field of it is theirs."""
    stream = io.StringIO()
    log = AccessLog(stream)
    app = create_app(env, access_log=log)
    scope = {
        "type": "http",
        "method": 'GET"\n{"event":"forged"}',
        "path": '/x"\n{"event":"forged"}',
        "query_string": b"",
        "headers": [(b"host", b"x")],
        "client": ("192.0.2.1", 1),
        "http_version": "1.1",
        "scheme": "http",
        "raw_path": b"/x",
        "root_path": "",
        "server": ("x", 80),
        "asgi": {"version": "3.0"},
    }

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(_: object) -> None:
        return None

    await app(scope, receive, send)  # pyright: ignore[reportArgumentType]
    log.flush()

    [line] = [json.loads(each) for each in stream.getvalue().splitlines()]
    assert line["event"] == "request.served"
