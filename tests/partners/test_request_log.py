"""The request log: what a partner can see of its own requests."""

from datetime import datetime

import pytest

from fulfillment.infra import requestlog
from fulfillment.infra.db import ALL_TENANTS
from fulfillment.infra.env import Env
from tests.conftest import Clock, client_of
from tests.world import World

pytestmark = pytest.mark.anyio


async def test_requests_are_listed(env: Env, world: World) -> None:
    """A partner sees its requests newest first: method, route, status, code, request id, time; no ids, no query."""
    caller = await world.partner()
    headers = await world.headers(caller)
    async with client_of(env) as api:
        listed = await api.get("/v1/orders?limit=3", headers=headers)
        missing = await api.get(f"/v1/orders/{'x' * 27}", headers=headers)
        await requestlog.log_of(env).flush()
        body = (await api.get("/v1/request-log", headers=headers)).json()

    assert [
        (one["requestId"], one["method"], one["route"], one["status"], one["code"], one["clientId"])
        for one in body["requests"]
    ] == [
        (missing.headers["X-Request-Id"], "GET", "/v1/orders/{orderId}", 404, "order_not_found", caller.client_id),
        (listed.headers["X-Request-Id"], "GET", "/v1/orders", 200, None, caller.client_id),
    ]
    assert body["cursor"] is None
    assert datetime.fromisoformat(body["requests"][0]["createdAt"]) == env.now()
    assert 0 < body["requests"][0]["durationMs"] < 60_000


async def test_a_partner_sees_its_own(env: Env, world: World) -> None:
    """Another partner's requests are not in the list, and an anonymous one is in nobody's."""
    one, other = await world.headers(await world.partner()), await world.headers(await world.partner())
    async with client_of(env) as api:
        await api.get("/v1/shipping-methods", headers=one)
        await api.get("/v1/shipping-methods")
        await requestlog.log_of(env).flush()
        seen = (await api.get("/v1/request-log", headers=other)).json()["requests"]

    assert seen == []


@pytest.mark.parametrize(
    ("query", "statuses"),
    [
        ("status=404", [404]),
        ("status=4xx", [404, 422]),
        ("method=DELETE", [404]),
        ("status=2xx&method=GET", [200, 200]),
    ],
)
async def test_filters(env: Env, world: World, query: str, statuses: list[int]) -> None:
    """By status, by class of status, and by method."""
    headers = await world.headers(await world.partner())
    async with client_of(env) as api:
        await api.get("/v1/shipping-methods", headers=headers)
        await api.get("/v1/orders", headers=headers)
        await api.get("/v1/orders?limit=0", headers=headers)
        await api.delete(f"/v1/protocols/{'x' * 27}", headers=headers)
        await requestlog.log_of(env).flush()
        seen = (await api.get(f"/v1/request-log?{query}", headers=headers)).json()["requests"]

    assert [one["status"] for one in seen] == statuses


@pytest.mark.parametrize("query", ["status=9", "status=4", "method=get", "limit=0", "cursor=x", "since=1"])
async def test_a_wrong_parameter_is_refused(env: Env, world: World, query: str) -> None:
    """Every parameter is checked."""
    async with client_of(env) as api:
        answer = await api.get(f"/v1/request-log?{query}", headers=await world.headers(await world.partner()))

    assert answer.status_code == 422


async def test_pages(env: Env, world: World) -> None:
    """The list goes on with the cursor, without a gap or a repeat."""
    headers = await world.headers(await world.partner())
    async with client_of(env) as api:
        made = [(await api.get("/v1/orders", headers=headers)).headers["X-Request-Id"] for _ in range(5)]
        await requestlog.log_of(env).flush()
        first = (await api.get("/v1/request-log?limit=3&method=GET", headers=headers)).json()
        rest = await api.get(f"/v1/request-log?limit=3&method=GET&cursor={first['cursor']}", headers=headers)

    assert [one["requestId"] for one in [*first["requests"], *rest.json()["requests"]]] == made[::-1]


async def test_old_requests_are_removed(env: Env, world: World, clock: Clock) -> None:
    """After seven days a request is gone; a younger one stays."""
    headers = await world.headers(await world.partner())
    async with client_of(env) as api:
        await api.get("/v1/orders", headers=headers)
        await requestlog.log_of(env).flush()
        clock.move(days=7, seconds=1)
        async with env.db.reading(ALL_TENANTS) as tx:
            before = (await tx.one("SELECT count(*) AS n FROM request_log"))["n"]
        removed = await requestlog.purge(env)

    assert removed == before
    assert removed > 0
    assert await requestlog.purge(env) == 0


async def test_without_the_database_nothing_is_slowed(env: Env, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the log can't be written requests are answered, and what can't be kept is dropped and counted."""
    headers = await world.headers(await world.partner())
    log = requestlog.log_of(env)
    async with client_of(env) as api:
        before = await api.get("/v1/shipping-methods", headers=headers)
        monkeypatch.setattr(requestlog, "INSERT_REQUESTS", "SELECT 1/0" + ", %s" * 9)
        await log.flush()
        after = await api.get("/v1/shipping-methods", headers=headers)

    assert (before.status_code, after.status_code) == (200, 200)
    assert log.dropped == 1


async def test_memory_is_bounded(env: Env, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """More requests than can be written are not kept: memory does not grow with them."""
    headers = await world.headers(await world.partner())
    monkeypatch.setattr(requestlog, "_MOST_WAITING", 2)
    log = requestlog.log_of(env)
    async with client_of(env) as api:
        for _ in range(5):
            await api.get("/v1/shipping-methods", headers=headers)

    assert log.dropped == 3
