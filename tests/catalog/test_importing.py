"""Files of products: both formats, and every fault named by its row and field."""

import json
from pathlib import Path
from typing import Any

import pytest

from fulfillment.catalog.domain import Form, ImportInvalid, ProductStatus
from fulfillment.catalog.importing import read_rows

GOOD: dict[str, Any] = {
    "id": 77123129891,
    "name": "Elite EPA",
    "listPrice": "0.53",
    "external": False,
    "status": "ACTIVE",
    "recommendedUsage": {"morning": 1, "afternoon": 0, "evening": 1, "sleep": 0},
    "form": "softgel",
    "allergens": ["gluten_free"],
    "containsAllergens": ["fish"],
    "searchTerms": ["fish oil"],
    "supplementFactsPanel": {
        "servingSize": 2,
        "type": "softgel",
        "otherIngredients": ["Gelatin"],
        "ingredients": [{"name": "EPA", "amount": "500", "unit": "mg", "dailyValue": "**"}],
    },
    "stock": 600,
}


def _file(folder: Path, *rows: object, name: str = "products.jsonl") -> Path:
    path = folder / name
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows))
    return path


def _faults(path: Path) -> list[tuple[str, str]]:
    with pytest.raises(ImportInvalid) as caught:
        read_rows(path)
    return [(fault.pointer, fault.message) for fault in caught.value.errors]


def _pointers(path: Path) -> list[str]:
    return [pointer for pointer, _ in _faults(path)]


def test_reads_json_lines(tmp_path: Path) -> None:
    """A line is a product; blank lines and a byte-order mark do not matter."""
    path = _file(tmp_path, "\ufeff" + json.dumps(GOOD), "", GOOD | {"id": 2, "stock": 0})

    rows = read_rows(path)

    assert [(row.number, row.product.id, row.stock) for row in rows] == [(1, 77123129891, 600), (3, 2, 0)]
    product = rows[0].product
    assert str(product.list_price) == "0.53"
    assert product.recommended_usage == (1, 0, 1, 0)
    assert (product.form, product.status) == (Form.SOFTGEL, ProductStatus.ACTIVE)
    assert product.supplement_facts == GOOD["supplementFactsPanel"]
    assert product.certifications == ()


def test_csv_says_the_same(tmp_path: Path) -> None:
    """A CSV with JSON in its nested cells gives the same product as the JSON line."""
    cells = [value if isinstance(value, str) else json.dumps(value) for value in GOOD.values()]
    quoted = ",".join('"' + cell.replace('"', '""') + '"' for cell in cells)
    path = tmp_path / "products.CSV"
    path.write_bytes(("\ufeff" + ",".join(GOOD) + "\r\n" + quoted + "\r\n\r\n").encode())

    rows = read_rows(path)

    assert rows[0].number == 2
    assert rows[0].product == read_rows(_file(tmp_path, GOOD))[0].product


def test_empty_cell_is_absent(tmp_path: Path) -> None:
    """An empty cell is a value that was not given; TRUE is true, however a spreadsheet writes it."""
    path = _file(tmp_path, "id,name,listPrice,external,status,form,searchTerms", "5,Zinc,1,TRUE,DRAFT,,", name="p.csv")

    product = read_rows(path)[0].product

    assert (product.external, product.form, product.search_terms) == (True, None, ())


