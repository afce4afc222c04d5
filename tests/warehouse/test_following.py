"""Parcels followed: carriers' messages in any order, twice, signed or not."""

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr

from fulfillment.infra.env import Env
from fulfillment.orders.domain import OrderStatus
from fulfillment.warehouse.domain import LabelAsk
from fulfillment.warehouse.service import stepping
from tests.conftest import client_of
from tests.warehouse.conftest import OPERATOR, Bench, a_line

pytestmark = pytest.mark.anyio
PATH = "/v1/operator/tracking-events"
SECRET = "between us and the carrier"


def aftership(number: str, event_id: str, *scans: tuple[str, str, str]) -> dict[str, Any]:
    """Return AfterShip's message; a scan is (time, tag, message)."""
    return {
        "event": "tracking_update",
        "event_id": event_id,
        "msg": {
            "slug": "ups",
            "tracking_number": number,
            "tag": scans[-1][1],
            "checkpoints": [
                {"checkpoint_time": at, "tag": tag, "message": message, "city": "Chicago", "state": "IL"}
                for at, tag, message in scans
            ],
        },
    }


PICKED = ("2026-11-24T08:00:00-06:00", "InTransit", "Picked up")
OUT = ("2026-11-26T08:00:00-06:00", "OutForDelivery", "Out for delivery")
GIVEN = ("2026-11-26T15:00:00-06:00", "Delivered", "Left at the door")


async def _shipped(bench: Bench) -> tuple[str, str]:
    product = await bench.world.product(available=600)
    order_id = await bench.order(a_line(product))
    number = f"1ZX{order_id[-6:].upper()}"  # of no carrier's shape, and no other test's
    await stepping.advance_order(
        bench.env, OPERATOR, order_id, OrderStatus.SHIPPED, LabelAsk("Acme Post", None, number)
    )
    return order_id, number


async def test_news_reaches_the_partner_once(api: httpx2.AsyncClient, bench: Bench) -> None:
    """A message updates the order and tells its partner; the same again, or nothing new in it, does not."""
    order_id, number = await _shipped(bench)
    headers = await bench.world.headers(await bench.world.operator())

    first = await api.post(PATH, json=aftership(number, "e1", PICKED), headers=headers)
    again = await api.post(PATH, json=aftership(number, "e1", PICKED), headers=headers)
    nothing_new = await api.post(PATH, json=aftership(number, "e2", PICKED), headers=headers)

    outcomes = [answer.json()["results"][0]["outcome"] for answer in (first, again, nothing_new)]
    assert outcomes == ["updated", "duplicate", "unchanged"]
    assert (await bench.events(order_id)).count("order.tracking_updated") == 1
    info = json.loads((await bench.get(order_id)).fulfillment or "null")
    assert info["trackingStatus"] == "InTransit"
    assert info["checkpoints"] == [
        {
            "checkpointTime": "2026-11-24T14:00:00Z",
            "location": "Chicago, IL",
            "message": "Picked up",
            "tag": "InTransit",
        }
    ]


async def test_late_news_does_not_turn_time_back(api: httpx2.AsyncClient, bench: Bench) -> None:
    """A scan that arrives after the delivery takes its place in time; the parcel stays delivered, the order shipped."""
    order_id, number = await _shipped(bench)
    headers = await bench.world.headers(await bench.world.operator())

    await api.post(PATH, json=aftership(number, "d1", PICKED, GIVEN), headers=headers)
    await api.post(PATH, json=aftership(number, "d2", OUT), headers=headers)

    order = await bench.get(order_id)
    info = json.loads(order.fulfillment or "null")
    assert [one["tag"] for one in info["checkpoints"]] == ["InTransit", "OutForDelivery", "Delivered"]
    assert info["trackingStatus"] == "Delivered"
    assert order.status is OrderStatus.SHIPPED
    assert json.loads(order.shipments or "[]")[0]["trackingStatus"] == "Delivered"


async def test_easypost_speaks_too(api: httpx2.AsyncClient, bench: Bench) -> None:
    """EasyPost's shape is read as well."""
    order_id, number = await _shipped(bench)
    message = {
        "id": "evt_1",
        "object": "Event",
        "result": {
            "object": "Tracker",
            "tracking_code": number,
            "carrier": "Acme",
            "status": "out_for_delivery",
            "tracking_details": [
                {"datetime": "2026-11-24T08:00:00Z", "status": "in_transit", "message": "Arrived"},
                {"datetime": "2026-11-25T08:00:00Z", "status": "out_for_delivery", "message": "On the way"},
            ],
        },
    }

    await api.post(PATH, json=message, headers=await bench.world.headers(await bench.world.operator()))

    info = json.loads((await bench.get(order_id)).fulfillment or "null")
    assert info["trackingStatus"] == "OutForDelivery"


