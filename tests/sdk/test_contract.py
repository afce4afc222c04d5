"""The SDK against contract/openapi.yaml: every operation has a method, every property an attribute."""

import inspect
import re
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from fulfillment.sdk import AsyncClient, Client, models
from fulfillment.sdk.codec import Model, camel
from tests.sdk import samples
from tests.sdk.server import Play, ScriptedServer

CONTRACT = Path(__file__).parents[2] / "contract" / "openapi.yaml"
METHODS = {"get", "post", "put", "patch", "delete"}

ORDER_DRAFT = models.OrderCreate.from_wire(samples.ORDER_CREATE)
LOGO_CLEARED = models.PartnerSettingsUpdate(website="https://acme.example", logo=None)
EVERY_FILTER = {"limit": 5, "cursor": "c", "direction": "next"}

# operationId: arguments, answer, what the answer must become
CALLS: dict[str, tuple[list[Any], dict[str, Any], Play, type[object]]] = {
    "createOrder": ([ORDER_DRAFT], {}, Play(201, samples.ORDER), models.Order),
    "listOrders": (
        [],
        {**EVERY_FILTER, "status": models.OrderStatus.SHIPPED},
        Play(200, {"orders": [samples.ORDER], "cursor": None}),
        models.Page,
    ),
    "getOrderById": (["o1"], {}, Play(200, samples.ORDER), models.Order),
    "cancelOrder": (["o1"], {}, Play(200, samples.ORDER), models.Order),
    "createProtocol": ([ORDER_DRAFT], {}, Play(201, samples.PROTOCOL), models.Protocol),
    "listProtocols": (
        [],
        {**EVERY_FILTER, "search": "John Doe"},
        Play(200, {"protocols": [samples.PROTOCOL]}),
        models.Page,
    ),
    "getProtocolById": (["p1"], {}, Play(200, samples.PROTOCOL), models.Protocol),
    "updateProtocol": (
        ["p1", models.ProtocolUpdate(days_supply=60)],
        {},
        Play(200, samples.PROTOCOL),
        models.Protocol,
    ),
    "replaceProtocol": (["p1", ORDER_DRAFT], {}, Play(200, samples.PROTOCOL), models.Protocol),
    "deleteProtocol": (["p1"], {}, Play(204), type(None)),
    "createOrderFromProtocol": (
        ["p1"],
        {"days_supply": 90, "shipping_method": "EXPRESS", "order_type": models.OrderType.ONE_TIME},
        Play(201, samples.ORDER),
        models.Order,
    ),
    "listProducts": (
        [],
        {
            **EVERY_FILTER,
            "status": "ACTIVE",
            "search": "omega",
            "updated_after": "2023-10-01",
            "updated_before": "2023-11-01",
        },
        Play(200, {"products": [samples.PRODUCT]}),
        models.Page,
    ),
    "getProductById": ([77123129891], {}, Play(200, samples.PRODUCT), models.Product),
    "listShippingMethods": ([], {}, Play(200, [samples.SHIPPING_METHOD]), tuple),
    "getPartnerSettings": ([], {}, Play(200, samples.SETTINGS), models.PartnerSettings),
    "updatePartnerSettings": ([LOGO_CLEARED], {}, Play(200, samples.SETTINGS), models.PartnerSettings),
    "getWebhookSecret": ([], {}, Play(200, samples.SECRET), models.WebhookSecret),
    "rotateWebhookSecret": ([], {}, Play(200, samples.SECRET), models.WebhookSecret),
}