def test_every_fault_of_every_row(tmp_path: Path) -> None:
    """All faults come at once, each with its row and field."""
    bad = GOOD | {"id": 0, "listPrice": 0.53, "status": "SOLD", "price": "1.00"}
    panel = GOOD | {"id": 3, "supplementFactsPanel": {"servingSize": 0, "ingredients": [{"amount": "1"}]}}

    pointers = _pointers(_file(tmp_path, bad, GOOD, "{nonsense", "[1]", panel))

    assert pointers[:4] == ["row 1, id", "row 1, listPrice", "row 1, status", "row 1, price"]
    assert pointers[4:6] == ["row 3", "row 4"]
    assert set(pointers[6:]) >= {
        "row 5, supplementFactsPanel/servingSize",
        "row 5, supplementFactsPanel/ingredients/0/name",
    }


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", 2**63),
        ("id", "77123129891"),
        ("name", "  "),
        ("name", "a\x07b"),
        ("name", "n" * 201),
        ("listPrice", "-1"),
        ("listPrice", "1.00001"),
        ("listPrice", "1e3"),
        ("external", "no"),
        ("productImage", "javascript:alert(1)"),
        ("form", "pill"),
        ("certifications", ["Kosher!"]),
        ("certifications", ["kosher", "kosher"]),
        ("stock", -1),
        ("pillsPerDayLimit", 0),
    ],
)
def test_refused_values(tmp_path: Path, field: str, value: object) -> None:
    """A value out of its field's bounds is refused, at its field."""
    assert [pointer.split("/")[0] for pointer in _pointers(_file(tmp_path, GOOD | {field: value}))] == [
        f"row 1, {field}"
    ]


def test_usage_is_checked_inside(tmp_path: Path) -> None:
    """A fault inside an object is named with its path."""
    usage = {"morning": -1, "afternoon": 0, "evening": 1, "sleep": 0}

    assert _pointers(_file(tmp_path, GOOD | {"recommendedUsage": usage})) == ["row 1, recommendedUsage/morning"]


def test_same_id_twice(tmp_path: Path) -> None:
    """A product may be in the file once."""
    assert _faults(_file(tmp_path, GOOD, GOOD)) == [("row 2, id", "Row 1 has this id too.")]


def test_claim_that_is_denied(tmp_path: Path) -> None:
    """A product can't claim to be free from what it contains."""
    row = GOOD | {"allergens": ["dairy_free"], "containsAllergens": ["milk"]}

    assert _faults(_file(tmp_path, row)) == [("row 1, allergens", "dairy_free can't be: it contains milk.")]


@pytest.mark.parametrize(
    ("lines", "pointers"),
    [
        ([""], ["row 1"]),
        (["id,name,listPrice,external,status,price"], ["row 1, price"]),
        (["id,name,listPrice,external,status,id"], ["row 1, id"]),
        (["id,name,listPrice,status"], ["row 1, external"]),
        (["id,name,listPrice,external,status", "1,a,1,true,ACTIVE,x"], ["row 2"]),
        (["id,name,listPrice,external,status,allergens", "1,a,1,true,ACTIVE,gluten_free"], ["row 2, allergens"]),
        (["id,name,listPrice,external,status", "x,a,1,maybe,ACTIVE"], ["row 2, id", "row 2, external"]),
    ],
)
def test_csv_faults(tmp_path: Path, lines: list[str], pointers: list[str]) -> None:
    """A wrong header is named once, a wrong cell with its row."""
    assert _pointers(_file(tmp_path, *lines, name="p.csv")) == pointers


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"id,name,listPrice,external,status\n\xff", "not UTF-8"),
        (b'id,name,listPrice,external,status\n1,"a', "not readable as CSV"),
    ],
)
def test_unreadable_files(tmp_path: Path, content: bytes, sentence: str) -> None:
    """A file that is no text, or no CSV, is refused with a sentence."""
    path = tmp_path / "p.csv"
    path.write_bytes(content)

    with pytest.raises(ImportInvalid, match=sentence):
        read_rows(path)


def test_absent_file(tmp_path: Path) -> None:
    """A file that is not there is refused with a sentence."""
    with pytest.raises(ImportInvalid, match="No such file"):
        read_rows(tmp_path / "none.jsonl")


def test_progress_counts_bytes(tmp_path: Path) -> None:
    """The reader is told how many bytes are read, of how many."""
    path = _file(tmp_path, GOOD, GOOD | {"id": 2})
    told: list[tuple[int, int]] = []

    read_rows(path, lambda done, total: told.append((done, total)))

    size = path.stat().st_size
    assert told[-1] == (size, size)
    assert len(told) == 2
