"""The edge: every refusal is a problem, whatever was sent and wherever."""

import asyncio
import io
import json
import logging
import re
from collections.abc import AsyncGenerator
from typing import Any

import httpx2
import pytest

from fulfillment.app import HOT, create_app
from fulfillment.infra import web
from fulfillment.infra.caches import Caches
from fulfillment.infra.db import Database
from fulfillment.infra.env import Env
from fulfillment.infra.logs import AccessLog
from fulfillment.infra.secrets import load_or_create
from fulfillment.infra.settings import Settings
from fulfillment.kernel.errors import Kind
from tests.conftest import client_of
from tests.world import World, a_line, an_order

pytestmark = pytest.mark.anyio
JSON = {"Content-Type": "application/json"}
ID = "2vSGym0bH8qVEwCIGlyFoRgJq1A"
PATHS = {  # the methods that each path answers, from the contract and the server's own documents
    "/v1/orders": {"GET", "HEAD", "POST"},
    f"/v1/orders/{ID}": {"GET", "HEAD"},
    f"/v1/orders/{ID}/cancel": {"POST"},
    "/v1/protocols": {"GET", "HEAD", "POST"},
    f"/v1/protocols/{ID}": {"GET", "HEAD", "PATCH", "PUT", "DELETE"},
    f"/v1/protocols/{ID}/orders": {"POST"},
    "/v1/products": {"GET", "HEAD"},
    "/v1/products/77123129891": {"GET", "HEAD"},
    "/v1/shipping-methods": {"GET", "HEAD"},
    "/v1/partners/settings": {"GET", "HEAD", "PATCH"},
    "/v1/partners/settings/webhook-secret": {"GET", "HEAD"},
    "/v1/partners/settings/rotate-webhook-secret": {"POST"},
    "/oauth2/token": {"POST"},
    "/livez": {"GET", "HEAD"},
    "/readyz": {"GET", "HEAD"},
    "/openapi.json": {"GET", "HEAD"},
    "/openapi.yaml": {"GET", "HEAD"},
    "/.well-known/oauth-authorization-server": {"GET", "HEAD"},
    "/docs": {"GET", "HEAD"},
    "/docs/quickstart": {"GET", "HEAD"},
    "/docs/quickstart.md": {"GET", "HEAD"},
    "/changelog": {"GET", "HEAD"},
    "/llms.txt": {"GET", "HEAD"},
}
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")


@pytest.fixture(scope="module")
async def env(dsns: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Env]:
    """One Env for all tests here: they write nothing that another would notice."""
    settings = Settings(data_dir=tmp_path_factory.mktemp("data"))
    db = Database(dsns[0], size=8)
    yield Env(settings, db, Caches(db), load_or_create(settings.data_dir / "secrets.json"))
    await db.close()


@pytest.fixture(scope="module")
async def headers(env: Env) -> dict[str, str]:
    """A partner's Authorization header."""
    world = World(env)
    return await world.headers(await world.partner())


@pytest.fixture(scope="module")
async def api(env: Env) -> AsyncGenerator[httpx2.AsyncClient]:
    """A client of the whole application over that Env."""
    async with client_of(env) as client:
        yield client


def check_problem(answer: httpx2.Response, status: int, code: str) -> None:
    """Check that an answer is the problem *code*, whole."""
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    problem = answer.json()
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["type"] == f"/docs/errors#{code}"
    assert problem["title"]
    assert problem["requestId"] == answer.headers["x-request-id"]
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", METHODS)
async def test_every_path_with_every_method(
    api: httpx2.AsyncClient, headers: dict[str, str], path: str, method: str
) -> None:
    """A method that a path does not answer is 405 with exactly those it does; one that it does is not."""
    answer = await api.request(method, path, headers=headers)

    if method in PATHS[path]:
        assert answer.status_code != 405
    else:
        assert answer.status_code == 405
        assert set(answer.headers["allow"].split(", ")) == PATHS[path]
        if method != "HEAD":
            check_problem(answer, 405, "method_not_allowed")