# What the server adds to the contract: method, path, query, body.
ADDED: list[tuple[str, list[Any], dict[str, Any], str, str, dict[str, list[str]], Any]] = [
    (
        "list_events",
        [],
        {"cursor": "c", "limit": 5, "type": "order.shipped", "order_id": "o1", "undelivered": True},
        "GET",
        "/v1/events",
        {
            "cursor": ["c"],
            "limit": ["5"],
            "type": ["order.shipped"],
            "orderId": ["o1"],
            "undelivered": ["true"],
        },
        None,
    ),
    ("get_event", ["e1"], {}, "GET", "/v1/events/e1", {}, None),
    (
        "reconcile",
        ["2026-01-01T00:00:00Z"],
        {},
        "GET",
        "/v1/reconcile",
        {"since": ["2026-01-01T00:00:00Z"]},
        None,
    ),
    (
        "list_webhook_deliveries",
        [],
        {"order_id": "o1", "status": "failed", "cursor": "c", "limit": 5},
        "GET",
        "/v1/webhook-deliveries",
        {"orderId": ["o1"], "status": ["failed"], "cursor": ["c"], "limit": ["5"]},
        None,
    ),
    ("get_webhook_delivery", ["d1"], {}, "GET", "/v1/webhook-deliveries/d1", {}, None),
    ("redeliver_webhook", ["d1"], {}, "POST", "/v1/webhook-deliveries/d1/redeliver", {}, None),
    (
        "replay_webhooks",
        ["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"],
        {"types": ["order.shipped"], "only_failed": True},
        "POST",
        "/v1/webhooks/replay",
        {},
        {
            "since": "2026-01-01T00:00:00Z",
            "until": "2026-01-02T00:00:00Z",
            "types": ["order.shipped"],
            "onlyFailed": True,
        },
    ),
    ("send_test_webhook", [], {}, "POST", "/v1/webhooks/test", {}, None),
    ("enable_webhook", [], {}, "POST", "/v1/partners/settings/webhook/enable", {}, None),
    ("preview_order", [ORDER_DRAFT], {}, "POST", "/v1/orders/preview", {}, samples.ORDER_CREATE),
    (
        "create_orders_bulk",
        [[ORDER_DRAFT, samples.ORDER_CREATE]],
        {},
        "POST",
        "/v1/orders/bulk",
        {},
        {"orders": [samples.ORDER_CREATE, samples.ORDER_CREATE]},
    ),
    ("get_order_facts", ["o1"], {}, "GET", "/v1/orders/o1/facts", {}, None),
    (
        "advance_order",
        ["o1"],
        {"scenario": "lost"},
        "POST",
        "/v1/sandbox/orders/o1/advance",
        {},
        {"scenario": "lost"},
    ),
    ("list_scenarios", [], {}, "GET", "/v1/sandbox/scenarios", {}, None),
    ("set_clock", [None], {}, "POST", "/v1/sandbox/clock", {}, {"frozenAt": None}),
    (
        "advance_clock",
        ["2026-01-01T00:00:00Z"],
        {},
        "POST",
        "/v1/sandbox/clock/advance",
        {},
        {"to": "2026-01-01T00:00:00Z"},
    ),
    ("set_auto_advance", [2.5], {}, "PUT", "/v1/sandbox/auto-advance", {}, {"stageSeconds": 2.5}),
]
ADDED_ANSWER: dict[str, Any] = {
    "id": "e1",
    "type": "order.shipped",
    "createdAt": "2026-01-01T00:00:00Z",
    **{member: [] for member in ("events", "orders", "deliveries", "scenarios")},
}


@cache
def contract() -> dict[str, Any]:
    """Return the contract file."""
    return yaml.safe_load(CONTRACT.read_text())


@cache
def operations() -> dict[str, tuple[str, str, dict[str, Any]]]:
    """Return every operation of the contract: operationId -> verb, path, description."""
    return {
        described["operationId"]: (verb.upper(), path, {**described, "shared": item.get("parameters", [])})
        for path, item in contract()["paths"].items()
        for verb, described in item.items()
        if verb in METHODS
    }


def snake(name: str) -> str:
    """Return an operationId as the SDK spells it."""
    return re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower()


def validate(value: object, schema: dict[str, Any]) -> None:
    """Check a value against a schema of the contract."""
    judge: Any = Draft202012Validator({**schema, "components": contract()["components"]})
    judge.validate(value)


def resolved(part: dict[str, Any]) -> dict[str, Any]:
    """Follow one reference."""
    if "$ref" not in part:
        return part
    found: Any = contract()
    for name in part["$ref"].removeprefix("#/").split("/"):
        found = found[name]
    return found


@pytest.mark.parametrize("kind", [Client, AsyncClient])
@pytest.mark.parametrize("operation", sorted(operations()))
def test_every_operation_has_a_method(kind: type[object], operation: str):
    """Both clients have a documented method named after the operationId."""
    method = inspect.getattr_static(kind, snake(operation))

    assert method.__doc__.endswith((".", "\n        "))


def test_every_operation_is_called_below():
    """No operation of the contract escapes the test of its request."""
    assert set(CALLS) == set(operations())


