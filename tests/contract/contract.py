"""The contract file, read past our code: its operations, and validators of requests and responses."""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import httpx2
import yaml
from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

FILE: Final = Path(__file__).parents[2] / "contract" / "openapi.yaml"
METHODS: Final = ("get", "post", "put", "patch", "delete")
_URI: Final = "contract:"


@cache
def contract() -> dict[str, Any]:
    """Return the contract file."""
    return yaml.safe_load(FILE.read_text())


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation of a document."""

    id: str
    method: str
    path: str
    node: dict[str, Any]

    def matches(self, method: str, path: str) -> bool:
        """Say whether a request's method and path (below /v1) are this operation's."""
        pattern = re.sub(r"\\\{[^}]+\\\}", "[^/]+", re.escape(self.path))
        return method.lower() == self.method and re.fullmatch(pattern, path) is not None


def operations(document: dict[str, Any]) -> list[Operation]:
    """Return all operations of a document."""
    return [
        Operation(node["operationId"], method, path, node)
        for path, item in document["paths"].items()
        for method, node in item.items()
        if method in METHODS
    ]


@cache
def _registry() -> Registry[Any]:
    resource = Resource.from_contents(contract(), default_specification=DRAFT202012)
    return Registry().with_resource(_URI, resource)


def faults(schema: dict[str, Any], value: object) -> list[str]:
    """Return what is wrong with *value* by a schema of the contract file."""
    absolute = _absolute(schema)
    validator = Draft202012Validator(absolute, registry=_registry(), format_checker=FormatChecker())
    return [f"{'/'.join(map(str, error.absolute_path))}: {error.message}" for error in validator.iter_errors(value)]


def _absolute(node: Any) -> Any:
    if isinstance(node, dict):
        return {
            key: _URI + value if key == "$ref" and value.startswith("#") else _absolute(value)
            for key, value in node.items()
        }
    return [_absolute(value) for value in node] if isinstance(node, list) else node


def resolve(node: dict[str, Any]) -> dict[str, Any]:
    """Return what a node refers to, or the node."""
    while "$ref" in node:
        at: Any = contract()
        for step in node["$ref"].removeprefix("#/").split("/"):
            at = at[step]
        node = at
    return node


def response_faults(operation: Operation, answer: httpx2.Response) -> list[str]:
    """Return what is wrong with an answer of *operation*: status, content type, body."""
    responses = operation.node["responses"]
    response = resolve(responses.get(str(answer.status_code)) or responses["default"])
    if str(answer.status_code) not in responses and answer.status_code < 400:
        return [f"status {answer.status_code} is none of the operation's"]
    content = response.get("content")
    if content is None:
        return [] if answer.content == b"" else ["a body where the contract has none"]
    kind = answer.headers["content-type"].split(";")[0]
    if kind not in content:
        return [f"content type {kind}"]
    return faults(content[kind]["schema"], answer.json())


def body_faults(operation: Operation, body: object) -> list[str]:
    """Return what is wrong with a request's body by the contract."""
    return faults(operation.node["requestBody"]["content"]["application/json"]["schema"], body)


def operation_of(answer: httpx2.Response) -> Operation:
    """Return the operation of the contract that an answer is of."""
    path = urlsplit(str(answer.request.url)).path.removeprefix("/v1")
    (found,) = [operation for operation in operations(contract()) if operation.matches(answer.request.method, path)]
    return found
