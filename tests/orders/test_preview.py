"""Previews: what creation would do, without doing it."""

from collections.abc import Sequence
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fulfillment.infra.db import ALL_TENANTS
from fulfillment.infra.env import Env
from tests.world import World, a_customer, a_line, an_order

pytestmark = pytest.mark.anyio

FISH_OIL = {
    "servingSize": 1,
    "type": "softgel",
    "otherIngredients": ["Gelatin"],
    "ingredients": [{"name": "Zinc", "amount": "30", "unit": "mg", "dailyValue": "273%"}],
}


@pytest.fixture
async def headers(world: World) -> dict[str, str]:
    """The token of a new partner with a discount of 10 %."""
    return await world.headers(await world.partner())


async def preview(api: httpx2.AsyncClient, headers: dict[str, str], body: Any, **params: str) -> Any:
    """Return the preview of an order."""
    answer = await api.post("/v1/orders/preview", json=body, headers=headers, params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_preview_shows_the_whole_order(api: httpx2.AsyncClient, world: World, headers: dict[str, str]) -> None:
    """Prices, totals, pills, stock, dates and the verdict on the address come at once."""
    epa = await world.product(price="0.53", available=100)
    powder = await world.product(price="20.00", external=True, available=5)
    body = an_order(
        a_line(epa, 2, administration={"morning": 1, "afternoon": 0, "evening": 1, "sleep": 0}),
        {"productId": powder, "quantity": 1},
    )

    found = await preview(api, headers, body)

    assert (found["valid"], found["errors"], found["holds"]) == (True, [], [])
    # 0.53 less 10 % is 0.477; 60 pills are 28.62; the powder costs 18.00, its handling 5.00, shipping 5.99.
    assert found["totals"] == {
        "subtotal": "46.62",
        "handlingFee": "5.00",
        "volumeDiscount": "0.00",
        "shippingCost": "5.99",
        "total": "57.61",
    }
    assert [line["lineTotal"] for line in found["lineItems"]] == ["28.62", "18.00"]
    assert found["lineItems"][0]["discountedPrice"] == "0.477"
    assert found["lineItems"][0]["stock"] == {"requested": 60, "available": 100, "sufficient": True, "unit": "pills"}
    assert found["lineItems"][1]["stock"] == {"requested": 1, "available": 5, "sufficient": True, "unit": "units"}
    assert found["packs"] == {
        "morning": 1,
        "afternoon": 0,
        "evening": 1,
        "sleep": 0,
        "total": 2,
        "days": 30,
        "pills": 60,
    }
    assert found["address"]["verdict"] == "verified"
    assert [way["name"] for way in found["shippingMethods"]] == ["STANDARD", "EXPRESS", "OVERNIGHT"]
    assert [way["total"] for way in found["shippingMethods"]] == ["57.61", "66.61", "81.61"]
    assert found["cancellableUntil"] is None


@pytest.mark.parametrize(
    ("moment", "method", "dates"),
    [
        # Tuesday 2026-03-03, 10:00 in Los Angeles: made on Wednesday; 5 to 8 business days.
        ("2026-03-03T18:00:00Z", "STANDARD", ("2026-03-04", "2026-03-11", "2026-03-16")),
        # After 14:00 it counts as Wednesday's: shipped on Thursday, there on Friday.
        ("2026-03-03T23:00:00Z", "OVERNIGHT", ("2026-03-05", "2026-03-06", "2026-03-06")),
    ],
)
async def test_each_method_says_when_it_ships_and_arrives(
    env: Env, api: httpx2.AsyncClient, world: World, moment: str, method: str, dates: Sequence[str]
) -> None:
    """The planned day of shipping follows the cut-off, the arrival counts business days from there."""
    caller = await world.partner()
    epa = await world.product(available=100)
    async with env.db.transaction(ALL_TENANTS) as tx:
        await tx.execute(
            "UPDATE partners SET clock_frozen_at = %(at)s WHERE id = %(id)s", at=moment, id=caller.partner_id
        )
    env.caches.drop("partners")

    found = await preview(api, await world.headers(caller), an_order(a_line(epa)))

    way = next(way for way in found["shippingMethods"] if way["name"] == method)
    assert (way["shipsOn"], way["arrivesFrom"], way["arrivesBy"]) == dates


async def test_a_preview_reserves_nothing(api: httpx2.AsyncClient, world: World, headers: dict[str, str]) -> None:
    """After any number of previews all stock is there, and no order."""
    epa = await world.product(available=60)
    body = an_order(a_line(epa))

    for _ in range(3):
        assert (await preview(api, headers, body))["valid"]

    assert await world.available(epa) == 60
    assert (await api.get("/v1/orders", headers=headers)).json()["orders"] == []


async def test_all_errors_come_at_once(api: httpx2.AsyncClient, world: World, headers: dict[str, str]) -> None:
    """Unknown, unorderable, short and wrongly placed lines are named together, each with its code and pointer."""
    draft = await world.product(status="DRAFT", available=1000)
    scarce = await world.product(available=59)
    good = await world.product(available=1000)
    body = an_order(
        a_line(1),
        a_line(draft),
        a_line(scarce),
        a_line(good, administration={"morning": 1, "afternoon": 0, "evening": 0, "sleep": 0}),
    )

    found = await preview(api, headers, body)

    assert not found["valid"]
    assert [(error["code"], error["pointer"]) for error in found["errors"]] == [
        ("unknown_product", "/lineItems/0/productId"),
        ("product_not_orderable", "/lineItems/1/productId"),
        ("validation_failed", "/lineItems/3/administration"),
        ("insufficient_stock", "/lineItems/2/quantity"),
    ]
    assert found["totals"] is None
    assert [line["price"] for line in found["lineItems"]] == [None, None, "0.50", None]
    assert found["lineItems"][2]["stock"] == {"requested": 60, "available": 59, "sufficient": False, "unit": "pills"}


async def test_a_body_out_of_shape_is_refused(api: httpx2.AsyncClient, world: World, headers: dict[str, str]) -> None:
    """What createOrder refuses with 422 for its shape, a preview refuses with the same faults."""
    body = an_order(a_line(await world.product(), quantity=0), daysSupply=31)

    previewed = await api.post("/v1/orders/preview", json=body, headers=headers)
    created = await api.post("/v1/orders", json=body, headers=headers)

    assert previewed.status_code == created.status_code == 422
    assert previewed.json()["errors"] == created.json()["errors"]


async def test_an_undeliverable_address_will_be_held(
    api: httpx2.AsyncClient, world: World, headers: dict[str, str]
) -> None:
    """A PO box can't be reached overnight: the preview says so, and names the method that reaches it."""
    epa = await world.product(available=1000)
    address = a_customer()["address"] | {"line1": "PO Box 12", "line2": None}
    body = an_order(a_line(epa), customer=a_customer(address=address), shippingMethod="OVERNIGHT")

    found = await preview(api, headers, body)
    order = (await api.post("/v1/orders", json=body, headers=headers)).json()

    assert found["valid"]
    assert found["holds"] == ["ADDRESS"] == [hold["code"] for hold in order["holds"]]
    assert found["address"]["verdict"] == "undeliverable"
    assert [finding["code"] for finding in found["address"]["findings"] if finding["blocking"]] == ["po_box_not_served"]
    assert {way["name"]: way["deliverable"] for way in found["shippingMethods"]} == {
        "STANDARD": True,
        "EXPRESS": False,
        "OVERNIGHT": False,
    }


async def test_the_mix_is_looked_at(api: httpx2.AsyncClient, world: World, headers: dict[str, str]) -> None:
    """The same nutrient twice, its daily total over the upper limit and an allergen are warnings, not errors."""
    first = await world.product(available=1000, facts=FISH_OIL, contains_allergens=("fish",))
    second = await world.product(available=1000, facts=FISH_OIL)

    found = await preview(api, headers, an_order(a_line(first, 1), a_line(second, 1)))

    assert found["valid"]
    assert [warning["code"] for warning in found["warnings"]] == [
        "nutrient_duplicated",
        "upper_limit_exceeded",
        "allergens_present",
    ]
    # Adults' upper level of zinc: 40 mg a day.
    assert found["warnings"][1]["details"]["dailyTotal"] == "60"
    assert found["warnings"][1]["details"]["upperLimit"] == "40"
    assert found["warnings"][0]["productIds"] == [first, second]


async def test_a_look_alike_is_named(api: httpx2.AsyncClient, world: World, headers: dict[str, str]) -> None:
    """The same content for the same customer warns, holds or refuses, as the order would with the same parameter."""
    body = an_order(a_line(await world.product(available=1000)))
    order = (await api.post("/v1/orders", json=body, headers=headers)).json()

    accepted = await preview(api, headers, body)
    held = await preview(api, headers, body, onDuplicate="hold")
    rejected = await preview(api, headers, body, onDuplicate="reject")

    assert accepted["valid"]
    assert accepted["warnings"][-1]["code"] == "duplicate_suspected"
    assert accepted["warnings"][-1]["details"]["orderId"] == order["id"]
    assert (held["valid"], held["holds"]) == (True, ["DUPLICATE_SUSPECTED"])
    assert [error["code"] for error in rejected["errors"]] == ["duplicate_order"]


@pytest.mark.parametrize("parameters", [{"onDuplicate": "maybe"}, {"dryRun": "1"}])
async def test_unknown_parameters_are_refused(
    api: httpx2.AsyncClient, world: World, headers: dict[str, str], parameters: dict[str, str]
) -> None:
    """A parameter that createOrder would not take is no parameter of a preview."""
    body = an_order(a_line(await world.product(available=1000)))

    answer = await api.post("/v1/orders/preview", json=body, headers=headers, params=parameters)

    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == list(parameters)


@pytest.mark.parametrize("path", ["/v1/orders/preview", "/v1/orders/bulk"])
async def test_they_are_no_orders(api: httpx2.AsyncClient, headers: dict[str, str], path: str) -> None:
    """The two paths beside /orders/{orderId} answer POST alone."""
    answer = await api.get(path, headers=headers)

    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")


# What makes or breaks an order, in one draw: lines of six products, some of them not orderable, unknown or scarce.
LINES = st.lists(
    st.tuples(st.integers(0, 5), st.integers(1, 4), st.integers(0, 4), st.booleans()), min_size=1, max_size=4
)


@pytest.fixture
async def shelf(world: World) -> list[int]:
    """Six products: plenty, scarce in two lots, external, discontinued, one that expires too soon, unknown."""
    scarce = await world.product(available=70)
    await world.lot(scarce, 70)
    fading = await world.product()
    await world.lot(fading, 100_000, expiry_days=60)
    return [
        await world.product(price="0.37", available=1_000_000),
        scarce,
        await world.product(price="19.99", external=True, available=3),
        await world.product(status="DISCONTINUED", available=1000),
        fading,
        999,
    ]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lines=LINES,
    days=st.sampled_from([30, 60, 90]),
    method=st.sampled_from(["STANDARD", "EXPRESS", "OVERNIGHT"]),
    on_duplicate=st.sampled_from(["accept", "hold", "reject"]),
    customer=st.sampled_from(["a", "b"]),
)
async def test_preview_and_create_agree(
    api: httpx2.AsyncClient,
    shelf: list[int],
    headers: dict[str, str],
    lines: list[tuple[int, int, int, bool]],
    days: int,
    method: str,
    on_duplicate: str,
    customer: str,
) -> None:
    """A preview is valid exactly when creation succeeds, with the same prices, totals, holds and faults."""
    body = an_order(
        *(
            {"productId": shelf[product], "quantity": quantity}
            | ({"packDescription": "Daily"} if described else {})
            | ({"administration": {"morning": morning, "afternoon": 0, "evening": 0, "sleep": 0}} if morning else {})
            for product, quantity, morning, described in lines
        ),
        daysSupply=days,
        shippingMethod=method,
        customer=a_customer(sourceId=customer),
    )
    params = {"onDuplicate": on_duplicate}

    found = await preview(api, headers, body, **params)
    answer = await api.post("/v1/orders", json=body, headers=headers, params=params)
    order = answer.json()

    assert found["valid"] == (answer.status_code == 201), (found["errors"], order)
    if answer.status_code == 201:
        assert found["totals"] == {name: order[name] for name in found["totals"]}
        assert [(line["price"], line["discountedPrice"]) for line in found["lineItems"]] == [
            (line["price"], line["discountedPrice"]) for line in order["lineItems"]
        ]
        assert found["holds"] == [hold["code"] for hold in order["holds"]]
        assert found["cancellableUntil"] == order["cancellableUntil"]
    else:
        named = {error["code"] for error in found["errors"]}
        assert order["code"] in named | {"validation_failed"}
        assert {error["pointer"] for error in order.get("errors", [])} <= {
            error["pointer"] for error in found["errors"]
        }
