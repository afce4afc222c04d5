"""Orders moved on request: to a status, by steps, through scenarios."""

from dataclasses import replace
from typing import Any

import pytest

from fulfillment.infra.env import Env
from fulfillment.sandbox.domain import RECALLED_PRODUCT, STOCKLESS_PRODUCT
from fulfillment.sandbox.seeding import seed_magic_products
from tests.sandbox.conftest import Acme
from tests.world import World, a_customer, a_line, an_order

pytestmark = pytest.mark.anyio

# Order status, tracking status, and the types of the order's events in their order.
MADE = ["processing", "fulfilled", "awaiting_shipment", "shipped"]
TRACKED = "tracking_updated"
HELD = ["held", "hold_released"]
OUTCOMES: dict[str, tuple[str, str, list[str]]] = {
    "happy": ("SHIPPED", "Delivered", ["created", *MADE, *[TRACKED] * 3]),
    "cancel_too_late": ("SHIPPED", "Delivered", ["created", *MADE, *[TRACKED] * 3]),
    "stock_out": ("SHIPPED", "Delivered", ["created", *HELD, *MADE, *[TRACKED] * 3]),
    "address_hold": ("SHIPPED", "Delivered", ["created", *HELD, *MADE, *[TRACKED] * 3]),
    "carrier_exception": ("SHIPPED", "Delivered", ["created", *MADE, *[TRACKED] * 5]),
    "attempt_failed_then_delivered": ("SHIPPED", "Delivered", ["created", *MADE, *[TRACKED] * 5]),
    "lost": ("SHIPPED", "Expired", ["created", *MADE, *[TRACKED] * 3]),
    "recall": ("SHIPPED", "Delivered", ["created", *MADE, *[TRACKED] * 3]),
}


def types_of(events: list[Any]) -> list[str]:
    """Return what an order's events tell, without their prefix."""
    return [event["type"].removeprefix("order.") for event in events]


@pytest.mark.parametrize("scenario", OUTCOMES)
async def test_a_scenario_runs_to_its_end(acme: Acme, scenario: str) -> None:
    """An order goes through the whole scenario at once, and its events tell the story in order."""
    order = await acme.order()

    moved = await acme.call("POST", f"/sandbox/orders/{order['id']}/advance", {"scenario": scenario})

    status, tracking, types = OUTCOMES[scenario]
    assert (moved["scenario"], moved["next"]) == (scenario, None)
    assert moved["order"] == await acme.read(order)
    assert moved["order"]["status"] == status
    assert moved["order"]["fulfillmentInfo"]["trackingStatus"] == tracking
    assert moved["order"]["holds"] == []
    assert types_of(await acme.events(order)) == types
    assert [event["orderSequence"] for event in await acme.events(order)] == list(range(1, len(types) + 1))


async def test_the_late_cancel_is_refused(acme: Acme) -> None:
    """The scenario names the refusal that a partner's own cancel would meet."""
    order = await acme.order()

    moved = await acme.call("POST", f"/sandbox/orders/{order['id']}/advance", {"scenario": "cancel_too_late"})

    refused = [made for made in moved["made"] if made["step"] == "try_cancel"]
    assert [(made["outcome"], made["code"]) for made in refused] == [("refused", "order_not_cancellable")]


async def test_a_recall_reaches_this_order_alone(acme: Acme) -> None:
    """The recalled lot is the order's own: one event names it, and no neighbour's order is touched."""
    neighbour = await acme.order("Neighbour")
    order = await acme.order()

    await acme.call("POST", f"/sandbox/orders/{order['id']}/advance", {"scenario": "recall"})

    recalls = [event for event in await acme.events() if event["type"] == "lot.recalled"]
    assert len(recalls) == 1
    assert order["id"] in str(recalls[0])
    assert neighbour["id"] not in str(recalls[0])
    assert (await acme.read(neighbour))["status"] == "CREATED"


