"""What reviewers try on an API that takes JWTs: one good token gets in, and nothing that looks like it."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from typing import Any

import httpx2
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from joserfc import jwe
from joserfc.jwk import OctKey

from fulfillment.infra.env import Env
from fulfillment.infra.secrets import NamedKey
from fulfillment.kernel.callers import Caller
from tests.conftest import Clock
from tests.world import World

pytestmark = pytest.mark.anyio

PLACES = ("/v1/partners/settings", "/v1/hot")  # through the framework, and around it


class Mint:
    """Makes tokens as our key would sign them, and as it would not."""

    def __init__(self, env: Env, caller: Caller, at: int) -> None:
        self.key: NamedKey = env.secrets.token_keys[0]
        self.claims: dict[str, Any] = {
            "iss": "http://127.0.0.1:8000",
            "aud": "http://127.0.0.1:8000/v1",
            "sub": caller.client_id,
            "client_id": caller.client_id,
            "partner": caller.partner_id,
            "scope": "partner",
            "iat": at,
            "exp": at + 3600,
            "jti": "2vSGym0bH8qVEwCIGlyFoRgJq1A",
        }

    def token(
        self,
        claims: Mapping[str, object] | None = None,
        header: Mapping[str, object] | None = None,
        key: bytes | None = None,
    ) -> str:
        """Sign with HMAC-SHA256 whatever the header says; a None removes a claim or a header."""
        joined = {"alg": "HS256", "kid": self.key.id, "typ": "at+jwt"} | dict(header or {})
        said = self.claims | dict(claims or {})
        text = f"{_part(_given(joined))}.{_part(_given(said))}"
        signature = hmac.new(self.key.key if key is None else key, text.encode(), hashlib.sha256).digest()
        return f"{text}.{_to_text(signature)}"


def _given(values: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in values.items() if value is not None}


def _part(value: Mapping[str, object]) -> str:
    return _to_text(json.dumps(value).encode())


def _to_text(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def rsa_pem() -> bytes:
    """A public key, which the confusion of RS256 with HS256 would use as the secret."""
    key = rsa.generate_private_key(65537, 2048).public_key()
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def unsigned(mint: Mint, alg: str) -> str:
    """A token without a signature."""
    header = {"alg": alg, "kid": mint.key.id, "typ": "at+jwt"}
    return f"{_part(header)}.{_part(mint.claims)}."


def flipped(token: str, part: int) -> str:
    """The token with the first bit of a part's last byte but one turned around."""
    parts = token.split(".")
    raw = bytearray(base64.urlsafe_b64decode(parts[part] + "=="))
    raw[-2] ^= 1
    parts[part] = _to_text(bytes(raw))
    return ".".join(parts)


def encrypted(mint: Mint) -> str:
    """The claims as a JWE under our own key."""
    header = {"alg": "dir", "enc": "A256GCM", "kid": mint.key.id}
    key = OctKey.import_key(mint.key.key)
    return jwe.encrypt_compact(header, json.dumps(mint.claims).encode(), key)


def signed_by_attacker(mint: Mint, header: Mapping[str, object]) -> str:
    """A token that brings along, or points to, the key it was signed with."""
    return mint.token(header=header, key=b"attacker's key, 32 bytes or more")


def elliptic(mint: Mint) -> str:
    """A token with a good signature of somebody's elliptic curve."""
    return jwt.encode(
        mint.claims, ec.generate_private_key(ec.SECP256R1()), "ES256", headers={"kid": mint.key.id, "typ": "at+jwt"}
    )


