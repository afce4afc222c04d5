"""Reading a file of products: JSON lines or CSV, every row checked before any is written."""

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from pydantic import ValidationError

from fulfillment.catalog.domain import ImportInvalid, NewProduct
from fulfillment.catalog.facts import FactsPanel, FactsPanelInvalid, denied
from fulfillment.catalog.wire import ProductIn
from fulfillment.infra.jsontext import MalformedJson, read
from fulfillment.kernel.errors import FieldError

Progress = Callable[[int, int], None]  # bytes read, of how many
Raw = tuple[int, dict[str, Any] | FieldError]  # a row's number, and its fields or why it has none

_MOST_FAULTS: Final = 1000
_NUMBERS: Final = frozenset({"id", "pillsPerDayLimit", "stock"})
_TRUTHS: Final = {"true": True, "false": False}
_BOOLEANS: Final = frozenset({"external", "stimulant"})
_NESTED: Final = frozenset(
    {
        "recommendedUsage",
        "certifications",
        "allergens",
        "containsAllergens",
        "supplementFactsPanel",
        "searchTerms",
    }
)


@dataclass(frozen=True, slots=True)
class ProductRow:
    """A checked row."""

    number: int  # as a spreadsheet or an editor counts: from 1, a CSV's header included
    product: NewProduct
    stock: int  # pills or units


def read_rows(path: Path, progress: Progress | None = None) -> list[ProductRow]:
    """Return the products of a file, ``.csv`` or JSON lines.

    Columns and members are those of the contract's Product, with ``listPrice`` (dollars, a decimal string) in the
    place of ``price``, and ``stimulant``, ``containsAllergens``, ``searchTerms``, ``pillsPerDayLimit``, ``stock``. A
    CSV's lists and objects are JSON in their cells; an empty cell is an absent value.

    Raises:
        ImportInvalid: With an error for each fault of each row; its pointer is ``row 17, listPrice``.
    """
    rows: list[ProductRow] = []
    faults: list[FieldError] = []
    first_rows: dict[int, int] = {}
    for number, raw in _raw_rows(path, progress or (lambda done, total: None)):
        row = raw if isinstance(raw, FieldError) else _checked(number, raw, faults)
        if isinstance(row, FieldError):
            faults.append(FieldError(f"row {number}{row.pointer}", row.message))
        elif row is not None:
            first = first_rows.setdefault(row.product.id, number)
            if first != number:
                faults.append(FieldError(f"row {number}, id", f"Row {first} has this id too."))
            rows.append(row)
    if faults:
        raise ImportInvalid(_sentence(len(faults)), errors=faults[:_MOST_FAULTS])
    return rows


def _sentence(count: int) -> str:
    shown = f" The first {_MOST_FAULTS:,} are named." if count > _MOST_FAULTS else ""
    return f"The file has {count:,} fault{'s' if count > 1 else ''}; nothing was imported.{shown}"


def _raw_rows(path: Path, progress: Progress) -> Iterator[Raw]:
    try:
        total = path.stat().st_size
        with path.open("rb") as file:
            lines = _told(file, total, progress)
            yield from _csv_rows(lines) if path.suffix.lower() == ".csv" else _json_rows(lines)
    except OSError as error:
        raise ImportInvalid(f"The file can't be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise ImportInvalid("The file is not UTF-8. Save it as UTF-8 and try again.") from None
    except csv.Error as error:
        raise ImportInvalid(f"The file is not readable as CSV: {error}.") from None


def _told(file: Iterator[bytes], total: int, progress: Progress) -> Iterator[bytes]:
    done = 0
    for line in file:
        done += len(line)
        yield line
        progress(done, total)


def _json_rows(lines: Iterator[bytes]) -> Iterator[Raw]:
    for number, line in enumerate(lines, 1):
        text = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
        if not text.strip():
            continue
        try:
            value = read(text)
        except MalformedJson as error:
            yield number, FieldError("", error.detail.replace("The body", "The row"))
            continue
        yield number, value if isinstance(value, dict) else FieldError("", "It must be a JSON object.")


def _csv_rows(lines: Iterator[bytes]) -> Iterator[Raw]:
    texts = (line.decode("utf-8-sig" if place == 0 else "utf-8") for place, line in enumerate(lines))
    records = csv.reader(texts, strict=True)
    header = next(records, [])
    faults = list(_header_faults(header))
    yield from ((1, fault) for fault in faults)
    if faults:
        return
    for number, cells in enumerate(records, 2):
        if not any(cells):
            continue
        if len(cells) > len(header):
            yield number, FieldError("", f"It has {len(cells)} cells, the header {len(header)}.")
            continue
        yield number, _from_cells(dict(zip(header, cells, strict=False)))


def _header_faults(header: list[str]) -> Iterator[FieldError]:
    if not header:
        yield FieldError("", "The first row must name the columns.")
    known = ProductIn.model_fields
    for place, name in enumerate(header):
        if name not in known:
            yield FieldError(f", {name or 'column ' + str(place + 1)}", "There is no such column.")
        elif name in header[:place]:
            yield FieldError(f", {name}", "The column is there twice.")
    for name, field in known.items():
        if header and field.is_required() and name not in header:
            yield FieldError(f", {name}", "The column is missing.")


def _from_cells(cells: dict[str, str]) -> dict[str, Any] | FieldError:
    values: dict[str, Any] = {}
    for name, cell in cells.items():
        text = cell.strip()
        if text == "":
            continue
        if name in _NESTED:
            try:
                values[name] = read(text.encode())
            except MalformedJson as error:
                return FieldError(f", {name}", error.detail.replace("The body", "The cell"))
        elif name in _NUMBERS and text.isascii() and text.isdigit():
            values[name] = int(text[:30])
        elif name in _BOOLEANS:
            values[name] = _TRUTHS.get(text.lower(), text)
        else:
            values[name] = text
    return values


def _checked(number: int, raw: dict[str, Any], faults: list[FieldError]) -> ProductRow | None:
    found = list(_panel_faults(raw.get("supplementFactsPanel")))
    try:
        row = ProductIn.model_validate(raw)
    except ValidationError as error:
        found += [
            FieldError("/".join(str(part) for part in fault["loc"]), fault["msg"].removeprefix("Value error, "))
            for fault in error.errors(include_input=False, include_url=False)
        ]
    else:
        found += _claim_faults(row)
        if not found:
            return ProductRow(number, row.to_new_product(), row.stock)
    faults += [FieldError(f"row {number}, {fault.pointer}", fault.message) for fault in found]
    return None


def _panel_faults(panel: object) -> Iterator[FieldError]:
    if not isinstance(panel, dict):
        return  # absent, or of a wrong type, which the row's own check names
    try:
        FactsPanel.of(cast("object", panel))
    except FactsPanelInvalid as error:
        yield from (FieldError(fault.pointer.removeprefix("/"), fault.message) for fault in error.errors)


def _claim_faults(row: ProductIn) -> list[FieldError]:
    return [
        FieldError("allergens", f"{claim} can't be: it contains {', '.join(row.containsAllergens)}.")
        for claim in row.allergens
        if denied(claim, row.containsAllergens)
    ]
