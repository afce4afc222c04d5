"""Access tokens: foreign libraries make and read the same, and nothing else gets through."""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import UTC, datetime

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt as joserfc_jwt
from joserfc.jwk import OctKey

from fulfillment.infra.secrets import NamedKey
from fulfillment.kernel.callers import Caller, Scope
from fulfillment.oauth.domain import InvalidToken
from fulfillment.oauth.tokens import Tokens

ISSUER, AUDIENCE = "https://api.example", "https://api.example/v1"
AT = datetime(2026, 11, 23, 12, 0, 0, 250_000, tzinfo=UTC)
SECONDS = 1_795_435_200  # of AT: date -u -d 2026-11-23T12:00:00Z +%s
FIRST, SECOND = NamedKey("first", b"1" * 32), NamedKey("second", b"2" * 32)
PARTNER = Caller("client", Scope.PARTNER, "partner")
HEADERS = {"kid": "first", "typ": "at+jwt"}
CLAIMS = {
    "iss": ISSUER,
    "aud": AUDIENCE,
    "sub": "client",
    "client_id": "client",
    "partner": "partner",
    "scope": "partner",
    "iat": SECONDS,
    "exp": SECONDS + 3600,
    "jti": "2vSGym0bH8qVEwCIGlyFoRgJq1A",
}


def tokens(*keys: NamedKey) -> Tokens:
    """An issuer with the given keys."""
    return Tokens(keys or (FIRST,), issuer=ISSUER, audience=AUDIENCE, ttl_seconds=3600)


def test_a_token_is_what_pyjwt_would_have_made():
    """The same header and claims, signed by PyJWT, are the same token to the byte."""
    token = tokens(FIRST, SECOND).issue(PARTNER, AT)

    claims = jwt.decode(token, options={"verify_signature": False})

    assert jwt.encode(claims, FIRST.key, "HS256", headers=HEADERS) == token
    assert claims == {**CLAIMS, "jti": claims["jti"]}
    assert len(claims["jti"]) == 27


def test_an_operators_token_names_no_partner():
    """A token of the warehouse has no partner claim, and is read back as an operator."""
    token = tokens().issue(Caller("client", Scope.OPERATOR, ""), AT)

    claims = jwt.decode(token, FIRST.key, ["HS256"], options={"verify_signature": False})

    assert "partner" not in claims
    assert claims["scope"] == "operator"
    assert tokens().read(token.encode(), SECONDS).caller == Caller("client", Scope.OPERATOR, "")


def test_foreign_libraries_read_it():
    """PyJWT and joserfc find the signature, issuer, audience and times good."""
    token = tokens().issue(PARTNER, datetime.now(UTC))

    by_pyjwt = jwt.decode(token, FIRST.key, ["HS256"], audience=AUDIENCE, issuer=ISSUER)
    by_joserfc = joserfc_jwt.decode(token, OctKey.import_key(FIRST.key), algorithms=["HS256"])

    assert by_pyjwt["sub"] == by_joserfc.claims["sub"] == "client"


@pytest.mark.parametrize("kind", ["at+jwt", "AT+JWT", "application/at+jwt"])
def test_foreign_tokens_with_our_key_are_read(kind: str):
    """Who has the key may write the header in another order and letter case."""
    text = joserfc_jwt.encode({"typ": kind, "kid": "first", "alg": "HS256"}, CLAIMS, OctKey.import_key(FIRST.key))

    claims = tokens().read(text.encode(), SECONDS)

    assert (claims.caller, claims.not_before, claims.expires_at) == (PARTNER, SECONDS, SECONDS + 3600)


def test_keys_rotate_without_a_gap():
    """A token of the old key is good as long as that key is in the list, wherever it stands there."""
    old = tokens(FIRST).issue(PARTNER, AT).encode()
    new = tokens(SECOND, FIRST).issue(PARTNER, AT).encode()

    assert tokens(FIRST, SECOND).read(new, SECONDS).caller == PARTNER  # a process that has not moved it yet
    assert tokens(SECOND, FIRST).read(old, SECONDS).caller == PARTNER
    with pytest.raises(InvalidToken):
        tokens(SECOND).read(old, SECONDS)


