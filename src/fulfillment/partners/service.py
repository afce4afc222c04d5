"""Partners: made, read, and their settings changed; webhook secrets made, shown and replaced."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any, Final

from fulfillment.infra import audit
from fulfillment.infra.addresses import (
    AddressPolicy,
    ForbiddenUrl,
    Lookup,
    resolve_and_check,
    system_lookup,
)
from fulfillment.infra.caches import Snapshot
from fulfillment.infra.db import ALL_TENANTS, Tx
from fulfillment.infra.env import Env
from fulfillment.infra.secrets import SecretUnreadable
from fulfillment.infra.settings import Settings
from fulfillment.kernel.callers import Caller
from fulfillment.kernel.errors import FieldError, ValidationFailed
from fulfillment.kernel.ids import new_id
from fulfillment.partners import domain, queries
from fulfillment.partners.domain import Partner, PartnerNotFound, WebhookNotConfigured

PARTNERS: Final = "partners"  # the name of the cache
# Rooms above this one may join in; the composition root puts their functions into `Env.local` under these names.
SETTINGS_EXTRA: Final = "partners.settings_extra"  # Partner -> further members of the settings' answer
WEBHOOK_URL_SET: Final = "partners.webhook_url_set"  # Tx, Partner: a URL was set, the same one or another
_SECRET_BYTES: Final = 32  # 64 hex characters, as the contract says


async def get_partners(env: Env) -> Snapshot[Mapping[str, Partner]]:
    """Return every partner by its id, as kept in memory, with the version they were read at."""
    return await env.caches.get(PARTNERS, queries.select_partners)


async def get_partner(env: Env, partner_id: str) -> Partner:
    """Return the partner, as kept in memory.

    Raises:
        PartnerNotFound: There is none with this id.
    """
    partner = (await get_partners(env)).value.get(partner_id)
    if partner is not None:
        return partner
    # It may have been made a moment ago, by another process.
    async with env.db.reading(ALL_TENANTS) as tx:
        partner = await queries.select_partner(tx, partner_id)
    if partner is None:
        raise _not_found()
    env.caches.drop(PARTNERS)
    return partner


async def list_partners(env: Env) -> Sequence[Partner]:
    """Return every partner, oldest first."""
    async with env.db.reading(ALL_TENANTS) as tx:
        return await queries.list_partners(tx)


async def create_partner(
    env: Env,
    *,
    name: str,
    discount: Decimal = Decimal(0),
    description: str | None = None,
    volume_discounts: Mapping[int, Decimal] = domain.DEFAULT_VOLUME_DISCOUNTS,
    actor: str = "cli",
) -> Partner:
    """Make a partner, without settings and without clients.

    Args:
        discount: A fraction of each price: 0.1 is 10 %.
        volume_discounts: A fraction of the pack lines, by days of supply.

    Raises:
        ValidationFailed: The name, discount or description is out of bounds.
    """
    domain.check_new(name, discount, description)
    at = env.now()
    partner = Partner(
        id=new_id(at),
        name=name,
        description=description,
        discount=discount,
        volume_discounts=dict(volume_discounts),
        created_at=at,
        updated_at=at,
    )
    async with env.db.transaction(partner.id) as tx:
        await queries.insert_partner(tx, partner)
        after = {"name": name, "discount": str(discount)}
        await _audit(tx, env, partner.id, "partner.created", actor=actor, after=after)
    env.caches.drop(PARTNERS)
    return partner


async def get_settings(env: Env, caller: Caller) -> Partner:
    """Return the caller's partner as it is now, whichever process changed it last.

    Raises:
        PartnerNotFound: It is gone.
    """
    async with env.db.reading(caller.partner_id) as tx:
        partner = await queries.select_partner(tx, caller.partner_id)
    if partner is None:
        raise _not_found()
    return partner


async def update_settings(
    env: Env,
    caller: Caller,
    changes: Mapping[str, str | None],
    *,
    request_id: str | None = None,
    lookup: Lookup = system_lookup,
) -> Partner:
    """Change the caller's settings and return the partner. The first webhookUrl makes the webhook secret.

    Args:
        changes: Attributes of `Partner` that a partner may set, and their new values; None clears.
        lookup: Replaces the system's resolver.

    Raises:
        ValidationFailed: The webhookUrl leads where webhooks are not sent, or (in production) nowhere.
    """
    url = changes.get("webhook_url")
    if url is not None:
        await _check_receiver(env, url, lookup)
    async with env.db.transaction(caller.partner_id) as tx:
        before = await _lock(tx, caller.partner_id)
        if url is not None and (told := env.local.get(WEBHOOK_URL_SET)) is not None:
            await told(tx, before)
        after = domain.changed(before, changes, env.now())
        if after is before:
            return before
        if after.webhook_url is not None and after.webhook_secret is None:
            after = replace(after, webhook_secret=_sealed(env, after.id, _new_secret()))
        await queries.update_settings(tx, after)
        await _audit(
            tx,
            env,
            after.id,
            "partner.settings_changed",
            actor=caller.client_id,
            before=domain.audited(before, changes),
            after=domain.audited(after, changes),
            request_id=request_id,
        )
    env.caches.drop(PARTNERS)
    return after


async def settings_extra(env: Env, partner: Partner) -> Mapping[str, object]:
    """Return what other rooms add to the answer that shows the partner's settings."""
    extra = env.local.get(SETTINGS_EXTRA)
    return {} if extra is None else await extra(partner)


async def get_webhook_secret(env: Env, caller: Caller, *, request_id: str | None = None) -> str:
    """Return the caller's webhook secret, 64 hex characters, and note that it was shown.

    Raises:
        WebhookNotConfigured: It has no webhookUrl.
    """
    async with env.db.transaction(caller.partner_id) as tx:
        partner = _configured(await queries.select_partner(tx, caller.partner_id))
        await _audit(tx, env, partner.id, "partner.webhook_secret_shown", actor=caller.client_id, request_id=request_id)
    return webhook_secret_of(env, partner)