async def test_every_served_path_with_every_method(api: httpx2.AsyncClient, env: Env, headers: dict[str, str]) -> None:
    """Every method that a path of the served document does not have is 405, and Allow names those that it has."""
    world = World(env)
    operator = await world.headers(await world.operator())
    served = (await api.get("/openapi.json")).json()["paths"]
    wrong: list[str] = []
    for template, item in served.items():
        path = ("" if "servers" in item else "/v1") + re.sub(r"\{\w+\}", ID, template)
        allowed = {name.upper() for name in item if name.upper() in METHODS}
        allowed |= {"HEAD"} if "GET" in allowed else set()
        for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} - allowed:
            answer = await api.request(method, path, headers=operator if "/operator/" in path else headers)
            named = set(answer.headers.get("allow", "").split(", "))
            if (answer.status_code, named) != (405, allowed):
                wrong.append(f"{method} {path}: {answer.status_code}, allow {sorted(named)}")
    assert len(served) > 60
    assert wrong == []


@pytest.mark.parametrize("path", [path for path, methods in PATHS.items() if "HEAD" in methods])
async def test_head_is_get_without_a_body(api: httpx2.AsyncClient, headers: dict[str, str], path: str) -> None:
    """Status, type and length are those of GET."""
    get = await api.get(path, headers=headers)
    head = await api.head(path, headers=headers)

    assert head.content == b""
    assert head.status_code == get.status_code
    for name in ("content-type", "content-length", "cache-control"):
        assert head.headers.get(name) == get.headers.get(name)


@pytest.mark.parametrize(
    "path",
    [
        "/v1",
        "/v2/orders",
        "/orders",
        "/v1/order",
        "/v1/orders/",
        "//v1/orders",
        "/v1//orders",
        f"/v1/orders/{ID}/",
        f"/v1/orders/{ID}/ship",
        f"/v1/orders/{ID}/cancel/",
        "/v1/orders/a%2Fb",
        "/v1/products/1/2",
        "/V1/orders",
        "/v1/%6frders/x/y",
        "/openapi.json/",
        "/docs/../v1/orders/x/y",
    ],
)
async def test_what_is_nowhere_is_404(api: httpx2.AsyncClient, headers: dict[str, str], path: str) -> None:
    """No redirect to a path that nearly is: 404."""
    check_problem(await api.get(httpx2.URL(f"http://fulfillment.test{path}"), headers=headers), 404, "path_not_found")


@pytest.mark.parametrize(
    "id_", ["x", "%00", "%FF", "%2e%2e", "a" * 5000, "' OR 1=1 --", ID[:-1], ID + "A", "\u0661" * 27]
)
@pytest.mark.parametrize(("kind", "code"), [("orders", "order_not_found"), ("protocols", "protocol_not_found")])
async def test_an_id_that_can_be_none_is_404(
    api: httpx2.AsyncClient, headers: dict[str, str], id_: str, kind: str, code: str
) -> None:
    """Whatever stands in an id's place is answered like an id that does not exist."""
    check_problem(await api.get(f"/v1/{kind}/{id_}", headers=headers), 404, code)


BODIES = [
    (b"{", JSON, 400, "malformed_json"),
    (b"", JSON, 400, "malformed_json"),
    (b'{"daysSupply":30,"daysSupply":30}', JSON, 400, "malformed_json"),
    (b"[" * 1_000_000, JSON, 400, "malformed_json"),
    (b'{"daysSupply":' + b"9" * 5000 + b"}", JSON, 400, "malformed_json"),
    ('{"a":1}'.encode("utf-16"), JSON, 400, "malformed_json"),
    (b"\xef\xbb\xbf{}", JSON, 400, "malformed_json"),
    (b'{"daysSupply":NaN}', JSON, 400, "malformed_json"),
    (b'{"a":"\\ud800"}', JSON, 400, "malformed_json"),
    (b'{"a":"\\u0000"}', JSON, 400, "malformed_json"),
    (b'{"daysSupply":1e400}', JSON, 422, "validation_failed"),
    (b"[]", JSON, 422, "validation_failed"),
    (b"null", JSON, 422, "validation_failed"),
    (b"[" + b"1," * 100_000 + b"1]", JSON, 422, "validation_failed"),
    (b" " * (1024 * 1024 + 1), JSON, 413, "body_too_large"),
    (b"{}", {}, 415, "unsupported_media_type"),
    (b"{}", {"Content-Type": "text/plain"}, 415, "unsupported_media_type"),
    (b"{}", {"Content-Type": "application/json; charset=utf-7"}, 415, "unsupported_media_type"),
    (b"{}", {"Content-Type": "application/jsonx"}, 415, "unsupported_media_type"),
    (b"a=1", {"Content-Type": "application/x-www-form-urlencoded"}, 415, "unsupported_media_type"),
]


