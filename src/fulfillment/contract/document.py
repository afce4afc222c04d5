"""The OpenAPI document that the server serves: the contract, every addition, and the server's own addresses."""

import copy
import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from importlib import resources
from typing import Any, Final

import yaml

_METHODS: Final = ("get", "post", "put", "patch", "delete")
_DROPPED_SCHEMAS: Final = frozenset({"HTTPValidationError", "ValidationError"})


def build(base_url: str, generated: Mapping[str, Any], *, sandbox: bool) -> dict[str, Any]:
    """Return the served document.

    Args:
        base_url: Where the server is, without /v1.
        generated: What the framework knows of its routes; the contract's own words stand where both have them.
        sandbox: Whether the sandbox's operations are served.
    """
    document = copy.deepcopy(_written())
    document["servers"] = [{"url": base_url + "/v1", "description": "Sandbox" if sandbox else "Production"}]
    scheme = document["components"]["securitySchemes"]["oauth2ClientCredentials"]
    scheme["flows"]["clientCredentials"]["tokenUrl"] = base_url + "/oauth2/token"
    for path, item in generated.get("paths", {}).items():
        _add_path(document, path, copy.deepcopy(item), base_url)
    for path, item in document["paths"].items():
        if path in _ROOT_PATHS:
            item["servers"] = [{"url": base_url}]
    schemas = document["components"]["schemas"]
    for name, schema in generated.get("components", {}).get("schemas", {}).items():
        if name not in _DROPPED_SCHEMAS:
            schemas.setdefault(name, schema)
    for item in document["paths"].values():
        for method in _METHODS:
            if method in item:
                _complete(item[method])
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
    return document


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


def _complete(operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    responses.pop("422", None)  # the framework's own shape: ours is a problem
    responses.setdefault("default", {"$ref": "#/components/responses/Problem"})


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:
        """Write every value out: a reader should not have to follow anchors."""
        del data
        return True
