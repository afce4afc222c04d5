"""The operator's HTTP API, and what partners may do with their own orders in the warehouse."""

import re
from datetime import timedelta
from typing import Any

import httpx2
import pytest

from fulfillment.app import create_app
from fulfillment.infra.env import Env
from tests.warehouse.conftest import Bench, a_line

pytestmark = pytest.mark.anyio
V1 = "/v1/operator"


class Operator:
    """An operator's client."""

    def __init__(self, api: httpx2.AsyncClient, headers: dict[str, str]) -> None:
        self._api, self._headers = api, headers

    async def get(self, path: str, status: int = 200) -> Any:
        """GET below /v1/operator and return the JSON."""
        answer = await self._api.get(V1 + path, headers=self._headers)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def post(self, path: str, body: Any = None, status: int = 200) -> Any:
        """POST below /v1/operator and return the JSON."""
        if body is None:
            answer = await self._api.post(V1 + path, headers=self._headers)
        else:
            answer = await self._api.post(V1 + path, json=body, headers=self._headers)
        assert answer.status_code == status, answer.text
        return answer.json()


@pytest.fixture
async def operator(api: httpx2.AsyncClient, bench: Bench) -> Operator:
    """An operator with a token."""
    return Operator(api, await bench.world.headers(await bench.world.operator()))


async def test_partners_see_nothing_of_it(env: Env, api: httpx2.AsyncClient, bench: Bench) -> None:
    """Every operation under /v1/operator answers a partner's token 403, and none 401."""
    headers = await bench.world.headers(bench.partner)
    served = create_app(env).document["paths"]
    operations = [
        (method, "/v1" + re.sub(r"\{\w+\}", "2vSGym0bH8qVEwCIGlyFoRgJq1A", path))
        for path, item in served.items()
        for method in item
        if path.startswith("/operator/") and method in ("get", "post")
    ]

    answers = {
        (method, path): (
            (await api.request(method, path, headers=headers, **_body(method))).status_code,
            (await api.request(method, path, **_body(method))).status_code,
        )
        for method, path in operations
    }

    assert len(operations) >= 40
    assert set(answers.values()) == {(403, 401)}


def _body(method: str) -> dict[str, Any]:
    return {"json": {}} if method == "post" else {}


async def test_an_order_goes_its_way_over_http(operator: Operator, bench: Bench) -> None:
    """Received, released, scanned, fulfilled, labelled, shipped: each step shows the order as it is then."""
    product = await bench.world.product()
    expiry = (bench.today() + timedelta(days=400)).isoformat()
    lot = await operator.post(
        "/lots",
        {"productId": product, "lotNumber": "A2291", "expiry": expiry, "quantity": 600, "supplier": "Nutra Inc"},
        201,
    )
    order_id = await bench.order(a_line(product, 2))

    released = await operator.post(f"/orders/{order_id}/release")
    packs = (await operator.get(f"/orders/{order_id}/packs"))["packs"]
    scans = [{"packId": pack["packId"], "contents": [{"lotNumber": "A2291", "quantity": 1}]} for pack in packs]
    confirmed = await operator.post(f"/orders/{order_id}/packs/confirm", {"packs": scans, "packer": "station-3"})
    fulfilled = await operator.post(f"/orders/{order_id}/fulfill")
    labelled = await operator.post(
        f"/orders/{order_id}/label", {"carrier": "ups", "trackingNumber": "1Z5R89390357567127"}
    )
    shipped = await operator.post(f"/orders/{order_id}/ship", {"trackingNumber": "1Z 5R8939 03 5756 7127"})

    assert lot["free"] == 600
    assert released["outcome"] == "done"
    assert released["order"]["packs"] == {"total": 60, "confirmed": 0}
    assert len(packs) == 60
    assert packs[0]["timeOfDay"] == "morning"
    assert packs[1]["contents"] == [
        {
            "productId": product,
            "name": packs[1]["contents"][0]["name"],
            "quantity": 1,
            "lotNumber": "A2291",
            "expiry": expiry,
        }
    ]
    assert (confirmed["packs"], confirmed["confirmed"]) == (60, 60)
    assert fulfilled["order"]["status"] == "FULFILLED"
    assert labelled["order"]["fulfillmentInfo"] == {
        "carrier": "UPS",
        "trackingNumber": "1Z5R89390357567127",
        "trackingStatus": "Pending",
        "trackingUrl": "https://www.ups.com/track?tracknum=1Z5R89390357567127",
        "checkpoints": [],
    }
    assert shipped["order"]["status"] == "SHIPPED"
    assert shipped["order"]["allowedMoves"] == []
    assert (await operator.get(f"/lots/{lot['id']}"))["onHand"] == 540


