"""The bounds that hold for all that the document describes, written where a schema names none of its own."""

from collections.abc import Iterator
from typing import Any, Final

_INT32: Final = (-(2**31), 2**31 - 1)
_INT64: Final = (-(2**63), 2**63 - 1)
_LONGEST: Final = {"date": 10, "date-time": 40, "email": 254}  # characters, by format
_LONGEST_PARAMETER: Final = 200  # a search, an id, a filter
_LONGEST_TEXT: Final = 1024 * 1024  # what no text of ours can pass: it came in a request, and no body may be larger
_MOST_ITEMS: Final = 100_000
# What is below these is a value, not a schema.
_VALUES: Final = frozenset({"example", "examples", "enum", "const", "default", "required"})

Node = dict[str, Any]


def declare(document: Node) -> None:
    """Give every text its length, every integer its format and range, and every list its length.

    Readers who check what they get, and tools that make tables or types from the document, need no guess.
    """
    for parameter in _parameters(document):
        for schema in _schemas(parameter):
            if _is(schema, "string") and "format" not in schema and "enum" not in schema:
                schema.setdefault("maxLength", _LONGEST_PARAMETER)
    for schema in _schemas(document):
        _bound(schema)


def _parameters(document: Node) -> Iterator[Node]:
    for item in document["paths"].values():
        for place in (item, *(member for member in item.values() if isinstance(member, dict))):
            yield from (one for one in place.get("parameters", ()) if "$ref" not in one)
    yield from document["components"].get("parameters", {}).values()


def _schemas(node: Any, *, names: bool = False) -> Iterator[Node]:
    """Yield every schema at or below *node*; with *names*, its keys are names of members and no keywords."""
    if isinstance(node, dict):
        if not names and isinstance(node.get("type"), str | list):
            yield node
        for key, value in node.items():
            if names or key not in _VALUES:
                yield from _schemas(value, names=not names and key == "properties")
    elif isinstance(node, list):
        for value in node:
            yield from _schemas(value)


def _is(schema: Node, kind: str) -> bool:
    types = schema["type"]
    return kind == types or (isinstance(types, list) and kind in types)


def _bound(schema: Node) -> None:
    if _is(schema, "string") and not {"enum", "const", "maxLength"} & schema.keys():
        schema["maxLength"] = _LONGEST.get(schema.get("format", ""), _LONGEST_TEXT)
    if _is(schema, "array"):
        schema.setdefault("maxItems", _MOST_ITEMS)
    if _is(schema, "integer"):
        _bound_integer(schema)


def _bound_integer(schema: Node) -> None:
    # The framework writes bounds of moments and whole numbers as it got them, and large ones as floats.
    for ours, theirs in (("minimum", "ge"), ("maximum", "le")):
        if theirs in schema:
            schema[ours] = schema.pop(theirs)
        if ours in schema:
            schema[ours] = max(_INT64[0], min(_INT64[1], int(schema[ours])))
    if "enum" in schema:
        schema |= {"minimum": min(schema["enum"]), "maximum": max(schema["enum"])}
    small = _INT32[0] <= schema.get("minimum", _INT64[0]) <= schema.get("maximum", _INT64[1]) <= _INT32[1]
    schema.setdefault("format", "int32" if small else "int64")
    schema.setdefault("minimum", _INT64[0])
    schema.setdefault("maximum", _INT64[1])
