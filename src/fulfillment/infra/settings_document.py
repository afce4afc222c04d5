"""The page docs/settings.md: `python -m fulfillment.infra.settings_document > docs/settings.md` writes it."""

import types
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from fulfillment.infra.settings import Settings

_HEAD: Final = """# Settings

Every setting comes from the environment, read once at the start; a wrong one stops the start with a sentence that names
it. `FULFILLMENT_SECRETS_DIR` names a folder with one file for each (`fulfillment_token_keys` and so on), as container
platforms mount them. Flags of `fulfillment serve` win over the environment.

| setting | default | values | meaning |
|---|---|---|---|
"""
_KINDS: Final[dict[Any, str]] = {
    bool: "true, false",
    int: "whole number",
    float: "number",
    Decimal: "decimal",
    Path: "path",
    SecretStr: "secret",
    str: "text",
}


def as_markdown() -> str:
    """Return the page."""
    return _HEAD + "".join(_row(name, field) for name, field in Settings.model_fields.items())


def _row(name: str, field: FieldInfo) -> str:
    return f"| `FULFILLMENT_{name.upper()}` | {_default(field)} | {_values(field)} | {_meaning(field)} |\n"


def _meaning(field: FieldInfo) -> str:
    text = (field.description or "").replace("|", "\\|")
    return text[:1].upper() + text[1:] + "."


def _default(field: FieldInfo) -> str:
    value = field.get_default()
    if value is None or value == ():
        return "none"
    if isinstance(value, tuple):
        return f"`{','.join(str(part) for part in value)}`"  # pyright: ignore[reportUnknownVariableType]
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _values(field: FieldInfo) -> str:
    bounds = [_bound(limit) for limit in field.metadata]
    return " ".join([_kind(field.annotation), *(bound for bound in bounds if bound)])


def _bound(limit: object) -> str:
    match limit:
        case Ge(ge=least):
            return f"≥ {least}"
        case Gt(gt=least):
            return f"> {least}"
        case Le(le=most):
            return f"≤ {most}"
        case _:
            return ""


def _kind(annotation: Any) -> str:
    if get_origin(annotation) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(annotation))
    if get_origin(annotation) is types.UnionType:
        return _kind(next(part for part in get_args(annotation) if part is not types.NoneType))
    if get_origin(annotation) is tuple:
        return _kind(get_args(annotation)[0]) + "s, comma separated"
    return _KINDS[annotation]


if __name__ == "__main__":
    import sys

    sys.stdout.write(as_markdown())
