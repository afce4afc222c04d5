"""Every operation of the contract with valid and invalid input, checked against the contract file."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest

from fulfillment.infra.env import Env
from tests.contract.contract import body_faults, contract, operation_of, operations, response_faults
from tests.orders.stored import run
from tests.world import EVERY_SETTING, World, a_customer, a_line, an_order

pytestmark = pytest.mark.anyio
NOBODY = "2vSGym0bH8qVEwCIGlyFoRgJq1A"


@dataclass(slots=True)
class Stage:
    """A partner with things of its own, who sends requests."""

    api: httpx2.AsyncClient
    headers: dict[str, str]
    env: Env
    epa: int
    powder: int
    order: str
    protocol: str

    async def send(self, method: str, path: str, **more: Any) -> httpx2.Response:
        """Send a request."""
        headers = self.headers | more.pop("headers", {})
        return await self.api.request(method, "/v1" + path, headers=headers, **more)

    def body(self, **changes: Any) -> dict[str, Any]:
        """Return a good order of both kinds of item."""
        return an_order(a_line(self.epa), {"productId": self.powder, "quantity": 1}, **changes)


@pytest.fixture
async def stage(api: httpx2.AsyncClient, env: Env, world: World) -> Stage:
    """A partner with a receiver, an order and a protocol."""
    caller = await world.partner()
    headers = await world.headers(caller)
    facts = {
        "servingSize": 2,
        "type": "softgel",
        "otherIngredients": ["Fish oil"],
        "ingredients": [{"name": "EPA", "amount": "500", "unit": "mg", "dailyValue": "**"}],
    }
    epa = await world.product(available=100_000, name="Elite EPA", facts=facts)
    powder = await world.product(external=True, available=100)
    settings = {"webhookUrl": "https://example.com/hooks", "supportEmail": "help@example.com"}
    await api.patch("/v1/partners/settings", json=settings, headers=headers)
    order = await api.post("/v1/orders", json=an_order(a_line(epa)), headers=headers)
    protocol = await api.post("/v1/protocols", json=an_order(a_line(epa)), headers=headers)
    return Stage(api, headers, env, epa, powder, order.json()["id"], protocol.json()["id"])


Act = Callable[[Stage], Awaitable[httpx2.Response]]


def sent(method: str, path: str, body: Callable[[Stage], Any] | None = None, **more: Any) -> Act:
    """Return what sends a request; {order}, {protocol} and {epa} in the path are the stage's."""

    async def act(stage: Stage) -> httpx2.Response:
        at = path.format(order=stage.order, protocol=stage.protocol, epa=stage.epa)
        return await stage.send(method, at, **({"json": body(stage)} if body else {}), **more)

    return act


def whole(stage: Stage) -> dict[str, Any]:
    """Return an order that says everything it may say."""
    return stage.body(orderType="SUBSCRIPTION", daysSupply=90, shippingMethod="EXPRESS")


def least(stage: Stage) -> dict[str, Any]:
    """Return an order that says only what it must."""
    address = {"line1": "1 Main St", "city": "Palo Alto", "state": "CA", "zipCode": "94301"}
    customer = {"sourceId": "7", "firstName": "J", "lastName": "D", "address": address}
    return an_order({"productId": stage.powder, "quantity": 1}, customer=customer)


GOOD: list[tuple[str, int, Act]] = [
    ("createOrder", 201, sent("POST", "/orders", whole)),
    ("createOrder", 201, sent("POST", "/orders", least)),
    ("createOrder", 201, sent("POST", "/orders", whole, headers={"Idempotency-Key": "k"})),
    ("createOrder", 201, sent("POST", "/orders", lambda s: s.body(customer=a_customer(email=None, phone=None)))),
    ("listOrders", 200, sent("GET", "/orders")),
    ("listOrders", 200, sent("GET", "/orders?limit=1&direction=previous&status=CREATED")),
    ("getOrderById", 200, sent("GET", "/orders/{order}")),
    ("cancelOrder", 200, sent("POST", "/orders/{order}/cancel")),
    ("createProtocol", 201, sent("POST", "/protocols", whole)),
    ("createProtocol", 201, sent("POST", "/protocols", least)),
    ("listProtocols", 200, sent("GET", "/protocols?limit=100&direction=next")),
    ("listProtocols", 200, sent("GET", "/protocols?search=John%20Doe")),
    ("getProtocolById", 200, sent("GET", "/protocols/{protocol}")),
    ("updateProtocol", 200, sent("PATCH", "/protocols/{protocol}", lambda _: {"daysSupply": 60})),
    ("updateProtocol", 200, sent("PATCH", "/protocols/{protocol}", lambda _: {})),
    ("replaceProtocol", 200, sent("PUT", "/protocols/{protocol}", whole)),
    ("deleteProtocol", 204, sent("DELETE", "/protocols/{protocol}")),
    ("createOrderFromProtocol", 201, sent("POST", "/protocols/{protocol}/orders")),
    ("createOrderFromProtocol", 201, sent("POST", "/protocols/{protocol}/orders", lambda _: {"daysSupply": 90})),
    ("listProducts", 200, sent("GET", "/products")),
    (
        "listProducts",
        200,
        sent("GET", "/products?search=epa&status=ACTIVE&updatedAfter=2023-10-01&updatedBefore=2100-01-01&limit=3"),
    ),
    ("getProductById", 200, sent("GET", "/products/{epa}")),
    ("listShippingMethods", 200, sent("GET", "/shipping-methods")),
    ("getPartnerSettings", 200, sent("GET", "/partners/settings")),
    ("updatePartnerSettings", 200, sent("PATCH", "/partners/settings", lambda _: EVERY_SETTING)),
    ("updatePartnerSettings", 200, sent("PATCH", "/partners/settings", lambda _: dict.fromkeys(EVERY_SETTING))),
    ("getWebhookSecret", 200, sent("GET", "/partners/settings/webhook-secret")),
    ("rotateWebhookSecret", 200, sent("POST", "/partners/settings/rotate-webhook-secret")),
]


