"""fulfillment catalog: the products."""

from pathlib import Path

from cyclopts import App

from fulfillment.cli.options import DatabaseUrl, DataDir, run
from fulfillment.infra.env import Env

app = App(name="catalog", help="The catalogue: import.")


@app.command(name="import")
def import_(file: Path, *, data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Import products from FILE, JSON lines or CSV: all rows are checked, then all are written or none.

    Columns are those of the contract's Product, with listPrice in the place of price.
    """
    from rich.console import Console
    from rich.progress import Progress

    from fulfillment.catalog import importing, service

    with Progress(console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task("Checking rows", total=None)
        rows = importing.read_rows(file, lambda done, total: shown.update(task, completed=done, total=total))

        async def work(env: Env) -> service.Imported:
            writing = shown.add_task("Writing products", total=len(rows))
            return await service.import_products(
                env,
                [row.product for row in rows],
                lambda done, total: shown.update(writing, completed=done, total=total),
            )

        done = run(work, data_dir, database_url)
    print(f"{done.created} created, {done.changed} changed, {done.unchanged} unchanged.")