@pytest.mark.parametrize("status", ["PROCESSING", "FULFILLED", "AWAITING_SHIPMENT", "SHIPPED"])
async def test_an_order_is_moved_to_a_status(acme: Acme, status: str) -> None:
    """Every step up to the status is made; asked for again, nothing more is."""
    order = await acme.order()

    first = await acme.call("POST", f"/sandbox/orders/{order['id']}/advance", {"to": status})
    again = await acme.call("POST", f"/sandbox/orders/{order['id']}/advance", {"to": status})

    assert first["order"]["status"] == status
    assert again["made"] == []
    assert again["order"] == first["order"]


async def test_an_order_is_moved_by_steps(acme: Acme) -> None:
    """Steps are those of its scenario, which its customer's last name chose."""
    order = await acme.order("Attempt")

    first = await acme.call("POST", f"/sandbox/orders/{order['id']}/advance", {"steps": 6})
    rest = await acme.call("POST", f"/sandbox/orders/{order['id']}/advance", {"steps": 50})
    over = await acme.call("POST", f"/sandbox/orders/{order['id']}/advance", {"steps": 1})

    assert [made["step"] for made in first["made"]] == ["release", "pack", "label", "ship", "hub", "out_for_delivery"]
    assert [made["step"] for made in rest["made"]] == ["attempt_failed", "out_again", "delivered"]
    tags = [checkpoint["tag"] for checkpoint in rest["order"]["fulfillmentInfo"]["checkpoints"]]
    assert tags == ["InTransit", "InTransit", "OutForDelivery", "AttemptFail", "OutForDelivery", "Delivered"]
    assert over["made"] == []


async def test_the_stock_leaves_as_it_does_in_the_warehouse(acme: Acme, world: World) -> None:
    """A shipped order's pills are gone, a held one's are reserved: what is left says so."""
    order = await acme.order()
    assert await world.available(acme.product) == 1_000_000 - 60

    await acme.call("POST", f"/sandbox/orders/{order['id']}/advance", {"scenario": "happy"})

    assert await world.available(acme.product) == 1_000_000 - 60


@pytest.mark.parametrize(
    ("before", "asked", "code"),
    [
        ({"to": "SHIPPED"}, {"to": "PROCESSING"}, "illegal_transition"),
        ({"to": "PROCESSING"}, {"to": "CREATED"}, "illegal_transition"),
        ({"to": "PROCESSING"}, {"to": "CANCELLED"}, "illegal_transition"),
        ({"to": "PROCESSING"}, {"scenario": "stock_out"}, "scenario_over"),
        ({"to": "FULFILLED"}, {"scenario": "cancel_too_late"}, "scenario_over"),
        ({"to": "PROCESSING"}, {"scenario": "recall"}, "scenario_over"),
        ({"scenario": "happy"}, {"scenario": "lost"}, "scenario_over"),
    ],
)
async def test_what_is_behind_an_order_is_not_ahead(acme: Acme, before: Any, asked: Any, code: str) -> None:
    """A status it has passed, and a scenario that should have begun earlier, are refused and change nothing."""
    order = await acme.order()
    await acme.call("POST", f"/sandbox/orders/{order['id']}/advance", before)
    stood = await acme.read(order)

    refusal = await acme.call("POST", f"/sandbox/orders/{order['id']}/advance", asked, 409)

    assert refusal["code"] == code
    assert await acme.read(order) == stood


async def test_a_cancelled_order_does_not_move(acme: Acme) -> None:
    """What was cancelled in time stays so."""
    order = await acme.order()
    await acme.call("POST", f"/orders/{order['id']}/cancel")

    refusal = await acme.call("POST", f"/sandbox/orders/{order['id']}/advance", {"scenario": "happy"}, 409)

    assert refusal["code"] == "scenario_over"
    assert (await acme.read(order))["status"] == "CANCELLED"


