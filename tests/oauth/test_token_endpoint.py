"""POST /oauth2/token: RFC 6749 to the letter."""

import base64
from urllib.parse import quote_plus

import httpx2
import jwt
import pytest

from fulfillment.infra.env import Env
from fulfillment.kernel.callers import Caller
from fulfillment.oauth import service
from tests.conftest import Clock
from tests.world import World

pytestmark = pytest.mark.anyio

FORM = "application/x-www-form-urlencoded"
GRANT = {"grant_type": "client_credentials"}


@pytest.fixture
async def caller(world: World) -> Caller:
    """A partner's client."""
    return await world.partner()


def basic(client_id: str, secret: str) -> dict[str, str]:
    """The header of HTTP Basic, with both parts encoded as RFC 6749 2.3.1 wants it."""
    text = f"{quote_plus(client_id)}:{quote_plus(secret)}"
    return {"Authorization": "Basic " + base64.b64encode(text.encode()).decode()}


def in_body(world: World, caller: Caller, **more: str) -> dict[str, str]:
    """A form with everything in it."""
    return GRANT | {"client_id": caller.client_id, "client_secret": world.secret(caller)} | more


async def test_credentials_in_the_body(api: httpx2.AsyncClient, world: World, env: Env, caller: Caller, clock: Clock):
    """The answer is that of RFC 6749 5.1, the token is ours, and no cache keeps it."""
    answer = await api.post("/oauth2/token", data=in_body(world, caller))

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["pragma"] == "no-cache"
    body = answer.json()
    token = body.pop("access_token")
    assert body == {"token_type": "Bearer", "expires_in": 3600, "scope": "partner"}
    key = env.secrets.token_keys[0]
    assert jwt.get_unverified_header(token) == {"alg": "HS256", "kid": key.id, "typ": "at+jwt"}
    claims = jwt.decode(token, key.key, ["HS256"], audience="http://127.0.0.1:8000/v1", issuer="http://127.0.0.1:8000")
    assert claims["sub"] == claims["client_id"] == caller.client_id
    assert claims["partner"] == caller.partner_id
    assert claims["exp"] - claims["iat"] == 3600
    assert claims["iat"] == int(clock().timestamp())


async def test_each_token_has_its_own_id(api: httpx2.AsyncClient, world: World, caller: Caller):
    """Two tokens of one second differ."""
    first = await api.post("/oauth2/token", data=in_body(world, caller))
    second = await api.post("/oauth2/token", data=in_body(world, caller))

    assert first.json()["access_token"] != second.json()["access_token"]


@pytest.mark.parametrize("scheme", ["Basic", "basic", "BASIC", "Basic "])
async def test_credentials_as_http_basic(api: httpx2.AsyncClient, world: World, caller: Caller, scheme: str):
    """HTTP Basic does as well, in whatever letter case."""
    header = basic(caller.client_id, world.secret(caller))["Authorization"].replace("Basic", scheme)

    answer = await api.post("/oauth2/token", data=GRANT, headers={"Authorization": header})

    assert answer.status_code == 200


async def test_basic_is_form_decoded_first(api: httpx2.AsyncClient, world: World, caller: Caller):
    """Clients that encode every character, as RFC 6749 2.3.1 allows, are understood."""
    text = ":".join(
        "".join(f"%{byte:02X}" for byte in part.encode()) for part in (caller.client_id, world.secret(caller))
    )
    header = {"Authorization": "Basic " + base64.b64encode(text.encode()).decode()}

    answer = await api.post("/oauth2/token", data=GRANT, headers=header)

    assert answer.status_code == 200


async def test_the_client_id_may_stand_beside_basic(api: httpx2.AsyncClient, world: World, caller: Caller):
    """A client_id alone is no second way to authenticate; many clients send it anyway."""
    answer = await api.post(
        "/oauth2/token",
        data=GRANT | {"client_id": caller.client_id},
        headers=basic(caller.client_id, world.secret(caller)),
    )

    assert answer.status_code == 200


@pytest.mark.parametrize("scope", ["", "partner", " partner ", "partner partner"])
async def test_ones_own_scope_may_be_asked_for(api: httpx2.AsyncClient, world: World, caller: Caller, scope: str):
    """A client that asks for what it has gets that."""
    answer = await api.post("/oauth2/token", data=in_body(world, caller, scope=scope))

    assert (answer.status_code, answer.json()["scope"]) == (200, "partner")


@pytest.mark.parametrize("scope", ["operator", "partner operator", "orders:read", "PARTNER", "partner\toperator"])
async def test_more_may_not_be_asked_for(api: httpx2.AsyncClient, world: World, caller: Caller, scope: str):
    """Any other scope is refused, not left away."""
    answer = await api.post("/oauth2/token", data=in_body(world, caller, scope=scope))

    check(answer, 400, "invalid_scope")