async def test_a_parcel_that_is_not_ours(api: httpx2.AsyncClient, bench: Bench) -> None:
    """An unknown number is no error, and the message may come again when the label is here."""
    headers = await bench.world.headers(await bench.world.operator())

    answers = [await api.post(PATH, json=aftership("NOBODYS", "x", PICKED), headers=headers) for _ in range(2)]

    assert [answer.json()["results"][0]["outcome"] for answer in answers] == ["unknown", "unknown"]


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"msg": {}}', b'{"result": {"object": "Tracker"}}'])
async def test_a_message_of_no_shape(api: httpx2.AsyncClient, bench: Bench, body: bytes) -> None:
    """What neither AfterShip nor EasyPost sends is refused by name."""
    headers = await bench.world.headers(await bench.world.operator())

    answer = await api.post(PATH, content=body, headers={**headers, "content-type": "application/json"})

    assert (answer.status_code, answer.json()["code"]) == (422, "tracking_event_invalid")


@pytest.fixture
async def signed_api(env: Env) -> AsyncGenerator[httpx2.AsyncClient]:
    """The API with a secret shared with the carrier."""
    settings = env.settings.model_copy(update={"carrier_webhook_secret": SecretStr(SECRET)})
    async with client_of(replace(env, settings=settings)) as client:
        yield client


async def test_a_signature_stands_for_a_token(signed_api: httpx2.AsyncClient, bench: Bench) -> None:
    """Rightly signed a message needs no token; wrongly signed it is refused, token or not; unsigned it needs one."""
    order_id, number = await _shipped(bench)
    body = json.dumps(aftership(number, "s1", PICKED)).encode()
    signature = base64.b64encode(hmac.new(SECRET.encode(), body, hashlib.sha256).digest()).decode()
    plain = {"content-type": "application/json"}
    operator = await bench.world.headers(await bench.world.operator())

    unsigned = await signed_api.post(PATH, content=body, headers=plain)
    forged = await signed_api.post(
        PATH, content=body + b" ", headers={**plain, **operator, "aftership-hmac-sha256": signature}
    )
    signed = await signed_api.post(PATH, content=body, headers={**plain, "aftership-hmac-sha256": signature})

    assert unsigned.status_code == 401
    assert (forged.status_code, forged.json()["code"]) == (401, "signature_invalid")
    assert signed.json()["results"] == [{"trackingNumber": number, "outcome": "updated"}]
    assert (await bench.events(order_id))[-1] == "order.tracking_updated"


async def test_without_a_secret_a_signature_is_nothing(api: httpx2.AsyncClient, bench: Bench) -> None:
    """Where no secret is set, a signature opens no door."""
    body = json.dumps(aftership("ANY", "n1", PICKED)).encode()
    signature = base64.b64encode(hmac.new(b"", body, hashlib.sha256).digest()).decode()

    answer = await api.post(
        PATH, content=body, headers={"content-type": "application/json", "aftership-hmac-sha256": signature}
    )

    assert answer.status_code == 401


async def test_a_second_parcel(bench: Bench) -> None:
    """A further parcel stands in shipments[]; fulfillmentInfo stays the first one's."""
    product = await bench.world.product(available=600)
    order_id = await bench.order(a_line(product))
    first = LabelAsk("UPS", None, "1Z5R89390357567127")
    await stepping.advance_order(bench.env, OPERATOR, order_id, OrderStatus.AWAITING_SHIPMENT, first)

    second = LabelAsk("USPS", None, "9400 1112 0620 6406 2607 87")
    await stepping.add_shipment(bench.env, OPERATOR, order_id, second)
    _, repeated = await stepping.add_shipment(bench.env, OPERATOR, order_id, second)

    order = await bench.get(order_id)
    shown = json.loads(order.shipments or "[]")
    assert [(one["carrier"], one["trackingNumber"]) for one in shown] == [
        ("UPS", "1Z5R89390357567127"),
        ("USPS", "9400111206206406260787"),
    ]
    assert json.loads(order.fulfillment or "null")["trackingNumber"] == "1Z5R89390357567127"
    assert repeated.id == shown[1]["id"]
