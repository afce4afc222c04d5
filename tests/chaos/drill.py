"""The drill: a backup under load, restored elsewhere, and a server that goes on from there."""

import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

import httpx2
import psycopg

from fulfillment.infra.postgres import EmbeddedPostgres
from tests.chaos.checker import BALANCE, Verdict, judge, read_arrivals
from tests.chaos.clients import Crowd
from tests.chaos.stage import Server, Stage, folder_for, free_port, staged, token_of

_CLI: Final = "import sys; from fulfillment.cli.main import main; main()"
_ASKED: Final = 20  # orders that are read from the restored server
_DELIVERED_SECONDS: Final = 60.0


def play(seed: int, patience: float = 1.0) -> list[Verdict]:
    """Back up under load, restore into another data dir, start a server on it, and return the verdicts."""
    # Half of the deliveries fail, so that some are pending at the moment of the backup.
    stage = Stage(folder_for("drill"), seed=seed, share=0.5, processes=1, workers=1)
    with staged(stage):
        stage.start()
        crowd = Crowd.at_work(stage, creators=4)
        time.sleep(3)
        acked = {one.order_id for one in crowd.journal.acked}
        began = time.monotonic()
        fulfillment("backup", stage.folder / "file", "--data-dir", stage.data_dir)
        seconds = time.monotonic() - began
        time.sleep(1)
        crowd.stop()
        stage.heal()
        verdicts = judge(stage, crowd.journal, patience=patience)
        stage.server.stop()
        verdicts.append(_restored(stage, acked, seconds))
        stage.clean = not any(verdict.violations for verdict in verdicts)
    return verdicts


def fulfillment(*arguments: str | Path) -> None:
    """Run the command.

    Raises:
        RuntimeError: It ended with another status than 0.
    """
    done = subprocess.run([sys.executable, "-c", _CLI, *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"fulfillment {arguments[0]}: {done.stderr[-2000:]}")


def _restored(stage: Stage, acked: "set[str | None]", seconds: float) -> Verdict:
    before = read_arrivals(stage.arrivals)
    there = stage.folder / "restored"
    fulfillment("restore", stage.folder / "file", "--data-dir", there)
    shutil.copy(stage.data_dir / "secrets.json", there / "secrets.json")
    server = Server(stage.folder, there, free_port(), processes=1, workers=1)
    try:
        server.start()
        wrong = _compare(there, acked) + _ask(stage, server, sorted(one for one in acked if one))
        pending = _wait_until_delivered(there)
        wrong += [f"{pending} deliveries are still pending"] if pending else []
    finally:
        server.stop()
        shutil.rmtree(there, ignore_errors=True)
    after = read_arrivals(stage.arrivals)[len(before) :]
    again = {one.event_id for one in before if one.accepted} & {one.event_id for one in after}
    repeated = len(after) - len({one.event_id for one in after})
    wrong += [f"{repeated} events were sent more than once more"] if repeated else []
    checked = f"{len(acked)} acknowledged before a backup of {seconds:.1f} s; {len(again)} events sent once more"
    return Verdict("S-44", "a backup under load is a whole system", checked, wrong)


def _compare(data_dir: Path, acked: "set[str | None]") -> list[str]:
    stored = {row[0] for row in _rows(data_dir, "SELECT id FROM orders")}
    wrong = [f"order {order_id} is not there" for order_id in acked - stored]
    wrong += [f"lot {row[0]}: {row[1:]}" for row in _rows(data_dir, BALANCE)]
    era = _rows(data_dir, "SELECT current_event_era()")[0][0]
    return wrong + ([f"the feed is in its era {era}"] if era != 2 else [])


def _ask(stage: Stage, server: Server, order_ids: list[str]) -> list[str]:
    """Read orders with the credentials of before, and make one."""
    wrong: list[str] = []
    for partner in stage.partners:
        token = token_of(server.url, partner.client_id, partner.client_secret)
        with httpx2.Client(base_url=server.url, headers={"Authorization": f"Bearer {token}"}, timeout=30) as client:
            answers = [client.get(f"/v1/orders/{order_id}").status_code for order_id in order_ids[:_ASKED]]
        wrong += [f"{status} for an order" for status in set(answers) - {200, 404}]
        wrong += [] if 200 in answers else [f"no order of {partner.id} is there"]
    return wrong


def _wait_until_delivered(data_dir: Path) -> int:
    until = time.monotonic() + _DELIVERED_SECONDS
    while (pending := _rows(data_dir, "SELECT count(*) FROM webhook_deliveries WHERE status = 'PENDING'")[0][0]) and (
        time.monotonic() < until
    ):
        time.sleep(0.3)
    return pending


def _rows(data_dir: Path, statement: str) -> list[tuple[Any, ...]]:
    dsn = EmbeddedPostgres(data_dir, echo=lambda _: None).dsn("postgres")
    with psycopg.connect(dsn) as connection:
        return connection.execute(statement.encode()).fetchall()
