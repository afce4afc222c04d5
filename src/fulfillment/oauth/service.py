"""Clients: made, listed, revoked, given new secrets; and tokens for those who prove that they are one."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from fulfillment.infra import audit, ratelimit
from fulfillment.infra.db import ALL_TENANTS, Tx
from fulfillment.infra.env import Env
from fulfillment.infra.secrets import hash_secret, new_client_id, new_client_secret
from fulfillment.kernel.callers import Caller, Scope
from fulfillment.oauth import domain, queries
from fulfillment.oauth.authority import CLIENTS, CLOCKS, ClientsSnapshot, authority_of
from fulfillment.oauth.domain import (
    Client,
    ClientInvalid,
    ClientNotFound,
    ClientRevoked,
    InvalidClient,
    TooManyFailures,
    TooManyTokens,
)

_NO_CLOCKS: Final[Mapping[str, float]] = {}


async def issue_token(env: Env, client_id: str, secret: str, *, scope: str, address: str) -> tuple[str, Client]:
    """Return an access token for the client, and the client.

    Args:
        scope: What it asks for; empty: whatever it has.
        address: Where the request came from; failures are counted by it.

    Raises:
        InvalidClient: The client is unknown or revoked, or the secret is wrong; it does not tell which.
        InvalidScope: It asks for more than it has.
        TooManyFailures: Wrong secrets have come too often, for this client or from this address.
        TooManyTokens: The partner has got as many tokens as it may in a minute.
    """
    at = env.now()
    authority, seconds = authority_of(env), at.timestamp()
    wait = await authority.throttle.wait_seconds(client_id, address, seconds)
    if wait:
        raise TooManyFailures("Too many wrong secrets. Wait, then try again.", retry_after_seconds=wait)
    kept = (await live_clients(env)).value.get(client_id)
    client = domain.proven(kept, secret, env.secrets.pepper, at)
    if client is None:
        authority.throttle.suspect(client_id, address, seconds)
        # It may have been made, or given a new secret, a moment ago by another process.
        client = domain.proven(await _reread(env, client_id, kept), secret, env.secrets.pepper, at)
        if client is None:
            await authority.throttle.failed(client_id, address, seconds)
            raise InvalidClient("The client is not known, or its secret is wrong.")
        authority.throttle.cleared(client_id, address, seconds)
    authority.throttle.succeeded(client_id, address, seconds)
    domain.check_scope(client, scope)
    await _count_token(env, client)
    present = (await clocks(env)).get(client.caller.partner_id)
    return authority.tokens.issue(
        client.caller, at if present is None else datetime.fromtimestamp(present, UTC)
    ), client


async def _count_token(env: Env, client: Client) -> None:
    limiter = ratelimit.limiter_of(env)
    if limiter is None or client.caller.scope is not Scope.PARTNER:
        return
    try:
        await limiter.take(client.caller.partner_id, "token")
    except ratelimit.RateLimited as error:
        raise TooManyTokens(error.detail, retry_after_seconds=error.retry_after_seconds) from None


async def clocks(env: Env) -> Mapping[str, float]:
    """Return the presents of partners with a test clock, Unix seconds, by their ids; production has none."""
    if not env.settings.sandbox:
        return _NO_CLOCKS
    found = env.caches.peek(CLOCKS) or await env.caches.get(CLOCKS, queries.select_clocks)
    return found.value


async def live_clients(env: Env) -> ClientsSnapshot:
    """Return every client that is not revoked, by its id, as kept in memory."""
    return await env.caches.get(CLIENTS, queries.select_live_clients)


async def is_live(env: Env, caller: Caller) -> bool:
    """Return whether *caller*, of whom memory knows nothing, is a live client all the same."""
    client = await _reread(env, caller.client_id, None)
    return client is not None and client.caller == caller


async def _reread(env: Env, client_id: str, kept: Client | None) -> Client | None:
    """Return the live client as it is now, or None; forget what is in memory if that is not *kept*."""
    async with env.db.reading(ALL_TENANTS) as tx:
        client = await queries.select_client(tx, client_id)
    if client is not None and client.revoked_at is not None:
        client = None
    if client != kept:
        env.caches.drop(CLIENTS)
    return client


async def create_client(
    env: Env,
    *,
    partner_id: str | None,
    scope: Scope = Scope.PARTNER,
    label: str = "",
    actor: str = "cli",
    request_id: str | None = None,
) -> tuple[str, str]:
    """Make a client and return its id and its secret, which nobody can read again.

    Args:
        partner_id: Whose data it may see; None for an operator's client.
        label: What its owner calls it, at most 100 characters.
        actor: Who makes it, for the audit log.

    Raises:
        ClientInvalid: The partner does not exist or does not go with the scope, or the label is too long.
    """
    if (scope is Scope.PARTNER) != bool(partner_id):
        raise ClientInvalid("A partner's client needs the partner's id, and an operator's has none.")
    if len(label) > 100:
        raise ClientInvalid("A label may have 100 characters at most.")
    at, secret = env.now(), new_client_secret(env.settings.environment)
    caller = Caller(new_client_id(env.settings.environment), scope, partner_id or "")
    client = Client(caller, label, hash_secret(secret, env.secrets.pepper), None, None, at, None)
    async with env.db.transaction(ALL_TENANTS) as tx:
        await queries.insert_client(tx, client)
        await _audit(tx, env, client, "client.created", actor=actor, request_id=request_id)
    env.caches.drop(CLIENTS)
    return client.id, secret


async def list_clients(env: Env, partner_id: str | None = None) -> Sequence[Client]:
    """Return the partner's clients, or everybody's, revoked ones too, oldest first."""
    async with env.db.reading(ALL_TENANTS) as tx:
        return await queries.select_clients(tx, partner_id)


async def revoke_client(env: Env, client_id: str, *, actor: str = "cli", request_id: str | None = None) -> None:
    """Refuse the client from now on: its secrets, and the tokens it already holds. For good.

    Raises:
        ClientNotFound: There is none with this id.
    """
    async with env.db.transaction(ALL_TENANTS) as tx:
        client = await _lock(tx, client_id)
        if client.revoked_at is None:
            await queries.update_revoked(tx, client_id, env.now())
            await _audit(tx, env, client, "client.revoked", actor=actor, request_id=request_id)
    env.caches.drop(CLIENTS)


async def rotate_client_secret(
    env: Env,
    client_id: str,
    keep_old_seconds: int = 86_400,
    *,
    actor: str = "cli",
    request_id: str | None = None,
) -> str:
    """Give the client a new secret and return it.

    Args:
        keep_old_seconds: How long the present secret stays good beside it; 0 to 30 days. One from an earlier
            rotation ends now.

    Raises:
        ClientNotFound: There is none with this id.
        ClientRevoked: It is revoked.
        ClientInvalid: The time is out of bounds.
    """
    if not 0 <= keep_old_seconds <= domain.MAX_KEEP_OLD_SECONDS:
        raise ClientInvalid(f"The old secret may be kept for 0 to {domain.MAX_KEEP_OLD_SECONDS} seconds.")
    secret = new_client_secret(env.settings.environment)
    keep_until = env.now() + timedelta(seconds=keep_old_seconds)
    async with env.db.transaction(ALL_TENANTS) as tx:
        client = await _lock(tx, client_id)
        if client.revoked_at is not None:
            raise ClientRevoked("The client is revoked; make a new one.")
        await queries.update_secret(tx, client_id, hash_secret(secret, env.secrets.pepper), keep_until)
        await _audit(tx, env, client, "client.secret_rotated", actor=actor, request_id=request_id)
    env.caches.drop(CLIENTS)
    return secret


async def _lock(tx: Tx, client_id: str) -> Client:
    client = await queries.lock_client(tx, client_id)
    if client is None:
        raise ClientNotFound("There is no client with this id.")
    return client


async def _audit(tx: Tx, env: Env, client: Client, action: str, *, actor: str, request_id: str | None) -> None:
    await audit.record(
        tx,
        actor=actor,
        action=action,
        object_type="client",
        object_id=client.id,
        before=None,
        after={"partnerId": client.caller.partner_id or None, "scope": client.caller.scope.value},
        request_id=request_id,
        at=env.now(),
    )
