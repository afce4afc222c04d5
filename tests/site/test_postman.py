"""The Postman collection: its shape is that of format 2.1, and what it sends is what the API takes."""

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import jsonschema
import pytest

pytestmark = pytest.mark.anyio

# The parts of the format that the collection uses, as collection.json of Postman's schema 2.1.0 has them.
_KEY_VALUE: dict[str, Any] = {
    "type": "object",
    "required": ["key", "value"],
    "properties": {"key": {"type": "string"}, "value": {"type": "string"}, "disabled": {"type": "boolean"}},
}
_FORMAT: dict[str, Any] = {
    "$defs": {
        "auth": {
            "type": "object",
            "required": ["type"],
            "properties": {
                "type": {"enum": ["oauth2", "noauth"]},
                "oauth2": {"type": "array", "items": {"type": "object", "required": ["key"]}},
            },
        },
        "item": {
            "type": "object",
            "required": ["name", "request"],
            "properties": {
                "request": {
                    "type": "object",
                    "required": ["method", "url"],
                    "properties": {
                        "method": {"enum": ["GET", "POST", "PUT", "PATCH", "DELETE"]},
                        "auth": {"$ref": "#/$defs/auth"},
                        "header": {"type": "array", "items": _KEY_VALUE},
                        "url": {
                            "type": "object",
                            "required": ["raw", "host", "path"],
                            "properties": {
                                "host": {"type": "array", "items": {"type": "string"}},
                                "path": {"type": "array", "items": {"type": "string"}},
                                "query": {"type": "array", "items": _KEY_VALUE},
                                "variable": {"type": "array", "items": _KEY_VALUE},
                            },
                        },
                        "body": {
                            "type": "object",
                            "required": ["mode"],
                            "properties": {
                                "mode": {"enum": ["raw", "urlencoded"]},
                                "raw": {"type": "string"},
                                "urlencoded": {"type": "array", "items": _KEY_VALUE},
                            },
                        },
                    },
                }
            },
        },
    },
    "type": "object",
    "required": ["info", "item"],
    "properties": {
        "info": {
            "type": "object",
            "required": ["name", "schema"],
            "properties": {"schema": {"const": "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"}},
        },
        "auth": {"$ref": "#/$defs/auth"},
        "variable": {"type": "array", "items": _KEY_VALUE},
        "item": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name", "item"],
                "properties": {"item": {"type": "array", "items": {"$ref": "#/$defs/item"}}},
            },
        },
    },
}


@pytest.fixture
async def collection(site: httpx2.AsyncClient) -> dict[str, Any]:
    """The served collection."""
    answer = await site.get("/postman.json")
    assert answer.headers["content-disposition"].startswith("attachment; filename=")
    found: dict[str, Any] = answer.json()
    return found


def _requests(collection: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for folder in collection["item"]:
        for item in folder["item"]:
            yield item["name"], item["request"]


async def test_the_collection_has_the_format(collection: dict[str, Any]):
    """The collection has the members and types of Postman's format 2.1."""
    jsonschema.Draft202012Validator(_FORMAT).validate(collection)


async def test_every_operation_is_in_the_collection(collection: dict[str, Any], site: httpx2.AsyncClient):
    """Each operation of the OpenAPI document is one request of the collection."""
    document = (await site.get("/openapi.json")).json()
    ids = sorted(
        operation["operationId"]
        for item in document["paths"].values()
        for operation in item.values()
        if isinstance(operation, dict) and "operationId" in operation
    )

    assert sorted(name.rpartition("(")[2].rstrip(")") for name, _ in _requests(collection)) == ids


async def test_path_parameters_are_variables(collection: dict[str, Any]):
    """Each :name in a request's path is one of its variables."""
    for name, request in _requests(collection):
        url = request["url"]
        wanted = [part[1:] for part in url["path"] if part.startswith(":")]

        assert [row["key"] for row in url.get("variable", [])] == wanted, name


async def test_the_order_of_the_collection_is_a_real_one(collection: dict[str, Any], site: httpx2.AsyncClient):
    """The body of createOrder has exactly what the contract's OrderCreate asks for, and a key is sent with it."""
    (order,) = [request for name, request in _requests(collection) if name.endswith("(createOrder)")]
    schema = (await site.get("/openapi.json")).json()

    body = json.loads(order["body"]["raw"])

    jsonschema.Draft202012Validator(
        {"$ref": "#/components/schemas/OrderCreate", "components": schema["components"]}
    ).validate(body)
    assert sum(body["lineItems"][0]["administration"].values()) == body["lineItems"][0]["quantity"]
    keys = {row["key"]: row for row in order["header"]}
    assert keys["Idempotency-Key"]["value"] == "{{$guid}}"
    assert keys["Idempotency-Key"]["disabled"] is False
