"""Barcodes as bare modules, to be drawn as vectors: Data Matrix and Code 128."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

import zxingcpp

from fulfillment.kernel.errors import FulfillmentError, Kind

DOT = 72 / 203  # points: one dot of a thermal printer at 203 dpi; modules are whole dots, so none is blurred
QUIET_MATRIX = 2  # modules of white around a Data Matrix; the standard asks for one
QUIET_LINEAR = 10  # modules of white on both sides of a Code 128
_NARROWEST = 2 * DOT  # 0.25 mm: what a hand scanner and a 200 dpi image still resolve


class BarcodeNotPossible(FulfillmentError):
    """The text can't be a barcode of this kind or size; the document was not made."""

    kind = Kind.INVALID
    code = "barcode_not_possible"
    title = "The barcode can't be made"


@dataclass(frozen=True, slots=True)
class Bar:
    """A dark rectangle, in modules from the top left corner."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Barcode:
    """The dark parts of a barcode without its quiet zone."""

    columns: int
    rows: int  # 1 for a linear code
    bars: tuple[Bar, ...]


@lru_cache(maxsize=1024)
def data_matrix(text: str) -> Barcode:
    """Return the square Data Matrix (ECC 200) of *text*.

    Raises:
        BarcodeNotPossible: *text* is empty or too long.
    """
    cells = _cells(text, zxingcpp.BarcodeFormat.DataMatrix)
    bars = [bar for y, row in enumerate(cells) for bar in _bars(row, y)]
    return Barcode(len(cells[0]), len(cells), tuple(bars))


@lru_cache(maxsize=1024)
def code_128(text: str) -> Barcode:
    """Return the Code 128 of *text*, one module high.

    Raises:
        BarcodeNotPossible: *text* is empty, too long or outside ISO 8859-1.
    """
    row = _cells(text, zxingcpp.BarcodeFormat.Code128)[0]
    return Barcode(len(row), 1, tuple(_bars(row, 0)))


def module_width(columns: int, room: float) -> float:
    """Return the widest module of whole printer dots with which *columns* fit into *room* points.

    Raises:
        BarcodeNotPossible: A module would be too narrow to be read.
    """
    width = int(room / columns / DOT) * DOT
    if width < _NARROWEST:
        raise BarcodeNotPossible("The text is too long for a readable barcode on this document.", columns=columns)
    return width


def _cells(text: str, kind: zxingcpp.BarcodeFormat) -> list[list[int]]:
    try:
        barcode = zxingcpp.create_barcode(text, kind, force_square=True)  # pyright: ignore[reportUnknownMemberType]
    except ValueError as error:
        raise BarcodeNotPossible(
            "The text of a barcode must not be empty, too long or, in Code 128, outside Latin-1.",
            symbology=kind.name,
            length=len(text),
        ) from error
    image = barcode.to_image(scale=1, add_quiet_zones=False)
    # The image is a buffer of two dimensions, rows by columns of bytes; the library's stub knows neither.
    return cast("list[list[int]]", memoryview(cast(Any, image)).tolist())


def _bars(row: list[int], y: int) -> list[Bar]:
    """Return the dark runs of one row: neighbours drawn as one leave no hairline between them."""
    edges = [x for x in range(len(row) + 1) if _dark(row, x) != _dark(row, x - 1)]
    return [Bar(start, y, end - start, 1) for start, end in zip(edges[::2], edges[1::2], strict=True)]


def _dark(row: list[int], x: int) -> bool:
    return 0 <= x < len(row) and row[x] < 128
