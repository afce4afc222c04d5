"""What processes remember of slow-changing tables, and how soon they learn of a change."""

import asyncio
from collections.abc import AsyncGenerator

import psycopg
import pytest

from fulfillment.infra.caches import Caches
from fulfillment.infra.db import ALL_TENANTS, ReadTx
from fulfillment.infra.env import Env

pytestmark = pytest.mark.anyio


class Loader:
    """Reads the shipping methods' prices and counts how often."""

    def __init__(self) -> None:
        self.runs = 0

    async def __call__(self, tx: ReadTx) -> dict[str, str]:
        """Return prices by name."""
        self.runs += 1
        await asyncio.sleep(0.01)
        return {row["name"]: str(row["price"]) for row in await tx.all("SELECT name, price FROM shipping_methods")}


async def reprice(env: Env, price: str) -> None:
    """Change a price past the caches."""
    async with env.db.transaction(ALL_TENANTS) as tx:
        await tx.execute("UPDATE shipping_methods SET price = %(price)s::numeric WHERE name = 'EXPRESS'", price=price)


@pytest.fixture
async def watched(env: Env) -> AsyncGenerator[Caches]:
    """Caches that are being watched."""
    task = asyncio.create_task(env.caches.watch())
    await asyncio.sleep(0.2)
    yield env.caches
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_value_is_loaded_once(env: Env) -> None:
    """Fifty callers at once cause one load."""
    load = Loader()

    snapshots = await asyncio.gather(*(env.caches.get("shipping", load) for _ in range(50)))

    assert load.runs == 1
    assert all(snapshot is snapshots[0] for snapshot in snapshots)


async def test_a_dropped_value_is_loaded_anew(env: Env) -> None:
    """Its version is higher when the table has changed."""
    load = Loader()
    before = await env.caches.get("shipping", load)
    await reprice(env, "15.01")
    env.caches.drop("shipping")

    after = await env.caches.get("shipping", load)

    assert after.version == before.version + 1
    assert after.value["EXPRESS"] == "15.0100"
    assert env.caches.peek("shipping") is after
    assert env.caches.peek("nothing") is None


async def test_a_change_is_heard_at_once(env: Env, watched: Caches) -> None:
    """A notification drops the value within a fraction of the poll's second."""
    await watched.get("shipping", Loader())
    await reprice(env, "15.02")

    async with asyncio.timeout(0.7):
        while watched.peek("shipping") is not None:
            await asyncio.sleep(0.01)


async def test_without_notifications_a_poll_finds_it(env: Env, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing can listen (a transaction pooler) the value is dropped within two seconds."""

    async def deaf(self: Caches) -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(Caches, "_listen", deaf)
    monkeypatch.setattr("fulfillment.infra.caches._POLL_SECONDS", 0.1)
    await env.caches.get("shipping", Loader())
    watching = asyncio.create_task(env.caches.watch())
    await reprice(env, "15.03")

    async with asyncio.timeout(2):
        while env.caches.peek("shipping") is not None:
            await asyncio.sleep(0.01)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)


async def test_a_lost_listener_comes_back(env: Env, dsns: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The listening connection is ended: a new one hears the next change."""
    monkeypatch.setattr("fulfillment.infra.caches._POLL_SECONDS", 0.05)
    watching = asyncio.create_task(env.caches.watch())
    await asyncio.sleep(0.2)
    with psycopg.connect(dsns[0], autocommit=True) as conn:
        ended = conn.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'fulfillment-listen'"
            " AND datname = current_database()"
        ).fetchall()
    await asyncio.sleep(0.5)
    with psycopg.connect(dsns[0], autocommit=True) as conn:
        again = conn.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'fulfillment-listen'"
            " AND datname = current_database()"
        ).fetchone()
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)

    assert ended == [(True,)]
    assert again == (1,)


async def test_a_failed_load_is_tried_again(env: Env) -> None:
    """What could not be loaded is not remembered."""

    async def broken(tx: ReadTx) -> dict[str, str]:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        await env.caches.get("shipping", broken)

    assert (await env.caches.get("shipping", Loader())).value["STANDARD"]
