"""Access tokens: JWTs signed with HS256, made and read here and nowhere else.

By hand rather than by a library, for two reasons: it is several times as fast, and a reader of one algorithm
with one form of header has nothing to be confused about. Tests hold both ways against PyJWT and joserfc.
"""

import hashlib
import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, cast

from fulfillment.infra.secrets import NamedKey
from fulfillment.kernel.callers import Caller, Scope
from fulfillment.kernel.ids import new_id
from fulfillment.oauth.domain import InvalidToken

LEEWAY_SECONDS: Final = 30  # clocks of different machines may differ by this much
MAX_TOKEN_BYTES: Final = 8 * 1024
_LONGEST_LIFE_SECONDS: Final = 86_400
_NO_CLOCKS: Final[Mapping[str, float]] = {}
_TYPES: Final = frozenset({"at+jwt", "application/at+jwt"})
_HEADER_NAMES: Final = ["alg", "kid", "typ"]


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token says that was found to be ours and good."""

    caller: Caller
    not_before: int  # Unix seconds
    expires_at: int


class Tokens:
    """Makes and reads the access tokens of one issuer.

    Args:
        keys: The first signs, all verify. To rotate: add the new key last on every process, then move it to
            the front, and drop the old one when the last token it signed has expired.
        issuer: The server's own URL.
        audience: The API's URL.
        ttl_seconds: The life of a token.
    """

    def __init__(self, keys: Sequence[NamedKey], *, issuer: str, audience: str, ttl_seconds: int) -> None:
        self._keys: Mapping[str, bytes] = {key.id: key.key for key in keys}
        # Our own headers, as they are written, so that reading one of them is a look-up.
        self._by_header = {_header(key.id): key.key for key in keys}
        self._prefix = _header(keys[0].id)
        self._key = keys[0].key
        self._issuer = issuer
        self._audience = audience
        self.ttl_seconds = ttl_seconds

    def issue(self, caller: Caller, at: datetime) -> str:
        """Return a new token for *caller*."""
        issued_at = int(at.timestamp())
        claims = {
            "iss": self._issuer,
            "aud": self._audience,
            "sub": caller.client_id,
            "client_id": caller.client_id,
            "partner": caller.partner_id,
            "scope": caller.scope.value,
            "iat": issued_at,
            "exp": issued_at + self.ttl_seconds,
            "jti": new_id(at),
        }
        if not caller.partner_id:
            del claims["partner"]
        text = json.dumps(claims, separators=(",", ":")).encode()
        signed = self._prefix + b"." + _to_base64url(text)
        return (signed + b"." + _signature(signed, self._key)).decode()

    def read(self, token: bytes, at: float, clocks: Mapping[str, float] = _NO_CLOCKS) -> Claims:
        """Return what *token* says at the moment *at* (Unix seconds).

        Args:
            clocks: The present of the partners with a test clock: their tokens end by it.

        Raises:
            InvalidToken: It is not one of ours, or not good at that moment.
        """
        if len(token) > MAX_TOKEN_BYTES:
            raise InvalidToken("The token is too long to be one of ours.")
        parts = token.split(b".")
        if len(parts) != 3:
            raise InvalidToken("The token is not a signed JWT.")
        key = self._by_header.get(parts[0]) or self._key_of(_object(parts[0]))
        # Compared as text: base64 can write the same signature in four ways, and we write it in one.
        if not hmac.compare_digest(_signature(parts[0] + b"." + parts[1], key), parts[2]):
            raise InvalidToken("The signature of the token is wrong.")
        return self._checked(_object(parts[1]), at, clocks)

    def _key_of(self, header: Mapping[str, object]) -> bytes:
        if sorted(header) != _HEADER_NAMES or header["alg"] != "HS256":
            raise InvalidToken("The header of the token is not one of ours.")
        kind, kid = header["typ"], header["kid"]
        key = self._keys.get(kid) if isinstance(kid, str) else None
        if not isinstance(kind, str) or kind.lower() not in _TYPES or key is None:
            raise InvalidToken("The header of the token is not one of ours.")
        return key

    def _checked(self, claims: Mapping[str, object], at: float, clocks: Mapping[str, float]) -> Claims:
        if claims.get("iss") != self._issuer or claims.get("aud") != self._audience:
            raise InvalidToken("The token was made by or for another system.")
        issued_at, expires_at = _seconds(claims, "iat"), _seconds(claims, "exp")
        not_before = max(issued_at, _seconds(claims, "nbf") if "nbf" in claims else issued_at)
        if not 0 < expires_at - issued_at <= _LONGEST_LIFE_SECONDS:
            raise InvalidToken("The life of the token is not one we give.")
        caller = _caller(claims)
        present = clocks.get(caller.partner_id, at)
        if present >= expires_at + LEEWAY_SECONDS:
            raise InvalidToken("The token has expired. Get a new one.")
        # One from before the clock was set back is good all the same: it is not from the future, only from real time.
        if max(at, present) < not_before - LEEWAY_SECONDS:
            raise InvalidToken("The token is not valid yet.")
        return Claims(caller, not_before, expires_at)


def _caller(claims: Mapping[str, object]) -> Caller:
    client_id, partner_id, scope = claims.get("client_id"), claims.get("partner", ""), claims.get("scope")
    jti = claims.get("jti")
    if not isinstance(client_id, str) or claims.get("sub") != client_id or not isinstance(jti, str):
        raise InvalidToken("The token does not say whose it is.")
    if not isinstance(partner_id, str) or scope not in (Scope.PARTNER.value, Scope.OPERATOR.value):
        raise InvalidToken("The token does not say what it is for.")
    return Caller(client_id, Scope(cast("str", scope)), partner_id)


def _seconds(claims: Mapping[str, object], name: str) -> int:
    value = claims.get(name)
    if type(value) is not int:  # no float, no text, and no bool, which is an int too
        raise InvalidToken("The times of the token are not whole seconds.")
    return value


def _header(kid: str) -> bytes:
    header = {"alg": "HS256", "kid": kid, "typ": "at+jwt"}
    return _to_base64url(json.dumps(header, separators=(",", ":")).encode())


def _signature(signed: bytes, key: bytes) -> bytes:
    return _to_base64url(hmac.digest(key, signed, hashlib.sha256))


def _to_base64url(value: bytes) -> bytes:
    return urlsafe_b64encode(value).rstrip(b"=")


def _object(part: bytes) -> Mapping[str, Any]:
    try:
        value = json.loads(urlsafe_b64decode(part + b"=" * (-len(part) % 4)))
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise InvalidToken("The token is not a signed JWT.")
    return cast("dict[str, Any]", value)