@pytest.mark.parametrize("operation", sorted(CALLS))
def test_requests_and_answers(server: ScriptedServer, client: Client, operation: str):
    """Each method sends the contract's verb, path, query and body, and reads the contract's answer."""
    args, kwargs, play, expected = CALLS[operation]
    verb, path, described = operations()[operation]
    server.plays(play)

    found = getattr(client, snake(operation))(*args, **kwargs)

    seen = server.seen[0]
    declared = [resolved(part) for part in [*described["shared"], *described.get("parameters", [])]]
    queries = {part["name"] for part in declared if part["in"] == "query"}
    assert isinstance(found, expected)
    assert seen.method == verb
    assert re.fullmatch("/v1" + re.sub(r"\{\w+\}", "[^/]+", path), seen.path)
    assert set(seen.query) == queries
    assert ("idempotency-key" in seen.headers) == any(part["name"] == "Idempotency-Key" for part in declared)
    if "requestBody" in described:
        validate(seen.json, described["requestBody"]["content"]["application/json"]["schema"])
        assert seen.headers["content-type"] == "application/json"
    else:
        assert seen.body == b""


@pytest.mark.parametrize(
    ("name", "args", "kwargs", "verb", "path", "query", "body"), ADDED, ids=[row[0] for row in ADDED]
)
def test_requests_beyond_the_contract(
    server: ScriptedServer,
    client: Client,
    name: str,
    args: list[Any],
    kwargs: dict[str, Any],
    verb: str,
    path: str,
    query: dict[str, list[str]],
    body: Any,
):
    """Each method for what the server adds sends the announced verb, path, query and body."""
    server.plays(Play(200, ADDED_ANSWER))

    getattr(client, name)(*args, **kwargs)

    seen = server.seen[0]
    assert (seen.method, seen.path, seen.query) == (verb, path, query)
    assert (seen.json if seen.body else None) == body


@pytest.mark.parametrize("given", [{}, {"to": "SHIPPED", "steps": 1}])
def test_one_way_to_advance(server: ScriptedServer, client: Client, given: dict[str, Any]):
    """An order is advanced in exactly one way."""
    with pytest.raises(ValueError, match="exactly one"):
        client.advance_order("o1", **given)

    assert server.seen == []


@pytest.mark.parametrize("key", ["", "k" * 256])
def test_a_key_the_contract_forbids(server: ScriptedServer, client: Client, key: str):
    """An idempotency key of a wrong length is refused before anything is sent."""
    with pytest.raises(ValueError, match="1 to 255"):
        client.create_order(ORDER_DRAFT, idempotency_key=key)

    assert server.seen == []


@pytest.mark.parametrize(
    ("schema", "sample"),
    [
        ("OrderCreate", samples.ORDER_CREATE),
        ("Order", samples.ORDER),
        ("Protocol", samples.PROTOCOL),
        ("Product", samples.PRODUCT),
        ("ShippingMethod", samples.SHIPPING_METHOD),
        ("PartnerSettings", samples.SETTINGS),
        ("WebhookSecret", samples.SECRET),
        ("OrderStatusEvent", samples.EVENT),
    ],
)
def test_the_samples_are_the_contracts(schema: str, sample: dict[str, Any]):
    """The objects these tests answer with are valid by the contract."""
    validate(sample, contract()["components"]["schemas"][schema])


@pytest.mark.parametrize(
    ("schema", "model"),
    [
        ("Address", models.Address),
        ("Customer", models.Customer),
        ("Administration", models.Administration),
        ("LineItemInput", models.LineItemCreate),
        ("OrderCreate", models.OrderCreate),
        ("Order", models.Order),
        ("FulfillmentInfo", models.FulfillmentInfo),
        ("ProtocolUpdate", models.ProtocolUpdate),
        ("Protocol", models.Protocol),
        ("Product", models.Product),
        ("SupplementFactsPanel", models.SupplementFactsPanel),
        ("ShippingMethod", models.ShippingMethod),
        ("WebhookSecret", models.WebhookSecret),
        ("PartnerSettingsUpdate", models.PartnerSettingsUpdate),
        ("PartnerSettings", models.PartnerSettings),
    ],
)
def test_every_property_has_an_attribute(schema: str, model: type[Model]):
    """A model has an attribute for each property of its schema."""
    attributes = {camel(field.name) for field in fields(model)}
    properties: dict[str, Any] = contract()["components"]["schemas"][schema]["properties"]

    assert [name for name in properties if name not in attributes] == []


@pytest.mark.parametrize(
    ("schema", "enum"),
    [
        ("OrderStatus", models.OrderStatus),
        ("OrderType", models.OrderType),
        ("ProductStatus", models.ProductStatus),
        ("ShippingMethodName", models.ShippingMethodName),
    ],
)
def test_enums_are_the_contracts(schema: str, enum: type[models.OrderStatus]):
    """Each enum has exactly the contract's values."""
    assert [member.value for member in enum] == contract()["components"]["schemas"][schema]["enum"]
