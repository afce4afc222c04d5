"""Recalls: the blast radius, what becomes of each order, who is told, and both directions of the trace."""

import csv
import io
import json
from collections.abc import Mapping
from typing import Any

import pytest

from fulfillment.infra.db import ALL_TENANTS
from fulfillment.inventory.domain import LotState
from fulfillment.orders.domain import OrderStatus
from fulfillment.warehouse import recalls
from fulfillment.warehouse.domain import Outcome
from fulfillment.warehouse.recalls import Action, Stage, summary
from fulfillment.warehouse.service import recalling, repicking, stepping
from tests.warehouse.conftest import OPERATOR, Bench, a_line
from tests.world import a_customer

pytestmark = pytest.mark.anyio


async def _lot_with_four_orders(bench: Bench) -> tuple[str, int, Mapping[str, str]]:
    """Return a lot, its product, and orders of it: reserved, in production, packed, shipped."""
    product = await bench.world.product()
    lot = await bench.lot(product, 240, days=300, number="BAD")
    placed = {name: await bench.order(a_line(product, 2)) for name in ("reserved", "released", "packed", "shipped")}
    await stepping.release_order(bench.env, OPERATOR, placed["released"])
    await stepping.advance_order(bench.env, OPERATOR, placed["packed"], OrderStatus.FULFILLED)
    await stepping.advance_order(bench.env, OPERATOR, placed["shipped"], OrderStatus.SHIPPED)
    return lot.id, product, placed


async def test_a_dry_run_only_looks(bench: Bench) -> None:
    """The blast radius counts pills by stage, orders, partners and customers, and changes nothing."""
    lot_id, _, placed = await _lot_with_four_orders(bench)

    trace = await recalling.recall_lot(bench.env, OPERATOR, lot_id, dry_run=True)

    told = summary(trace)
    assert {name: told[name] for name in ("orders", "partners", "customers")} == {
        "orders": 4,
        "partners": 1,
        "customers": 1,
    }
    assert (told["pillsReserved"], told["pillsInProduction"], told["pillsShipped"]) == (60, 120, 60)
    assert {one.order_id: one.stage for one in trace.reached} == {
        placed["reserved"]: Stage.RESERVED,
        placed["released"]: Stage.IN_PRODUCTION,
        placed["packed"]: Stage.IN_PRODUCTION,
        placed["shipped"]: Stage.SHIPPED,
    }
    assert all(one.action is None for one in trace.reached)
    assert (await bench.get(placed["packed"])).holds is None
    async with bench.env.db.reading(ALL_TENANTS) as tx:
        lot = await tx.one("SELECT state FROM lots WHERE id = %(id)s", id=lot_id)
    assert lot["state"] == "APPROVED"


async def test_with_other_stock_open_orders_get_it(bench: Bench) -> None:
    """Orders not packed get another lot and go on; packed ones are held; shipped ones are for the partner to tell."""
    lot_id, product, placed = await _lot_with_four_orders(bench)
    good = await bench.lot(product, 600, days=400, number="GOOD")

    trace = await recalling.recall_lot(bench.env, OPERATOR, lot_id, dry_run=False, reason="salmonella")

    assert {one.order_id: one.action for one in trace.reached} == {
        placed["reserved"]: Action.REPICKED,
        placed["released"]: Action.REPICKED,
        placed["packed"]: Action.HELD,
        placed["shipped"]: Action.SHIPPED,
    }
    assert trace.lot.state is LotState.RECALLED
    assert (await bench.lot_now(good)).reserved == 120
    shipped = (await stepping.advance_order(bench.env, OPERATOR, placed["released"], OrderStatus.SHIPPED)).order
    assert shipped.status is OrderStatus.SHIPPED
    assert [(one.lot.lot_number, one.state) for one in await recalling.lots_of_order(bench.env, shipped.id)] == [
        ("BAD", "RELEASED"),
        ("GOOD", "CONSUMED"),
    ]


