"""A partner's requests a minute, over all processes."""

import asyncio
import time
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from fulfillment.infra import ratelimit
from fulfillment.infra.caches import Caches
from fulfillment.infra.db import Database
from fulfillment.infra.env import Env
from fulfillment.infra.ratelimit import Limiter, OperationClass, RateLimited
from fulfillment.infra.secrets import load_or_create
from fulfillment.infra.settings import Settings
from tests.conftest import client_of
from tests.world import World

pytestmark = pytest.mark.anyio


@pytest.fixture
async def processes(dsns: tuple[str, str], tmp_path: Path) -> AsyncGenerator[list[Env]]:
    """Two processes that share nothing but the database; a partner may send 120 of each class a minute."""
    settings = Settings(data_dir=tmp_path, rate_limit_per_minute=120)
    secrets = load_or_create(tmp_path / "secrets.json")
    databases = [Database(dsns[0], size=4) for _ in range(2)]
    yield [Env(settings, db, Caches(db), secrets) for db in databases]
    for db in databases:
        await db.close()


async def taken(limiter: Limiter, partner: str, times: int, policy: OperationClass = "write") -> int:
    """Return how many of *times* requests pass."""
    passed = 0
    for _ in range(times):
        try:
            await limiter.take(partner, policy)
        except RateLimited:
            continue
        passed += 1
    return passed


async def test_the_limit_holds_over_processes(processes: list[Env]) -> None:
    """Of 600 requests at once to two processes, 120 pass, and one for each half second that goes by."""
    began = time.monotonic()
    passed = await asyncio.gather(*(taken(Limiter(env), "both", 300) for env in processes))
    seconds = time.monotonic() - began

    assert 120 <= sum(passed) <= 120 + seconds * 2 + 1


async def test_a_clock_that_is_set_back_refuses_nobody(processes: list[Env]) -> None:
    """A partner that had used up its limit when the database's clock was set back an hour has a whole one again."""
    await taken(Limiter(processes[0]), "back", 200)
    async with processes[0].db.transaction("*") as tx:  # as if an hour later had been written
        await tx.execute("UPDATE rate_limits SET full_at = full_at + 3600 WHERE key LIKE 'back%%'")

    assert await taken(Limiter(processes[1]), "back", 200) >= 120


async def test_the_margin(processes: list[Env]) -> None:
    """What one process holds unspent, a twentieth of the limit at most, is all that the other can miss."""
    first, second = (Limiter(env) for env in processes)
    await taken(first, "margin", 10)

    left = await taken(second, "margin", 300)

    assert 120 - 10 - 120 // 20 <= left <= 120 - 10 + 4


def spoil(limiter: Limiter) -> None:
    """Let the lease of all that is held run out."""
    for bucket in limiter._buckets.values():  # pyright: ignore[reportPrivateUsage]
        bucket.spoilt_at = 0.0


async def test_what_is_not_spent_is_given_back(processes: list[Env]) -> None:
    """A partner is charged for what it sends, however often what was set aside for it spoils."""
    limiters = [Limiter(env) for env in processes]
    for limiter in limiters:
        await taken(limiter, "steady", 15)  # by now blocks are of several requests
    for _ in range(20):
        for limiter in limiters:
            spoil(limiter)
            await limiter.take("steady", "write")
    spoil(limiters[0])

    last = await limiters[0].take("steady", "write")

    assert last is not None
    assert 120 - 71 - 6 <= last.remaining <= 120 - 71 + 6


async def test_classes_and_partners_are_counted_apart(processes: list[Env]) -> None:
    """Whoever has used up its writes may still read, and others may write."""
    limiter = Limiter(processes[0])
    await taken(limiter, "busy", 200)

    assert await taken(limiter, "busy", 10, "read") == 10
    assert await taken(limiter, "idle", 10) == 10


async def test_without_the_database_nobody_is_refused(processes: list[Env]) -> None:
    """A database that is away refuses requests by itself; the limit adds nothing."""
    env = processes[0]
    broken = Env(env.settings, Database("postgresql://nobody@/none?host=/nowhere"), env.caches, env.secrets)

    assert await taken(Limiter(broken), "lost", 5) == 5


async def test_the_answer_says_what_is_left_and_when_to_come_back(processes: list[Env]) -> None:
    """Every answer carries the three fields of the draft and the older three; the 429 also Retry-After."""
    env = processes[0]
    world = World(env)
    headers = await world.headers(await world.partner())
    async with client_of(env) as client:
        first = await client.get("/v1/orders", headers=headers)
        framework = await client.get("/v1/shipping-methods", headers=headers)
        answers = [await client.get("/v1/orders", headers=headers) for _ in range(140)]
    refused = next(answer for answer in answers if answer.status_code == 429)

    assert first.status_code == 200
    assert first.headers["RateLimit-Policy"] == '"read";q=120;w=60'
    assert first.headers["RateLimit"] == '"read";r=119;t=1'
    assert (first.headers["RateLimit-Limit"], first.headers["RateLimit-Remaining"]) == ("120", "119")
    assert framework.headers["RateLimit-Limit"] == "120"
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["code"] == "rate_limited"
    assert refused.headers["Retry-After"] == "1"
    assert refused.headers["RateLimit-Remaining"] == "0"


async def test_tokens_are_limited_by_themselves(dsns: tuple[str, str], tmp_path: Path) -> None:
    """With three tokens a minute, the fourth is refused in the shape of RFC 6749, with Retry-After."""
    db = Database(dsns[0], size=2)
    settings = Settings(data_dir=tmp_path, rate_limit_tokens_per_minute=3)
    env = Env(settings, db, Caches(db), load_or_create(tmp_path / "secrets.json"))
    world = World(env)
    caller = await world.partner()
    form = {"grant_type": "client_credentials", "client_id": caller.client_id, "client_secret": world.secret(caller)}
    async with client_of(env) as client:
        answers = [await client.post("/oauth2/token", data=form) for _ in range(4)]
        reads = await client.get("/v1/orders", headers={"Authorization": f"Bearer {answers[0].json()['access_token']}"})
    await db.close()

    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert answers[3].json()["error"] == "rate_limited"
    assert 1 <= int(answers[3].headers["Retry-After"]) <= 20
    assert "RateLimit-Limit" not in reads.headers


async def test_no_limit_by_default(env: Env) -> None:
    """Out of the box nothing is limited and nothing is counted."""
    assert ratelimit.limiter_of(env) is None


async def test_idle_buckets_are_removed(processes: list[Env], dsns: tuple[str, str]) -> None:
    """A bucket that has been full for an hour is removed; one in use stays."""
    env = processes[0]
    await Limiter(env).take("fresh", "read")
    async with env.db.connection() as conn:
        await conn.execute("INSERT INTO rate_limits VALUES ('old/read', extract(epoch FROM now()) - 3601, 1)")

    assert await ratelimit.purge_rate_limits(env) == 1
    async with env.db.connection() as conn:
        found = await (await conn.execute("SELECT 1 FROM rate_limits WHERE key = 'fresh/read'")).fetchone()
    assert found == (1,)