async def test_unknown_and_empty_parameters_do_not_matter(api: httpx2.AsyncClient, world: World, caller: Caller):
    """RFC 6749 3.2: unknown parameters are ignored, and empty ones count as left out."""
    answer = await api.post("/oauth2/token", data=in_body(world, caller, resource="x", audience="", scope=""))

    assert answer.status_code == 200


async def test_a_charset_may_be_named(api: httpx2.AsyncClient, world: World, caller: Caller):
    """The form's content type may carry its charset, when that is UTF-8."""
    form = f"grant_type=client_credentials&client_id={caller.client_id}&client_secret={world.secret(caller)}"

    answers = [
        await api.post("/oauth2/token", content=form, headers={"Content-Type": f"{FORM}; charset={charset}"})
        for charset in ("UTF-8", '"utf-8"', "latin-1")
    ]

    assert [answer.status_code for answer in answers] == [200, 200, 400]


@pytest.mark.parametrize(
    ("form", "status", "error"),
    [
        ("", 400, "invalid_request"),
        ("client_id={id}&client_secret={secret}", 400, "invalid_request"),
        ("grant_type=&client_id={id}&client_secret={secret}", 400, "invalid_request"),
        ("grant_type=password&client_id={id}&client_secret={secret}", 400, "unsupported_grant_type"),
        ("grant_type=authorization_code&client_id={id}&client_secret={secret}", 400, "unsupported_grant_type"),
        ("grant_type=refresh_token&client_id={id}&client_secret={secret}", 400, "unsupported_grant_type"),
        ("grant_type=CLIENT_CREDENTIALS&client_id={id}&client_secret={secret}", 400, "unsupported_grant_type"),
        ("{grant}&{grant}&client_id={id}&client_secret={secret}", 400, "invalid_request"),
        ("{grant}&client_id={id}&client_id={id}&client_secret={secret}", 400, "invalid_request"),
        ("{grant}&client_id={id}&client_secret={secret}&client_secret={secret}", 400, "invalid_request"),
        ("{grant}&client_id={id}&client_secret={secret}&scope=partner&scope=partner", 400, "invalid_request"),
        ("{grant}&client_id={id}&client_secret={secret}&other=1&other=2", 400, "invalid_request"),
        ("{grant}", 401, "invalid_client"),
        ("{grant}&client_id={id}", 401, "invalid_client"),
        ("{grant}&client_id={id}&client_secret=", 401, "invalid_client"),
        ("{grant}&client_secret={secret}", 401, "invalid_client"),
        ("{grant}&client_id=nobody&client_secret={secret}", 401, "invalid_client"),
        ("{grant}&client_id={id}&client_secret=wrong", 401, "invalid_client"),
        ("{grant}&client_id={id}&client_secret={secret}x", 401, "invalid_client"),
        ("{grant}&client_id={id}&client_secret=+{secret}", 401, "invalid_client"),
        ("{grant}&client_id={id}&client_secret=%C3%A9", 401, "invalid_client"),
        ("{grant}&client_id={id}%00&client_secret={secret}", 400, "invalid_request"),
        ("{grant}&client_id=%ff&client_secret={secret}", 400, "invalid_request"),
        ("&".join(f"p{n}=1" for n in range(40)), 400, "invalid_request"),
        ("{grant}&client_id={id}&client_secret={secret}&pad=" + "x" * 17_000, 413, "invalid_request"),
    ],
)
async def test_a_wrong_form_is_refused_by_its_fault(
    api: httpx2.AsyncClient, world: World, caller: Caller, form: str, status: int, error: str
):
    """Each fault has the error and status of RFC 6749 5.2."""
    content = form.format(grant="grant_type=client_credentials", id=caller.client_id, secret=world.secret(caller))

    answer = await api.post("/oauth2/token", content=content, headers={"Content-Type": FORM})

    check(answer, status, error)


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "multipart/form-data", None])
async def test_only_a_form_is_read(api: httpx2.AsyncClient, world: World, caller: Caller, content_type: str | None):
    """JSON, and every other type of body, is an invalid request."""
    content = f"grant_type=client_credentials&client_id={caller.client_id}&client_secret={world.secret(caller)}"

    answer = await api.post(
        "/oauth2/token", content=content, headers={"Content-Type": content_type} if content_type else {}
    )

    check(answer, 400, "invalid_request")


async def test_a_json_body_is_refused(api: httpx2.AsyncClient, world: World, caller: Caller):
    """Good credentials as JSON are refused for their form."""
    check(await api.post("/oauth2/token", json=in_body(world, caller)), 400, "invalid_request")


async def test_the_query_is_not_read(api: httpx2.AsyncClient, world: World, caller: Caller):
    """RFC 6749 2.3.1: credentials must not stand in the URL; they are refused there even when good."""
    check(await api.post("/oauth2/token", params=in_body(world, caller), data=GRANT), 400, "invalid_request")


