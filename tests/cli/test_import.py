"""Importing orders: files, keys, the journal, and no order twice over a real server."""

import json
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fulfillment.cli.importing import journal
from fulfillment.cli.order_files import read_orders
from fulfillment.kernel.errors import ValidationFailed
from tests.cli.conftest import Run
from tests.cli.test_partner_commands import an_order
from tests.serving import ServerProcess

HEAD = (
    "order,sourceId,firstName,lastName,line1,city,state,zipCode,daysSupply,shippingMethod,productId,quantity,"
    "packDescription,morning,evening\n"
)


def a_row(order: str, source: str, product: int = 77123129891, quantity: int = 2) -> str:
    """Return a line of CSV."""
    return (
        f"{order},{source},John,Doe,437 Lytton Ave,Palo Alto,CA,94301,30,STANDARD,{product},{quantity},Whole,"
        f"1,{quantity - 1}\n"
    )


def _csv(folder: Path, *rows: str) -> Path:
    path = folder / "orders.csv"
    path.write_text(HEAD + "".join(rows))
    return path


def test_csv_lines_of_one_order_become_its_products(tmp_path: Path):
    """Lines that follow each other with the same order are one order, in the API's form."""
    rows = read_orders(_csv(tmp_path, a_row("1", "c-1"), a_row("1", "c-1", 5, 1), a_row("2", "c-2")))

    assert [row.line for row in rows] == [2, 4]
    assert rows[0].body == {
        "customer": {
            "sourceId": "c-1",
            "firstName": "John",
            "lastName": "Doe",
            "address": {"line1": "437 Lytton Ave", "city": "Palo Alto", "state": "CA", "zipCode": "94301"},
        },
        "daysSupply": 30,
        "shippingMethod": "STANDARD",
        "lineItems": [
            {
                "productId": 77123129891,
                "quantity": 2,
                "packDescription": "Whole",
                "administration": {"morning": 1, "afternoon": 0, "evening": 1, "sleep": 0},
            },
            {
                "productId": 5,
                "quantity": 1,
                "packDescription": "Whole",
                "administration": {"morning": 1, "afternoon": 0, "evening": 0, "sleep": 0},
            },
        ],
    }


def test_rows_without_an_order_are_orders_of_their_own(tmp_path: Path):
    """Lines without a name in `order` are one order each, equal ones too, and each has its own key."""
    rows = read_orders(_csv(tmp_path, a_row("", "c-1"), a_row("", "c-1")))

    assert len(rows) == 2
    assert rows[0].key != rows[1].key
    assert rows[0].body == rows[1].body


def test_a_key_is_the_same_whenever_the_file_is_read(tmp_path: Path):
    """A named row keeps its key whatever else changes; an unnamed one whatever stands before it."""
    first = read_orders(_csv(tmp_path, a_row("1", "c-1"), a_row("", "c-2")))
    later = read_orders(_csv(tmp_path, a_row("9", "c-9"), a_row("1", "c-other"), a_row("", "c-2")))

    assert [row.key for row in later[1:]] == [row.key for row in first]


def test_json_lines_are_orders_with_or_without_a_key(tmp_path: Path):
    """A line is a body of createOrder, or one with its key; empty lines count only as lines."""
    plain, named = an_order(), an_order()
    path = tmp_path / "orders.ndjson"
    path.write_text(json.dumps(plain) + "\n\n" + json.dumps({"idempotencyKey": "k", "order": named}) + "\n")

    rows = read_orders(path)

    assert [(row.line, row.body) for row in rows] == [(1, plain), (3, named)]


@pytest.mark.parametrize(
    ("rows", "places"),
    [
        ((a_row("1", "c-1").replace(",30,", ",thirty,"),), ["line 2, daysSupply"]),
        ((a_row("1", ""),), ["line 2, sourceId"]),
        ((a_row("1", "c-1"), a_row("1", "c-2")), ["line 3"]),
        (("1,c-1\n",), ["line 2"]),
    ],
)
def test_rows_that_cannot_be_read_are_named(tmp_path: Path, rows: tuple[str, ...], places: Sequence[str]):
    """Cells that are no numbers, missing or contradictory are named by line."""
    with pytest.raises(ValidationFailed) as refused:
        read_orders(_csv(tmp_path, *rows))

    assert [fault.pointer for fault in refused.value.errors][: len(places)] == places


def test_columns_are_checked(tmp_path: Path):
    """Unknown and missing columns are named; a file without orders is refused."""
    path = tmp_path / "orders.csv"
    path.write_text("sourceId,zip\nc-1,94301\n")

    with pytest.raises(ValidationFailed) as refused:
        read_orders(path)
    path.write_text(HEAD)
    with pytest.raises(ValidationFailed, match="no orders"):
        read_orders(path)

    named = [fault.pointer for fault in refused.value.errors]
    assert named[0] == "zip"
    assert "zipCode" in named


@pytest.mark.parametrize("text", ["{", "[1]", "1"])
def test_lines_that_are_no_objects_are_named(tmp_path: Path, text: str):
    """A line that is no JSON object is named."""
    path = tmp_path / "orders.ndjson"
    path.write_text(json.dumps(an_order()) + "\n" + text + "\n")

    with pytest.raises(ValidationFailed) as refused:
        read_orders(path)

    assert [fault.pointer for fault in refused.value.errors] == ["line 2"]