@pytest.mark.parametrize(("operation", "status", "act"), GOOD, ids=[row[0] for row in GOOD])
async def test_valid_input(stage: Stage, operation: str, status: int, act: Act) -> None:
    """The request is right by the contract file, and so is the answer."""
    answer = await act(stage)

    asked = operation_of(answer)
    assert asked.id == operation
    if answer.request.content and "requestBody" in asked.node:
        assert body_faults(asked, json_of(answer.request)) == []
    assert answer.status_code == status, answer.text
    assert response_faults(asked, answer) == []


def json_of(request: httpx2.Request) -> Any:
    """Return a request's JSON body."""
    import json

    return json.loads(request.content)


BAD: list[tuple[str, int, str, Act]] = [
    ("createOrder", 422, "validation_failed", sent("POST", "/orders", lambda s: s.body(daysSupply=45))),
    ("createOrder", 422, "unknown_product", sent("POST", "/orders", lambda s: an_order(a_line(1)))),
    ("createOrder", 422, "validation_failed", sent("POST", "/orders", lambda s: s.body() | {"total": "0.01"})),
    ("createOrder", 409, "insufficient_stock", sent("POST", "/orders", lambda s: an_order(*[a_line(s.epa, 100)] * 50))),
    (
        "createOrder",
        400,
        "malformed_json",
        sent("POST", "/orders", content=b"{", headers={"Content-Type": "application/json"}),
    ),
    ("createOrder", 400, "invalid_idempotency_key", sent("POST", "/orders", whole, headers={"Idempotency-Key": ""})),
    ("listOrders", 422, "validation_failed", sent("GET", "/orders?limit=101")),
    ("listOrders", 422, "validation_failed", sent("GET", "/orders?status=LOST")),
    ("listOrders", 422, "invalid_cursor", sent("GET", "/orders?cursor=eyJhbGciOiJIUzI1NiJ9")),
    ("getOrderById", 404, "order_not_found", sent("GET", f"/orders/{NOBODY}")),
    ("cancelOrder", 404, "order_not_found", sent("POST", f"/orders/{NOBODY}/cancel")),
    ("createProtocol", 422, "validation_failed", sent("POST", "/protocols", lambda s: s.body(lineItems=[]))),
    ("createProtocol", 415, "unsupported_media_type", sent("POST", "/protocols", content=b"{}")),
    ("listProtocols", 422, "validation_failed", sent("GET", "/protocols?direction=up")),
    ("getProtocolById", 404, "protocol_not_found", sent("GET", f"/protocols/{NOBODY}")),
    ("updateProtocol", 422, "validation_failed", sent("PATCH", "/protocols/{protocol}", lambda _: {"id": "x"})),
    ("updateProtocol", 404, "protocol_not_found", sent("PATCH", f"/protocols/{NOBODY}", lambda _: {"daysSupply": 60})),
    ("replaceProtocol", 422, "validation_failed", sent("PUT", "/protocols/{protocol}", lambda _: {"daysSupply": 60})),
    ("replaceProtocol", 404, "protocol_not_found", sent("PUT", f"/protocols/{NOBODY}", whole)),
    ("deleteProtocol", 404, "protocol_not_found", sent("DELETE", f"/protocols/{NOBODY}")),
    ("createOrderFromProtocol", 404, "protocol_not_found", sent("POST", f"/protocols/{NOBODY}/orders")),
    (
        "createOrderFromProtocol",
        422,
        "validation_failed",
        sent("POST", "/protocols/{protocol}/orders", lambda _: {"customer": {}}),
    ),
    ("listProducts", 422, "validation_failed", sent("GET", "/products?updatedAfter=2023-13-01")),
    ("getProductById", 404, "product_not_found", sent("GET", "/products/1")),
    ("getProductById", 404, "product_not_found", sent("GET", "/products/x")),
    ("listShippingMethods", 422, "validation_failed", sent("GET", "/shipping-methods?limit=1")),
    ("getPartnerSettings", 422, "validation_failed", sent("GET", "/partners/settings?x=1")),
    (
        "updatePartnerSettings",
        422,
        "validation_failed",
        sent("PATCH", "/partners/settings", lambda _: {"name": "Mine"}),
    ),
    (
        "updatePartnerSettings",
        422,
        "validation_failed",
        sent("PATCH", "/partners/settings", lambda _: {"discount": "99%"}),
    ),
    (
        "updatePartnerSettings",
        422,
        "validation_failed",
        sent("PATCH", "/partners/settings", lambda _: {"primaryColor": "red"}),
    ),
    (
        "updatePartnerSettings",
        422,
        "validation_failed",
        sent("PATCH", "/partners/settings", lambda _: {"billingCountry": "USA"}),
    ),
    ("getWebhookSecret", 422, "validation_failed", sent("GET", "/partners/settings/webhook-secret?x=1")),
    ("rotateWebhookSecret", 422, "validation_failed", sent("POST", "/partners/settings/rotate-webhook-secret?x=1")),
]


