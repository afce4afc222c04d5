"""The drill: a backup under load, restored elsewhere, and a server that goes on from there."""

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import httpx2
import psycopg
import pytest

from fulfillment.infra.postgres import EmbeddedPostgres
from tests.chaos.checker import read_arrivals
from tests.chaos.clients import Crowd
from tests.chaos.stage import Server, Stage, free_port, token_of

pytestmark = pytest.mark.xdist_group("server")

_CLI = "import sys; from fulfillment.cli.main import main; main()"
_BALANCE = """
SELECT lot.id FROM lots AS lot
  LEFT JOIN (SELECT lot_id, sum(quantity) AS total FROM inventory_movements GROUP BY 1) AS ledger
    ON ledger.lot_id = lot.id
  LEFT JOIN (SELECT lot_id, sum(quantity) AS total FROM reservations WHERE state = 'OPEN' GROUP BY 1) AS held
    ON held.lot_id = lot.id
 WHERE lot.on_hand <> coalesce(ledger.total, 0) OR lot.reserved <> coalesce(held.total, 0)
"""


@pytest.fixture
def folder() -> Generator[Path]:
    """A folder that PostgreSQL's user can pass when the tests run as root."""
    made = Path(tempfile.mkdtemp(prefix="drill-"))
    made.chmod(0o711)
    yield made
    shutil.rmtree(made, ignore_errors=True)


def fulfillment(*arguments: str | Path) -> str:
    """Run the command and return what it prints."""
    done = subprocess.run([sys.executable, "-c", _CLI, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def rows(data_dir: Path, statement: str) -> list[tuple[Any, ...]]:
    """Return the rows of a statement, seen by the superuser."""
    dsn = EmbeddedPostgres(data_dir, echo=lambda _: None).dsn("postgres")
    with psycopg.connect(dsn) as connection:
        return connection.execute(statement.encode()).fetchall()


def wait_until_delivered(data_dir: Path, seconds: float) -> int:
    """Return how many deliveries are pending, at best none."""
    until = time.monotonic() + seconds
    while (pending := rows(data_dir, "SELECT count(*) FROM webhook_deliveries WHERE status = 'PENDING'")[0][0]) and (
        time.monotonic() < until
    ):
        time.sleep(0.3)
    return pending


def test_a_backup_under_load_is_a_whole_system(folder: Path) -> None:
    """What was acknowledged before a backup is in what it restores, in balance; a server goes on from there.

    Credentials and orders are read, and what partners had not been told is sent.
    """
    for name in ("before", "after"):
        (folder / name).mkdir()
        (folder / name).chmod(0o711)
    stage = Stage(folder / "before", seed=3, share=1.0, processes=1, workers=1)  # the receiver fails: deliveries wait
    there = folder / "after" / "data"
    server = Server(folder / "after", there, free_port(), processes=1, workers=1)
    try:
        stage.start(partner_count=1)
        crowd = Crowd(stage, [stage.server.url])
        crowd.prepare()
        crowd.start(creators=3)
        time.sleep(3)
        acked = {one.order_id: one for one in crowd.journal.acked}
        fulfillment("backup", folder / "file", "--data-dir", stage.data_dir)
        crowd.stop()
        stage.server.stop()

        fulfillment("restore", folder / "file", "--data-dir", there)
        shutil.copy(stage.data_dir / "secrets.json", there / "secrets.json")
        stage.heal()
        server.environment["FULFILLMENT_PUBLIC_URL"] = server.url
        server.start()
        partner = stage.partners[0]
        token = token_of(server.url, partner.client_id, partner.client_secret)
        with httpx2.Client(base_url=server.url, headers={"Authorization": f"Bearer {token}"}, timeout=30) as client:
            answers = {order_id: client.get(f"/v1/orders/{order_id}").status_code for order_id in list(acked)[:20]}
        pending = wait_until_delivered(there, 90)
        stored = {row[0] for row in rows(there, "SELECT id FROM orders")}
        out_of_balance = rows(there, _BALANCE)
        era = rows(there, "SELECT current_event_era()")
        events = {row[0] for row in rows(there, "SELECT id FROM events WHERE order_id IS NOT NULL")}
    finally:
        stage.stop()
        server.stop()

    accepted = {one.event_id for one in read_arrivals(stage.arrivals) if one.accepted}
    assert len(acked) > 10
    assert set(acked) <= stored
    assert out_of_balance == []
    assert set(answers.values()) == {200}
    assert era == [(2,)]
    assert pending == 0
    assert events <= accepted
