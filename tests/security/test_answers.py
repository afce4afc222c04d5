"""What every answer carries, what no answer tells, and what a hostile body costs."""

import gzip
import resource
import time
from collections.abc import AsyncGenerator

import httpx2
import pytest

from fulfillment.app import HOT
from fulfillment.infra.env import Env
from fulfillment.infra.settings import Settings
from tests.conftest import client_of
from tests.security.wires import module_env
from tests.world import World

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
async def house(dsns: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Env]:
    """An Env for the module."""
    async with module_env(dsns[0], tmp_path_factory.mktemp("answers")) as env:
        yield env


@pytest.fixture(scope="module")
async def client(house: Env) -> AsyncGenerator[httpx2.AsyncClient]:
    """A client with a partner's token."""
    world = World(house)
    headers = await world.headers(await world.partner())
    async with client_of(house) as made:
        made.headers.update(headers)
        yield made


PATHS = (
    "/v1/orders",
    "/v1/orders/none",
    "/v1/orders?limit=0",
    "/v1/protocols",
    "/v1/products",
    "/v1/partners/settings",
    "/v1/shipping-methods",
    "/v1/events",
    "/nothing",
    "/v1/orders/",
    "//v1/orders",
    "/v1/orders/%2e%2e/products",
    "/v1/orders/%00",
    "/v1/orders/..%2f..%2flivez",
)


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
@pytest.mark.parametrize("path", PATHS)
async def test_headers_of_every_answer(client: httpx2.AsyncClient, path: str, method: str) -> None:
    """Every answer forbids sniffing and framing and is not kept; none names a server, allows an origin or redirects."""
    answer = await client.request(method, path, headers={"Origin": "https://evil.example"})

    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"].startswith(("no-store", "private, no-cache", "private, max-age"))
    assert len(answer.headers["x-request-id"]) == 27
    assert not [name for name in answer.headers if name.startswith("access-control-")]
    assert "server" not in answer.headers
    assert "x-powered-by" not in answer.headers
    assert not 300 <= answer.status_code < 400 or answer.status_code == 304
    assert answer.status_code < 500
    if answer.status_code >= 400 and method != "HEAD":
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == answer.status_code
        assert answer.json()["requestId"] == answer.headers["x-request-id"]
    if answer.status_code == 405:
        assert method not in {name.strip() for name in answer.headers["allow"].split(",")}


async def test_every_hot_operation_asks_who_is_there(house: Env) -> None:
    """Each operation served around the framework refuses a caller without a token before anything else is said."""
    async with client_of(house) as stranger:
        for route in HOT:
            if route.path == "/oauth2/token":
                continue
            path = route.path.replace("{", "").replace("}", "") + route.suffix
            answer = await stranger.request(route.method, path, content=b"{not json")
            assert answer.status_code == 401, path
            assert answer.headers["www-authenticate"] == 'Bearer realm="juniper"'


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("api.example.com", 200),
        ("API.example.com:443", 200),
        ("evil.example", 400),
        ("api.example.com.evil.example", 400),
        ("", 400),
        ("api.example.com@evil.example", 400),
    ],
)
async def test_only_our_hosts(house: Env, host: str, status: int) -> None:
    """With hosts named, a request for another one is refused, so that no link can be made to point elsewhere."""
    settings = house.settings.model_copy(update={"allowed_hosts": ("api.example.com",)})
    env = Env(settings, house.db, house.caches, house.secrets)
    async with client_of(env) as asking:
        answer = await asking.get("/livez", headers={"Host": host})

    assert answer.status_code == status


async def test_links_do_not_follow_the_host(client: httpx2.AsyncClient, house: Env) -> None:
    """No answer repeats the Host header: links are made of the public URL."""
    answer = await client.get("/openapi.json", headers={"Host": "evil.example"})

    assert answer.status_code == 200
    assert "evil.example" not in answer.text


def test_in_production_the_public_urls_host_is_the_only_one() -> None:
    """Without a list, production answers for the host of its public URL."""
    from fulfillment.infra.web import _hosts, _name_of  # pyright: ignore[reportPrivateUsage]

    class _Holder:
        settings = Settings.model_construct(
            environment="production", public_url="https://api.example.com/base", allowed_hosts=()
        )

    assert _hosts(_Holder()) == {b"api.example.com"}  # pyright: ignore[reportArgumentType]
    assert _name_of(b"[::1]:8000") == b"[::1]"


