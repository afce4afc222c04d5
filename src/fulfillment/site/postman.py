"""A Postman collection (format 2.1) of every operation, made from the served OpenAPI document."""

import json
from collections.abc import Mapping
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

from fulfillment.site.operations import Document, Operation, example, follow, operations

SCHEMA: Final = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"


def collection(document: Document, base_url: str) -> dict[str, Any]:
    """Return the collection. The credentials are its variables `clientId` and `clientSecret`, empty here."""
    folders: dict[str, list[dict[str, Any]]] = {}
    for operation in operations(document):
        folders.setdefault(operation.tag, []).append(_item(document, operation))
    title = document["info"]["title"]
    return {
        "info": {
            "_postman_id": str(uuid5(NAMESPACE_URL, f"{base_url}/postman.json")),
            "name": f"Juniper {title} {document['info']['version']}",
            "description": "Set the collection's variables clientId and clientSecret, then send. "
            f"The guides are at {base_url}/docs.",
            "schema": SCHEMA,
        },
        "auth": _oauth(),
        "item": [{"name": tag, "item": items} for tag, items in folders.items()],
        "variable": [
            {"key": "server", "value": base_url, "type": "string"},
            {"key": "clientId", "value": "", "type": "string"},
            {"key": "clientSecret", "value": "", "type": "string"},
        ],
    }


def _oauth() -> dict[str, Any]:
    values = {
        "grant_type": "client_credentials",
        "accessTokenUrl": "{{server}}/oauth2/token",
        "clientId": "{{clientId}}",
        "clientSecret": "{{clientSecret}}",
        "client_authentication": "header",
        "addTokenTo": "header",
        "headerPrefix": "Bearer",
    }
    return {
        "type": "oauth2",
        "oauth2": [{"key": key, "value": value, "type": "string"} for key, value in values.items()],
    }


def _item(document: Document, operation: Operation) -> dict[str, Any]:
    request: dict[str, Any] = {
        "method": operation.method,
        "description": operation.description or operation.title,
        "header": _headers(document, operation),
        "url": _url(document, operation),
    }
    if operation.open:
        request["auth"] = {"type": "noauth"}
    if operation.body is not None:
        request["body"] = _body(document, operation.body)
    return {"name": f"{operation.title} ({operation.id})", "request": request, "response": []}


def _headers(document: Document, operation: Operation) -> list[dict[str, Any]]:
    rows = [_pair(document, one) for one in operation.parameters if one["in"] == "header"]
    for row in rows:
        if row["key"] == "Idempotency-Key":
            row |= {"value": "{{$guid}}", "disabled": False}  # Postman's own: a new one for each sending
    if operation.body is not None and operation.body["type"] == "application/json":
        rows.append({"key": "Content-Type", "value": "application/json"})
    return rows


def _url(document: Document, operation: Operation) -> dict[str, Any]:
    path = operation.path if operation.at_root else "/v1" + operation.path
    segments = [f":{part[1:-1]}" if part.startswith("{") else part for part in path.strip("/").split("/")]
    query = [_pair(document, one) for one in operation.parameters if one["in"] == "query"]
    url: dict[str, Any] = {"raw": "{{server}}/" + "/".join(segments), "host": ["{{server}}"], "path": segments}
    if query:
        url["query"] = query
    variables = [_pair(document, one) for one in operation.parameters if one["in"] == "path"]
    if variables:
        url["variable"] = [{key: row[key] for key in ("key", "value", "description")} for row in variables]
    return url


def _pair(document: Document, parameter: Mapping[str, Any]) -> dict[str, Any]:
    value = parameter.get("example", example(document, parameter.get("schema", {})))
    return {
        "key": parameter["name"],
        "value": "" if value is None else str(value),
        "description": parameter.get("description", ""),
        "disabled": not parameter.get("required", False),
    }


def _body(document: Document, body: Mapping[str, Any]) -> dict[str, Any]:
    if body["type"] == "application/x-www-form-urlencoded":
        members = follow(document, body["schema"]).get("properties", {})
        known = {"client_id": "{{clientId}}", "client_secret": "{{clientSecret}}", "grant_type": "client_credentials"}
        rows = [{"key": name, "value": known.get(name, ""), "disabled": name not in known} for name in members]
        return {"mode": "urlencoded", "urlencoded": rows}
    text = json.dumps(example(document, body.get("schema", {})), indent=2, ensure_ascii=False)
    return {"mode": "raw", "raw": text, "options": {"raw": {"language": "json"}}}