async def rotate_webhook_secret(env: Env, caller: Caller, *, request_id: str | None = None) -> str:
    """Replace the caller's webhook secret and return the new one; the old one signs nothing from now on.

    Raises:
        WebhookNotConfigured: It has no webhookUrl.
    """
    secret = _new_secret()
    async with env.db.transaction(caller.partner_id) as tx:
        partner = _configured(await queries.lock_partner(tx, caller.partner_id))
        await queries.update_webhook_secret(tx, partner.id, _sealed(env, partner.id, secret))
        await _audit(
            tx, env, partner.id, "partner.webhook_secret_rotated", actor=caller.client_id, request_id=request_id
        )
    env.caches.drop(PARTNERS)
    return secret


async def lock_partner(tx: Tx, partner_id: str) -> Partner:
    """Return the partner as it is now, locked until *tx* ends.

    Raises:
        PartnerNotFound: There is none with this id.
    """
    return await _lock(tx, partner_id)


async def set_clock(tx: Tx, partner_id: str, frozen_at: datetime | None) -> None:
    """Stop the partner's time at a moment; None lets it run with the world's again. The sandbox's alone."""
    await queries.update_clock(tx, partner_id, frozen_at)


async def set_auto_advance(tx: Tx, partner_id: str, seconds: int | None) -> None:
    """Let the partner's orders move on by themselves every so many seconds; None stops them. The sandbox's alone."""
    await queries.update_auto_advance(tx, partner_id, seconds)


async def set_webhook_faults(tx: Tx, partner_id: str, faults: Mapping[str, Any] | None) -> None:
    """Let the partner's deliveries go wrong; None ends it. The sandbox's alone."""
    await queries.update_webhook_faults(tx, partner_id, faults)


async def reseal_webhook_secrets(env: Env, *, actor: str = "cli") -> tuple[int, int]:
    """Seal every webhook secret with the current data key, partner by partner, while everything runs.

    Returns:
        How many were sealed anew, and how many can't be read because their key is not in the ring.
    """
    resealed = unreadable = 0
    for partner in await list_partners(env):
        async with env.db.transaction(partner.id) as tx:
            locked = await queries.lock_partner(tx, partner.id)
            if locked is None or locked.webhook_secret is None:
                continue
            try:
                if not env.secrets.data_keys.needs_rotation(locked.webhook_secret):
                    continue
                plain = webhook_secret_of(env, locked)
            except SecretUnreadable:
                unreadable += 1
                continue
            await queries.update_webhook_secret(tx, locked.id, _sealed(env, locked.id, plain))
            await _audit(tx, env, locked.id, "partner.webhook_secret_resealed", actor=actor)
            resealed += 1
    env.caches.drop(PARTNERS)
    return resealed, unreadable


def webhook_secret_of(env: Env, partner: Partner) -> str:
    """Return the plain webhook secret of *partner*.

    Raises:
        WebhookNotConfigured: It has none.
        SecretUnreadable: Its key is not in the ring.
    """
    if partner.webhook_secret is None:
        raise WebhookNotConfigured
    return env.secrets.data_keys.open(partner.webhook_secret, identity=secret_identity(partner.id))


def secret_identity(partner_id: str) -> str:
    """Return what the partner's webhook secret is sealed for."""
    return f"partners/{partner_id}/webhook_secret"


def webhook_policy(settings: Settings) -> AddressPolicy:
    """Return where webhooks may go under *settings*."""
    return AddressPolicy.of(
        sandbox=settings.sandbox,
        allow_http=settings.webhook_allow_http,
        networks=settings.webhook_allowed_networks,
        ports=settings.webhook_ports,
    )


async def _check_receiver(env: Env, url: str, lookup: Lookup) -> None:
    policy = webhook_policy(env.settings)
    if not env.settings.sandbox:
        # A receiver under construction is welcome in the sandbox; in production it is a mistake.
        lookup = partial(_known_to, lookup)
    try:
        await resolve_and_check(url, policy, lookup=lookup)
    except ForbiddenUrl as error:
        fault = FieldError("/webhookUrl", error.detail)
        raise ValidationFailed("The settings are not valid.", errors=[fault]) from None


async def _known_to(lookup: Lookup, host: str) -> Sequence[str]:
    try:
        return await lookup(host)
    except OSError:
        raise ForbiddenUrl("The URL's host is not known to the internet's name servers.") from None


def _new_secret() -> str:
    return secrets.token_hex(_SECRET_BYTES)


def _sealed(env: Env, partner_id: str, secret: str) -> str:
    return env.secrets.data_keys.seal(secret, identity=secret_identity(partner_id))


def _configured(partner: Partner | None) -> Partner:
    if partner is None:
        raise _not_found()
    if partner.webhook_url is None:
        raise WebhookNotConfigured
    return partner


async def _lock(tx: Tx, partner_id: str) -> Partner:
    partner = await queries.lock_partner(tx, partner_id)
    if partner is None:
        raise _not_found()
    return partner


def _not_found() -> PartnerNotFound:
    return PartnerNotFound("There is no partner with this id.")


async def _audit(
    tx: Tx,
    env: Env,
    partner_id: str,
    action: str,
    *,
    actor: str,
    before: Mapping[str, object] | None = None,
    after: Mapping[str, object] | None = None,
    request_id: str | None = None,
) -> None:
    await audit.record(
        tx,
        actor=actor,
        action=action,
        object_type="partner",
        object_id=partner_id,
        before=before,
        after=after,
        request_id=request_id,
        at=env.now(),
    )
