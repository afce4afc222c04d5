"""The OpenAPI document that the server serves: the contract, every addition, and the server's own addresses."""

import copy
import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from importlib import resources
from typing import Any, Final

import yaml

from fulfillment.contract import bounds

_METHODS: Final = ("get", "post", "put", "patch", "delete")
_BOTH_WAYS: Final = ("Address", "Administration", "Customer")  # the contract's shapes that are sent and answered
_ERASED_STATE: Final = "XX"  # orders of a customer who was erased are answered with it; no request may name it
# Shapes that the contract writes inside objects that may be null: generators of clients stumble unless they have names.
_NAMED: Final = {
    ("FulfillmentInfo", "checkpoints"): "Checkpoint",
    ("SupplementFactsPanel", "ingredients"): "Ingredient",
}
_DROPPED_SCHEMAS: Final = frozenset({"HTTPValidationError", "ValidationError"})


def build(base_url: str, generated: Mapping[str, Any], *, sandbox: bool) -> dict[str, Any]:
    """Return the served document.

    Args:
        base_url: Where the server is, without /v1.
        generated: What the framework knows of its routes; the contract's own words stand where both have them.
        sandbox: Whether the sandbox's operations are served.
    """
    document = copy.deepcopy(_written())
    description = "Sandbox" if sandbox else "Production"
    document["servers"] = [{"url": base_url + "/v1", "description": description, "x-internal": False}]
    scheme = document["components"]["securitySchemes"]["oauth2ClientCredentials"]
    scheme["flows"]["clientCredentials"]["tokenUrl"] = base_url + "/oauth2/token"
    for path, item in generated.get("paths", {}).items():
        _add_path(document, path, copy.deepcopy(item), base_url)
    for path, item in document["paths"].items():
        if path in _ROOT_PATHS:
            item["servers"] = [{"url": base_url}]
    _add_schemas(document, generated.get("components", {}).get("schemas", {}))
    for path, item in document["paths"].items():
        for operation in _operations(item):
            _complete(operation, limited=path not in _ROOT_PATHS)
            _never_null(operation)
    everything = [*document["paths"].values(), *document.get("webhooks", {}).values()]
    for operation in (operation for item in everything for operation in _operations(item)):
        _give_summary(operation)
    used = {tag for item in document["paths"].values() for operation in _operations(item) for tag in operation["tags"]}
    document["tags"] = [tag for tag in document["tags"] if tag["name"] in used]
    _tidy(document)
    bounds.declare(document)
    return document


def as_json(document: Mapping[str, Any]) -> bytes:
    """Return *document* as JSON."""
    return json.dumps(document, ensure_ascii=False, indent=1).encode()


def as_yaml(document: Mapping[str, Any]) -> bytes:
    """Return *document* as YAML."""
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120).encode()


def methods_of(document: Mapping[str, Any]) -> Callable[[str], Sequence[str]]:
    """Return a function that says which methods a concrete path answers; none when nothing is there."""
    known: list[tuple[re.Pattern[str], list[str]]] = []
    literal: dict[str, list[str]] = {}
    for path, item in document["paths"].items():
        full = path if "servers" in item else "/v1" + path
        pattern = re.compile(re.sub(r"\\\{[^}]+\\\}", "[^/]+", re.escape(full)))
        methods = [method.upper() for method in _METHODS if method in item]
        if "GET" in methods:
            methods.append("HEAD")
        known.append((pattern, methods))
        if "{" not in full:
            literal[full] = methods

    def allowed(path: str) -> Sequence[str]:
        if path in literal:
            return literal[path]  # /orders/preview is not an order
        found: list[str] = []
        for pattern, methods in known:
            if pattern.fullmatch(path):
                found.extend(method for method in methods if method not in found)
        return found

    return allowed


_ROOT_PATHS: Final = frozenset(
    {"/oauth2/token", "/livez", "/readyz", "/openapi.json", "/openapi.yaml", "/.well-known/oauth-authorization-server"}
)


def _read(text: str) -> dict[str, Any]:
    # libyaml reads the contract ten times as fast as PyYAML's own parser: a fifth of a second of every start.
    return yaml.load(text, Loader=yaml.CSafeLoader)


@lru_cache(maxsize=1)
def _written() -> dict[str, Any]:
    folder = resources.files("fulfillment.contract")
    document: dict[str, Any] = _read((folder / "openapi.yaml").read_text())
    for name in sorted(entry.name for entry in folder.iterdir() if entry.name.startswith("additions")):
        _merge(document, _read((folder / name).read_text()))
    schemas = document["components"]["schemas"]
    _close(schemas)
    for (schema, member), name in _NAMED.items():
        items = schemas[schema]["properties"][member]
        schemas[name], items["items"] = items["items"], {"$ref": f"#/components/schemas/{name}"}
    return document