async def test_a_partners_own_hold_stops_the_way(acme: Acme) -> None:
    """The steps before the hold stay made; after its release the order goes on."""
    order = await acme.order()
    await acme.call("POST", f"/sandbox/orders/{order['id']}/advance", {"to": "PROCESSING"})
    held = await acme.call("POST", f"/orders/{order['id']}/hold", {"note": "Wait"})

    refusal = await acme.call("POST", f"/sandbox/orders/{order['id']}/advance", {"to": "SHIPPED"}, 409)
    await acme.call("POST", f"/orders/{order['id']}/holds/{held['holds'][0]['id']}/release")
    moved = await acme.call("POST", f"/sandbox/orders/{order['id']}/advance", {"to": "SHIPPED"})

    assert refusal["code"] == "order_held"
    assert moved["order"]["status"] == "SHIPPED"


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({}, [""]),
        ({"to": "SHIPPED", "steps": 1}, [""]),
        ({"steps": 0}, ["/steps"]),
        ({"steps": 51}, ["/steps"]),
        ({"scenario": "sad"}, ["/scenario"]),
        ({"to": "DONE"}, ["/to"]),
        ({"speed": 9}, ["/speed"]),
    ],
)
async def test_a_body_out_of_shape_is_refused(acme: Acme, body: Any, pointers: list[str]) -> None:
    """Exactly one of three, each in its bounds."""
    order = await acme.order()

    refusal = await acme.call("POST", f"/sandbox/orders/{order['id']}/advance", body, 422)

    assert [error["pointer"] for error in refusal["errors"]] == pointers


async def test_another_partners_order_is_none(acme: Acme, world: World) -> None:
    """Another partner's order is the same as none: 404, and it does not move."""
    order = await acme.order()
    stranger = replace(acme, headers=await world.headers(await world.partner()))

    for order_id in (order["id"], "x" * 27, "none"):
        refusal = await stranger.call("POST", f"/sandbox/orders/{order_id}/advance", {"steps": 1}, 404)
        assert refusal["code"] == "order_not_found"

    assert (await acme.read(order))["status"] == "CREATED"


async def test_the_scenarios_are_listed(acme: Acme) -> None:
    """Every scenario is told with its steps and the values that trigger it."""
    listed = (await acme.call("GET", "/sandbox/scenarios"))["scenarios"]

    assert [scenario["name"] for scenario in listed] == list(OUTCOMES)
    assert all(scenario["description"] and scenario["steps"] for scenario in listed)
    assert {"field": "customer.lastName", "value": "Lost", "effect": "The parcel is lost"} in listed[6]["magicValues"]


@pytest.mark.parametrize(
    ("customer", "scenario"),
    [
        ({"lastName": "Toolate"}, "cancel_too_late"),
        ({"lastName": "stockout"}, "stock_out"),
        ({"lastName": "Badaddress"}, "address_hold"),
        ({"lastName": "Exception"}, "carrier_exception"),
        ({"lastName": "Attempt"}, "attempt_failed_then_delivered"),
        ({"lastName": "Lost"}, "lost"),
        ({"lastName": "Recall"}, "recall"),
        ({"lastName": "Lostman"}, "happy"),
        ({"address": {"zipCode": "00000"}}, "address_hold"),
        ({"address": {"zipCode": "94301-9001"}}, "carrier_exception"),
        ({"address": {"zipCode": "94301-9002"}}, "attempt_failed_then_delivered"),
        ({"address": {"zipCode": "94301-9003"}}, "lost"),
    ],
)
async def test_magic_values(acme: Acme, customer: dict[str, Any], scenario: str) -> None:
    """A last name or a ZIP chooses the scenario when the order is made."""
    if "address" in customer:
        customer = {"address": a_customer()["address"] | customer["address"]}
    order = await acme.order(**({"last_name": customer["lastName"]} if "lastName" in customer else customer))

    moved = await acme.call("POST", f"/sandbox/orders/{order['id']}/advance", {"steps": 50})

    assert moved["scenario"] == scenario
    assert moved["order"]["fulfillmentInfo"]["trackingStatus"] == OUTCOMES[scenario][1]


async def test_magic_products(acme: Acme, env: Env) -> None:
    """One product is never in stock; a lot of the other is recalled after delivery."""
    await seed_magic_products(env)

    refused = await acme.call("POST", "/orders", an_order(a_line(STOCKLESS_PRODUCT)), 409)
    order = await acme.call("POST", "/orders", an_order(a_line(acme.product), a_line(RECALLED_PRODUCT)), 201)
    moved = await acme.call("POST", f"/sandbox/orders/{order['id']}/advance", {"steps": 50})

    assert refused["code"] == "insufficient_stock"
    assert moved["scenario"] == "recall"
    assert await seed_magic_products(env) == 0
