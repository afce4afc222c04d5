"""Who did what in the warehouse: each operator's call leaves its entry, under its request id."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import httpx2
import pytest

from fulfillment.app import create_app
from fulfillment.infra.db import ALL_TENANTS
from fulfillment.infra.env import Env
from fulfillment.kernel.callers import Caller
from tests.warehouse.conftest import Bench, a_line

pytestmark = pytest.mark.anyio

# Calls that change nothing an operator could be asked about, and why.
UNAUDITED = {"operatorReceiveTracking": "the carrier's: the event that it makes says what came"}


class Desk:
    """An operator and a partner, whose every call is compared with the audit log."""

    def __init__(self, env: Env, api: httpx2.AsyncClient, bench: Bench, operator: Caller) -> None:
        self._env, self._api, self.bench, self.operator = env, api, bench, operator
        self.seen: dict[str, list[str]] = {}  # by operation: the actions of its call

    async def post(self, operation: str, path: str, body: Any = None, *, who: Caller | None = None) -> Any:
        """Make a call, keep what the audit log has of it, and return its JSON."""
        actor = who or self.operator
        headers = await self.bench.world.headers(actor)
        sent = {} if body is None else {"json": body}
        answer = await self._api.post(f"/v1{path}", headers=headers, **sent)
        assert answer.status_code in (200, 201), answer.text
        async with self._env.db.reading(ALL_TENANTS) as tx:
            rows = await tx.all(
                "SELECT actor, action FROM audit_log WHERE request_id = %(id)s ORDER BY id",
                id=answer.headers["x-request-id"],
            )
        assert {row["actor"] for row in rows} <= {actor.client_id}
        self.seen.setdefault(operation, []).extend(row["action"] for row in rows)
        return answer.json() if answer.content else None


@pytest.fixture
async def desk(env: Env, api: httpx2.AsyncClient, bench: Bench) -> Desk:
    """A desk."""
    return Desk(env, api, bench, await bench.world.operator())


async def lots(desk: Desk) -> int:
    """Receive, adjust, quarantine, reconcile and recall; return a product with stock."""
    product = await desk.bench.world.product()
    expiry = (desk.bench.today() + timedelta(days=400)).isoformat()
    new = {"productId": product, "lotNumber": "AUD1", "expiry": expiry, "quantity": 6000}
    lot = await desk.post("operatorReceiveLot", "/operator/lots", new)
    place = f"/operator/lots/{lot['id']}"
    await desk.post("operatorAdjustLot", f"{place}/adjust", {"quantity": -60, "reason": "counted"})
    await desk.post("operatorChangeLotState", f"{place}/state", {"state": "QUARANTINED", "reason": "a look"})
    await desk.post("operatorRecallLot", f"{place}/recall", {"reason": "a test", "dryRun": False})
    for number, days in (("AUD2", 410), ("AUD3", 420)):
        later = (desk.bench.today() + timedelta(days=days)).isoformat()
        await desk.post("operatorReceiveLot", "/operator/lots", new | {"lotNumber": number, "expiry": later})
    return product


async def one_order(desk: Desk, product: int) -> None:
    """Take an order all its way, with holds of both sides, a second parcel and another lot."""
    bench = desk.bench
    order = await bench.order(a_line(product))
    await desk.post("holdOrder", f"/orders/{order}/hold", {"note": "Wait"}, who=bench.partner)
    await desk.post("releaseHold", f"/orders/{order}/holds/{await _hold(desk, order)}/release", who=bench.partner)
    place = f"/operator/orders/{order}"
    await desk.post("operatorHoldOrder", f"{place}/holds", {"code": "OPERATOR", "note": "A look"})
    await desk.post("operatorReleaseHold", f"{place}/holds/{await _hold(desk, order)}/release")
    await desk.post("operatorReleaseOrder", f"{place}/release")
    (reserved,) = {one.lot_id for one in await bench.held(order)}
    spoilt = {"state": "QUARANTINED", "reason": "a look"}
    await desk.post("operatorChangeLotState", f"/operator/lots/{reserved}/state", spoilt)
    await desk.post("operatorRepickOrder", f"{place}/repick")
    await desk.post("operatorConfirmPacks", f"{place}/packs/confirm", {"confirmAll": True})
    await desk.post("operatorFulfillOrder", f"{place}/fulfill")
    await desk.post("operatorLabelOrder", f"{place}/label")
    await desk.post("operatorAddShipment", f"{place}/shipments", {"carrier": "ups"})
    await desk.post("operatorShipOrder", f"{place}/ship")


async def _hold(desk: Desk, order: str) -> str:
    async with desk.bench.env.db.reading(ALL_TENANTS) as tx:
        return (await tx.one("SELECT id FROM holds WHERE order_id = %(id)s AND released_at IS NULL", id=order))["id"]


async def a_batch(desk: Desk, product: int) -> None:
    """Take two orders through a batch."""
    orders = [await desk.bench.order(a_line(product)) for _ in range(2)]
    made = await desk.post("operatorCreateBatch", "/operator/batches", {"orderIds": orders})
    place = f"/operator/batches/{made['batch']['id']}"
    await desk.post("operatorConfirmBatch", f"{place}/packs/confirm")
    await desk.post("operatorFulfillBatch", f"{place}/fulfill")
    await desk.post("operatorLabelBatch", f"{place}/label")
    await desk.post("operatorShipBatch", f"{place}/ship")


async def a_reconciliation(desk: Desk, product: int) -> None:
    """Mend a lot that somebody has changed by hand."""
    async with desk.bench.env.db.transaction(ALL_TENANTS) as tx:
        await tx.execute(
            "UPDATE lots SET reserved = reserved + 1 WHERE product_id = %(id)s AND lot_number = 'AUD2'", id=product
        )
    await desk.post("operatorReconcile", "/operator/inventory/reconcile", {"dryRun": False})


async def test_each_call_is_in_the_audit_log(env: Env, desk: Desk) -> None:
    """Each call is one entry under its request id and client; one of a batch is one for each order, and its own."""
    product = await lots(desk)
    walk: tuple[Callable[[Desk, int], Awaitable[None]], ...] = (one_order, a_batch, a_reconciliation)
    for step in walk:
        await step(desk, product)

    served = {
        operation["operationId"]
        for path, item in create_app(env).document["paths"].items()
        for method, operation in item.items()
        if path.startswith("/operator/") and method in {"post", "put", "patch", "delete"}
    }
    assert served - set(desk.seen) == set(UNAUDITED)
    assert desk.seen == {
        "operatorReceiveLot": ["lot.received"] * 3,
        "operatorAdjustLot": ["lot.adjusted"],
        "operatorChangeLotState": ["lot.state_changed"] * 2,
        "operatorRecallLot": ["lot.recalled"],
        "holdOrder": ["order.held"],
        "releaseHold": ["order.hold_released"],
        "operatorHoldOrder": ["order.held"],
        "operatorReleaseHold": ["order.hold_released"],
        "operatorReleaseOrder": ["order.released"],
        "operatorRepickOrder": ["order.picked_anew"],
        "operatorConfirmPacks": ["order.packs_confirmed"],
        "operatorFulfillOrder": ["order.fulfilled"],
        "operatorLabelOrder": ["order.labelled"],
        "operatorAddShipment": ["order.shipment_added"],
        "operatorShipOrder": ["order.shipped"],
        "operatorCreateBatch": ["order.released"] * 2 + ["batch.created"],
        "operatorConfirmBatch": ["order.packs_confirmed"] * 2,
        "operatorFulfillBatch": ["order.fulfilled"] * 2,
        "operatorLabelBatch": ["order.labelled"] * 2,
        "operatorShipBatch": ["order.shipped"] * 2,
        "operatorReconcile": ["lot.reconciled"],
    }


# What shows names or addresses, and what the log says of it; the other reads of operators show none.
SHOWING = {
    "/operator/orders": ("orders.listed", "*"),
    "/operator/orders/{order}": ("order.read", "{order}"),
    "/operator/orders/{order}/documents/packing-slip.pdf": ("packing-slip.printed", "{order}"),
    "/operator/orders/{order}/documents/pack-labels.pdf": ("pack-labels.printed", "{order}"),
    "/operator/orders/{order}/documents/shipping-label.pdf": ("shipping-label.printed", "{order}"),
    "/operator/batches/{batch}/documents/pick-list.pdf": ("pick-list.printed", "{batch}"),
    "/operator/batches/{batch}/documents/packing-slips.pdf": ("packing-slips.printed", "{batch}"),
    "/operator/batches/{batch}/documents/pack-labels.pdf": ("pack-labels.printed", "{batch}"),
    "/operator/batches/{batch}/documents/labels.pdf": ("labels.printed", "{batch}"),
}


async def test_who_is_shown_personal_data_is_in_the_audit_log(
    env: Env, api: httpx2.AsyncClient, desk: Desk, bench: Bench
) -> None:
    """Each look at an order, a list of them or their papers is one entry: who, what, by which request; a miss too."""
    order = await bench.order(a_line(await bench.world.product(available=10_000)))
    made = await desk.post("operatorCreateBatch", "/operator/batches", {"orderIds": [order]})
    batch = made["batch"]["id"]
    headers = await bench.world.headers(desk.operator)
    for path, (action, object_id) in SHOWING.items():
        answer = await api.get("/v1" + path.format(order=order, batch=batch), headers=headers)
        async with env.db.reading(ALL_TENANTS) as tx:
            rows = await tx.all(
                "SELECT actor, action, object_id, before, after FROM audit_log WHERE request_id = %(id)s",
                id=answer.headers["x-request-id"],
            )

        assert answer.status_code in (200, 409), (path, answer.text)  # no label yet: nothing to print
        assert rows == [
            {
                "actor": desk.operator.client_id,
                "action": action,
                "object_id": object_id.format(order=order, batch=batch),
                "before": None,
                "after": None,
            }
        ]


async def test_every_read_of_orders_and_papers_is_listed(env: Env) -> None:
    """A new paper, or another way to read an order, has to say what the audit log tells of it."""
    served = {
        path.replace("{orderId}", "{order}").replace("{batchId}", "{batch}")
        for path, item in create_app(env).document["paths"].items()
        if "get" in item and path.startswith(("/operator/orders", "/operator/batches"))
    }
    silent = {
        "/operator/orders/{order}/packs",
        "/operator/orders/{order}/lots",
        "/operator/batches",
        "/operator/batches/{batch}",
        "/operator/batches/{batch}/pick-list",
        "/operator/batches/{batch}/pack-list",
    }

    assert served == set(SHOWING) | silent