@pytest.mark.parametrize("path", ["/v1/orders", "/v1/protocols", "/v1/partners/settings"])
@pytest.mark.parametrize(("body", "sent", "status", "code"), BODIES, ids=lambda value: str(value)[:20])
async def test_bodies_that_are_none(
    api: httpx2.AsyncClient,
    headers: dict[str, str],
    path: str,
    body: bytes,
    sent: dict[str, str],
    status: int,
    code: str,
) -> None:
    """Hot operations and those of the framework refuse the same bodies with the same problems."""
    method = "PATCH" if path.endswith("settings") else "POST"

    check_problem(await api.request(method, path, content=body, headers=headers | sent), status, code)


@pytest.mark.parametrize("sent", ["application/json", "Application/JSON", 'application/json; charset="UTF-8"'])
async def test_ways_of_saying_json(api: httpx2.AsyncClient, headers: dict[str, str], sent: str) -> None:
    """Case and a charset of UTF-8 make no difference."""
    answer = await api.post("/v1/orders", content=b"{}", headers=headers | {"Content-Type": sent})

    check_problem(answer, 422, "validation_failed")


@pytest.mark.parametrize("path", ["/v1/orders", "/v1/shipping-methods", "/v1/partners/settings", "/openapi.json"])
@pytest.mark.parametrize("query", ["x=1", "limit=1&limit=2", "%ff=1", "x", "=1", "&&x=1", "limit[]=1", "x=%ff"])
async def test_parameters_that_are_none(
    api: httpx2.AsyncClient, headers: dict[str, str], path: str, query: str
) -> None:
    """An unknown, repeated or unreadable parameter is 422."""
    answer = await api.get(httpx2.URL(f"http://fulfillment.test{path}?{query}"), headers=headers)

    check_problem(answer, 422, "validation_failed")


async def test_all_faults_of_an_order_come_at_once(api: httpx2.AsyncClient, headers: dict[str, str]) -> None:
    """Faults of shape and of the catalogue come in one answer, each with its pointer."""
    body = an_order(a_line(1), a_line(2, quantity=0), daysSupply=31) | {"x": 1}

    answer = await api.post("/v1/orders", json=body, headers=headers)

    check_problem(answer, 422, "validation_failed")
    assert sorted(fault["pointer"] for fault in answer.json()["errors"]) == [
        "/daysSupply",
        "/lineItems/0/productId",
        "/lineItems/1/quantity",
        "/x",
    ]


async def raw(
    front: Any, scope: dict[str, Any], chunks: list[bytes] | None = None, hang: bool = False
) -> dict[str, Any]:
    """Send one request as the server's protocol does; return status, headers and body."""
    answer: dict[str, Any] = {"body": b""}
    waiting = list(chunks or [b""])

    async def receive() -> dict[str, Any]:
        if not waiting:
            await asyncio.sleep(60)
        chunk = waiting.pop(0)
        return {"type": "http.request", "body": chunk, "more_body": bool(waiting) or hang}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            answer["status"] = message["status"]
            answer["headers"] = dict(message["headers"])
        else:
            answer["body"] += message.get("body", b"")

    await front(
        {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": "/v1/orders",
            "raw_path": b"/v1/orders",
            "query_string": b"",
            "root_path": "",
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
            "headers": [(b"host", b"x")],
        }
        | scope,
        receive,
        send,
    )
    return answer


def code_of(answer: dict[str, Any]) -> tuple[int, str]:
    """Return status and code of a raw answer."""
    return answer["status"], json.loads(answer["body"])["code"]


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        ([], "host_unknown"),
        ([(b"host", b"a"), (b"host", b"b")], "host_unknown"),
        ([(b"host", b"a"), (b"host", b"a")], "host_unknown"),
        ([(b"host", b"a"), *[(b"x", b"y")] * 100], "headers_too_large"),
        ([(b"host", b"a"), (b"x", b"y" * 33_000)], "headers_too_large"),
    ],
)
async def test_headers_that_are_none(env: Env, sent: list[tuple[bytes, bytes]], code: str) -> None:
    """No or two Hosts, over 100 headers or 32 KiB of them: 400, before anything else is looked at."""
    assert code_of(await raw(create_app(env), {"headers": sent})) == (400, code)


