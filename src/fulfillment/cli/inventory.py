"""fulfillment inventory: the counters proven against the ledger, and the states that the calendar sets."""

from typing import Annotated

from cyclopts import App, Parameter

from fulfillment.cli.options import AsJson, DatabaseUrl, DataDir, print_json, print_table, run
from fulfillment.infra.env import Env

app = App(name="inventory", help="Stock: reconcile, expire.")


@app.command
def reconcile(
    *,
    dry_run: Annotated[bool, Parameter(negative="", help="Only look; exit with 1 when a counter is wrong.")] = False,
    json: AsJson = False,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> int:
    """Prove that every lot's counters are what its ledger says, and set them right."""
    from fulfillment.warehouse import wire
    from fulfillment.warehouse.domain import Actor
    from fulfillment.warehouse.service import stocking

    async def work(env: Env) -> list[dict[str, object]]:
        found = await stocking.reconcile(env, Actor("cli"), dry_run=dry_run)
        return [wire.DifferenceOut.of(one).model_dump() for one in found]

    found = run(work, data_dir, database_url)
    if json:
        print_json(found)
    elif not found:
        print("Every counter is what its ledger says.")
    else:
        print_table("Differences", tuple(found[0]), [tuple(one.values()) for one in found])
    unrepaired = [one for one in found if dry_run or not one["repairable"]]
    return 1 if unrepaired else 0


@app.command
def expire(*, data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Set EXPIRED the lots whose last day is over, DEPLETED those that have run out; the worker does it too."""
    from fulfillment.warehouse.service import stocking

    print(f"{run(stocking.expire_lots, data_dir, database_url)} lots changed.")
