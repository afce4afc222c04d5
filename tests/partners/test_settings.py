"""Partners and their settings, against PostgreSQL."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

import psycopg
import pytest

from fulfillment.infra.caches import Caches
from fulfillment.infra.db import Database
from fulfillment.infra.env import Env
from fulfillment.infra.secrets import SecretUnreadable
from fulfillment.kernel.callers import Caller, Scope
from fulfillment.kernel.errors import ValidationFailed
from fulfillment.partners import service
from fulfillment.partners.domain import PartnerNotFound, WebhookNotConfigured
from tests.conftest import Clock
from tests.world import World

pytestmark = pytest.mark.anyio

URL = "https://hooks.partner.com/orders"


async def public(host: str) -> Sequence[str]:
    """A resolver for which every name is public."""
    del host
    return ["93.184.216.34"]


async def unknown(host: str) -> Sequence[str]:
    """A resolver that knows no name."""
    del host
    raise OSError("no such name")


async def private(host: str) -> Sequence[str]:
    """A resolver for which a name leads out and in."""
    del host
    return ["93.184.216.34", "10.0.0.1"]


def column(dsns: tuple[str, str], name: str, partner_id: str) -> object:
    """What the database holds of a partner."""
    with psycopg.connect(dsns[1]) as conn:
        conn.execute("SET fulfillment.tenant = '*'")
        row = conn.execute(f"SELECT {name} FROM partners WHERE id = %s", (partner_id,)).fetchone()  # pyright: ignore[reportArgumentType]
    assert row is not None
    return row[0]


def audit(dsns: tuple[str, str], partner_id: str) -> list[tuple[object, ...]]:
    """What was written down of a partner, after its creation."""
    with psycopg.connect(dsns[1]) as conn:
        return conn.execute(
            "SELECT actor, action, before, after, request_id FROM audit_log"
            " WHERE object_type = 'partner' AND object_id = %s AND action <> 'partner.created' ORDER BY id",
            (partner_id,),
        ).fetchall()


async def test_a_new_partner_has_the_default_discounts(env: Env, clock: Clock):
    """60 days are 5 % less, 90 days 10 %; it has no settings yet and is at once among all."""
    partner = await service.create_partner(env, name="Acme Health", discount=Decimal("0.1"), description="Leading")

    assert partner.volume_discounts == {60: Decimal("0.05"), 90: Decimal("0.10")}
    assert (partner.name, partner.discount, partner.description) == ("Acme Health", Decimal("0.1"), "Leading")
    assert (partner.webhook_url, partner.webhook_secret, partner.logo) == (None, None, None)
    assert partner.created_at == partner.updated_at == clock()
    assert await service.get_partner(env, partner.id) == partner
    assert (await service.get_partners(env)).value[partner.id] == partner
    assert partner in await service.list_partners(env)


async def test_volume_discounts_are_kept_exactly(env: Env):
    """A partner's own volume discounts come back as decimals."""
    own = {30: Decimal("0.01"), 90: Decimal("0.125")}

    partner = await service.create_partner(env, name="Acme", volume_discounts=own)

    assert (await service.get_partner(env, partner.id)).volume_discounts == own


async def test_a_refused_partner_is_not_made(env: Env):
    """A partner out of bounds leaves nothing behind."""
    before = len(await service.list_partners(env))

    with pytest.raises(ValidationFailed):
        await service.create_partner(env, name="Acme", discount=Decimal(10))

    assert len(await service.list_partners(env)) == before


async def test_who_is_not_there_is_not_found(env: Env):
    """Neither from memory nor from the database."""
    stranger = Caller("client", Scope.PARTNER, "2vSGym0bH8qVEwCIGlyFoRgJq1A")

    for operation in (
        service.get_partner(env, stranger.partner_id),
        service.get_settings(env, stranger),
        service.update_settings(env, stranger, {"logo": "x"}),
        service.get_webhook_secret(env, stranger),
        service.rotate_webhook_secret(env, stranger),
    ):
        with pytest.raises(PartnerNotFound):
            await operation


async def test_a_partner_made_elsewhere_is_found_at_once(env: Env, world: World, dsns: tuple[str, str]):
    """A process that has not heard of it yet reads it."""
    db = Database(dsns[0])
    other = Env(env.settings, db, Caches(db), env.secrets, env.now)
    await service.get_partners(other)
    caller = await world.partner(name="Newcomer")

    found = await service.get_partner(other, caller.partner_id)

    await db.close()
    assert found.name == "Newcomer"


