"""Who did what: every action on credentials, settings and customers is one entry, without a secret or a person."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import replace

import psycopg
import pytest

from fulfillment.infra.env import Env
from fulfillment.infra.secrets import KeyRing, NamedKey
from fulfillment.kernel.callers import Caller
from fulfillment.oauth import service as oauth
from fulfillment.partners import service as partners
from fulfillment.privacy import service as privacy
from tests.conftest import client_of
from tests.world import World, a_customer

pytestmark = pytest.mark.anyio

Action = Callable[[Env, World, Caller], Awaitable[object]]


async def _erase(env: Env, world: World, caller: Caller) -> object:
    order = await world.order(caller, customer=a_customer(sourceId="audited", firstName="Marked"))
    async with client_of(env) as client:
        await client.post(f"/v1/orders/{order.id}/cancel", headers=await world.headers(caller))
    return await privacy.erase_customer(env, caller.partner_id, "audited")


async def _reseal(env: Env, world: World, caller: Caller) -> object:
    old = replace(env, secrets=replace(env.secrets, data_keys=KeyRing([NamedKey("a", b"a" * 32)])), local={})
    await partners.update_settings(old, caller, {"webhook_url": "http://127.0.0.1:9/hook"})
    both = KeyRing([NamedKey("b", b"b" * 32), NamedKey("a", b"a" * 32)])
    ring = replace(env, secrets=replace(env.secrets, data_keys=both), local={})
    done = await partners.reseal_webhook_secrets(ring)
    await partners.update_settings(ring, caller, {"webhook_url": None})
    return done


async def _with_hook(env: Env, caller: Caller) -> None:
    await partners.update_settings(env, caller, {"webhook_url": "http://127.0.0.1:9/hook"})


async def _show(env: Env, world: World, caller: Caller) -> object:
    await _with_hook(env, caller)
    return await partners.get_webhook_secret(env, caller)


async def _rotate_webhook(env: Env, world: World, caller: Caller) -> object:
    await _with_hook(env, caller)
    return await partners.rotate_webhook_secret(env, caller)


ACTIONS: dict[str, Action] = {
    "client.created": lambda env, world, caller: oauth.create_client(env, partner_id=caller.partner_id),
    "client.secret_rotated": lambda env, world, caller: oauth.rotate_client_secret(env, caller.client_id),
    "client.revoked": lambda env, world, caller: oauth.revoke_client(env, caller.client_id),
    "partner.created": lambda env, world, caller: partners.create_partner(env, name="Another"),
    "partner.settings_changed": lambda env, world, caller: partners.update_settings(
        env, caller, {"primary_color": "#010203"}
    ),
    "partner.webhook_secret_shown": _show,
    "partner.webhook_secret_rotated": _rotate_webhook,
    "partner.webhook_secret_resealed": _reseal,
    "customer.erased": _erase,
}


def entries(dsn: str, action: str) -> list[tuple[str, str]]:
    """Return every entry of an action as actor and whole row."""
    with psycopg.connect(dsn) as conn:
        return conn.execute(
            "SELECT actor, log::text FROM audit_log AS log WHERE action = %s ORDER BY id", (action,)
        ).fetchall()


@pytest.mark.parametrize("action", ACTIONS)
async def test_each_action_is_one_entry(env: Env, world: World, dsns: tuple[str, str], action: str) -> None:
    """The action adds exactly one entry of its name, which says who, and holds neither what it made nor a person."""
    caller = await world.partner()
    before = len(entries(dsns[1], action))

    result = await ACTIONS[action](env, world, caller)

    added = entries(dsns[1], action)[before:]
    assert len(added) == 1
    actor, row = added[0]
    assert actor in {"cli", caller.client_id}
    assert "Marked" not in row
    assert "audited" not in row
    secret = world.secret(caller)
    assert secret not in row
    for value in result if isinstance(result, tuple) else (result,):
        if isinstance(value, str) and not value.startswith("jun_ci_"):
            assert value not in row


async def test_over_http_the_entry_names_the_request(env: Env, world: World, dsns: tuple[str, str]) -> None:
    """An entry made by a request names its client and its request id; a refused request makes none."""
    caller = await world.partner()
    headers = await world.headers(caller)
    async with client_of(env) as client:
        wrong = await client.patch("/v1/partners/settings", json={"primaryColor": "no color"}, headers=headers)
        right = await client.patch("/v1/partners/settings", json={"primaryColor": "#0a0b0c"}, headers=headers)

    with psycopg.connect(dsns[1]) as conn:
        rows = conn.execute(
            "SELECT actor, action, request_id, after FROM audit_log"
            " WHERE object_id = %s AND action <> 'partner.created'",
            (caller.partner_id,),
        ).fetchall()
    assert (wrong.status_code, right.status_code) == (422, 200)
    assert [row[:3] for row in rows] == [(caller.client_id, "partner.settings_changed", right.headers["x-request-id"])]
    assert json.dumps(rows[0][3]).lower().count("#0a0b0c") == 1
