"""The bounds that the served document names, where a schema has none of its own."""

import pytest

from fulfillment.contract.bounds import declare


@pytest.mark.parametrize(
    ("schema", "added"),
    [
        ({"type": "string"}, {"maxLength": 1048576}),
        ({"type": "string", "format": "date"}, {"maxLength": 10}),
        ({"type": ["string", "null"], "maxLength": 7}, {}),
        ({"type": "string", "enum": ["A"]}, {}),
        ({"type": "array"}, {"maxItems": 100000}),
        ({"type": "integer"}, {"format": "int64", "minimum": -(2**63), "maximum": 2**63 - 1}),
        ({"type": "integer", "minimum": 1, "maximum": 9.3e18}, {"format": "int64", "maximum": 2**63 - 1}),
        ({"type": "integer", "ge": 1, "le": 100}, {"format": "int32", "minimum": 1, "maximum": 100}),
        ({"type": "integer", "enum": [60, 30]}, {"format": "int32", "minimum": 30, "maximum": 60}),
    ],
)
def test_a_schema_gets_what_it_lacks(schema: dict[str, object], added: dict[str, object]) -> None:
    """A length, a format, a range: each where the schema has none, within 64 bits."""
    kept = {key: value for key, value in schema.items() if key not in {"ge", "le"}}

    declare({"paths": {}, "components": {"schemas": {"It": schema}}})

    assert schema == kept | added


def test_a_member_may_have_any_name() -> None:
    """A member called type, default or example is a member, and an example is no schema."""
    members: dict[str, dict[str, object]] = {name: {"type": "string"} for name in ("type", "default", "example")}
    example = {"type": "string"}

    declare({"paths": {}, "components": {"schemas": {"It": {"properties": members, "example": example}}}})

    assert members == {name: {"type": "string", "maxLength": 1048576} for name in ("type", "default", "example")}
    assert example == {"type": "string"}


def test_a_parameter_is_short() -> None:
    """A text in a URL or a header has 200 characters, unless it is a list of names."""
    parameter = {"name": "search", "in": "query", "schema": {"type": "string"}}

    declare({"paths": {"/": {"get": {"parameters": [parameter]}}}, "components": {}})

    assert parameter["schema"] == {"type": "string", "maxLength": 200}
