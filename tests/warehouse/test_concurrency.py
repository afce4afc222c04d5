"""Many packers at once, real commits: every order is shipped once."""

import asyncio
import random
from collections import Counter

import pytest

from fulfillment.infra.db import ALL_TENANTS
from fulfillment.infra.env import Env
from fulfillment.orders.domain import IllegalTransition
from fulfillment.warehouse.domain import Actor, Outcome, PackAlreadyConfirmed
from fulfillment.warehouse.packing import Scan
from fulfillment.warehouse.service import batching, recalling, stepping
from tests.warehouse.conftest import OPERATOR, Bench, a_line

pytestmark = pytest.mark.anyio
ORDERS = 200
PACKERS = 8


async def _place(bench: Bench, count: int) -> tuple[int, list[str]]:
    product = await bench.world.product()
    for place in range(3):
        await bench.lot(product, count * 60, days=300 + place, number=f"L{place}")
    return product, list(await asyncio.gather(*(bench.order(a_line(product, 2)) for _ in range(count))))


async def test_eight_packers_on_one_batch_ship_every_order_once(bench: Bench) -> None:
    """Of 200 orders that eight packers work on at once, each is fulfilled, labelled and shipped by exactly one."""
    product, placed = await _place(bench, ORDERS)
    batch, _ = await batching.create_batch(bench.env, OPERATOR, placed)

    shipped = Counter[str]()
    await asyncio.gather(*(_pack(bench.env, Actor(f"packer-{n}"), list(placed), n, shipped) for n in range(PACKERS)))

    assert shipped == Counter(dict.fromkeys(placed, 1))
    assert (await batching.get_batch(bench.env, batch.id)).orders == {"SHIPPED": ORDERS}
    async with bench.env.db.reading(ALL_TENANTS) as tx:
        stock = await tx.one(
            "SELECT sum(on_hand) AS left, sum(reserved) AS reserved FROM lots WHERE product_id = %(p)s", p=product
        )
        taken = await tx.one(
            """
            SELECT count(*) AS lines, count(DISTINCT order_id) AS orders, sum(quantity) AS pills
              FROM inventory_movements WHERE kind = 'CONSUMED' AND order_id = ANY (%(ids)s)
            """,
            ids=placed,
        )
        told = await tx.all(
            "SELECT type, count(*) AS n FROM events WHERE order_id = ANY (%(ids)s) GROUP BY type", ids=placed
        )
        parcels = await tx.one("SELECT count(*) AS n FROM shipments WHERE order_id = ANY (%(ids)s)", ids=placed)
    assert (stock["left"], stock["reserved"]) == (ORDERS * 120, 0)
    assert (taken["lines"], taken["orders"], taken["pills"]) == (ORDERS, ORDERS, -ORDERS * 60)
    assert {row["type"]: row["n"] for row in told} == dict.fromkeys(
        ("order.created", "order.processing", "order.fulfilled", "order.awaiting_shipment", "order.shipped"), ORDERS
    )
    assert parcels["n"] == ORDERS


async def _pack(env: Env, actor: Actor, order_ids: list[str], seed: int, shipped: Counter[str]) -> None:
    random.Random(seed).shuffle(order_ids)
    for order_id in order_ids:
        try:
            step = await stepping.fulfill_order(env, actor, order_id, confirm_all=True)
        except IllegalTransition:  # somebody has labelled it already
            continue
        if step.outcome is not Outcome.DONE:
            continue
        await stepping.make_label(env, actor, order_id)
        done = await stepping.ship_order(env, actor, order_id)
        shipped[order_id] += done.outcome is Outcome.DONE


async def test_the_same_button_pressed_by_all(bench: Bench) -> None:
    """When every packer ships the whole batch at the same moment, each order still ships once."""
    _, placed = await _place(bench, 20)
    batch, _ = await batching.create_batch(bench.env, OPERATOR, placed)

    for step in (
        lambda: batching.fulfill_batch(bench.env, OPERATOR, batch.id, confirm_all=True),
        lambda: batching.label_batch(bench.env, OPERATOR, batch.id),
        lambda: batching.ship_batch(bench.env, OPERATOR, batch.id),
    ):
        answers = await asyncio.gather(*(step() for _ in range(PACKERS)))
        outcomes = Counter(result.outcome for results in answers for result in results)
        assert outcomes == {Outcome.DONE: 20, Outcome.UNCHANGED: 20 * (PACKERS - 1)}


async def test_two_packers_confirm_one_pack(bench: Bench) -> None:
    """Of two packers who confirm the same pack at once, one is told that the other was faster."""
    _, (order_id,) = await _place(bench, 1)
    await stepping.release_order(bench.env, OPERATOR, order_id)
    scan = [Scan(f"{order_id}-01M")]

    answers = await asyncio.gather(
        *(stepping.confirm_packs(bench.env, Actor("client", None, packer), order_id, scan) for packer in ("p1", "p2")),
        return_exceptions=True,
    )

    assert sum(isinstance(answer, PackAlreadyConfirmed) for answer in answers) == 1
    assert sum(isinstance(answer, tuple) for answer in answers) == 1


async def test_a_recall_against_orders_and_packers(bench: Bench) -> None:
    """A recall while orders come in and are packed: none of its pills is in an order that can still be shipped."""
    product, placed = await _place(bench, 20)
    held = (await bench.held(placed[0]))[0].lot_id
    for order_id in placed[:10]:
        await stepping.release_order(bench.env, OPERATOR, order_id)

    await asyncio.gather(
        recalling.recall_lot(bench.env, OPERATOR, held, dry_run=False),
        *(bench.order(a_line(product, 2)) for _ in range(10)),
        *(stepping.fulfill_order(bench.env, OPERATOR, order_id, confirm_all=True) for order_id in placed[:10]),
        *(stepping.release_order(bench.env, OPERATOR, order_id) for order_id in placed[10:]),
        return_exceptions=True,
    )

    trace = await recalling.trace_lot(bench.env, held)
    assert [one.order_id for one in trace.reached if (await bench.get(one.order_id)).holds is None] == []
