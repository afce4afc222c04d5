"""The operations of the served OpenAPI document: for the search, for Postman, and as Markdown."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

_METHODS: Final = ("get", "post", "put", "patch", "delete")
_DEPTH: Final = 6  # of examples: schemas may refer to themselves

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation, with its path's parameters and its references followed."""

    id: str
    method: str  # upper case
    path: str  # below the API's address, or the server's when at_root
    at_root: bool
    tag: str
    summary: str
    description: str
    parameters: tuple[Mapping[str, Any], ...]
    body: Mapping[str, Any] | None  # the media type's object, with "type" beside it
    responses: Mapping[str, Any]
    open: bool  # needs no token

    @property
    def title(self) -> str:
        """Return the summary, or the id in words."""
        words = words_of(self.id)
        return words if self.summary.lower() in {"", words.lower()} else self.summary


def words_of(operation_id: str) -> str:
    """Return `createOrder` as "Create order"."""
    spaced = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in operation_id).strip()
    return spaced[:1].upper() + spaced[1:]


def operations(document: Document) -> tuple[Operation, ...]:
    """Return all operations in the document's order."""
    return tuple(_operations(document))


def _operations(document: Document) -> Iterator[Operation]:
    for path, item in document["paths"].items():
        for method in _METHODS:
            if method in item:
                yield _operation(document, path, item, method)


def _operation(document: Document, path: str, item: Mapping[str, Any], method: str) -> Operation:
    found = item[method]
    shared = [*item.get("parameters", ()), *found.get("parameters", ())]
    return Operation(
        id=found.get("operationId", f"{method} {path}"),
        method=method.upper(),
        path=path,
        at_root="servers" in item,
        tag=next(iter(found.get("tags", ())), "Service"),
        summary=found.get("summary", ""),
        description=" ".join(found.get("description", "").split()),
        parameters=tuple(follow(document, parameter) for parameter in shared),
        body=_body(follow(document, found["requestBody"])) if "requestBody" in found else None,
        responses={status: follow(document, answer) for status, answer in found.get("responses", {}).items()},
        open="security" in found and not any("oauth2ClientCredentials" in way for way in found["security"]),
    )


def _body(body: Mapping[str, Any]) -> Mapping[str, Any]:
    kind, media = next(iter(body["content"].items()))
    return {"type": kind, **media}


def follow(document: Document, value: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return *value*, or what its reference names."""
    while "$ref" in value:
        found: Any = document
        for part in value["$ref"].removeprefix("#/").split("/"):
            found = found[part.replace("~1", "/").replace("~0", "~")]
        value = found
    return value


def example(document: Document, schema: Mapping[str, Any], depth: int = _DEPTH) -> Any:
    """Return a value that a schema's examples and types describe."""
    schema = follow(document, schema)
    if "example" in schema:
        return schema["example"]
    if schema.get("examples"):
        return schema["examples"][0]
    if "enum" in schema:
        return schema["enum"][0]
    if "allOf" in schema:
        return {key: value for part in schema["allOf"] for key, value in (example(document, part, depth) or {}).items()}
    for choice in ("anyOf", "oneOf"):
        if schema.get(choice):
            return example(document, schema[choice][0], depth)
    return _example_of_type(document, schema, depth)


def _example_of_type(document: Document, schema: Mapping[str, Any], depth: int) -> Any:
    kinds = schema.get("type", "object" if "properties" in schema else "string")
    kind = next((one for one in kinds if one != "null"), "null") if isinstance(kinds, list) else kinds
    if depth == 0:
        return None
    if kind == "object":
        members = schema.get("properties", {})
        return {name: example(document, member, depth - 1) for name, member in members.items()}
    if kind == "array":
        return [example(document, schema.get("items", {}), depth - 1)]
    if kind in {"integer", "number"}:
        return schema.get("default", schema.get("minimum", 1))
    return {"boolean": True, "null": None}.get(kind, _example_text(schema))


def _example_text(schema: Mapping[str, Any]) -> str:
    return {"date-time": "2026-11-23T12:00:00Z", "date": "2026-11-23", "uri": "https://example.com"}.get(
        schema.get("format", ""), str(schema.get("default", "text"))
    )


def as_markdown(document: Document) -> str:
    """Return the reference of all operations as Markdown, for readers without a browser."""
    parts = [
        "# API reference",
        "",
        f"Base URL: `{document['servers'][0]['url']}`. Every operation needs `Authorization: Bearer TOKEN` unless it "
        "says otherwise. The machine-readable form is at `/openapi.json` and `/openapi.yaml`.",
        "",
    ]
    tag = None
    for operation in sorted(operations(document), key=lambda one: _tag_order(document, one.tag)):
        if operation.tag != tag:
            tag = operation.tag
            parts += [f"## {tag}", ""]
        parts += _operation_markdown(document, operation)
    return "\n".join(parts)


def _tag_order(document: Document, tag: str) -> int:
    names = [one["name"] for one in document.get("tags", ())]
    return names.index(tag) if tag in names else len(names)


def _operation_markdown(document: Document, operation: Operation) -> Sequence[str]:
    lines = [f"### {operation.id}", "", f"`{operation.method} {operation.path}`", ""]
    if operation.open:
        lines += ["Needs no token.", ""]
    if text := " ".join(part for part in (operation.summary, operation.description) if part):
        lines += [text, ""]
    if operation.parameters:
        lines += ["| parameter | in | type | |", "|---|---|---|---|"]
        lines += [_parameter_row(document, parameter) for parameter in operation.parameters] + [""]
    if operation.body is not None:
        shown = example(document, operation.body.get("schema", {}))
        lines += [f"Body, `{operation.body['type']}`:", "", "```json", json.dumps(shown, indent=2), "```", ""]
    answers = [f"`{status}` {_one_line(answer)}" for status, answer in operation.responses.items()]
    return [*lines, "Answers: " + "; ".join(answers) + ".", ""]


def _parameter_row(document: Document, parameter: Mapping[str, Any]) -> str:
    schema = follow(document, parameter.get("schema", {}))
    kind = schema.get("type", "string")
    kind = " or ".join(kind) if isinstance(kind, list) else kind
    notes = [_one_line(parameter)]
    if parameter.get("required"):
        notes.append("Required.")
    if "enum" in schema:
        notes.append("One of " + ", ".join(f"`{value}`" for value in schema["enum"]) + ".")
    if "default" in schema:
        notes.append(f"Default `{schema['default']}`.")
    return f"| `{parameter['name']}` | {parameter['in']} | {kind} | {' '.join(filter(None, notes))} |"


def _one_line(described: Mapping[str, Any]) -> str:
    return " ".join(described.get("description", "").split()).replace("|", "\\|")
