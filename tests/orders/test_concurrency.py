"""Many orders at once: nothing sold twice, nothing lost, and no order pays for its neighbour's fault."""

import asyncio
import json
from collections import Counter
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from fulfillment.infra.caches import Caches
from fulfillment.infra.db import Database
from fulfillment.infra.env import Env
from fulfillment.kernel.callers import Caller
from fulfillment.orders import service
from fulfillment.orders.domain import DuplicateOrder, InsufficientStock, OrderNotCancellable
from fulfillment.orders.intake import intake_of
from fulfillment.orders.preparing import UnknownProduct
from fulfillment.orders.previewing import preview_order
from tests.conftest import client_of
from tests.orders.stored import NOTHING, footprint, reserved, rows, run
from tests.world import World, a_customer, a_draft, a_line, an_order

pytestmark = pytest.mark.anyio


async def create(env: Env, caller: Caller, *lines: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Create an order and return its answer."""
    return json.loads((await service.create_order(env, caller, a_draft(*lines, **changes))).body)


async def test_twenty_orders_for_stock_for_seven(env: Env, other_env: Env, world: World) -> None:
    """Of 20 concurrent orders over two processes, seven are made and thirteen are told what is left."""
    caller = await world.partner()
    epa = await world.product(available=7 * 60)
    body = an_order(a_line(epa))
    headers = await world.headers(caller)
    async with client_of(env) as one, client_of(other_env) as two:
        answers = await asyncio.gather(
            *((one, two)[place % 2].post("/v1/orders", json=body, headers=headers) for place in range(20))
        )

    assert Counter(answer.status_code for answer in answers) == {201: 7, 409: 13}
    refused = [answer.json() for answer in answers if answer.status_code == 409]
    assert {problem["code"] for problem in refused} == {"insufficient_stock"}
    assert all(problem["products"][0]["productId"] == epa for problem in refused)
    assert (await reserved(env, epa), await world.available(epa)) == (420, 0)
    assert await footprint(env, caller.partner_id) == NOTHING | {"orders": 7, "events": 7, "reservations": 7}


async def test_the_last_unit_is_sold_once(env: Env, other_env: Env, world: World) -> None:
    """200 concurrent orders over two processes for the last unit: one 201, 199 x 409 as problems, nothing else."""
    caller = await world.partner()
    last = await world.product(external=True, available=1)
    body = an_order({"productId": last, "quantity": 1})
    headers = await world.headers(caller)
    async with client_of(env) as one, client_of(other_env) as two:
        answers = await asyncio.gather(
            *((one, two)[place % 2].post("/v1/orders", json=body, headers=headers) for place in range(200))
        )

    assert Counter((answer.status_code, answer.headers["content-type"]) for answer in answers) == {
        (201, "application/json"): 1,
        (409, "application/problem+json"): 199,
    }
    assert await reserved(env, last) == 1


async def test_a_batch_serves_each_its_own_answer(env: Env, world: World) -> None:
    """Orders that share a transaction: one falls short, one's twin is refused; their neighbours are made."""
    caller, other = await world.partner(), await world.partner()
    epa, scarce = await world.product(available=100_000), await world.product(available=60)
    customers = [a_customer(sourceId=str(place)) for place in range(4)]
    await create(env, caller, a_line(epa), customer=customers[0])

    first = asyncio.create_task(create(env, caller, a_line(epa), customer=customers[1]))
    results = await asyncio.gather(
        create(env, caller, a_line(scarce), customer=customers[2]),
        create(env, other, a_line(scarce), customer=customers[2]),
        service.create_order(env, caller, a_draft(a_line(epa), customer=customers[0]), on_duplicate="reject"),
        create(env, other, a_line(epa), customer=customers[0]),
        create(env, caller, a_line(epa), customer=customers[3]),
        return_exceptions=True,
    )

    assert [type(result) for result in results] == [dict, InsufficientStock, DuplicateOrder, dict, dict]
    assert (await first)["status"] == "CREATED"
    assert max(intake_of(env).batches) > 1
    assert (await reserved(env, scarce), await reserved(env, epa)) == (60, 240)
    assert (await footprint(env, other.partner_id))["orders"] == 1


async def test_a_batch_survives_what_the_database_refuses(
    env: Env, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A value that PostgreSQL refuses breaks its own order only; the neighbours are made, each once."""
    caller = await world.partner()
    epa = await world.product(available=100_000)
    prepare = service.prepare_order

    async def poisoned(env: Env, caller: Caller, draft: Any) -> Any:
        prepared, versions = await prepare(env, caller, draft)
        if draft.customer["sourceId"] == "bad":
            prepared = prepared._replace(document=prepared.document.replace("{", "{NOT JSON ", 1))
        return prepared, versions

    monkeypatch.setattr(service, "prepare_order", poisoned)

    results = await asyncio.gather(
        *(
            create(env, caller, a_line(epa), customer=a_customer(sourceId=name))
            for name in ("first", "a", "b", "bad", "c")
        ),
        return_exceptions=True,
    )

    assert [isinstance(result, psycopg.Error) for result in results] == [False, False, False, True, False]
    assert await footprint(env, caller.partner_id) == NOTHING | {"orders": 4, "events": 4, "reservations": 4}
    assert await reserved(env, epa) == 240


async def test_an_unreadable_value_is_a_bare_500(env: Env, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the database says of a row never reaches the partner."""
    caller = await world.partner()
    epa = await world.product(available=1000)
    prepare = service.prepare_order

    async def poisoned(*args: Any) -> Any:
        prepared, versions = await prepare(*args)
        return prepared._replace(document="{secret"), versions

    monkeypatch.setattr(service, "prepare_order", poisoned)
    async with client_of(env) as api:
        answer = await api.post("/v1/orders", json=an_order(a_line(epa)), headers=await world.headers(caller))

    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert "secret" not in answer.text
    assert "json" not in answer.json()["detail"].lower()


async def test_a_product_that_another_process_has_just_made(env: Env, other_env: Env, world: World) -> None:
    """A process that has not been told of a product yet orders, previews and accepts it all the same."""
    caller = await world.partner()
    await create(env, caller, a_line(await world.product(available=1000)))
    elsewhere = World(other_env)

    ordered = await create(env, caller, a_line(await elsewhere.product(available=1000)))
    previewed = await preview_order(env, caller, a_draft(a_line(await elsewhere.product(available=1000))))
    check = await service.line_check(env)
    new = await elsewhere.product(available=1000)

    assert ordered["status"] == "CREATED"
    assert previewed.errors == ()
    with pytest.raises(UnknownProduct):
        check(a_draft(a_line(new)))
    (await service.line_check(env))(a_draft(a_line(new)))


async def test_lots_that_somebody_else_has_locked(env: Env, dsns: tuple[str, str], world: World) -> None:
    """An order waits for its lots; orders of other products at another process do not wait for it."""
    caller = await world.partner()
    locked, free = await world.product(available=1000), await world.product(available=1000)
    other = replace(env, db=Database(dsns[0]), caches=Caches(env.db), local={})
    async with await psycopg.AsyncConnection.connect(dsns[1]) as conn:
        await conn.execute("SELECT 1 FROM lots WHERE product_id = %s FOR UPDATE", [locked])
        waiting = asyncio.create_task(create(env, caller, a_line(locked)))
        made = await asyncio.wait_for(create(other, caller, a_line(free)), 5)
        await asyncio.sleep(0.1)

        assert not waiting.done()
        await conn.rollback()

    assert (await waiting)["status"] == "CREATED"
    assert made["status"] == "CREATED"
    await other.db.close()


async def test_lots_that_stay_locked_are_a_503(
    env: Env, dsns: tuple[str, str], world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the lock time-out the answer is 503 with Retry-After, nothing is written, and the next order is made."""
    caller = await world.partner()
    epa = await world.product(available=1000)
    await create(env, caller, a_line(await world.product(available=1000)))
    impatient = replace(
        env, db=Database(psycopg.conninfo.make_conninfo(dsns[0], options="-c lock_timeout=200ms")), local={}
    )
    headers = await world.headers(caller)
    async with client_of(impatient) as api:
        async with await psycopg.AsyncConnection.connect(dsns[1]) as conn:
            await conn.execute("SELECT 1 FROM lots WHERE product_id = %s FOR UPDATE", [epa])
            refused = await api.post("/v1/orders", json=an_order(a_line(epa)), headers=headers)
            await conn.rollback()
        made = await api.post("/v1/orders", json=an_order(a_line(epa)), headers=headers)
    await impatient.db.close()

    assert (refused.status_code, refused.json()["code"]) == (503, "database_unavailable")
    assert refused.headers["Retry-After"] == "1"
    assert made.status_code == 201
    assert await reserved(env, epa) == 60


async def test_orders_of_many_products_in_any_order(env: Env, other_env: Env, world: World) -> None:
    """Orders that name the same products in opposite orders never wait for each other in a circle."""
    caller = await world.partner()
    products = [await world.product(available=100_000) for _ in range(6)]
    there, back = [a_line(id_) for id_ in products], [a_line(id_) for id_ in reversed(products)]

    made = await asyncio.gather(
        *(create((env, other_env)[n % 2], caller, *(there if n % 3 else back)) for n in range(40))
    )

    assert len({order["id"] for order in made}) == 40
    assert [await reserved(env, id_) for id_ in products] == [2400] * 6


async def test_creates_and_cancels_at_once_leak_nothing(env: Env, other_env: Env, world: World) -> None:
    """Orders are made and cancelled by two processes at once: what is reserved is what stands."""
    caller = await world.partner()
    epa = await world.product(available=40 * 60)

    async def churn(place: int) -> str | None:
        here, there = (env, other_env) if place % 2 else (other_env, env)
        order = await create(here, caller, a_line(epa))
        if place % 4 == 0:
            return order["id"]
        results = await asyncio.gather(
            *(service.cancel_order(process, caller, order["id"]) for process in (here, there)), return_exceptions=True
        )
        assert sum(isinstance(result, OrderNotCancellable) for result in results) == 1
        return None

    left = [id_ for id_ in await asyncio.gather(*(churn(place) for place in range(32))) if id_]

    assert len(left) == 8
    assert await reserved(env, epa) == 8 * 60
    statuses = await rows(
        env,
        "SELECT status, count(*) FROM orders WHERE partner_id = %(id)s GROUP BY status ORDER BY status",
        id=caller.partner_id,
    )
    assert statuses == [("CANCELLED", 24), ("CREATED", 8)]


async def test_a_catalogue_that_changes_all_the_time(env: Env, world: World) -> None:
    """Prices move while orders are made: every order has one whole price list, none fails."""
    caller = await world.partner(discount="0")
    one, two = await world.product(price="1", available=100_000), await world.product(price="1", available=100_000)
    stop = asyncio.Event()

    async def reprice() -> None:
        price = 1
        while not stop.is_set():
            price += 1
            await run(env, "UPDATE products SET list_price = %(p)s WHERE id = ANY (%(ids)s)", p=price, ids=[one, two])
            await asyncio.sleep(0.03)

    changing = asyncio.create_task(reprice())
    orders = await asyncio.gather(*(create(env, caller, a_line(one), a_line(two)) for _ in range(40)))
    stop.set()
    await changing

    assert all(order["lineItems"][0]["price"] == order["lineItems"][1]["price"] for order in orders)