@pytest.mark.parametrize(
    ("moment", "good"),
    [
        (SECONDS - 31, False),
        (SECONDS - 30, True),
        (SECONDS + 3629.9, True),
        (SECONDS + 3630, False),
    ],
)
def test_clocks_may_differ_by_thirty_seconds(moment: float, good: bool):
    """A token is good from 30 seconds before it was made to 30 seconds after it expires."""
    token = jwt.encode(CLAIMS, FIRST.key, "HS256", headers=HEADERS).encode()

    if good:
        assert tokens().read(token, moment).caller == PARTNER
    else:
        with pytest.raises(InvalidToken):
            tokens().read(token, moment)


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://api.example/"},
        {"iss": [ISSUER]},
        {"aud": "https://api.example"},
        {"aud": [AUDIENCE, "https://other.example"]},
        {"exp": str(SECONDS + 3600)},
        {"exp": SECONDS + 3600.5},
        {"exp": 1e300},
        {"exp": True},
        {"exp": None},
        {"exp": SECONDS + 86_401},
        {"exp": SECONDS},
        {"iat": "now"},
        {"iat": SECONDS + 31, "exp": SECONDS + 3000},
        {"nbf": SECONDS + 31},
        {"nbf": "0"},
        {"sub": "other"},
        {"sub": None},
        {"client_id": 7, "sub": 7},
        {"jti": None},
        {"partner": 7},
        {"scope": "partner operator"},
        {"scope": ["partner"]},
        {"scope": "admin"},
    ],
    ids=str,
)
def test_every_claim_is_checked(changes: dict[str, object]):
    """A token signed with our own key is refused when one claim is not as we write it."""
    claims = {name: value for name, value in (CLAIMS | changes).items() if value is not None}
    text = json.dumps(claims).encode()

    with pytest.raises(InvalidToken):
        tokens().read(signed(HEADERS | {"alg": "HS256"}, text), SECONDS)


@pytest.mark.parametrize(
    "changes",
    [
        {"alg": "none"},
        {"alg": "HS512"},
        {"alg": "RS256"},
        {"alg": ["HS256"]},
        {"alg": None},
        {"typ": "JWT"},
        {"typ": 7},
        {"typ": None},
        {"kid": "unknown"},
        {"kid": "../../dev/null"},
        {"kid": "first' OR '1'='1"},
        {"kid": ["first"]},
        {"kid": {}},
        {"kid": None},
        {"crit": ["exp"]},
        {"crit": []},
        {"b64": False},
        {"jku": "https://evil.example/keys"},
        {"x5u": "https://evil.example/chain"},
        {"jwk": {"kty": "oct", "k": "MTEx"}},
        {"zip": "DEF"},
    ],
    ids=str,
)
def test_every_header_but_ours_is_refused(changes: dict[str, object]):
    """Even signed with our own key, a token is refused when its header is not one we write."""
    header = {"alg": "HS256", **HEADERS} | changes
    header = {name: value for name, value in header.items() if value is not None}

    with pytest.raises(InvalidToken):
        tokens().read(signed(header, json.dumps(CLAIMS).encode()), SECONDS)


@pytest.mark.parametrize("text", [b"[]", b"null", b"7", b'"x"', b"{", b"\xff", b"[" * 5000, b""])
def test_claims_that_are_no_object_are_refused(text: bytes):
    """What is signed must be a JSON object."""
    with pytest.raises(InvalidToken):
        tokens().read(signed({"alg": "HS256", **HEADERS}, text), SECONDS)


def test_the_signature_has_one_spelling():
    """The last character of a signature holds two bits that say nothing; only our spelling of them is taken."""
    token = tokens().issue(PARTNER, AT)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    place = alphabet.index(token[-1])
    twins = [alphabet[(place & ~3) | low] for low in range(4) if alphabet[(place & ~3) | low] != token[-1]]

    for twin in twins:
        forged = token[:-1] + twin
        assert base64.urlsafe_b64decode(forged.split(".")[2] + "=") == base64.urlsafe_b64decode(
            token.split(".")[2] + "="
        )
        with pytest.raises(InvalidToken):
            tokens().read(forged.encode(), SECONDS)


def test_every_single_flipped_bit_is_found():
    """No token that differs from a good one in one bit is taken."""
    token = tokens().issue(PARTNER, AT).encode()
    assert tokens().read(token, SECONDS).caller == PARTNER

    for place in range(len(token) * 8):
        forged = bytearray(token)
        forged[place // 8] ^= 1 << place % 8
        with pytest.raises(InvalidToken):
            tokens().read(bytes(forged), SECONDS)


@given(st.binary(max_size=300) | st.lists(st.binary(max_size=60), max_size=6).map(b".".join))
def test_rubbish_is_refused_and_breaks_nothing(rubbish: bytes):
    """Whatever bytes come, the answer is that this is no token."""
    with pytest.raises(InvalidToken):
        tokens().read(rubbish, SECONDS)


def test_a_token_over_8_kib_is_not_even_looked_at():
    """A well-signed token that is too long is refused for its length."""
    claims = CLAIMS | {"padding": "x" * 8192}

    with pytest.raises(InvalidToken, match="too long"):
        tokens().read(signed({"alg": "HS256", **HEADERS}, json.dumps(claims).encode()), SECONDS)


def signed(header: Mapping[str, object], text: bytes) -> bytes:
    """Sign anything at all with the first key, by the standard library alone."""

    def part(value: bytes) -> bytes:
        return base64.urlsafe_b64encode(value).rstrip(b"=")

    signing_input = part(json.dumps(header).encode()) + b"." + part(text)
    return signing_input + b"." + part(hmac.new(FIRST.key, signing_input, hashlib.sha256).digest())
