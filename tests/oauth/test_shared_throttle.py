"""Guessing is slowed over all processes together."""

import asyncio
import time
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from fulfillment.infra.caches import Caches
from fulfillment.infra.db import Database
from fulfillment.infra.env import Env
from fulfillment.infra.secrets import load_or_create
from fulfillment.infra.settings import Settings
from fulfillment.oauth import service
from fulfillment.oauth.authority import authority_of
from fulfillment.oauth.domain import InvalidClient, TooManyFailures
from tests.conftest import Clock
from tests.world import World

pytestmark = pytest.mark.anyio
LIMIT = 5


@pytest.fixture
async def processes(dsns: tuple[str, str], tmp_path: Path, clock: Clock) -> AsyncGenerator[list[Env]]:
    """Three processes that share nothing but the database; five wrong secrets a minute."""
    settings = Settings(data_dir=tmp_path, token_failures_per_minute=LIMIT)
    secrets = load_or_create(tmp_path / "secrets.json")
    databases = [Database(dsns[0], size=4) for _ in range(3)]
    yield [Env(settings, db, Caches(db), secrets, clock) for db in databases]
    for db in databases:
        await db.close()


async def guess(env: Env, client_id: str, address: str) -> str:
    """Try a wrong secret and return what came of it."""
    try:
        await service.issue_token(env, client_id, "wrong", scope="", address=address)
    except InvalidClient:
        return "tried"
    except TooManyFailures:
        return "refused"
    return "in"


async def test_processes_count_together(processes: list[Env]) -> None:
    """Sixty guesses round three processes: the limit and one for each further process are tried, no more."""
    results = [await guess(processes[number % 3], "together", "192.0.2.1") for number in range(60)]

    assert LIMIT <= results.count("tried") <= LIMIT + 2
    assert results[-30:] == ["refused"] * 30


async def test_a_flood_at_once_is_held_by_each_process(processes: list[Env]) -> None:
    """A hundred guesses in the same moment: each process tries its limit at most before it has heard of the others."""
    env = processes[0]
    await asyncio.gather(*(guess(each, "warm", "192.0.2.100") for each in processes))

    results = await asyncio.gather(*(guess(env, "flood", "192.0.2.2") for _ in range(100)))

    assert results.count("tried") == LIMIT


async def test_the_address_counts_over_processes(processes: list[Env]) -> None:
    """One address that tries many clients on many processes is slowed all the same."""
    results = [await guess(processes[number % 3], f"client-{number}", "192.0.2.3") for number in range(60)]

    assert results.count("tried") <= LIMIT + 2


async def test_after_the_minute_it_begins_anew(processes: list[Env], clock: Clock) -> None:
    """The minute is over for all processes."""
    for number in range(12):
        await guess(processes[number % 3], "minute", "192.0.2.4")

    clock.move(seconds=61)

    assert await guess(processes[1], "minute", "192.0.2.4") == "tried"
    assert await guess(processes[2], "minute", "192.0.2.4") == "tried"


async def test_nobody_locks_a_partner_out_of_another_process(processes: list[Env]) -> None:
    """An address that proved itself to one process goes on at another, whoever guesses at its client meanwhile."""
    first, second, _ = processes
    world = World(first)
    caller = await world.partner()
    secret = world.secret(caller)
    await service.issue_token(first, caller.client_id, secret, scope="", address="192.0.2.5")
    await authority_of(first).throttle.settled()

    for number in range(20):
        await guess(second, caller.client_id, f"198.51.100.{number}")

    assert await guess(second, caller.client_id, "203.0.113.9") == "refused"
    token, _ = await service.issue_token(second, caller.client_id, secret, scope="", address="192.0.2.5")
    assert token.count(".") == 2


async def test_a_closed_door_costs_no_round_trip(processes: list[Env], monkeypatch: pytest.MonkeyPatch) -> None:
    """Three hundred guesses at ever new clients from an address that is held: the database is asked once a second."""
    env, asked = processes[0], 0
    connection = Database.connection

    def counted(db: Database) -> object:
        nonlocal asked
        asked += 1
        return connection(db)

    await asyncio.gather(*(guess(env, f"warm-{number}", "192.0.2.9") for number in range(LIMIT)))
    monkeypatch.setattr(Database, "connection", counted)
    began = time.monotonic()
    results = [await guess(env, f"never-seen-{number}", "192.0.2.9") for number in range(300)]

    assert results == ["refused"] * 300
    assert asked <= 1 + (time.monotonic() - began)


async def test_who_knows_the_secret_writes_nothing_for_each_token(processes: list[Env], dsns: tuple[str, str]) -> None:
    """A hundred tokens leave one row of trust and none of failures."""
    env = processes[0]
    world = World(env)
    caller = await world.partner()
    for _ in range(100):
        await service.issue_token(env, caller.client_id, world.secret(caller), scope="", address="192.0.2.6")
    await authority_of(env).throttle.settled()

    assert len(authority_of(env).throttle._told) == 1  # pyright: ignore[reportPrivateUsage]


async def test_what_is_stored_names_nobody(processes: list[Env]) -> None:
    """The tables hold neither the claimed id nor the address."""
    env = processes[0]
    await guess(env, "a claimed id", "192.0.2.77")

    async with env.db.connection() as conn:
        rows = await (await conn.execute("SELECT key FROM token_failures UNION SELECT key FROM token_trust")).fetchall()
    assert rows
    assert all(len(key) == 40 and set(key) <= set("0123456789abcdef") for (key,) in rows)


async def test_without_the_database_each_process_counts_for_itself(processes: list[Env]) -> None:
    """A database that is away opens no door: the limit of the process stands."""
    env = processes[0]
    await guess(env, "warm", "192.0.2.101")
    throttle = authority_of(env).throttle
    at = env.now().timestamp()
    await env.db.close()
    broken = Env(env.settings, Database("postgresql://nobody@/none?host=/nowhere"), env.caches, env.secrets, env.now)
    lonely = type(throttle)(broken)
    for _ in range(LIMIT):
        lonely.suspect("alone", "192.0.2.8", at)
        await lonely.failed("alone", "192.0.2.8", at)

    assert await lonely.wait_seconds("alone", "192.0.2.8", at) == 60
