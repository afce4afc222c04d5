"""Clients: how they come, change and go, and what is written down of it."""

import asyncio
from dataclasses import replace

import psycopg
import pytest

from fulfillment.infra.caches import Caches
from fulfillment.infra.db import Database
from fulfillment.infra.env import Env
from fulfillment.kernel.callers import Caller, Scope
from fulfillment.oauth import service
from fulfillment.oauth.domain import (
    ClientInvalid,
    ClientNotFound,
    ClientRevoked,
    InvalidClient,
    InvalidScope,
    TooManyFailures,
)
from tests.conftest import Clock
from tests.oauth.rooms import client_of
from tests.world import World

pytestmark = pytest.mark.anyio


async def works(env: Env, client_id: str, secret: str) -> bool:
    """Whether the secret gets a token."""
    try:
        await service.issue_token(env, client_id, secret, scope="", address="192.0.2.1")
    except InvalidClient:
        return False
    return True


def rows(dsns: tuple[str, str], statement: str, *params: object) -> list[tuple[object, ...]]:
    """What the database holds, read by its owner."""
    with psycopg.connect(dsns[1]) as conn:
        conn.execute("SET fulfillment.tenant = '*'")
        return conn.execute(statement, params).fetchall()  # pyright: ignore[reportArgumentType]


async def test_a_new_client_works_and_its_secret_is_not_kept(env: Env, world: World, dsns: tuple[str, str]):
    """The secret gets a token, and no column of the database holds it."""
    partner = (await world.partner()).partner_id

    client_id, secret = await service.create_client(env, partner_id=partner, label="Backend")

    assert await works(env, client_id, secret)
    kept = rows(dsns, "SELECT client::text FROM oauth_clients AS client WHERE client_id = %s", client_id)
    assert len(kept) == 1
    assert secret not in str(kept)
    assert secret.removeprefix("jun_sk_sandbox_") not in str(kept)


async def test_two_clients_share_nothing(env: Env, world: World):
    """One client's secret is wrong for another of the same partner."""
    partner = (await world.partner()).partner_id
    first_id, first = await service.create_client(env, partner_id=partner)
    second_id, second = await service.create_client(env, partner_id=partner)

    assert first_id != second_id
    assert not await works(env, first_id, second)
    assert await works(env, second_id, second)
    assert await works(env, first_id, first)


@pytest.mark.parametrize(
    ("partner", "scope"), [(None, Scope.PARTNER), ("", Scope.PARTNER), ("2vSGym0bH8qVEwCIGlyFoRgJq1A", Scope.OPERATOR)]
)
async def test_scope_and_partner_go_together(env: Env, partner: str | None, scope: Scope):
    """A partner's client has a partner, an operator's none; anything else makes no client."""
    before = len(await service.list_clients(env))

    with pytest.raises(ClientInvalid):
        await service.create_client(env, partner_id=partner, scope=scope)

    assert len(await service.list_clients(env)) == before


async def test_the_partner_must_exist(env: Env):
    """A client of an unknown partner is refused by a sentence, not by the database."""
    with pytest.raises(ClientInvalid, match="no partner"):
        await service.create_client(env, partner_id="2vSGym0bH8qVEwCIGlyFoRgJq1A")


async def test_labels_are_bounded(env: Env, world: World):
    """A label has 100 characters at most."""
    partner = (await world.partner()).partner_id

    await service.create_client(env, partner_id=partner, label="x" * 100)
    with pytest.raises(ClientInvalid):
        await service.create_client(env, partner_id=partner, label="x" * 101)


async def test_clients_are_listed_by_partner(env: Env, world: World):
    """A partner's list has its own clients, oldest first, revoked ones too; the whole list has everybody's."""
    first, other = await world.partner(), await world.partner()
    second = await world.client(first.partner_id)
    await service.revoke_client(env, first.client_id)

    own = await service.list_clients(env, first.partner_id)

    assert {client.id for client in own} == {first.client_id, second.client_id}
    assert [client.revoked_at is None for client in own if client.id == first.client_id] == [False]
    assert other.client_id in {client.id for client in await service.list_clients(env)}


async def test_a_scope_too_many_is_refused(env: Env, world: World):
    """The right secret does not give more than the client has."""
    caller = await world.partner()

    with pytest.raises(InvalidScope):
        await service.issue_token(env, caller.client_id, world.secret(caller), scope="operator", address="192.0.2.1")