async def test_only_what_is_given_changes(env: Env, world: World, clock: Clock):
    """A change leaves everything else, and the name, as they were; null clears."""
    caller = await world.partner(name="Acme")
    await service.update_settings(env, caller, {"logo": "x", "phone": "555-123-4567"})
    clock.move(hours=1)

    changed = await service.update_settings(env, caller, {"logo": None, "billing_city": "Zürich"})

    assert (changed.logo, changed.phone, changed.billing_city, changed.name) == (
        None,
        "555-123-4567",
        "Zürich",
        "Acme",
    )
    assert changed.updated_at == clock()
    assert await service.get_settings(env, caller) == changed
    assert await service.get_partner(env, caller.partner_id) == changed


async def test_nothing_changed_is_nothing_written(env: Env, world: World, clock: Clock, dsns: tuple[str, str]):
    """A change to what already is leaves the date and the audit log alone."""
    caller = await world.partner()
    await service.update_settings(env, caller, {"logo": "x"})
    before = await service.get_settings(env, caller)
    clock.move(hours=1)

    await service.update_settings(env, caller, {"logo": "x", "phone": None})
    await service.update_settings(env, caller, {})

    assert await service.get_settings(env, caller) == before
    assert len(audit(dsns, caller.partner_id)) == 1


async def test_partners_do_not_touch_each_other(env: Env, world: World):
    """A change of one partner leaves the other as it was."""
    one, other = await world.partner(), await world.partner()
    before = await service.get_settings(env, other)

    await service.update_settings(env, one, {"logo": "mine", "webhook_url": URL}, lookup=public)

    assert await service.get_settings(env, other) == before


async def test_the_first_webhook_url_makes_the_secret(env: Env, world: World, dsns: tuple[str, str]):
    """It is 64 hex characters, stays with a second URL, and stands nowhere in the database in plain."""
    caller = await world.partner()
    with pytest.raises(WebhookNotConfigured):
        await service.get_webhook_secret(env, caller)

    await service.update_settings(env, caller, {"webhook_url": URL}, lookup=public)
    secret = await service.get_webhook_secret(env, caller)
    await service.update_settings(env, caller, {"webhook_url": URL + "/2"}, lookup=public)

    assert len(bytes.fromhex(secret)) == 32
    assert secret == secret.lower()
    assert await service.get_webhook_secret(env, caller) == secret
    sealed = str(column(dsns, "webhook_secret", caller.partner_id))
    assert sealed.startswith("v1.")
    assert secret not in sealed
    assert secret not in str(audit(dsns, caller.partner_id))


async def test_every_partner_has_its_own_secret(env: Env, world: World, dsns: tuple[str, str]):
    """A sealed secret that is copied to another partner's row opens nothing there."""
    one, other = await world.partner(), await world.partner()
    for caller in (one, other):
        await service.update_settings(env, caller, {"webhook_url": URL}, lookup=public)
    secrets = {await service.get_webhook_secret(env, caller) for caller in (one, other)}
    stolen = replace(
        await service.get_settings(env, other), webhook_secret=str(column(dsns, "webhook_secret", one.partner_id))
    )

    assert len(secrets) == 2
    with pytest.raises(SecretUnreadable):
        service.webhook_secret_of(env, stolen)


async def test_without_a_url_there_is_no_secret_to_be_had(env: Env, world: World):
    """Clearing the URL hides the secret from the calls; setting one again brings the same back."""
    caller = await world.partner()
    await service.update_settings(env, caller, {"webhook_url": URL}, lookup=public)
    secret = await service.get_webhook_secret(env, caller)

    await service.update_settings(env, caller, {"webhook_url": None})
    with pytest.raises(WebhookNotConfigured):
        await service.get_webhook_secret(env, caller)
    with pytest.raises(WebhookNotConfigured):
        await service.rotate_webhook_secret(env, caller)
    await service.update_settings(env, caller, {"webhook_url": URL}, lookup=public)

    assert await service.get_webhook_secret(env, caller) == secret