ABUSES: dict[str, Callable[[Mint], str]] = {
    "alg none": lambda m: unsigned(m, "none"),
    "alg None": lambda m: unsigned(m, "None"),
    "alg NONE": lambda m: unsigned(m, "NONE"),
    "alg nOnE": lambda m: unsigned(m, "nOnE"),
    "alg empty": lambda m: unsigned(m, ""),
    "HS256 without signature": lambda m: m.token().rpartition(".")[0] + ".",
    "two parts": lambda m: m.token().rpartition(".")[0],
    "signature of another token": lambda m: (
        m.token().rpartition(".")[0] + "." + m.token({"jti": "x"}).rpartition(".")[2]
    ),
    "flipped signature": lambda m: flipped(m.token(), 2),
    "flipped claims": lambda m: flipped(m.token(), 1),
    "flipped header": lambda m: flipped(m.token(), 0),
    "wrong key": lambda m: m.token(key=b"another key, thirty-two bytes long"),
    "empty key": lambda m: m.token(key=b""),
    "key id as key": lambda m: m.token(key=m.key.id.encode()),
    "HS512 with our key": lambda m: jwt.encode(
        m.claims, m.key.key * 2, "HS512", headers={"kid": m.key.id, "typ": "at+jwt"}
    ),
    "RS256 confusion": lambda m: m.token(header={"alg": "RS256"}, key=rsa_pem()),
    "ES256": elliptic,
    "own jwk": lambda m: signed_by_attacker(
        m, {"jwk": {"kty": "oct", "k": _to_text(b"attacker's key, 32 bytes or more")}}
    ),
    "jku": lambda m: signed_by_attacker(m, {"jku": "http://127.0.0.1:9/keys.json"}),
    "x5u": lambda m: signed_by_attacker(m, {"x5u": "http://127.0.0.1:9/chain.pem"}),
    "x5c": lambda m: signed_by_attacker(m, {"x5c": ["MIIB"]}),
    "unknown kid": lambda m: m.token(header={"kid": "nobody"}),
    "kid as a path": lambda m: m.token(header={"kid": "../../../../dev/null"}, key=b""),
    "kid as SQL": lambda m: m.token(header={"kid": "x' UNION SELECT 'k"}, key=b"k"),
    "no kid": lambda m: m.token(header={"kid": None}),
    "crit": lambda m: m.token(header={"crit": ["exp"], "exp": 1}),
    "expired": lambda m: m.token({"iat": m.claims["iat"] - 7200, "exp": m.claims["exp"] - 7200}),
    "no exp": lambda m: m.token({"exp": None}),
    "exp as text": lambda m: m.token({"exp": "9999999999"}),
    "exp without end": lambda m: m.token({"exp": 1e300}),
    "not valid yet": lambda m: m.token({"nbf": m.claims["iat"] + 600}),
    "made in the future": lambda m: m.token({"iat": m.claims["iat"] + 600}),
    "no audience": lambda m: m.token({"aud": None}),
    "other audience": lambda m: m.token({"aud": "https://api.fulfillment.juniperhealth.com/v1"}),
    "other issuer": lambda m: m.token({"iss": "https://api.fulfillment.juniperhealth.com"}),
    "no issuer": lambda m: m.token({"iss": None}),
    "plain JWT type": lambda m: m.token(header={"typ": "JWT"}),
    "other partner": lambda m: m.token({"partner": "2vSGym0bH8qVEwCIGlyFoRgJq1A"}),
    "no partner": lambda m: m.token({"partner": None}),
    "unknown client": lambda m: m.token({"client_id": "nobody", "sub": "nobody"}),
    "sub of somebody else": lambda m: m.token({"sub": "nobody"}),
    "operator's scope": lambda m: m.token({"scope": "operator"}),
    "both scopes": lambda m: m.token({"scope": "partner operator"}),
    "JWE": encrypted,
    "JSON serialization": lambda m: json.dumps({"payload": _part(m.claims), "signatures": []}),
    "over 8 KiB": lambda m: m.token({"padding": "x" * 9000}),
    "dots": lambda _: "..",
    "no token at all": lambda _: "",
    "two tokens": lambda m: f"{m.token()} {m.token()}",
    "a comma and more": lambda m: f"{m.token()}, Bearer x",
    "not ASCII": lambda m: m.token() + "\xe9",
}


@pytest.fixture
async def caller(world: World) -> Caller:
    """A partner that exists."""
    return await world.partner()


