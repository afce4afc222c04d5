"""Who asks: from the Authorization header to a `Caller`, for hot operations and for FastAPI's routes."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Final

from fastapi import Depends, Request

from fulfillment.infra import ratelimit
from fulfillment.infra.env import Env
from fulfillment.infra.web import Call
from fulfillment.kernel.callers import Caller, Scope
from fulfillment.oauth import service
from fulfillment.oauth.authority import CLIENTS, Authority, ClientsSnapshot, KnownToken, authority_of
from fulfillment.oauth.domain import InsufficientScope, InvalidToken, Unauthenticated
from fulfillment.oauth.tokens import LEEWAY_SECONDS

_BEARER: Final = b"bearer"
_READS: Final = frozenset({"GET", "HEAD"})


async def authenticate(call: Call) -> Caller:
    """Return who asks, and note it in *call*.

    A token that was checked before costs a look-up; that its client has not been revoked is asked each time.

    Raises:
        Unauthenticated: There is no token. One in the query or the body is none.
        InvalidToken: It is not one of ours, not good now, or its client is revoked.
    """
    credentials = _credentials(call.scope["headers"])
    env, at = call.env, call.env.now().timestamp()
    authority, clocks = authority_of(env), await service.clocks(env)
    known = authority.known.get(credentials)
    if known is None or not _is_good(known, at, clocks):
        known = _read(authority, credentials, at, clocks)
        authority.remember(credentials, known)
    else:
        authority.known.move_to_end(credentials)
    clients: ClientsSnapshot = env.caches.peek(CLIENTS) or await service.live_clients(env)
    if known.clients is not clients:
        await _judge(env, known, clients)
    if not known.live:
        raise InvalidToken("The client of this token is not active.")
    call.caller = known.caller
    return known.caller


async def partner_caller(call: Call) -> Caller:
    """Return the partner's client that asks.

    Raises:
        Unauthenticated, InvalidToken: As `authenticate`.
        InsufficientScope: It is an operator's.
        RateLimited: It has sent as many requests as it may in a minute.
    """
    caller = _within(Scope.PARTNER, await authenticate(call))
    limiter = ratelimit.limiter_of(call.env)
    if limiter is not None:
        await _count(limiter, call, caller)
    return caller


async def operator_caller(call: Call) -> Caller:
    """Return the operator's client that asks.

    Raises:
        Unauthenticated, InvalidToken: As `authenticate`.
        InsufficientScope: It is a partner's.
    """
    return _within(Scope.OPERATOR, await authenticate(call))


async def _count(limiter: ratelimit.Limiter, call: Call, caller: Caller) -> None:
    policy = "read" if call.scope["method"] in _READS else "write"
    allowance = await limiter.take(caller.partner_id, policy)
    if allowance is not None:
        call.answer_headers.extend(allowance.headers())


def _within(scope: Scope, caller: Caller) -> Caller:
    if caller.scope is not scope:
        raise InsufficientScope(scope)
    return caller


def _credentials(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    found = [value for name, value in headers if name == b"authorization"]
    if not found:
        raise Unauthenticated
    if len(found) > 1:
        raise InvalidToken("Send one Authorization header.")
    return found[0]


def _is_good(known: KnownToken, at: float, clocks: Mapping[str, float]) -> bool:
    present = clocks.get(known.caller.partner_id, at) if clocks else at
    return present < known.good_until and max(at, present) >= known.not_before


def _read(authority: Authority, credentials: bytes, at: float, clocks: Mapping[str, float]) -> KnownToken:
    scheme, _, token = credentials.partition(b" ")
    if scheme.lower() != _BEARER:
        raise Unauthenticated
    claims = authority.tokens.read(token.strip(b" "), at, clocks)
    return KnownToken(claims.caller, claims.not_before - LEEWAY_SECONDS, claims.expires_at + LEEWAY_SECONDS)


async def _judge(env: Env, known: KnownToken, clients: ClientsSnapshot) -> None:
    client = clients.value.get(known.caller.client_id)
    known.live = client is not None and client.caller == known.caller
    if client is None:
        # Memory may be a moment older than a client that another process has just made.
        known.live = await service.is_live(env, known.caller)
    known.clients = clients


def call_of(request: Request) -> Call:
    """Return the call that *request* came in."""
    call: Call = request.scope["fulfillment.call"]
    return call


async def _env(request: Request) -> Env:
    return call_of(request).env


async def _partner(request: Request) -> Caller:
    return await partner_caller(call_of(request))


async def _operator(request: Request) -> Caller:
    return await operator_caller(call_of(request))


EnvDep = Annotated[Env, Depends(_env)]
CallerDep = Annotated[Caller, Depends(_partner)]
OperatorDep = Annotated[Caller, Depends(_operator)]
CallDep = Annotated[Call, Depends(call_of)]
