"""Files of orders to import: CSV with a line for each product, or a JSON object a line. Pure but for the reading."""

import csv
import hashlib
import io
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from fulfillment.kernel.errors import FieldError, ValidationFailed

_SLOTS: Final = ("morning", "afternoon", "evening", "sleep")
_CUSTOMER: Final = ("sourceId", "firstName", "lastName", "email", "phone")
_ADDRESS: Final = ("line1", "line2", "city", "state", "zipCode")
_ORDER: Final = ("daysSupply", "shippingMethod", "orderType")
_LINE: Final = ("productId", "quantity", "packDescription", *_SLOTS)
COLUMNS: Final = ("order", *_CUSTOMER, *_ADDRESS, *_ORDER, *_LINE)
_NEEDED: Final = frozenset(
    {"sourceId", "firstName", "lastName", "line1", "city", "state", "zipCode", "daysSupply", "shippingMethod"}
    | {"productId", "quantity"}
)
_NUMBERS: Final = frozenset({"daysSupply", "productId", "quantity", *_SLOTS})


@dataclass(frozen=True, slots=True)
class Row:
    """One order of a file."""

    line: int  # where it begins, from 1
    body: Mapping[str, Any]  # createOrder's
    key: str  # the same for the same order of the same file, whenever it is read


def read_orders(file: Path) -> Sequence[Row]:
    """Return the orders of a file: all of them, or the faults of all that can't be read.

    A row's key is its own (`order` in CSV, `idempotencyKey` in JSON) or made from its content; the second of two equal
    rows gets another key than the first.

    Raises:
        ValidationFailed: The file or some of its rows can't be read; every fault is named with its line.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ValidationFailed(f"{file} can't be read as UTF-8 text: {type(error).__name__}.") from None
    faults: list[FieldError] = []
    read = _read_csv if file.suffix.lower() == ".csv" else _read_lines
    found = list(read(text, faults))
    if faults:
        raise ValidationFailed(f"{file} has rows that can't be read; nothing was sent.", errors=faults)
    if not found:
        raise ValidationFailed(f"{file} holds no orders.")
    return _with_keys(found)


def _with_keys(found: Sequence[tuple[int, dict[str, Any], str]]) -> Sequence[Row]:
    seen: Counter[str] = Counter()
    rows: list[Row] = []
    for line, body, given in found:
        content = given or json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        seen[content] += 1
        # A name of the partner's own must hold whatever the row says: then a changed row is refused, not made anew.
        text = f"{'name' if given else 'content'}\n{content}\n{0 if given else seen[content]}"
        rows.append(Row(line, body, "import-" + hashlib.sha256(text.encode()).hexdigest()[:40]))
    return rows


def _read_lines(text: str, faults: list[FieldError]) -> Iterator[tuple[int, dict[str, Any], str]]:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            found: object = json.loads(line)
        except ValueError as error:
            faults.append(FieldError(f"line {number}", f"It is not JSON: {error}."))
            continue
        if not isinstance(found, dict):
            faults.append(FieldError(f"line {number}", "A JSON object is expected."))
            continue
        row = cast("dict[str, Any]", found)
        order = row.get("order", row)
        yield number, order, str(row.get("idempotencyKey", "")) if order is not row else ""


def _read_csv(text: str, faults: list[FieldError]) -> Iterator[tuple[int, dict[str, Any], str]]:
    reader = csv.DictReader(io.StringIO(text, newline=""))
    if not _columns_hold(reader.fieldnames or (), faults):
        return
    name, begun, body = "", 0, dict[str, Any]()
    for row in reader:
        cells = _cells(row, reader.line_num, faults)
        goes_on = bool(cells.get("order")) and cells.get("order") == name
        if goes_on and _head(cells) != _head_of(body):
            faults.append(FieldError(f"line {reader.line_num}", f"It differs from the other lines of order {name}."))
        if not goes_on:
            if body:
                yield begun, body, name
            name, begun, body = str(cells.get("order") or ""), reader.line_num, _body(cells)
        body["lineItems"].append(_line(cells))
    if body:
        yield begun, body, name


def _columns_hold(names: Sequence[str], faults: list[FieldError]) -> bool:
    faults.extend(FieldError(name, "There is no such column.") for name in names if name not in COLUMNS)
    faults.extend(FieldError(name, "The column is missing.") for name in sorted(_NEEDED - set(names)))
    return not faults


def _cells(row: Mapping[Any, Any], number: int, faults: list[FieldError]) -> dict[str, Any]:
    """Return a row's values: numbers as numbers, empty cells left out."""
    cells: dict[str, Any] = {}
    if None in row or None in row.values():
        faults.append(FieldError(f"line {number}", "It has more or fewer cells than the first line."))
    for name, text in row.items():
        value = text.strip() if isinstance(text, str) else ""
        if not value:
            continue
        if name in _NUMBERS and not (value.isascii() and value.isdigit()):
            faults.append(FieldError(f"line {number}, {name}", "A whole number is expected."))
        cells[name] = int(value) if name in _NUMBERS and value.isascii() and value.isdigit() else value
    faults.extend(FieldError(f"line {number}, {name}", "It is empty.") for name in sorted(_NEEDED - cells.keys()))
    return cells


def _body(cells: Mapping[str, Any]) -> dict[str, Any]:
    return {**_head(cells), "lineItems": []}


def _head(cells: Mapping[str, Any]) -> dict[str, Any]:
    address = {name: cells[name] for name in _ADDRESS if name in cells}
    customer = {name: cells[name] for name in _CUSTOMER if name in cells} | {"address": address}
    return {"customer": customer, **{name: cells[name] for name in _ORDER if name in cells}}


def _head_of(body: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name != "lineItems"}


def _line(cells: Mapping[str, Any]) -> dict[str, Any]:
    line = {name: cells[name] for name in ("productId", "quantity", "packDescription") if name in cells}
    if any(slot in cells for slot in _SLOTS):
        line["administration"] = {slot: cells.get(slot, 0) for slot in _SLOTS}
    return line