async def test_after_a_rotation_both_secrets_work_for_a_while(env: Env, world: World, clock: Clock):
    """The new secret works at once, the old one until its time is over."""
    caller = await world.partner()
    old = world.secret(caller)

    new = await service.rotate_client_secret(env, caller.client_id, 600)

    assert await works(env, caller.client_id, new)
    assert await works(env, caller.client_id, old)
    clock.move(seconds=599)
    assert await works(env, caller.client_id, old)
    clock.move(seconds=1)
    assert not await works(env, caller.client_id, old)
    assert await works(env, caller.client_id, new)


async def test_a_rotation_may_end_the_old_secret_at_once(env: Env, world: World):
    """With nothing to keep, only the new secret works."""
    caller = await world.partner()

    new = await service.rotate_client_secret(env, caller.client_id, 0)

    assert not await works(env, caller.client_id, world.secret(caller))
    assert await works(env, caller.client_id, new)


async def test_a_client_has_two_secrets_at_most(env: Env, world: World):
    """The second rotation ends the secret of before the first."""
    caller = await world.partner()

    second = await service.rotate_client_secret(env, caller.client_id, 600)
    third = await service.rotate_client_secret(env, caller.client_id, 600)

    assert not await works(env, caller.client_id, world.secret(caller))
    assert await works(env, caller.client_id, second)
    assert await works(env, caller.client_id, third)


@pytest.mark.parametrize("seconds", [-1, 30 * 86_400 + 1])
async def test_an_old_secret_is_not_kept_for_ever(env: Env, world: World, seconds: int):
    """0 seconds to 30 days; a refused rotation changes nothing."""
    caller = await world.partner()

    with pytest.raises(ClientInvalid):
        await service.rotate_client_secret(env, caller.client_id, seconds)

    assert await works(env, caller.client_id, world.secret(caller))


async def test_revoked_is_for_good(env: Env, world: World, dsns: tuple[str, str], clock: Clock):
    """A revoked client gets no new secret, and revoking it again changes nothing."""
    caller = await world.partner()
    revoked_at = clock()

    await service.revoke_client(env, caller.client_id)
    clock.move(seconds=5)
    await service.revoke_client(env, caller.client_id)

    with pytest.raises(ClientRevoked):
        await service.rotate_client_secret(env, caller.client_id)
    kept = rows(dsns, "SELECT revoked_at FROM oauth_clients WHERE client_id = %s", caller.client_id)
    assert kept == [(revoked_at,)]


async def test_who_does_not_exist_can_not_be_changed(env: Env):
    """Revoking and rotating say that there is no such client."""
    with pytest.raises(ClientNotFound):
        await service.revoke_client(env, "nobody")
    with pytest.raises(ClientNotFound):
        await service.rotate_client_secret(env, "nobody")


async def test_every_action_is_written_down(env: Env, world: World, dsns: tuple[str, str]):
    """The audit log has who did what to the client, in order, and none of the secrets."""
    partner = (await world.partner()).partner_id
    client_id, secret = await service.create_client(env, partner_id=partner, actor="boss", request_id="r1")
    new = await service.rotate_client_secret(env, client_id, actor="boss", request_id="r2")
    await service.revoke_client(env, client_id, actor="other", request_id="r3")

    kept = rows(
        dsns,
        "SELECT actor, action, object_type, request_id, entry::text FROM audit_log AS entry"
        " WHERE object_id = %s ORDER BY id",
        client_id,
    )

    assert [row[:4] for row in kept] == [
        ("boss", "client.created", "client", "r1"),
        ("boss", "client.secret_rotated", "client", "r2"),
        ("other", "client.revoked", "client", "r3"),
    ]
    assert secret not in str(kept)
    assert new not in str(kept)


async def test_the_audit_log_can_not_be_changed(env: Env, world: World, dsns: tuple[str, str]):
    """Neither the application nor the owner of the tables takes an entry back."""
    await world.partner()

    for dsn in dsns:
        for statement in ("DELETE FROM audit_log", "UPDATE audit_log SET actor = 'nobody'", "TRUNCATE audit_log"):
            with psycopg.connect(dsn) as conn, pytest.raises(psycopg.errors.InsufficientPrivilege):
                conn.execute(statement)


async def test_a_token_costs_no_round_trip(env: Env, world: World):
    """Once the clients are in memory, tokens are made and checked with the database away."""
    caller = await world.partner()
    assert await works(env, caller.client_id, world.secret(caller))
    away = replace(env, db=Database("host=/nowhere"))

    async with client_of(away) as api:
        answer = await api.get("/v1/hot", headers=await World(away, {**world._secrets}).headers(caller))  # pyright: ignore[reportPrivateUsage]

    assert answer.status_code == 200