async def test_without_other_stock_they_are_held(bench: Bench) -> None:
    """Where nothing else lasts, the order is held with LOT_RECALLED and its partner hears order.held."""
    lot_id, product, placed = await _lot_with_four_orders(bench)
    await bench.lot(product, 600, days=40, number="SHORT-LIVED")

    await recalling.recall_lot(bench.env, OPERATOR, lot_id, dry_run=False)

    for name in ("reserved", "released", "packed"):
        holds = json.loads((await bench.get(placed[name])).holds or "[]")
        assert [(hold["code"], hold["actor"]) for hold in holds] == [("LOT_RECALLED", "system")]
        assert (await bench.events(placed[name]))[-1] == "order.held"
    assert (await bench.get(placed["shipped"])).holds is None


async def test_each_partner_hears_of_its_own_orders_once(bench: Bench) -> None:
    """A recall that reaches two partners makes one lot.recalled event for each, with its own orders only."""
    product = await bench.world.product()
    lot = await bench.lot(product, 240, days=300, number="BAD")
    other = await bench.world.partner()
    own = await bench.order(a_line(product, 2), customer=a_customer(sourceId="P-1"))
    theirs = await bench.order(a_line(product, 2), partner=other)
    await bench.lot(product, 240, days=400)

    await recalling.recall_lot(bench.env, OPERATOR, lot.id, dry_run=False)

    told = {}
    for caller in (bench.partner, other):
        async with bench.env.db.reading(caller.partner_id) as tx:
            rows = await tx.all("SELECT payload, order_id FROM events WHERE type = 'lot.recalled'")
        assert [row["order_id"] for row in rows] == [None]
        told[caller.partner_id] = rows[0]["payload"]
    body = told[bench.partner.partner_id]
    assert [(one["orderId"], one["customerSourceId"], one["action"]) for one in body["orders"]] == [
        (own, "P-1", "repicked")
    ]
    assert [one["orderId"] for one in told[other.partner_id]["orders"]] == [theirs]
    assert (body["lot"]["lotNumber"], body["lot"]["productId"]) == ("BAD", product)


async def test_what_was_packed_is_made_anew(bench: Bench) -> None:
    """A packed order of a recalled lot is made anew from another one: it ships that lot's pills, and no other's."""
    lot_id, product, placed = await _lot_with_four_orders(bench)
    await recalling.recall_lot(bench.env, OPERATOR, lot_id, dry_run=False)
    good = await bench.lot(product, 600, days=400, number="GOOD")

    step = await repicking.repick_order(bench.env, OPERATOR, placed["packed"])
    again = await repicking.repick_order(bench.env, OPERATOR, placed["packed"])
    await stepping.advance_order(bench.env, OPERATOR, placed["packed"], OrderStatus.SHIPPED)

    assert (step.outcome, again.outcome) == (Outcome.DONE, Outcome.UNCHANGED)
    assert (await bench.lot_now(good)).on_hand == 540
    assert [one.order_id for one in (await recalling.trace_lot(bench.env, good.id)).at(Stage.SHIPPED)] == [
        placed["packed"]
    ]
    trace = await recalling.trace_lot(bench.env, lot_id)
    assert [one.order_id for one in trace.at(Stage.SHIPPED)] == [placed["shipped"]]
    assert [one.order_id for one in trace.at(Stage.REPLACED)] == [placed["packed"]]


async def test_the_export_runs_no_formula(bench: Bench) -> None:
    """A customer id or partner name that begins like a formula is written as text."""
    product = await bench.world.product()
    lot = await bench.lot(product, 240)
    evil = await bench.world.partner(name='=HYPERLINK("http://evil.example")')
    await bench.order(a_line(product, 2), partner=evil, customer=a_customer(sourceId="@SUM(A1:A9)"))
    await bench.order(a_line(product, 2), partner=evil, customer=a_customer(sourceId="+1-800"))

    text = recalls.csv_of(await recalling.trace_lot(bench.env, lot.id))

    rows: list[dict[str, Any]] = list(csv.DictReader(io.StringIO(text)))
    assert {row["customer_source_id"] for row in rows} == {"'@SUM(A1:A9)", "'+1-800"}
    assert {row["partner_name"] for row in rows} == {'\'=HYPERLINK("http://evil.example")'}
    assert {row["times_of_day"] for row in rows} == {"morning evening"}
