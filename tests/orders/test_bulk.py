"""Many orders in one request."""

import asyncio
from typing import Any

import httpx2
import pytest

from tests.world import World, a_customer, a_line, an_order

pytestmark = pytest.mark.anyio


@pytest.fixture
async def headers(world: World) -> dict[str, str]:
    """The token of a new partner."""
    return await world.headers(await world.partner())


def rows(*orders: Any, keys: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return a request of *orders*, with their keys where there are some."""
    if not keys:
        return {"orders": [{"order": order} for order in orders]}
    return {"orders": [{"idempotencyKey": key, "order": order} for key, order in zip(keys, orders, strict=True)]}


def customers(product: int, count: int, **changes: Any) -> list[dict[str, Any]]:
    """Return orders of the same product for as many customers."""
    return [an_order(a_line(product), customer=a_customer(sourceId=f"c{n}"), **changes) for n in range(count)]


async def test_every_row_is_an_order(api: httpx2.AsyncClient, world: World, headers: dict[str, str]) -> None:
    """All rows that can be made are made, and answered in the order they came in with what createOrder answers."""
    epa = await world.product(available=10_000)

    answer = await api.post("/v1/orders/bulk", json=rows(*customers(epa, 25)), headers=headers)

    body = answer.json()
    assert answer.status_code == 200
    assert (body["created"], body["failed"]) == (25, 0)
    assert [row["order"]["customer"]["sourceId"] for row in body["results"]] == [f"c{n}" for n in range(25)]
    assert [row["order"]["id"] for row in body["results"]] == sorted(row["order"]["id"] for row in body["results"])
    read = await api.get(f"/v1/orders/{body['results'][7]['order']['id']}", headers=headers)
    assert read.json() == body["results"][7]["order"]
    assert await world.available(epa) == 10_000 - 25 * 60


async def test_a_row_fails_alone(api: httpx2.AsyncClient, world: World, headers: dict[str, str]) -> None:
    """A row that is out of shape, unknown or short is refused with its own problem; its neighbours are made."""
    epa = await world.product(available=10_000)
    scarce = await world.product(available=59)
    good = an_order(a_line(epa))
    body = rows(good, an_order(a_line(scarce)), an_order(a_line(1)), {"daysSupply": 30}, an_order(a_line(epa, 1)))

    answer = await api.post("/v1/orders/bulk", json=body, headers=headers)

    results = answer.json()["results"]
    assert answer.status_code == 207
    assert [row["status"] for row in results] == [201, 409, 422, 422, 201]
    assert [row["error"]["code"] for row in results[1:4]] == [
        "insufficient_stock",
        "unknown_product",
        "validation_failed",
    ]
    assert results[2]["error"]["errors"][0]["pointer"] == "/lineItems/0/productId"
    assert results[1]["error"]["requestId"] == answer.headers["X-Request-Id"]
    assert len((await api.get("/v1/orders", headers=headers)).json()["orders"]) == 2


async def test_a_row_is_never_made_twice(api: httpx2.AsyncClient, world: World, headers: dict[str, str]) -> None:
    """Keys are the rows' own: sent again in another request, in another place or alone, they replay the order."""
    epa = await world.product(available=10_000)
    first, second, third = customers(epa, 3)

    made = (await api.post("/v1/orders/bulk", json=rows(first, second, keys=("k1", "k2")), headers=headers)).json()
    again = (await api.post("/v1/orders/bulk", json=rows(third, second, keys=("k3", "k2")), headers=headers)).json()
    alone = await api.post("/v1/orders", json=first, headers=headers | {"Idempotency-Key": "k1"})
    reused = (await api.post("/v1/orders/bulk", json=rows(third, keys=("k1",)), headers=headers)).json()

    assert [row["replayed"] for row in again["results"]] == [False, True]
    assert again["results"][1]["order"] == made["results"][1]["order"]
    assert (alone.headers["Idempotent-Replayed"], alone.json()) == ("true", made["results"][0]["order"])
    assert reused["results"][0]["error"]["code"] == "idempotency_key_reused"
    assert await world.available(epa) == 10_000 - 3 * 60


async def test_one_key_for_all_rows(api: httpx2.AsyncClient, world: World, headers: dict[str, str]) -> None:
    """With an Idempotency-Key on the request the whole request can be sent again: bare orders, too."""
    epa = await world.product(available=10_000)
    body = {"orders": customers(epa, 3)}

    first = await api.post("/v1/orders/bulk", json=body, headers=headers | {"Idempotency-Key": "all"})
    again = await api.post("/v1/orders/bulk", json=body, headers=headers | {"Idempotency-Key": "all"})

    assert [row["order"] for row in again.json()["results"]] == [row["order"] for row in first.json()["results"]]
    assert [row["replayed"] for row in again.json()["results"]] == [True] * 3
    assert await world.available(epa) == 10_000 - 3 * 60


async def test_rows_compete_fairly(api: httpx2.AsyncClient, world: World, headers: dict[str, str]) -> None:
    """Of two requests of ten rows each for stock for seven, seven rows are made: nothing is sold twice."""
    epa = await world.product(available=7 * 60)

    answers = await asyncio.gather(
        *(
            api.post(
                "/v1/orders/bulk", json={"orders": [an_order(a_line(epa), orderType="ONE_TIME")] * 10}, headers=headers
            )
            for _ in range(2)
        )
    )

    statuses = sorted(row["status"] for answer in answers for row in answer.json()["results"])
    assert statuses == [201] * 7 + [409] * 13
    assert await world.available(epa) == 0


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({}, ["/orders"]),
        ({"orders": []}, ["/orders"]),
        ({"orders": [{}] * 101}, ["/orders"]),
        ({"orders": "all"}, ["/orders"]),
        ({"orders": [{}], "dryRun": True}, ["/dryRun"]),
        ([], ["/orders"]),
    ],
)
async def test_a_request_out_of_shape_is_refused(
    api: httpx2.AsyncClient, headers: dict[str, str], body: Any, pointers: list[str]
) -> None:
    """Between 1 and 100 rows, and nothing beside them."""
    answer = await api.post("/v1/orders/bulk", json=body, headers=headers)

    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == pointers


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, 7])
async def test_a_row_with_a_bad_key_is_refused(
    api: httpx2.AsyncClient, world: World, headers: dict[str, str], key: object
) -> None:
    """A row's key is held to the rules of the header; the row is not made without it."""
    epa = await world.product(available=10_000)
    body = {"orders": [{"idempotencyKey": key, "order": an_order(a_line(epa))}]}

    row = (await api.post("/v1/orders/bulk", json=body, headers=headers)).json()["results"][0]

    assert row["status"] in {400, 422}
    assert await world.available(epa) == 10_000
