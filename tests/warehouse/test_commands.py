"""The operator's command line over a database given by its URL."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fulfillment.cli.main import main
from fulfillment.infra.caches import Caches
from fulfillment.infra.db import Database
from fulfillment.infra.env import Env
from fulfillment.infra.secrets import load_or_create
from fulfillment.infra.settings import Settings
from tests.warehouse.conftest import Bench, a_line
from tests.world import World


@dataclass(slots=True)
class Command:
    """Runs commands over the module's database, as a shell would."""

    dsn: str
    folder: Path
    capsys: pytest.CaptureFixture[str]

    def __call__(self, *words: object) -> tuple[int, str]:
        """Return the exit status, and what was printed."""
        with pytest.raises(SystemExit) as ended:
            main([*map(str, words), "--database-url", self.dsn, "--data-dir", str(self.folder)])
        captured = self.capsys.readouterr()
        return int(ended.value.code or 0), captured.out + captured.err

    def json(self, *words: object) -> Any:
        """Return the JSON that a command printed."""
        status, said = self(*words, "--json")
        assert status == 0, said
        return json.loads(said)

    def prepare(self, work: Callable[[Bench], Awaitable[Any]]) -> Any:
        """Do *work* before, or between, commands."""

        async def whole() -> Any:
            db = Database(self.dsn)
            secrets = load_or_create(self.folder / "secrets.json")
            env = Env(Settings(data_dir=self.folder), db, Caches(db), secrets)
            try:
                world = World(env)
                return await work(Bench(env, world, await world.partner()))
            finally:
                await db.close()

        return asyncio.run(whole())


@pytest.fixture
def command(
    dsns: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Command:
    """Run commands in an empty folder."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    return Command(dsns[0], tmp_path, capsys)


async def _orders(bench: Bench, count: int = 1) -> tuple[int, list[str]]:
    product = await bench.world.product(available=6000)
    return product, [await bench.order(a_line(product)) for _ in range(count)]


def test_advance_walks_every_step(command: Command) -> None:
    """`orders advance --to SHIPPED` takes a new order there; further back it does not go."""
    _, (order_id,) = command.prepare(_orders)

    assert command("orders", "advance", order_id, "--to", "SHIPPED") == (0, f"{order_id} is SHIPPED.\n")
    status, said = command("orders", "advance", order_id, "--to", "CREATED")
    assert (status, "it stays so" in said) == (1, True)


def test_ship_takes_the_carriers_number(command: Command) -> None:
    """`orders ship` ships with the number given; a mistyped one makes no step at all."""
    _, (order_id, other) = command.prepare(lambda bench: _orders(bench, 2))

    good = command("orders", "ship", order_id, "--carrier", "UPS", "--tracking-number", "1Z9999999999999999")
    bad = command("orders", "ship", other, "--carrier", "UPS", "--tracking-number", "1Z5R89390357567128")

    assert good[0] == 0
    assert bad[0] == 1
    assert "check digit" in bad[1]
    shown = json.loads(command("orders", "show", order_id)[1])
    assert shown["fulfillmentInfo"]["trackingNumber"] == "1Z9999999999999999"
    assert json.loads(command("orders", "show", other)[1])["status"] == "CREATED"


def test_a_lots_life(command: Command) -> None:
    """Received, adjusted, quarantined, recalled: each command says what the lot is then."""
    product, _ = command.prepare(_orders)
    lot = command.json(
        "lots", "receive", "--product", product, "--number", "A1", "--expiry", "2031-01-31", "--quantity", 100
    )

    assert command("lots", "adjust", lot["id"], "--quantity", -10, "--reason", "counted") == (
        0,
        "90 on hand, 90 free.\n",
    )
    assert command("lots", "state", lot["id"], "--to", "quarantined", "--reason", "smell")[0] == 0
    assert command("lots", "adjust", lot["id"], "--quantity", -91, "--reason", "counted")[0] == 1
    assert [one["id"] for one in command.json("lots", "list", "--product", product, "--state", "QUARANTINED")] == [
        lot["id"]
    ]
    recalled = command.json("lots", "recall", lot["id"], "--reason", "bad")
    assert recalled["lot"]["state"] == "RECALLED"
    assert "counted" in command("lots", "show", lot["id"])[1]


def test_a_recall_names_whom_it_reached(command: Command) -> None:
    """A dry run lists the orders and writes them as CSV; the lot stays as it is."""
    product, (order_id,) = command.prepare(_orders)
    lot = command.json("lots", "list", "--product", product)[0]

    told = command.json("lots", "recall", lot["id"], "--dry-run", "--csv", "reached.csv")

    assert [one["orderId"] for one in told["reserved"]] == [order_id]
    assert (command.folder / "reached.csv").read_text().count(order_id) == 1
    assert command.json("lots", "list", "--product", product)[0]["state"] == "APPROVED"


def test_a_batch(command: Command) -> None:
    """A batch goes from release to the carrier by commands, its documents are written as PDF."""
    product, placed = command.prepare(lambda bench: _orders(bench, 2))

    command("warehouse", "release", *placed)
    batch = command.json("warehouse", "list")[0]["id"]
    picks = command.json("warehouse", "pick-list", batch)
    for words in (("fulfill", batch, "--confirm-all"), ("label", batch), ("ship", batch)):
        results = command.json("warehouse", *words)["results"]
        assert {result["outcome"] for result in results} == {"done"}
    for kind in ("pick-list", "packing-slips", "labels"):
        assert command("documents", "batch", batch, kind, "--output", f"{kind}.pdf")[0] == 0
        assert (command.folder / f"{kind}.pdf").read_bytes().startswith(b"%PDF-")

    assert [(pick["productId"], pick["quantity"]) for pick in picks["picks"]] == [(product, 120)]
    assert command("documents", "order", placed[0], "pack-labels")[0] == 0
    assert (command.folder / f"pack-labels-{placed[0]}.pdf").exists()
    assert command("documents", "order", placed[0], "poster")[0] == 1


def test_reconcile_finds_and_repairs(command: Command) -> None:
    """A counter that is not its ledger's sum fails a dry run, is repaired by the next, and is right then."""
    product, _ = command.prepare(_orders)

    async def spoil(bench: Bench) -> None:
        async with bench.env.db.transaction("*") as tx:
            await tx.execute("UPDATE lots SET on_hand = on_hand + 7 WHERE product_id = %(p)s", p=product)

    command.prepare(spoil)

    status, said = command("inventory", "reconcile", "--dry-run", "--json")
    assert (status, [one["onHand"] - one["onHandByLedger"] for one in json.loads(said)]) == (1, [7])
    assert command("inventory", "reconcile")[0] == 0
    assert command("inventory", "reconcile", "--dry-run") == (0, "Every counter is what its ledger says.\n")
