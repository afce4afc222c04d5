"""fulfillment warehouse: batches from release to shipping."""

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from fulfillment.cli.options import AsJson, DatabaseUrl, DataDir, print_json, print_table, run
from fulfillment.infra.env import Env
from fulfillment.warehouse.domain import Actor, Result

app = App(name="warehouse", help="Batches: release, list, pick, fulfill, label, ship.")
_CLI = Actor("cli")


@app.command
def release(
    *order_ids: str,
    partner: Annotated[str | None, Parameter(help="Only this partner's, where all that are due are meant.")] = None,
    json: AsJson = False,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Release orders as a batch: those named, or all that are due."""
    from fulfillment.warehouse.domain import Batch
    from fulfillment.warehouse.service import batching

    async def work(env: Env) -> tuple[Batch, Sequence[Result]]:
        return await batching.create_batch(env, _CLI, order_ids or None, partner_id=partner)

    batch, results = run(work, data_dir, database_url)
    _tell(f"Batch {batch.id}", results, json)


@app.command(name="list")
def list_(*, limit: int = 20, json: AsJson = False, data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """List the newest batches."""
    from fulfillment.kernel.pages import PageRequest
    from fulfillment.warehouse import wire
    from fulfillment.warehouse.service import batching

    async def work(env: Env) -> list[wire.BatchOut]:
        return [wire.BatchOut.of(batch) for batch in (await batching.list_batches(env, PageRequest(limit)))[:limit]]

    found = run(work, data_dir, database_url)
    if json:
        print_json([batch.model_dump() for batch in found])
        return
    rows = [
        (batch.id, batch.createdAt, batch.orders, ", ".join(f"{k} {v}" for k, v in sorted(batch.statuses.items())))
        for batch in found
    ]
    print_table("Batches", ("id", "created", "orders", "statuses"), rows)


@app.command
def pick_list(
    batch_id: str, *, json: AsJson = False, data_dir: DataDir = None, database_url: DatabaseUrl = None
) -> None:
    """Print what a batch takes from the shelves, by product and lot, first expiry first."""
    from fulfillment.warehouse import wire
    from fulfillment.warehouse.service import batching

    async def work(env: Env) -> wire.PickListOut:
        return wire.PickListOut.of(*await batching.pick_list(env, batch_id))

    picks = run(work, data_dir, database_url)
    if json:
        print_json(picks.model_dump())
        return
    rows = [
        (pick.location, pick.productName, pick.lotNumber, pick.expiry, pick.quantity, pick.unit, pick.orders)
        for pick in picks.picks
    ]
    print_table(
        f"{picks.packs} packs of {picks.totalPills} pills, and {picks.totalUnits} units",
        ("location", "product", "lot", "expiry", "quantity", "unit", "orders"),
        rows,
    )


@app.command
def fulfill(
    batch_id: str,
    *,
    confirm_all: Annotated[bool, Parameter(negative="", help="Confirm the packs that nobody confirmed.")] = False,
    json: AsJson = False,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Close the production of a batch."""
    from fulfillment.warehouse.service import batching

    _over(
        lambda env: batching.fulfill_batch(env, _CLI, batch_id, confirm_all=confirm_all),
        f"Batch {batch_id}",
        json,
        data_dir,
        database_url,
    )


@app.command
def label(batch_id: str, *, json: AsJson = False, data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Make the labels of a batch with the simulated carrier."""
    from fulfillment.warehouse.service import batching

    _over(lambda env: batching.label_batch(env, _CLI, batch_id), f"Batch {batch_id}", json, data_dir, database_url)


@app.command
def ship(batch_id: str, *, json: AsJson = False, data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Note that the carriers have every parcel of a batch."""
    from fulfillment.warehouse.service import batching

    _over(lambda env: batching.ship_batch(env, _CLI, batch_id), f"Batch {batch_id}", json, data_dir, database_url)


def _over(
    work: Callable[[Env], Awaitable[Sequence[Result]]],
    title: str,
    as_json: bool,
    data_dir: Path | None,
    database_url: str | None,
) -> None:
    _tell(title, run(work, data_dir, database_url), as_json)


def _tell(title: str, results: Sequence[Result], as_json: bool) -> None:
    from fulfillment.warehouse import wire

    if as_json:
        print_json({"title": title, "results": [wire.ResultOut.of(result).model_dump() for result in results]})
        return
    rows = [(result.order_id, result.outcome.value, result.status, result.detail) for result in results]
    print_table(title, ("order", "outcome", "status", "why"), rows)
