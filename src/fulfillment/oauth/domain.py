"""Who may ask, and how the asking is refused. Pure."""

import hmac
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from fulfillment.infra.secrets import hash_secret
from fulfillment.kernel.callers import Caller, Scope
from fulfillment.kernel.errors import FulfillmentError, Kind

REALM: Final = "juniper"
BASIC_CHALLENGE: Final = f'Basic realm="{REALM}", charset="UTF-8"'
BEARER_CHALLENGE: Final = f'Bearer realm="{REALM}"'
MAX_KEEP_OLD_SECONDS: Final = 30 * 86_400
_NO_HASH: Final = "0" * 64  # what no secret hashes to; compared with where there is nothing to compare with


@dataclass(frozen=True, slots=True)
class Client:
    """A program that may ask for tokens."""

    caller: Caller
    label: str  # what its owner calls it
    secret_hash: str = field(repr=False)
    previous_secret_hash: str | None = field(repr=False)  # the one before a rotation
    previous_secret_until: datetime | None  # until when that one is good
    created_at: datetime
    revoked_at: datetime | None

    @property
    def id(self) -> str:
        """Its client_id."""
        return self.caller.client_id


def proven(client: Client | None, secret: str, pepper: bytes, at: datetime) -> Client | None:
    """Return *client* if *secret* is one of its own at the moment *at*, else None.

    Takes the same time for an unknown client, a wrong secret and the right one.
    """
    offered = hash_secret(secret, pepper).encode()
    current, previous = _NO_HASH, _NO_HASH
    if client is not None and client.revoked_at is None:
        current = client.secret_hash
        until = client.previous_secret_until
        if client.previous_secret_hash is not None and until is not None and at < until:
            previous = client.previous_secret_hash
    first = hmac.compare_digest(offered, current.encode())
    second = hmac.compare_digest(offered, previous.encode())
    return client if first or second else None


def check_scope(client: Client, asked: str) -> None:
    """Refuse a token for *client* that asks for more than it has; an empty *asked* asks for just that.

    Raises:
        InvalidScope: It asks for more than it has.
    """
    if set(asked.split(" ")) - {"", client.caller.scope.value}:
        raise InvalidScope("Leave the scope parameter out: a token always has all that its client may do.")


class TokenRefused(FulfillmentError):
    """No token. Leaves the token endpoint in the shape of RFC 6749 5.2, where the code is the ``error``."""

    kind = Kind.MALFORMED
    code = "invalid_request"
    title = "The token request can't be read"


class InvalidClient(TokenRefused):
    """The client did not prove who it is."""

    kind = Kind.UNAUTHENTICATED
    code = "invalid_client"
    title = "Client authentication failed"


class UnsupportedGrantType(TokenRefused):
    """Tokens are given for client credentials only."""

    code = "unsupported_grant_type"
    title = "The grant type is not supported"


class InvalidScope(TokenRefused):
    """The client may not do what it asks for."""

    code = "invalid_scope"
    title = "The scope is not one of the client's"


class TooManyFailures(TokenRefused):
    """Too many wrong secrets of this client or from this address; even the right one has to wait."""

    kind = Kind.LIMITED
    code = "temporarily_unavailable"
    title = "Too many failed attempts"


class TooManyTokens(TokenRefused):
    """The partner has got as many tokens as it may in a minute; each is good for an hour."""

    kind = Kind.LIMITED
    code = "rate_limited"
    title = "Too many tokens"


class Unauthenticated(FulfillmentError):
    """The request carries no token."""

    kind = Kind.UNAUTHENTICATED
    code = "unauthenticated"
    title = "A token is needed"

    def __init__(self) -> None:
        # RFC 6750 3.1: whoever sent no credentials is told no error, only what is asked of them.
        super().__init__(
            "Send an access token: Authorization: Bearer, then what POST /oauth2/token gave you.",
            challenge=BEARER_CHALLENGE,
        )


class InvalidToken(FulfillmentError):
    """The token is none of ours, or no longer good."""

    kind = Kind.UNAUTHENTICATED
    code = "invalid_token"
    title = "The token is not valid"

    def __init__(self, detail: str) -> None:
        super().__init__(detail, challenge=f'{BEARER_CHALLENGE}, error="invalid_token", error_description="{detail}"')


class InsufficientScope(FulfillmentError):
    """The client is known, but this operation is for others."""

    kind = Kind.FORBIDDEN
    code = "insufficient_scope"
    title = "The token does not reach this far"

    def __init__(self, needed: Scope) -> None:
        super().__init__(
            f"This operation needs a token of a client with the scope {needed}.",
            challenge=f'{BEARER_CHALLENGE}, error="insufficient_scope", scope="{needed}"',
        )


class ClientNotFound(FulfillmentError):
    """There is no client with this id."""

    kind = Kind.NOT_FOUND
    code = "client_not_found"
    title = "No such client"


class ClientRevoked(FulfillmentError):
    """A revoked client stays revoked."""

    kind = Kind.CONFLICT
    code = "client_revoked"
    title = "The client is revoked"


class ClientInvalid(FulfillmentError):
    """The client can't be made or changed like this."""

    kind = Kind.INVALID
    code = "client_invalid"
    title = "The client is not valid"