async def test_a_rotation_replaces_the_secret_at_once(env: Env, world: World, dsns: tuple[str, str]):
    """What deliveries are signed with from now on is the new one, and nothing keeps the old one."""
    caller = await world.partner()
    await service.update_settings(env, caller, {"webhook_url": URL}, lookup=public)
    old = await service.get_webhook_secret(env, caller)
    before = await service.get_settings(env, caller)

    new = await service.rotate_webhook_secret(env, caller)

    after = await service.get_partner(env, caller.partner_id)
    assert new != old
    assert service.webhook_secret_of(env, after) == new
    assert await service.get_webhook_secret(env, caller) == new
    assert before.webhook_secret not in str(column(dsns, "partners::text", caller.partner_id))
    assert after.updated_at == before.updated_at  # the settings are as they were


async def test_what_was_done_is_written_down(env: Env, world: World, dsns: tuple[str, str]):
    """Who changed, read and rotated what, by which request; and no personal data."""
    caller = await world.partner()
    await service.update_settings(
        env, caller, {"webhook_url": URL, "phone": "555-123-4567"}, request_id="r1", lookup=public
    )
    await service.get_webhook_secret(env, caller, request_id="r2")
    await service.rotate_webhook_secret(env, caller, request_id="r3")

    assert audit(dsns, caller.partner_id) == [
        (
            caller.client_id,
            "partner.settings_changed",
            {"webhook_url": None, "phone": None},
            {"webhook_url": "https://hooks.partner.com", "phone": "(set)"},
            "r1",
        ),
        (caller.client_id, "partner.webhook_secret_shown", None, None, "r2"),
        (caller.client_id, "partner.webhook_secret_rotated", None, None, "r3"),
    ]


async def test_a_url_that_leads_inside_is_refused(env: Env, world: World):
    """One private address among a name's is enough; nothing changes, not even the other fields."""
    caller = await world.partner()

    with pytest.raises(ValidationFailed) as caught:
        await service.update_settings(env, caller, {"webhook_url": URL, "logo": "x"}, lookup=private)

    assert [fault.pointer for fault in caught.value.errors] == ["/webhookUrl"]
    settings = await service.get_settings(env, caller)
    assert (settings.webhook_url, settings.webhook_secret, settings.logo) == (None, None, None)


async def test_the_sandbox_takes_a_name_that_is_not_there_yet(env: Env, world: World):
    """A receiver under construction may be named before its name resolves."""
    caller = await world.partner()

    partner = await service.update_settings(env, caller, {"webhook_url": URL}, lookup=unknown)

    assert partner.webhook_url == URL


async def test_production_refuses_a_name_that_is_not_there(env: Env, world: World):
    """In production a name that does not resolve is a mistake."""
    caller = await world.partner()
    production = replace(env, settings=env.settings.model_copy(update={"environment": "production"}))

    with pytest.raises(ValidationFailed) as caught:
        await service.update_settings(production, caller, {"webhook_url": URL}, lookup=unknown)

    assert [fault.pointer for fault in caught.value.errors] == ["/webhookUrl"]
    assert (await service.get_settings(env, caller)).webhook_url is None


async def test_the_policy_follows_the_settings(env: Env):
    """What the operator allows beyond the rule is allowed."""
    settings = env.settings.model_copy(
        update={
            "environment": "production",
            "webhook_ports": (9443,),
            "webhook_allowed_networks": ("10.1.0.0/16",),
        }
    )

    policy = service.webhook_policy(settings)

    assert policy.allowed_ports == {443, 8443, 9443}
    assert [str(network) for network in policy.allowed_networks] == ["10.1.0.0/16"]
    assert not policy.allow_http


async def test_the_sandboxs_fields_come_back(env: Env, world: World, dsns: tuple[str, str], clock: Clock):
    """A test clock, the automatic advance and faults on demand are read as they are written."""
    caller = await world.partner()
    frozen: datetime = clock()
    with psycopg.connect(dsns[1]) as conn:
        conn.execute("SET fulfillment.tenant = '*'")
        conn.execute(
            "UPDATE partners SET clock_frozen_at = %s, auto_advance_seconds = 5, webhook_faults = %s WHERE id = %s",
            (frozen, '{"status": 500}', caller.partner_id),
        )

    partner = await service.get_settings(env, caller)

    assert (partner.clock_frozen_at, partner.auto_advance_seconds, partner.webhook_faults) == (
        frozen,
        5,
        {"status": 500},
    )