HOSTILE = {
    "a million levels": b'{"a":' * 1_000 + b"[" * 1_000_000,
    "deep and closed": b"[" * 100_000 + b"]" * 100_000,
    "deep objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "twenty megabytes": b'{"a":"' + b"x" * (20 * 1024 * 1024) + b'"}',
    "a number of 5,000 digits": b'{"daysSupply":' + b"9" * 5_000 + b"}",
    "a float of 5,000 digits": b'{"daysSupply":1.' + b"9" * 5_000 + b"}",
    "1e400": b'{"daysSupply":1e400}',
    "NaN": b'{"daysSupply":NaN}',
    "Infinity": b'{"daysSupply":-Infinity}',
    "a key twice": b'{"daysSupply":30,"daysSupply":90}',
    "a lone surrogate": b'{"daysSupply":"\\ud800"}',
    "NUL": b'{"daysSupply":"\\u0000"}',
    "a byte order mark": b"\xef\xbb\xbf{}",
    "UTF-16": '{"daysSupply":30}'.encode("utf-16"),
    "bad UTF-8": b'{"daysSupply":"\xff\xfe"}',
    "compressed": gzip.compress(b"{}"),
    "a hundred thousand items": b'{"lineItems":[' + b"{}," * 99_999 + b"{}]}",
    "ten thousand keys": b"{" + b",".join(b'"k%d":1' % number for number in range(10_000)) + b"}",
    "many escapes": b'{"a":"' + b"\\u0041" * 100_000 + b'"}',
    "empty": b"",
    "a list": b"[]",
    "null": b"null",
    "a string": b'"x"',
}


@pytest.mark.parametrize("path", ["/v1/orders", "/v1/protocols", "/v1/orders/preview", "/v1/orders/bulk"])
@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE.keys())
async def test_hostile_bodies(client: httpx2.AsyncClient, path: str, body: bytes) -> None:
    """Whatever is sent as JSON is refused with a problem, fast and in little memory, never with a 500."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.process_time()

    answer = await client.post(path, content=body, headers={"Content-Type": "application/json"})

    seconds = time.process_time() - began
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert answer.status_code in {400, 409, 413, 415, 422}
    assert answer.headers["content-type"] == "application/problem+json"
    assert len(answer.content) < 100_000
    assert seconds < 1.0
    assert grown < 50


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "text/plain",
        "application/json; charset=utf-16",
        "application/json; charset=utf-7",
        "application/xml",
        "multipart/form-data; boundary=x",
        "application/x-www-form-urlencoded",
        "application/jsonp",
    ],
)
async def test_other_types_of_body(client: httpx2.AsyncClient, content_type: str) -> None:
    """A body that does not say it is JSON in UTF-8 is not read as such."""
    answer = await client.post("/v1/orders", content=b"{}", headers={"Content-Type": content_type})

    assert answer.status_code == 415


async def test_a_client_id_may_be_any_text(house: Env) -> None:
    """NUL, half pairs, four thousand characters and SQL as credentials are wrong credentials, not a fault of ours."""
    async with client_of(house) as stranger:
        for text in ("%00", "%ed%a0%80", "a" * 4_000, "%27+OR+1%3D1--", "%f0%9f%92%8a", "%0d%0aX:+y"):
            body = f"grant_type=client_credentials&client_id={text}&client_secret={text}"
            answer = await stranger.post(
                "/oauth2/token", content=body, headers={"Content-Type": "application/x-www-form-urlencoded"}
            )
            assert answer.status_code in {400, 401, 429}, text
            assert "error" in answer.json()


async def test_a_fault_of_ours_tells_nothing(house: Env) -> None:
    """A 500 carries a request id and not a word of what went wrong."""
    from fulfillment.infra.db import Database

    class Broken(Database):
        def reading(self, tenant: str):
            raise RuntimeError("the secret text of row 42 at /usr/lib/python")

    env = Env(house.settings, Broken(house.db.dsn), house.caches, house.secrets)
    world = World(house)
    headers = await world.headers(await world.partner())
    async with client_of(env) as asking:
        answer = await asking.get("/v1/partners/settings", headers=headers)

    assert answer.status_code == 500
    assert "secret text" not in answer.text
    assert "python" not in answer.text
    assert set(answer.json()) == {"type", "title", "status", "code", "detail", "requestId"}
