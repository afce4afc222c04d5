"""The products over HTTP: shapes, headers, problems. What the service does is tested with the service."""

import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import jsonschema
import pytest
import yaml
from fastapi import FastAPI

from fulfillment.catalog import routes
from fulfillment.infra.env import Env
from fulfillment.infra.logs import AccessLog
from fulfillment.infra.metrics import Metrics
from fulfillment.infra.web import Front
from fulfillment.inventory.offers import NEIGHBOURS
from fulfillment.kernel.callers import Caller
from tests.conftest import Clock
from tests.world import World

pytestmark = pytest.mark.anyio

CONTRACT: dict[str, Any] = yaml.safe_load((Path(routes.__file__).parents[1] / "contract" / "openapi.yaml").read_text())
FACTS: dict[str, object] = {
    "servingSize": 2,
    "type": "softgel",
    "otherIngredients": ["Gelatin"],
    "ingredients": [{"name": "EPA", "amount": "500", "unit": "mg", "dailyValue": "**"}],
}


@pytest.fixture
async def caller(world: World) -> Caller:
    """A partner with 10 % discount."""
    return await world.partner(discount="0.10")


@pytest.fixture
async def api(env: Env, world: World, caller: Caller) -> AsyncGenerator[httpx2.AsyncClient]:
    """The partner's client of the products' operations."""
    front = Front(FastAPI(), env, routes.hot(NEIGHBOURS), lambda _: (), access_log=AccessLog(None), metrics=Metrics())
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=front),
        base_url="http://fulfillment.test",
        headers=await world.headers(caller),
    ) as client:
        yield client


def _check(value: object, schema: str) -> None:
    jsonschema.validate(
        value,
        {"$ref": f"#/components/schemas/{schema}", "components": CONTRACT["components"]},
        cls=jsonschema.Draft202012Validator,
    )


async def test_product_in_the_contracts_shape(api: httpx2.AsyncClient, world: World, clock: Clock) -> None:
    """A product is the contract's Product, with the partner's price, what is left, and what it contains."""
    id_ = await world.product(
        77123129891, price="0.53", name='Elite "EPA"', facts=FACTS, contains_allergens=("fish",), available=600
    )

    answer = await api.get(f"/v1/products/{id_}")

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    _check(body, "Product")
    assert body == {
        "id": 77123129891,
        "name": 'Elite "EPA"',
        "description": "",
        "packDescription": "Whole Body Wellness",
        "price": "0.477",
        "external": False,
        "productImage": None,
        "recommendedUsage": {"morning": 1, "afternoon": 0, "evening": 1, "sleep": 0},
        "form": None,
        "certifications": [],
        "allergens": [],
        "containsAllergens": ["fish"],
        "supplementFactsPanel": FACTS,
        "status": "ACTIVE",
        "inventory": {"available": 600, "unit": "pill"},
        "updatedAt": clock().strftime("%Y-%m-%dT%H:%M:%S.000Z"),
    }


async def test_external_product_counts_units(api: httpx2.AsyncClient, world: World) -> None:
    """An external product is counted in units and has no usage in packs."""
    body = (await api.get(f"/v1/products/{await world.product(external=True)}")).json()

    _check(body, "Product")
    assert body["inventory"] == {"available": 0, "unit": "unit"}
    assert "recommendedUsage" not in body
    assert body["supplementFactsPanel"] is None


@pytest.mark.parametrize("id_", ["1", "0", "007", "-5", "abc", "1.0", "9223372036854775808", "%D9%A1"])
async def test_absent_product(api: httpx2.AsyncClient, id_: str) -> None:
    """What is no product's id is a 404, whatever it looks like."""
    answer = await api.get(f"/v1/products/{id_}")

    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    _check(answer.json(), "Problem")
    assert answer.json()["code"] == "product_not_found"