@pytest.fixture
def mint(env: Env, caller: Caller, clock: Clock) -> Mint:
    """Tokens of that partner."""
    return Mint(env, caller, int(clock().timestamp()))


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Bearer "])
async def test_the_good_token_gets_in(api: httpx2.AsyncClient, mint: Mint, place: str, scheme: str):
    """The scheme's letter case does not matter, nor do more blanks than one."""
    answer = await api.get(place, headers={"Authorization": f"{scheme} {mint.token()}"})

    assert answer.status_code == 200


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("abuse", ABUSES.values(), ids=ABUSES)
async def test_no_abuse_gets_in(api: httpx2.AsyncClient, mint: Mint, place: str, abuse: Callable[[Mint], str]):
    """Each is a 401 with RFC 6750's header and a problem, also when the good token has just been used."""
    good = {"Authorization": f"Bearer {mint.token()}"}
    assert (await api.get(place, headers=good)).status_code == 200

    authorization = b"Bearer " + abuse(mint).encode("latin-1")
    answer = await api.get(place, headers=[(b"authorization", authorization)])

    check_refused(answer)
    assert answer.headers["www-authenticate"].startswith('Bearer realm="juniper", error="invalid_token", error_des')
    assert answer.json()["code"] == "invalid_token"


@pytest.mark.parametrize("place", PLACES)
async def test_60_kb_of_token_are_refused(api: httpx2.AsyncClient, mint: Mint, place: str):
    """Headers beyond all measure never reach the token's reader."""
    answer = await api.get(place, headers={"Authorization": "Bearer " + mint.token({"padding": "x" * 45_000})})

    assert answer.status_code in {400, 401}
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("place", PLACES)
async def test_two_authorization_headers_are_refused(api: httpx2.AsyncClient, mint: Mint, place: str):
    """Even two good ones: proxies may disagree on which counts."""
    header = ("Authorization", f"Bearer {mint.token()}")

    answer = await api.get(place, headers=[header, header])

    check_refused(answer)
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("authorization", [None, "Basic YTpi", "Token abc", "Bearers abc"])
async def test_no_credentials_are_asked_for_plainly(api: httpx2.AsyncClient, place: str, authorization: str | None):
    """RFC 6750 3.1: who sent no bearer token learns no error code, only what is asked of them."""
    answer = await api.get(place, headers={"Authorization": authorization} if authorization else {})

    check_refused(answer)
    assert answer.headers["www-authenticate"] == 'Bearer realm="juniper"'
    assert answer.json()["code"] == "unauthenticated"


async def test_a_token_in_the_query_is_none(api: httpx2.AsyncClient, mint: Mint):
    """A URL ends up in logs: the token in it counts for nothing."""
    answer = await api.get("/v1/hot", params={"access_token": mint.token()})

    check_refused(answer)
    assert answer.headers["www-authenticate"] == 'Bearer realm="juniper"'


async def test_a_token_in_the_query_is_no_parameter(api: httpx2.AsyncClient, mint: Mint):
    """An operation of the framework knows no such parameter."""
    answer = await api.get("/v1/partners/settings", params={"access_token": mint.token()})

    assert answer.status_code == 422


@pytest.mark.parametrize("place", ["/v1/operators-only", "/v1/hot-operator"])
async def test_a_partner_does_not_reach_the_warehouse(api: httpx2.AsyncClient, mint: Mint, place: str):
    """A partner's good token is a 403 with RFC 6750's header where operators work."""
    answer = await api.get(place, headers={"Authorization": f"Bearer {mint.token()}"})

    assert answer.status_code == 403
    assert answer.headers["www-authenticate"] == (
        'Bearer realm="juniper", error="insufficient_scope", scope="operator"'
    )
    assert answer.json()["code"] == "insufficient_scope"


@pytest.mark.parametrize("place", PLACES)
async def test_an_operator_is_no_partner(api: httpx2.AsyncClient, world: World, place: str):
    """An operator's good token is a 403 where partners read their own data."""
    answer = await api.get(place, headers=await world.headers(await world.operator()))

    assert answer.status_code == 403
    assert answer.headers["www-authenticate"] == ('Bearer realm="juniper", error="insufficient_scope", scope="partner"')


async def test_an_operator_reaches_the_warehouse(api: httpx2.AsyncClient, world: World):
    """And where operators work, it gets in."""
    operator = await world.operator()

    answers = [
        await api.get(place, headers=await world.headers(operator))
        for place in ("/v1/operators-only", "/v1/hot-operator")
    ]

    assert [answer.status_code for answer in answers] == [200, 200]


def check_refused(answer: httpx2.Response) -> None:
    """A 401 that is a problem document, and is kept by no cache."""
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json()["status"] == 401
    assert answer.json()["requestId"] == answer.headers["x-request-id"]