def _close(schemas: dict[str, Any]) -> None:
    """Give requests shapes of their own, which hold the named members only; what we answer may get more of them."""
    for name in _BOTH_WAYS:
        schemas[f"{name}Create"] = copy.deepcopy(schemas[name]) | {"additionalProperties": False}
    for asked in ("OrderCreate", "ProtocolUpdate", "LineItemCreate", "CustomerCreate"):
        _rename(schemas[asked], {f"#/components/schemas/{name}": f"{name}Create" for name in _BOTH_WAYS})
    state = schemas["Address"]["properties"]["state"]
    state["enum"] = [*state["enum"], _ERASED_STATE]


def _rename(node: object, names: Mapping[str, str]) -> None:
    if isinstance(node, dict):
        members: dict[str, Any] = node  # pyright: ignore[reportUnknownVariableType]
        if members.get("$ref") in names:
            members["$ref"] = f"#/components/schemas/{names[members['$ref']]}"
        for value in members.values():
            _rename(value, names)
    elif isinstance(node, list):
        for value in node:  # pyright: ignore[reportUnknownVariableType]
            _rename(value, names)


def _merge(into: dict[str, Any], added: Mapping[str, Any]) -> None:
    for key, value in added.items():
        here = into.get(key)
        if isinstance(here, dict) and isinstance(value, dict) and "$replace" not in value:
            _merge(here, value)
        elif isinstance(here, list) and isinstance(value, list) and key in {"tags", "parameters"}:
            here.extend(value)
        else:
            into[key] = (
                {name: member for name, member in value.items() if name != "$replace"}
                if isinstance(value, dict)
                else value
            )


def _add_path(document: dict[str, Any], path: str, item: dict[str, Any], base_url: str) -> None:
    inside = path.startswith("/v1/")
    place = path.removeprefix("/v1") if inside else path
    here = document["paths"].setdefault(place, {} if inside else {"servers": [{"url": base_url}]})
    for method, operation in item.items():
        here.setdefault(method, operation)


def _add_schemas(document: dict[str, Any], generated: Mapping[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    added = {name: schema for name, schema in generated.items() if name not in _DROPPED_SCHEMAS | schemas.keys()}
    schemas.update(copy.deepcopy(added))
    # A route whose operation the contract describes brings a shape that nothing refers to.
    while unused := [
        name for name in added if name in schemas and not _refers(document, f"#/components/schemas/{name}")
    ]:
        for name in unused:
            del schemas[name]


def _refers(node: object, reference: str) -> bool:
    if isinstance(node, dict):
        members: dict[str, Any] = node  # pyright: ignore[reportUnknownVariableType]
        return members.get("$ref") == reference or any(_refers(value, reference) for value in members.values())
    return isinstance(node, list) and any(_refers(value, reference) for value in node)  # pyright: ignore[reportUnknownVariableType]


def _operations(item: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [item[method] for method in _METHODS if method in item]


def _complete(operation: dict[str, Any], *, limited: bool) -> None:
    responses = operation["responses"]
    responses.pop("422", None)  # the framework's own shape: ours is a problem
    if limited:
        responses.setdefault("401", {"$ref": "#/components/responses/Unauthorized"})
        responses.setdefault("429", {"$ref": "#/components/responses/TooManyRequests"})
    responses.setdefault("4XX", {"$ref": "#/components/responses/Problem"})
    responses.setdefault("default", {"$ref": "#/components/responses/Problem"})
    for status, response in responses.items():
        if status[0] in "24" and "$ref" not in response:
            headers = response.setdefault("headers", {})
            for name in ("RateLimit", "Access-Control-Allow-Origin"):
                headers.setdefault(name, {"$ref": f"#/components/headers/{name}"})


def _never_null(operation: dict[str, Any]) -> None:
    # The framework knows that a parameter may be left out as "or null"; in a query no value is null.
    for parameter in operation.get("parameters", ()):
        choices = parameter.get("schema", {}).pop("anyOf", None)
        if choices is not None:
            parameter["schema"] |= next(one for one in choices if one != {"type": "null"})


def _give_summary(operation: dict[str, Any]) -> None:
    # Tools list operations by their summary; the contract's have names that say as much.
    words = re.sub(r"(?<=[a-z])([A-Z])", r" \1", operation["operationId"]).lower()
    operation.setdefault("summary", words[0].upper() + words[1:])


def _tidy(node: object) -> None:
    """Mend what is no member of OpenAPI: the framework's bounds of moments, text that a comma in the contract cut."""
    if isinstance(node, dict):
        members: dict[str, Any] = node  # pyright: ignore[reportUnknownVariableType]
        if members.get("type") == "string":
            for name in ("ge", "le"):
                members.pop(name, None)
        for name in [name for name, value in members.items() if value is None and " " in name]:
            del members[name]
            members["description"] = f"{members['description']}, {name}"
        for value in members.values():
            _tidy(value)
    elif isinstance(node, list):
        for value in node:  # pyright: ignore[reportUnknownVariableType]
            _tidy(value)


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:
        """Write every value out: a reader should not have to follow anchors."""
        del data
        return True