@pytest.mark.parametrize(
    ("host", "answered"),
    [
        (b"api.example.com", True),
        (b"API.example.com:8000", True),
        (b"[::1]", True),
        (b"[::1]:8000", True),
        (b"evil.example.com", False),
        (b"api.example.com.evil.com", False),
        (b"", False),
    ],
)
async def test_only_our_hosts_are_answered(env: Env, host: bytes, answered: bool) -> None:
    """Where hosts are named, any other Host header is 400."""
    settings = env.settings.model_copy(update={"allowed_hosts": ("api.example.com", "[::1]")})
    front = create_app(_with(env, settings))

    answer = await raw(front, {"headers": [(b"host", host)], "path": "/livez"})

    assert (answer["status"] == 200) is answered
    if not answered:
        assert code_of(answer) == (400, "host_unknown")


def _with(env: Env, settings: Any) -> Env:
    from dataclasses import replace

    return replace(env, settings=settings, local={})


def authorized(headers: dict[str, str], *more: tuple[bytes, bytes]) -> list[tuple[bytes, bytes]]:
    """Return raw headers with a token."""
    return [(b"host", b"x"), (b"authorization", headers["Authorization"].encode()), *more]


TYPE = (b"content-type", b"application/json")
CHUNKED = (b"transfer-encoding", b"chunked")