@pytest.mark.parametrize(("operation", "status", "code", "act"), BAD, ids=[f"{row[0]}-{row[2]}" for row in BAD])
async def test_invalid_input(stage: Stage, operation: str, status: int, code: str, act: Act) -> None:
    """The refusal is a problem as the contract file has it, with its stable code."""
    answer = await act(stage)

    asked = operation_of(answer)
    assert asked.id == operation
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert response_faults(asked, answer) == []
    assert answer.headers["X-Request-Id"] == answer.json()["requestId"]


async def test_a_secret_without_a_receiver(stage: Stage) -> None:
    """Without webhookUrl both secret operations are 404 webhook_not_configured."""
    await stage.send("PATCH", "/partners/settings", json={"webhookUrl": None})

    for answer in (
        await stage.send("GET", "/partners/settings/webhook-secret"),
        await stage.send("POST", "/partners/settings/rotate-webhook-secret"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (404, "webhook_not_configured")
        assert response_faults(operation_of(answer), answer) == []


async def test_a_second_cancellation(stage: Stage) -> None:
    """It is 409 order_not_cancellable, as the contract's problem."""
    await stage.send("POST", f"/orders/{stage.order}/cancel")

    answer = await stage.send("POST", f"/orders/{stage.order}/cancel")

    assert (answer.status_code, answer.json()["code"]) == (409, "order_not_cancellable")
    assert response_faults(operation_of(answer), answer) == []


@pytest.mark.parametrize("operation", [operation.id for operation in operations(contract())])
def test_no_operation_is_forgotten(operation: str) -> None:
    """Each operation of the contract has valid and invalid input above."""
    assert operation in {row[0] for row in GOOD}
    assert operation in {row[0] for row in BAD}


@pytest.mark.parametrize("operation", operations(contract()), ids=lambda operation: operation.id)
async def test_no_operation_answers_the_anonymous(stage: Stage, operation: Any) -> None:
    """Without a token and with a wrong one: 401 with WWW-Authenticate, a problem by the contract file."""
    path = operation.path.format(orderId=stage.order, protocolId=stage.protocol, productId=stage.epa)
    for headers in ({}, {"Authorization": "Bearer nonsense"}, {"Authorization": "Basic eDp5"}):
        answer = await stage.api.request(operation.method, "/v1" + path, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert response_faults(operation, answer) == []


@pytest.mark.parametrize("status", ["CREATED", "CANCELLED", "PROCESSING", "FULFILLED", "AWAITING_SHIPMENT", "SHIPPED"])
async def test_an_order_of_every_status_is_the_contracts(stage: Stage, status: str) -> None:
    """Whatever has become of it, by itself and in a list."""
    await run(stage.env, "UPDATE orders SET status = %(s)s WHERE id = %(id)s", s=status, id=stage.order)

    for answer in (await stage.send("GET", f"/orders/{stage.order}"), await stage.send("GET", "/orders")):
        assert response_faults(operation_of(answer), answer) == []
        assert status in answer.text