async def test_two_ways_at_once_are_refused(api: httpx2.AsyncClient, world: World, caller: Caller):
    """RFC 6749 2.3: one way to authenticate, not two, even if both are good."""
    answer = await api.post(
        "/oauth2/token", data=in_body(world, caller), headers=basic(caller.client_id, world.secret(caller))
    )

    check(answer, 400, "invalid_request")


async def test_two_authorization_headers_are_refused(api: httpx2.AsyncClient, world: World, caller: Caller):
    """One Authorization header, not two."""
    header = ("Authorization", basic(caller.client_id, world.secret(caller))["Authorization"])

    answer = await api.post("/oauth2/token", data=GRANT, headers=[header, header])

    check(answer, 400, "invalid_request")


async def test_two_names_are_refused(api: httpx2.AsyncClient, world: World, caller: Caller):
    """The body must not name another client than the header."""
    answer = await api.post(
        "/oauth2/token",
        data=GRANT | {"client_id": "another"},
        headers=basic(caller.client_id, world.secret(caller)),
    )

    check(answer, 400, "invalid_request")


@pytest.mark.parametrize(
    "authorization",
    [
        "Basic",
        "Basic !!!!",
        "Basic " + base64.b64encode(b"no colon").decode(),
        "Basic " + base64.b64encode(b":secret").decode(),
        "Basic " + base64.b64encode(b"client:").decode(),
        "Basic " + base64.b64encode(b"client%00:secret").decode(),
        "Basic " + base64.b64encode(b"client%ff:secret").decode(),
        "Basic " + base64.b64encode(b"\xff:secret").decode(),
        "Basic " + base64.b64encode(b"nobody:secret").decode(),
        "Bearer abc",
        "Digest username=a",
    ],
)
async def test_a_wrong_header_is_a_failed_authentication(api: httpx2.AsyncClient, authorization: str):
    """Whatever stands in the Authorization header and is no client: 401, and what to use instead."""
    answer = await api.post("/oauth2/token", data=GRANT, headers={"Authorization": authorization})

    check(answer, 401, "invalid_client")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_only_post_is_answered(api: httpx2.AsyncClient, method: str):
    """RFC 6749 3.2: the token endpoint is POST; the refusal names it."""
    answer = await api.request(method, "/oauth2/token")

    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


async def test_unknown_and_known_clients_are_refused_alike(api: httpx2.AsyncClient, caller: Caller):
    """Nobody learns from the answer whether a client id exists."""
    wrong = GRANT | {"client_secret": "wrong"}

    known = await api.post("/oauth2/token", data=wrong | {"client_id": caller.client_id})
    unknown = await api.post("/oauth2/token", data=wrong | {"client_id": "nobody"})

    assert known.content == unknown.content
    assert set(known.headers) == set(unknown.headers)


async def test_a_revoked_client_gets_no_token(api: httpx2.AsyncClient, world: World, env: Env, caller: Caller):
    """From the revocation on, the right secret is wrong."""
    await service.revoke_client(env, caller.client_id)

    check(await api.post("/oauth2/token", data=in_body(world, caller)), 401, "invalid_client")


async def test_thirty_wrong_secrets_are_enough(api: httpx2.AsyncClient, world: World, caller: Caller, clock: Clock):
    """After 30 failures in a minute even the right secret waits, until the minute is over."""
    for _ in range(30):
        check(
            await api.post("/oauth2/token", data=in_body(world, caller, client_secret="wrong")),
            401,
            "invalid_client",
        )
    clock.move(seconds=20)

    refused = await api.post("/oauth2/token", data=in_body(world, caller))
    clock.move(seconds=40)
    later = await api.post("/oauth2/token", data=in_body(world, caller))

    check(refused, 429, "temporarily_unavailable")
    assert refused.headers["retry-after"] == "40"
    assert later.status_code == 200


async def test_the_metadata_leads_to_the_token(api: httpx2.AsyncClient):
    """RFC 8414: the issuer is the one of the tokens, and the endpoint is where it says."""
    answer = await api.get("/.well-known/oauth-authorization-server")

    assert answer.status_code == 200
    assert answer.json() == {
        "issuer": "http://127.0.0.1:8000",
        "token_endpoint": "http://127.0.0.1:8000/oauth2/token",
        "grant_types_supported": ["client_credentials"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "response_types_supported": [],
        "scopes_supported": ["partner"],
        "service_documentation": "http://127.0.0.1:8000/docs",
    }


def check(answer: httpx2.Response, status: int, error: str) -> None:
    """An error of RFC 6749 5.2."""
    assert (answer.status_code, answer.json()["error"]) == (status, error)
    assert set(answer.json()) == {"error", "error_description"}
    assert not set(answer.json()["error_description"]) & {'"', "\\"}
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["pragma"] == "no-cache"
    assert ("www-authenticate" in answer.headers) == (status == 401)
    if status == 401:
        assert answer.headers["www-authenticate"] == 'Basic realm="juniper", charset="UTF-8"'
