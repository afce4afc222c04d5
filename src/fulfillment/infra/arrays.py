"""Columns as PostgreSQL's binary arrays: how many rows go into one statement.

psycopg writes a list as the text of an array, escaping each element: some 140 us of CPU for each order of a batch.
A binary array is a header and, for each element, its length and its bytes (docs/decisions/0007).
"""

import struct
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Final

import psycopg
from psycopg.abc import Buffer
from psycopg.adapt import Dumper
from psycopg.pq import Format

_HEADER: Final = struct.Struct(">iiIii")  # dimensions, has nulls, element type, length, lower bound
_LENGTH: Final = struct.Struct(">i")
_NULL: Final = _LENGTH.pack(-1)
_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_EPOCH_DAY: Final = _EPOCH.toordinal()
_MICROSECOND: Final = timedelta(microseconds=1)
# Types' numbers, fixed in PostgreSQL's catalogue: (array, element).
_TEXT: Final = (1009, 25)
_JSON: Final = (199, 114)
_BYTES: Final = (1001, 17)
_INT2: Final = (1005, 21)
_INT4: Final = (1007, 23)
_INT8: Final = (1016, 20)
_MOMENT: Final = (1185, 1184)
_DATE: Final = (1182, 1082)
_BOOLEAN: Final = (1000, 16)


class Array:
    """A finished binary array."""

    __slots__ = ("data", "oid")

    def __init__(self, oid: int, data: bytes) -> None:
        self.oid = oid
        self.data = data


def texts(values: Sequence[str | None]) -> Array:
    """Return a text[]."""
    return _of_bytes(_TEXT, [None if value is None else value.encode() for value in values])


def jsons(values: Sequence[str | None]) -> Array:
    """Return a json[] of JSON texts."""
    return _of_bytes(_JSON, [None if value is None else value.encode() for value in values])


def bytes_(values: Sequence[bytes | None]) -> Array:
    """Return a bytea[]."""
    return _of_bytes(_BYTES, values)


def smallints(values: Sequence[int]) -> Array:
    """Return a smallint[] without nulls."""
    return _of_fixed(_INT2, "h", 2, values)


def ints(values: Sequence[int]) -> Array:
    """Return an int[] without nulls."""
    return _of_fixed(_INT4, "i", 4, values)


def bigints(values: Sequence[int]) -> Array:
    """Return a bigint[] without nulls."""
    return _of_fixed(_INT8, "q", 8, values)


def booleans(values: Sequence[bool]) -> Array:
    """Return a boolean[] without nulls."""
    return _of_fixed(_BOOLEAN, "?", 1, values)


def moments(values: Sequence[datetime | None]) -> Array:
    """Return a timestamptz[]."""
    if None in values:
        packed = [None if value is None else struct.pack(">q", _microseconds(value)) for value in values]
        return _of_bytes(_MOMENT, packed)
    return _of_fixed(_MOMENT, "q", 8, [_microseconds(value) for value in values if value is not None])


def dates(values: Sequence[date]) -> Array:
    """Return a date[] without nulls."""
    return _of_fixed(_DATE, "i", 4, [value.toordinal() - _EPOCH_DAY for value in values])


def optional_ints(values: Sequence[int | None]) -> Array:
    """Return an int[]."""
    return _of_bytes(_INT4, [None if value is None else struct.pack(">i", value) for value in values])


def _microseconds(value: datetime) -> int:
    return (value - _EPOCH) // _MICROSECOND


def _of_bytes(types: tuple[int, int], values: Sequence[bytes | None]) -> Array:
    array, element = types
    parts = [_HEADER.pack(1, 1, element, len(values), 1)]
    for value in values:
        if value is None:
            parts.append(_NULL)
        else:
            parts.append(_LENGTH.pack(len(value)))
            parts.append(value)
    return Array(array, b"".join(parts))


def _of_fixed(types: tuple[int, int], letter: str, size: int, values: Sequence[int]) -> Array:
    array, element = types
    flat: list[int] = []
    for value in values:
        flat.append(size)
        flat.append(value)
    return Array(
        array, _HEADER.pack(1, 0, element, len(values), 1) + struct.pack(">" + ("i" + letter) * len(values), *flat)
    )


class _ArrayDumper(Dumper):
    format = Format.BINARY

    def get_key(self, obj: Array, format: object) -> tuple[type, int]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return what tells dumpers apart: arrays of different types need their own."""
        del format
        return (Array, obj.oid)  # pyright: ignore[reportReturnType]

    def upgrade(self, obj: Array, format: object) -> "_ArrayDumper":  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return a dumper that announces the array's own type."""
        del format
        dumper = type(self)(Array)
        dumper.oid = obj.oid
        return dumper

    def dump(self, obj: Array) -> Buffer:
        """Return the array as it is sent."""
        return obj.data


psycopg.adapters.register_dumper(Array, _ArrayDumper)
