"""Between the wire's camelCase JSON and frozen dataclasses with snake_case attributes.

A dataclass is its own schema: the type of each field says how it is read. What a newer server adds is never
an error: unknown members stay in ``raw``, unknown values of an enum stay text.
"""

import dataclasses
import types
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from enum import Enum, StrEnum
from functools import cache
from typing import Any, Final, Self, Union, cast, get_args, get_origin, get_type_hints

Json = Mapping[str, Any]

# Field metadata. None is sent as null, which clears; where the contract forbids null, None is left out.
OMIT_NONE: Final[Mapping[str, bool]] = {"omit_none": True}


class Unset(Enum):
    """The value of a field nobody has set; unlike None, which clears."""

    UNSET = "UNSET"

    def __repr__(self) -> str:
        """Read as the name people write."""
        return "UNSET"


UNSET: Final = Unset.UNSET


class WireMismatch(ValueError):
    """A value of the wire has not the shape the contract promises. Names the place, never the value."""


@dataclasses.dataclass(frozen=True, slots=True)
class Model:
    """A dataclass that can be read from and written to the wire."""

    @classmethod
    def from_wire(cls, found: Json) -> Self:
        """Read one object of the contract.

        Raises:
            WireMismatch: A promised member is missing or malformed.
        """
        return _decode(cls, found, cls.__name__)

    def to_wire(self) -> dict[str, Any]:
        """Write the object as the contract has it. What is only in ``raw`` is not written."""
        return _encode_model(self)


@dataclasses.dataclass(frozen=True, slots=True)
class Record(Model):
    """A model the server writes."""

    # The object as it came, with whatever this version of the SDK has no attribute for.
    raw: Json = dataclasses.field(
        default_factory=dict[str, Any], kw_only=True, repr=False, compare=False, metadata={"raw": True}
    )


_Reader = Callable[[Any, str], Any]  # the wire's value and its place


@dataclasses.dataclass(frozen=True, slots=True)
class _Field:
    name: str
    wire: str
    read: _Reader
    required: bool
    nullable: bool
    omit_none: bool


@dataclasses.dataclass(frozen=True, slots=True)
class _Plan:
    fields: tuple[_Field, ...]
    keeps_raw: bool


def camel(name: str) -> str:
    """Return the wire's spelling of an attribute's name."""
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


def encode(value: object) -> Any:
    """Return *value* as JSON values: models, enums, Decimals and dates anywhere inside it included.

    Raises:
        ValueError: A datetime has no time zone.
    """
    if isinstance(value, Model):
        return _encode_model(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, datetime):
        return _instant_text(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {key: encode(item) for key, item in cast("Mapping[str, object]", value).items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [encode(item) for item in cast("Sequence[object]", value)]
    return value


def _encode_model(model: Model) -> dict[str, Any]:
    found = {field: getattr(model, field.name) for field in _plan(type(model)).fields}
    return {
        field.wire: encode(value)
        for field, value in found.items()
        if value is not UNSET and not (value is None and field.omit_none)
    }


def _instant_text(value: datetime) -> str:
    if value.tzinfo is None:
        raise ValueError("a datetime needs a time zone: give datetime.now(UTC), not datetime.now()")
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _decode(model: type[Any], found: object, place: str) -> Any:
    if not isinstance(found, Mapping):
        raise WireMismatch(f"{place} is not an object")
    members = cast("Mapping[str, object]", found)
    plan = _plan(model)
    values: dict[str, Any] = {"raw": members} if plan.keeps_raw else {}
    for field in plan.fields:
        value = members.get(field.wire)
        if field.wire in members and (value is not None or field.nullable or field.required):
            values[field.name] = field.read(value, f"{place}.{field.wire}")
        elif field.required:
            raise WireMismatch(f"{place}.{field.wire} is missing")
    return model(**values)


@cache
def _plan(model: type[Any]) -> _Plan:
    """Work out once for each class how it is read and written."""
    hints = get_type_hints(model)
    fields = dataclasses.fields(model)
    return _Plan(
        tuple(_field(field, hints[field.name]) for field in fields if not field.metadata.get("raw")),
        keeps_raw=any(field.metadata.get("raw") for field in fields),
    )


def _field(field: dataclasses.Field[Any], hint: Any) -> _Field:
    optional = field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
    return _Field(
        field.name,
        camel(field.name),
        _reader(hint),
        required=not optional,
        nullable=type(None) in get_args(hint),
        omit_none=bool(field.metadata.get("omit_none")),
    )


def _reader(hint: Any) -> _Reader:
    if get_origin(hint) in {Union, types.UnionType}:
        return _union_reader(get_args(hint))
    if get_origin(hint) is tuple:
        return _tuple_reader(_reader(get_args(hint)[0]))
    if get_origin(hint) is not None or hint is Any:
        return _as_is
    if issubclass(hint, Model):
        return lambda found, place: _decode(hint, found, place)
    if issubclass(hint, StrEnum):
        return _enum_reader(hint)
    return _SCALARS.get(hint, _as_is)


def _union_reader(members: tuple[Any, ...]) -> _Reader:
    """Read `X | None` and `SomeEnum | str`: the first member decides, null is None where None is a member."""
    meant = [member for member in members if member not in {type(None), Unset}]
    read = _reader(meant[0])
    if type(None) not in members:
        return read
    return lambda found, place: None if found is None else read(found, place)


def _tuple_reader(read: _Reader) -> _Reader:
    def read_all(found: Any, place: str) -> Any:
        if not isinstance(found, list):
            raise WireMismatch(f"{place} is not an array")
        rows = cast("list[object]", found)
        return tuple(read(row, f"{place}[{index}]") for index, row in enumerate(rows))

    return read_all


def _enum_reader(enum: type[StrEnum]) -> _Reader:
    known = {member.value: member for member in enum}

    def read(found: Any, place: str) -> Any:
        text = _text(found, place)
        return known.get(text, text)

    return read


def _as_is(found: Any, place: str) -> Any:
    del place
    return found


def _text(found: Any, place: str) -> str:
    if not isinstance(found, str):
        raise WireMismatch(f"{place} is not text")
    return found


def _integer(found: Any, place: str) -> int:
    if not isinstance(found, int) or isinstance(found, bool):
        raise WireMismatch(f"{place} is not an integer")
    return found


def _number(found: Any, place: str) -> float:
    if not isinstance(found, int | float) or isinstance(found, bool):
        raise WireMismatch(f"{place} is not a number")
    return float(found)


def _boolean(found: Any, place: str) -> bool:
    if not isinstance(found, bool):
        raise WireMismatch(f"{place} is not true or false")
    return found


def _dollars(found: Any, place: str) -> Decimal:
    try:
        amount = Decimal(_text(found, place))
    except InvalidOperation:
        raise WireMismatch(f"{place} is not a decimal string") from None
    if not amount.is_finite():
        raise WireMismatch(f"{place} is not a decimal string")
    return amount


def _instant(found: Any, place: str) -> datetime:
    try:
        at = datetime.fromisoformat(_text(found, place))
    except ValueError:
        raise WireMismatch(f"{place} is not a date and time") from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


_SCALARS: Final[Mapping[Any, _Reader]] = {
    str: _text,
    int: _integer,
    float: _number,
    bool: _boolean,
    Decimal: _dollars,
    datetime: _instant,
}
