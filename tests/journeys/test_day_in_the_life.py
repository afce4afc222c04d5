"""A day in the life in CI: fifty orders, all scenarios, on a test clock; twice with the same seed, the same result."""

import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from fulfillment.infra.caches import Caches
from fulfillment.infra.db import Database
from fulfillment.infra.env import Env
from fulfillment.infra.secrets import load_or_create
from fulfillment.infra.settings import Settings
from fulfillment.sandbox.seeding import seed_magic_products
from fulfillment.sdk import webhooks
from tests.conftest import Clock, Databases, client_of
from tests.receivers import Receiver, answering
from tests.sandbox.conftest import Acme
from tests.world import World, a_customer, a_line, an_order

pytestmark = pytest.mark.anyio

START = "2026-03-02T16:00:00Z"
END = "2026-03-04T16:00:00Z"
NAMES = ("Doe", "Toolate", "Stockout", "Badaddress", "Exception", "Attempt", "Lost", "Recall")
ORDERS = 50
FAULTS = {"drop": 0.1, "duplicate": 0.1, "seed": 11}
LIMIT_SECONDS = 20.0


async def test_a_day_in_the_life(databases: Databases, settings: Settings, clock: Clock, tmp_path: Path) -> None:
    """Fifty orders live through every scenario in under twenty seconds; a second run in a database of its own with
    the same seed gives the same order of ids, the same times and the same outcomes, and every webhook arrives signed.
    """
    first, seconds = await live_a_day(databases, settings, clock, tmp_path / "first")
    again, more_seconds = await live_a_day(databases, settings, clock, tmp_path / "again")

    assert first == again
    assert max(seconds, more_seconds) < LIMIT_SECONDS
    assert Counter(order["tracking"] for order in first["orders"]) == {"Delivered": 43, "Expired": 6, None: 1}
    assert Counter(order["status"] for order in first["orders"]) == {"SHIPPED": 49, "CANCELLED": 1}
    assert [order["sourceId"] for order in first["orders"]] == [f"c{number:02}" for number in range(ORDERS)]
    assert Counter(event["type"] for event in first["events"])["lot.recalled"] == 6
    assert {event for order in first["received"].values() for event in order} >= {"1", "9"}


async def live_a_day(
    databases: Databases, settings: Settings, clock: Clock, folder: Path
) -> tuple[dict[str, Any], float]:
    """Return what a partner saw of the day in a fresh database, without ids, and how long it took."""
    folder.mkdir()
    db = Database(databases.create()[0], size=8)
    env = Env(settings, db, Caches(db), load_or_create(folder / "secrets.json"), clock)
    world = World(env)
    try:
        await seed_magic_products(env)
        caller = await world.partner()
        async with client_of(env) as api:
            acme = Acme(api, caller, await world.headers(caller), await world.product(available=1_000_000), world)
            began = time.perf_counter()
            seen = await live(acme)
            return seen, time.perf_counter() - began
    finally:
        await db.close()


async def live(acme: Acme) -> dict[str, Any]:
    """Create the orders, move the clock through two days, and return all that could be seen."""
    with Receiver(answering()) as receiver:
        await acme.call("PATCH", "/partners/settings", {"webhookUrl": receiver.url})
        secret = (await acme.call("GET", "/partners/settings/webhook-secret"))["webhookSecret"]
        await acme.clock(START, seed="a day in the life")
        await acme.call("PUT", "/sandbox/auto-advance", {"stageSeconds": 7200})
        await acme.call("PUT", "/sandbox/webhook-faults", FAULTS)
        orders = await create(acme)
        await acme.call("POST", f"/orders/{orders[8]}/cancel")
        await acme.advance("2026-03-02T22:00:00Z")
        acme = await acme.fresh()
        await acme.advance(END)
        acme = await acme.fresh()
        for one in receiver.requests:
            webhooks.verify(one.body, one.headers["x-juniper-signature"], secret)
        return await collect(acme, orders, receiver)


async def create(acme: Acme) -> list[str]:
    """Create the orders in one request, each customer named for its scenario; return their ids."""
    rows = [
        an_order(
            a_line(acme.product), customer=a_customer(sourceId=f"c{number:02}", lastName=NAMES[number % len(NAMES)])
        )
        for number in range(ORDERS)
    ]
    answer = await acme.call("POST", "/orders/bulk", {"orders": rows})
    return [row["order"]["id"] for row in answer["results"]]


async def collect(acme: Acme, orders: list[str], receiver: Receiver) -> dict[str, Any]:
    """Return what is to be the same in every run: ids are replaced by their places, addresses of this run left out."""
    place = {order_id: number for number, order_id in enumerate(sorted(orders))}
    listed = [await acme.call("GET", f"/orders/{order_id}") for order_id in sorted(orders)]
    return {
        "orders": [outcome(order) for order in listed],
        "events": [
            {"type": event["type"], "at": event["createdAt"], "order": place.get(event["orderId"])}
            for event in await feed(acme)
        ],
        "received": {
            place[order_id]: [
                one.headers["x-juniper-sequence"]
                for one in receiver.requests
                if order_id.encode() in one.body and "x-juniper-sequence" in one.headers
            ]
            for order_id in orders
        },
        "clock": await acme.call("GET", "/sandbox/clock"),
    }


def outcome(order: dict[str, Any]) -> dict[str, Any]:
    """Return an order without what is never the same twice."""
    info = order["fulfillmentInfo"]
    return {
        "sourceId": order["customer"]["sourceId"],
        "status": order["status"],
        "createdAt": order["createdAt"],
        "updatedAt": order["updatedAt"],
        "sequence": order["sequence"],
        "total": order["total"],
        "holds": len(order["holds"]),
        "carrier": info and info["carrier"],
        "tracking": info and info["trackingStatus"],
        "checkpoints": info and info["checkpoints"],
    }


async def feed(acme: Acme) -> list[dict[str, Any]]:
    """Return every event."""
    events: list[dict[str, Any]] = []
    query = "?limit=100"
    while True:
        page = await acme.call("GET", f"/events{query}")
        events.extend(page["events"])
        if not page["events"]:
            return events
        query = f"?limit=100&cursor={page['cursor']}"