async def test_a_revoked_clients_tokens_are_revoked(env: Env, world: World):
    """A token that worked a moment ago is refused, though its time is not over."""
    caller = await world.partner()
    headers = await world.headers(caller)

    async with client_of(env) as api:
        before = await api.get("/v1/hot", headers=headers)
        await service.revoke_client(env, caller.client_id)
        after = [await api.get("/v1/hot", headers=headers) for _ in range(2)]

    assert before.status_code == 200
    assert [answer.status_code for answer in after] == [401, 401]
    assert 'error="invalid_token"' in after[0].headers["www-authenticate"]


async def test_a_token_in_memory_expires_like_any_other(env: Env, world: World, clock: Clock):
    """A token that was checked before is refused when its hour and the 30 seconds are over."""
    headers = await world.headers(await world.partner())

    async with client_of(env) as api:
        clock.move(seconds=3629)
        before = await api.get("/v1/hot", headers=headers)
        clock.move(seconds=1)
        after = await api.get("/v1/hot", headers=headers)

    assert (before.status_code, after.status_code) == (200, 401)
    assert "expired" in after.json()["detail"]


async def test_a_rotation_keeps_the_tokens(env: Env, world: World):
    """A new secret is no reason to refuse tokens given for the old one."""
    caller = await world.partner()
    headers = await world.headers(caller)
    await service.rotate_client_secret(env, caller.client_id, 0)

    async with client_of(env) as api:
        answer = await api.get("/v1/hot", headers=headers)

    assert answer.status_code == 200


def elsewhere(env: Env, dsns: tuple[str, str]) -> Env:
    """The same system in another process."""
    db = Database(dsns[0])
    return Env(env.settings, db, Caches(db), env.secrets, env.now)


async def test_other_processes_hear_of_a_revocation_within_a_second(env: Env, world: World, dsns: tuple[str, str]):
    """A token refused by one process is refused by the others, which had it in memory, in less than a second."""
    caller, other = await world.partner(), elsewhere(env, dsns)
    headers = await world.headers(caller)
    watching = asyncio.create_task(other.caches.watch())

    async with client_of(other) as api:
        assert (await api.get("/v1/hot", headers=headers)).status_code == 200
        await asyncio.sleep(0.2)  # it listens now
        await service.revoke_client(env, caller.client_id)
        await asyncio.sleep(0.8)
        answer = await api.get("/v1/hot", headers=headers)

    watching.cancel()
    await other.db.close()
    assert answer.status_code == 401


async def test_a_new_client_works_everywhere_at_once(env: Env, world: World, dsns: tuple[str, str]):
    """A process that has not yet heard of a new client, or secret, asks the database before it refuses."""
    other = elsewhere(env, dsns)  # it watches nothing, so what it has in memory stays old
    await service.live_clients(other)
    caller = await world.partner()
    headers = await world.headers(caller)

    async with client_of(other) as api:
        answer = await api.get("/v1/hot", headers=headers)
    await service.live_clients(other)
    newest = await service.rotate_client_secret(env, caller.client_id, 0)
    rotated = await works(other, caller.client_id, newest)

    await other.db.close()
    assert answer.status_code == 200
    assert rotated


async def test_wrong_secrets_empty_no_memory(env: Env, world: World):
    """Guessing does not make the process read all clients again."""
    caller = await world.partner()
    before = await service.live_clients(env)

    assert not await works(env, caller.client_id, "wrong")
    assert not await works(env, "nobody", "wrong")

    assert await service.live_clients(env) is before


async def test_the_limit_is_a_setting(env: Env, world: World):
    """With two failures a minute allowed, the third attempt is not even looked at."""
    strict = replace(env, settings=env.settings.model_copy(update={"token_failures_per_minute": 2}))
    caller = await world.partner()
    for _ in range(2):
        assert not await works(strict, caller.client_id, "wrong")

    with pytest.raises(TooManyFailures):
        await works(strict, caller.client_id, world.secret(caller))


async def test_tokens_of_another_environment_are_refused(env: Env, world: World):
    """The same keys under another address make another issuer."""
    caller = await world.partner()
    live = replace(env, settings=env.settings.model_copy(update={"public_url": "https://api.example"}), local={})
    headers = await world.headers(caller)

    async with client_of(live) as api:
        answer = await api.get("/v1/hot", headers=headers)

    assert answer.status_code == 401


async def test_nothing_of_a_client_shows_when_it_is_printed(env: Env, world: World):
    """The hash stays out of whatever prints a client."""
    caller: Caller = await world.partner()
    client = (await service.live_clients(env)).value[caller.client_id]

    assert client.secret_hash not in repr(client)