async def test_every_step_is_in_the_audit_log(operator: Operator, bench: Bench) -> None:
    """The log says who did what, before and after, and holds no personal data."""
    product = await bench.world.product(available=600)
    order_id = await bench.order(a_line(product))
    await operator.post(f"/orders/{order_id}/holds", {"code": "OPERATOR", "note": "Jane Roe asks to wait"}, 201)

    entries = (await operator.get(f"/audit-log?objectType=order&objectId={order_id}"))["entries"]

    assert [(entry["action"], entry["after"]) for entry in entries] == [("order.held", {"code": "OPERATOR"})]
    assert entries[0]["requestId"]
    assert "Roe" not in str(entries)


async def test_lists_page_by_cursor(operator: Operator, bench: Bench) -> None:
    """Following the cursor gives every order of a partner once, newest first, and the filters are kept."""
    product = await bench.world.product(available=6000)
    placed = [await bench.order(a_line(product)) for _ in range(3)]
    base = f"/orders?partner={bench.partner.partner_id}&status=CREATED"

    first = await operator.get(base + "&limit=2")
    second = await operator.get(f"{base}&limit=2&cursor={first['cursor']}")

    assert [order["id"] for order in first["orders"] + second["orders"]] == placed[::-1]
    assert second["cursor"] is None
    refused = await operator.get(f"/orders?limit=2&cursor={first['cursor']}", 422)
    assert refused["code"] == "invalid_cursor"


async def test_held_and_due_filter_the_list(operator: Operator, bench: Bench) -> None:
    """held=true shows what is held, due=true what may be released now."""
    product = await bench.world.product(available=6000)
    free, held = [await bench.order(a_line(product)) for _ in range(2)]
    await operator.post(f"/orders/{held}/holds", {}, 201)
    base = f"/orders?partner={bench.partner.partner_id}"

    assert [order["id"] for order in (await operator.get(base + "&held=true"))["orders"]] == [held]
    assert [order["id"] for order in (await operator.get(base + "&due=true"))["orders"]] == [free]


async def test_a_batch_over_http(operator: Operator, bench: Bench) -> None:
    """A batch is released, listed to pick and to pack, fulfilled, labelled and shipped with one call each."""
    product = await bench.world.product()
    powder = await bench.world.product(external=True, available=50)
    await bench.lot(product, 60, days=300, number="SOON")
    await bench.lot(product, 6000, days=700, number="LATE")
    placed = [await bench.order(a_line(product, 2), {"productId": powder, "quantity": 1}) for _ in range(3)]

    made = await operator.post("/batches", {"orderIds": placed}, 201)
    batch = f"/batches/{made['batch']['id']}"
    picks = await operator.get(f"{batch}/pick-list")
    packs = await operator.get(f"{batch}/pack-list?limit=2")
    fulfilled = await operator.post(f"{batch}/fulfill", {"confirmAll": True})
    labelled = await operator.post(f"{batch}/label")
    shipped = await operator.post(f"{batch}/ship")
    again = await operator.post(f"{batch}/ship")

    assert made["outcomes"]["done"] == 3
    assert (picks["totalPills"], picks["totalUnits"], picks["packs"]) == (180, 3, 183)
    pills = [(pick["lotNumber"], pick["quantity"], pick["orders"]) for pick in picks["picks"] if pick["unit"] == "pill"]
    assert pills == [("SOON", 60, 1), ("LATE", 120, 2)]
    assert [order["orderId"] for order in packs["orders"]] == sorted(placed)[:2]
    assert packs["orders"][0]["packs"][-1]["timeOfDay"] is None
    for answer in (fulfilled, labelled, shipped):
        assert answer["outcomes"] == {"done": 3, "unchanged": 0, "held": 0, "refused": 0}
    assert again["outcomes"]["unchanged"] == 3
    assert shipped["batch"]["statuses"] == {"SHIPPED": 3}