@pytest.mark.parametrize("path", ["/v1/orders", "/v1/partners/settings"])
async def test_a_slow_body_is_given_up(
    env: Env, headers: dict[str, str], monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """A body that does not arrive in time is 400, and its connection is closed."""
    monkeypatch.setattr(web, "_BODY_SECONDS", 0.1)
    method = "POST" if path == "/v1/orders" else "PATCH"
    sent = authorized(headers, TYPE, (b"content-length", b"100"))

    answer = await raw(create_app(env), {"method": method, "path": path, "headers": sent}, [b"{"], hang=True)

    assert code_of(answer) == (400, "body_too_slow")
    assert answer["headers"][b"connection"] == b"close"


@pytest.mark.parametrize("path", ["/v1/orders", "/v1/partners/settings", "/oauth2/token"])
async def test_a_body_without_end_is_cut_off(env: Env, headers: dict[str, str], path: str) -> None:
    """A chunked body is read to the limit and no further: 413, and its connection is closed."""
    method = "PATCH" if path.endswith("settings") else "POST"
    chunks = [b" " * 65536] * 1000

    answer = await raw(
        create_app(env), {"method": method, "path": path, "headers": authorized(headers, TYPE, CHUNKED)}, chunks
    )

    assert answer["status"] == 413
    assert answer["headers"][b"connection"] == b"close"


async def test_a_refusal_before_a_long_body_closes_its_connection(env: Env) -> None:
    """Who is not known is refused unread; a long or endless body that follows has no one to read it."""
    front = create_app(env)
    for more in (CHUNKED, (b"content-length", b"1000000")):
        answer = await raw(front, {"method": "POST", "headers": [(b"host", b"x"), TYPE, more]})
        assert (code_of(answer), answer["headers"][b"connection"]) == ((401, "unauthenticated"), b"close")
    answer = await raw(front, {"method": "POST", "headers": [(b"host", b"x"), TYPE, (b"content-length", b"1000")]})
    assert b"connection" not in answer["headers"]


async def test_a_client_that_goes_away_is_not_answered(env: Env, headers: dict[str, str]) -> None:
    """A disconnect in the middle of the body ends the request without an answer or a log of a fault."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/orders",
        "query_string": b"",
        "headers": authorized(headers, TYPE, (b"content-length", b"10")),
    }
    await create_app(env)(scope, receive, send)  # pyright: ignore[reportArgumentType]

    assert sent == []


@pytest.fixture
async def crowded(env: Env) -> AsyncGenerator[httpx2.AsyncClient]:
    """A client of an application that takes on two requests at once, both of them taken."""
    front = create_app(_with(env, env.settings.model_copy(update={"max_in_flight": 2})))
    front.in_flight = 2
    transport = httpx2.ASGITransport(app=front)
    async with httpx2.AsyncClient(transport=transport, base_url="http://fulfillment.test") as client:
        yield client


async def test_one_request_too_many_is_503(crowded: httpx2.AsyncClient) -> None:
    """Over the limit: 503 with Retry-After at once; the health stays visible."""
    answer = await crowded.get("/v1/orders")

    check_problem(answer, 503, "overloaded")
    assert answer.headers["retry-after"] == "1"
    assert (await crowded.get("/livez")).status_code == 200


async def test_an_unexpected_fault_is_a_bare_500(
    env: Env, headers: dict[str, str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither the answer nor the log repeats what the exception says; the log has its place."""

    async def broken(*_: object) -> None:
        raise RuntimeError("John Doe, 437 Lytton Ave")

    from fulfillment.orders import service as orders
    from fulfillment.shipping import service as shipping

    monkeypatch.setattr(orders, "list_newest", broken)
    monkeypatch.setattr(shipping, "get_methods", broken)
    transport = httpx2.ASGITransport(app=create_app(env))
    async with httpx2.AsyncClient(transport=transport, base_url="http://fulfillment.test") as api:
        with caplog.at_level(logging.ERROR):
            for path in ("/v1/orders", "/v1/shipping-methods"):
                answer = await api.get(path, headers=headers)
                check_problem(answer, 500, "internal_error")
                assert "Lytton" not in answer.text

    assert "Lytton" not in caplog.text
    assert [record.message for record in caplog.records] == ["request.failed"] * 2
    assert all(record.request_id and record.trace for record in caplog.records)  # type: ignore[attr-defined]


ROUTES = [
    ("GET", "/v1/orders", "/v1/orders", 200, None),
    ("HEAD", "/v1/orders", "/v1/orders", 200, None),
    ("GET", f"/v1/orders/{ID}", "/v1/orders/{orderId}", 404, "order_not_found"),
    ("POST", f"/v1/orders/{ID}/cancel", "/v1/orders/{orderId}/cancel", 404, "order_not_found"),
    ("GET", "/v1/partners/settings", "/v1/partners/settings", 200, None),
    ("GET", "/v1/partners/settings?x=1", "/v1/partners/settings", 422, "validation_failed"),
    ("GET", "/v1/shipping-methods", "/v1/shipping-methods", 200, None),
    ("GET", "/livez", "/livez", 200, None),
    ("GET", "/John/Doe", "unmatched", 404, "path_not_found"),
    ("DELETE", "/v1/orders", "unmatched", 405, "method_not_allowed"),
]


@pytest.mark.parametrize(("method", "path", "template", "status", "code"), ROUTES)
async def test_the_access_log(
    env: Env, headers: dict[str, str], method: str, path: str, template: str, status: int, code: str | None
) -> None:
    """One line a request: the route's template with its prefix, status and code; never the path itself."""
    stream = io.StringIO()
    log = AccessLog(stream)
    transport = httpx2.ASGITransport(app=create_app(env, access_log=log))
    async with httpx2.AsyncClient(transport=transport, base_url="http://fulfillment.test") as api:
        answer = await api.request(method, path, headers=headers)
    log.flush()

    (line,) = [json.loads(text) for text in stream.getvalue().splitlines()]
    assert (line["method"], line["route"], line["status"]) == (method, template, status)
    assert line.get("code") == code
    assert line["request_id"] == answer.headers["x-request-id"]
    assert ID not in stream.getvalue()
    assert "John" not in stream.getvalue()


def test_every_kind_has_a_status() -> None:
    """The one table from kinds to statuses is complete, and every status is an error's."""
    assert set(web.STATUS_OF) == set(Kind)
    assert all(400 <= status < 600 for status in web.STATUS_OF.values())


def test_hot_operations_are_listed() -> None:
    """Every hot operation's path is among those that these tests walk through."""
    shapes = {path.replace(ID, "{}").replace("77123129891", "{}") for path in PATHS}
    hot = {route.path.split("{")[0] + ("{}" if "{" in route.path else "") + route.suffix for route in HOT}

    assert {path for path in hot if path.count("/") <= 4} - shapes == set()