def test_a_row_sent_long_ago_without_an_answer_is_unsure(tmp_path: Path):
    """After 23 hours a key may be forgotten: the row is unsure and no longer due; a line cut off says nothing."""
    (row,) = read_orders(_csv(tmp_path, a_row("1", "c-1")))
    path = tmp_path / "j"
    sent = datetime(2026, 11, 23, tzinfo=UTC)
    path.write_text(json.dumps({"key": row.key, "state": "sending", "at": sent.isoformat()}) + '\n{"key": "' + row.key)

    with journal(path) as kept:
        states = [kept.state(row, sent + timedelta(hours=hours)) for hours in (22.9, 23.1)]

    assert states == ["due", "unsure"]


def test_one_import_at_a_time(tmp_path: Path):
    """A second import of the same file is refused while the first is at work."""
    with journal(tmp_path / "j"), pytest.raises(ValidationFailed, match="Another import"), journal(tmp_path / "j"):
        pass


def _orders_of(server: ServerProcess, prefix: str) -> Counter[str]:
    """Count the orders of each customer whose sourceId begins so."""
    found: Counter[str] = Counter()
    with server.client() as api:
        cursor: str | None = None
        while True:
            parameters: dict[str, Any] = {"limit": 100} | ({"cursor": cursor} if cursor else {})
            page = api.get("/v1/orders", params=parameters).json()
            found.update(
                order["customer"]["sourceId"]
                for order in page["orders"]
                if order["customer"]["sourceId"].startswith(prefix)
            )
            cursor = page["cursor"]
            if cursor is None:
                return found


def test_a_file_is_imported_once(logged_in: Run, home: Path, server: ServerProcess):
    """An import creates each order, names what is refused, and run again creates only what was corrected."""
    prefix = uuid.uuid4().hex
    good = [a_row("", f"{prefix}-{number}", quantity=1) for number in range(4)]
    path = _csv(home, *good, a_row("", f"{prefix}-bad", product=1))

    first = logged_in("orders", "import", path, "--json")
    second = logged_in("orders", "import", path)
    _csv(home, *good, a_row("", f"{prefix}-bad", quantity=1))
    third = logged_in("orders", "import", path, "--json")

    result = json.loads(first.out)
    assert first.status == 6
    assert (result["created"], result["refused"], result["left"]) == (4, 1, 0)
    assert [row["code"] for row in result["rows"] if row["state"] == "refused"] == ["unknown_product"]
    assert second.status == 6
    assert "4 of 5 orders are created" in second.out
    assert "unknown_product" in second.out
    assert third.status == 0
    assert json.loads(third.out)["created"] == 5
    assert _orders_of(server, prefix) == {f"{prefix}-{name}": 1 for name in ("0", "1", "2", "3", "bad")}


def test_an_import_killed_half_way_goes_on_without_a_second_order(logged_in: Run, home: Path, server: ServerProcess):
    """An import that is killed at any moment and run again creates every order of the file exactly once."""
    prefix = uuid.uuid4().hex
    path = _csv(home, *(a_row(f"o-{prefix}-{n}", f"{prefix}-{n}", quantity=1) for n in range(60)))
    written = path.with_name("orders.csv.journal")
    command = [sys.executable, "-c", "from fulfillment.cli.main import main; main()", "orders", "import", str(path)]

    for least in (3, 20):
        process = subprocess.Popen(
            [*command, "--concurrency", "2"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 30
        while not written.exists() or written.read_bytes().count(b"created") < least:
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        process.wait(10)
    last = logged_in("orders", "import", path, "--json")

    assert last.status == 0
    assert json.loads(last.out)["created"] == 60
    assert _orders_of(server, prefix) == {f"{prefix}-{n}": 1 for n in range(60)}


def test_an_import_without_a_server_stops_and_goes_on_later(
    logged_in: Run, home: Path, server: ServerProcess, monkeypatch: pytest.MonkeyPatch
):
    """When no server answers the import stops with exit status 5; with a server it goes on."""
    prefix = uuid.uuid4().hex
    path = _csv(home, *(a_row("", f"{prefix}-{n}", quantity=1) for n in range(3)))
    monkeypatch.setattr("anyio.sleep", _no_sleep)
    for name in ("api_url", "token_url"):
        monkeypatch.setenv(f"JUNIPER_{name.upper()}", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("JUNIPER_CLIENT_ID", "a")
    monkeypatch.setenv("JUNIPER_CLIENT_SECRET", "b")

    stopped = logged_in("orders", "import", path)
    for name in ("API_URL", "TOKEN_URL"):
        monkeypatch.delenv(f"JUNIPER_{name}")
    done = logged_in("orders", "import", path)

    assert stopped.status == 5
    assert "Stopped with 3 rows left" in stopped.out
    assert done.status == 0
    assert _orders_of(server, prefix) == {f"{prefix}-{n}": 1 for n in range(3)}


async def _no_sleep(seconds: float) -> None:
    del seconds