async def test_pages_link_to_each_other(api: httpx2.AsyncClient, world: World) -> None:
    """The cursor goes on in the asked direction and is null at its end; Link names both neighbours."""
    made = [await world.product(search_terms=("linkword",)) for _ in range(3)]

    first = await api.get("/v1/products", params={"limit": 2, "search": "linkword"})
    second = await api.get("/v1/products", params={"limit": 2, "search": "linkword", "cursor": first.json()["cursor"]})
    back = await api.get(second.links["prev"]["url"].removeprefix("http://127.0.0.1:8000"))

    assert [product["id"] for product in first.json()["products"]] == made[:2]
    for product in first.json()["products"]:
        _check(product, "Product")
    assert [product["id"] for product in second.json()["products"]] == made[2:]
    assert second.json()["cursor"] is None
    assert set(first.links) == {"next"}
    assert set(second.links) == {"prev"}
    assert urlsplit(first.links["next"]["url"])[:3] == ("http", "127.0.0.1:8000", "/v1/products")
    assert parse_qs(urlsplit(first.links["next"]["url"]).query)["cursor"] == [first.json()["cursor"]]
    assert [product["id"] for product in back.json()["products"]] == made[:2]
    assert back.json()["cursor"] is None


async def test_empty_page(api: httpx2.AsyncClient) -> None:
    """A search that finds nothing is an empty page without neighbours."""
    answer = await api.get("/v1/products", params={"search": "xylophone"})

    assert answer.status_code == 200
    assert answer.json() == {"products": [], "cursor": None}
    assert "link" not in answer.headers


@pytest.mark.parametrize(
    ("query", "parameters"),
    [
        ("limit=0", ["limit"]),
        ("limit=101", ["limit"]),
        ("direction=up", ["direction"]),
        ("status=SOLD", ["status"]),
        ("updatedAfter=2023-02-30", ["updatedAfter"]),
        ("updatedAfter=20231001&updatedBefore=yesterday", ["updatedAfter", "updatedBefore"]),
        ("updatedBefore=2023-W01-1", ["updatedBefore"]),
        ("color=red", ["color"]),
        ("search=a&search=b", ["search"]),
    ],
)
async def test_wrong_parameters(api: httpx2.AsyncClient, query: str, parameters: list[str]) -> None:
    """A parameter that is wrong, unknown or repeated is a 422 that names it."""
    answer = await api.get(f"/v1/products?{query}")

    assert answer.status_code == 422
    _check(answer.json(), "Problem")
    assert answer.json()["code"] == "validation_failed"
    assert [fault["pointer"] for fault in answer.json()["errors"]] == parameters


async def test_cursor_of_another_list(api: httpx2.AsyncClient, world: World) -> None:
    """A cursor is good for the search it came from, and for no other."""
    for _ in range(2):
        await world.product(search_terms=("cursorword",))
    cursor = (await api.get("/v1/products?search=cursorword&limit=1")).json()["cursor"]

    other = await api.get("/v1/products", params={"search": "cursorwords", "cursor": cursor})
    forged = ("B" if cursor[0] == "A" else "A") + cursor[1:]  # its first letter is one of 64 by chance
    changed = await api.get("/v1/products", params={"search": "cursorword", "cursor": forged})

    assert (other.status_code, other.json()["code"]) == (422, "invalid_cursor")
    assert (changed.status_code, changed.json()["code"]) == (422, "invalid_cursor")


@pytest.mark.parametrize("path", ["/v1/products", "/v1/products/77123129891"])
async def test_needs_a_token(api: httpx2.AsyncClient, path: str) -> None:
    """Without a token nothing is told."""
    answer = await api.get(path, headers={"Authorization": "Bearer nonsense"})

    assert answer.status_code == 401
    assert answer.json()["code"] != "product_not_found"


async def test_two_partners_two_prices(env: Env, api: httpx2.AsyncClient, world: World) -> None:
    """Each partner sees its own price of the same product."""
    id_ = await world.product(price="10.00")
    dear = await world.headers(await world.partner(discount="0"))

    prices = [
        json.loads((await api.get(f"/v1/products/{id_}", headers=headers)).content)["price"] for headers in ({}, dear)
    ]

    assert prices == ["9.00", "10.00"]


async def test_a_search_has_its_length(api: httpx2.AsyncClient) -> None:
    """Two hundred characters are searched for; one more is refused, and named."""
    assert (await api.get("/v1/products", params={"search": "x" * 200})).status_code == 200

    answer = await api.get("/v1/products", params={"search": "x" * 201})

    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == ["search"]