@pytest.mark.parametrize(
    ("path", "body", "pointer"),
    [
        ("/lots", {"productId": 1, "lotNumber": "A1", "expiry": "2031-02-30", "quantity": 1}, "/expiry"),
        ("/lots", {"productId": 1, "lotNumber": "A1", "expiry": "2031-02-01", "quantity": 0}, "/quantity"),
        ("/lots", {"productId": 1, "lotNumber": "=1+1", "expiry": "2031-02-01", "quantity": 1}, "/lotNumber"),
        ("/lots", {"productId": 1, "lotNumber": "A1", "expiry": "2031-02-01", "quantity": 1, "x": 1}, "/x"),
        ("/lots/2vSGym0bH8qVEwCIGlyFoRgJq1A/state", {"state": "RECALLED", "reason": "r"}, "/state"),
        ("/lots/2vSGym0bH8qVEwCIGlyFoRgJq1A/recall", {}, "/dryRun"),
        ("/orders/2vSGym0bH8qVEwCIGlyFoRgJq1A/packs/confirm", {}, "/packs"),
    ],
)
async def test_wrong_bodies_name_the_place(operator: Operator, path: str, body: Any, pointer: str) -> None:
    """What is wrong with a body is answered 422 with a pointer to it."""
    problem = await operator.post(path, body, 422)

    assert pointer in [fault["pointer"] for fault in problem["errors"]]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/orders/2vSGym0bH8qVEwCIGlyFoRgJq1A", "order_not_found"),
        ("/orders/%00", "order_not_found"),
        ("/lots/2vSGym0bH8qVEwCIGlyFoRgJq1A", "lot_not_found"),
        ("/lots/2vSGym0bH8qVEwCIGlyFoRgJq1A/trace", "lot_not_found"),
        ("/lots/2vSGym0bH8qVEwCIGlyFoRgJq1A/movements", "lot_not_found"),
        ("/batches/2vSGym0bH8qVEwCIGlyFoRgJq1A/pick-list", "batch_not_found"),
        ("/batches/x", "batch_not_found"),
    ],
)
async def test_what_is_not_there_is_404(operator: Operator, path: str, code: str) -> None:
    """An id of nothing is answered 404 with the noun's own code."""
    assert (await operator.get(path, 404))["code"] == code


async def test_a_partner_holds_its_own_order(api: httpx2.AsyncClient, bench: Bench, operator: Operator) -> None:
    """A partner's hold blocks the release until the partner lifts it; another partner's order is not found."""
    product = await bench.world.product(available=600)
    order_id = await bench.order(a_line(product))
    own = await bench.world.headers(bench.partner)
    foreign = await bench.world.headers(await bench.world.partner())

    stranger = await api.post(f"/v1/orders/{order_id}/hold", headers=foreign)
    held = await api.post(f"/v1/orders/{order_id}/hold", json={"note": "wait for the lab"}, headers=own)
    twice = await api.post(f"/v1/orders/{order_id}/hold", json={"note": "wait for the lab"}, headers=own)
    refused = await operator.post(f"/orders/{order_id}/release", status=409)
    hold_id = held.json()["holds"][0]["id"]
    freed = await api.post(f"/v1/orders/{order_id}/holds/{hold_id}/release", headers=own)
    released = await operator.post(f"/orders/{order_id}/release")

    assert stranger.status_code == 404
    assert [(hold["code"], hold["actor"]) for hold in held.json()["holds"]] == [("PARTNER_REQUEST", "partner")]
    assert twice.json()["sequence"] == held.json()["sequence"]
    assert refused["code"] == "order_held"
    assert freed.json()["holds"] == []
    assert released["order"]["status"] == "PROCESSING"
    assert await bench.events(order_id) == [
        "order.created",
        "order.held",
        "order.hold_released",
        "order.processing",
    ]


async def test_some_holds_are_the_operators(api: httpx2.AsyncClient, bench: Bench, operator: Operator) -> None:
    """A partner can't release an operator's hold: 403, and the hold stays."""
    product = await bench.world.product(available=600)
    order_id = await bench.order(a_line(product))
    held = await operator.post(f"/orders/{order_id}/holds", {"code": "ADDRESS"}, 201)
    hold_id = held["holds"][0]["id"]

    refused = await api.post(
        f"/v1/orders/{order_id}/holds/{hold_id}/release", headers=await bench.world.headers(bench.partner)
    )

    assert (refused.status_code, refused.json()["code"]) == (403, "hold_not_yours")
    assert len((await operator.get(f"/orders/{order_id}"))["holds"]) == 1


async def test_facts_of_an_order(api: httpx2.AsyncClient, bench: Bench) -> None:
    """A day's 500 mg of vitamin C in two pills of 250 mg are 278 % of the daily value in each of two packs' halves."""
    panel = {
        "servingSize": 1,
        "type": "capsule",
        "otherIngredients": ["Gelatin"],
        "ingredients": [{"name": "Vitamin C", "amount": "250", "unit": "mg", "dailyValue": "278%"}],
    }
    product = await bench.world.product(available=600, facts=panel, contains_allergens=("fish",))
    order_id = await bench.order(a_line(product, 2))

    facts = (await api.get(f"/v1/orders/{order_id}/facts", headers=await bench.world.headers(bench.partner))).json()

    assert facts["orderId"] == order_id
    assert facts["contains"] == ["fish"]
    shown = {
        place: [(row["name"], row["amount"], row["dailyValue"]) for row in pack["rows"]]
        for place, pack in (("day", facts["perDay"]), ("morning", facts["slots"]["morning"]))
    }
    assert shown == {"day": [("Vitamin C", "500", "556%")], "morning": [("Vitamin C", "250", "278%")]}
