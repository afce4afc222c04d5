"""fulfillment customers: the people that partners order for."""

from typing import Annotated

from cyclopts import App, Parameter

from fulfillment.cli.options import AsJson, DatabaseUrl, DataDir, print_fields, print_json, run
from fulfillment.infra.env import Env

app = App(name="customers", help="Customers: erase.")


@app.command
def erase(
    *,
    partner: Annotated[str, Parameter(help="The partner's id.")],
    source_id: Annotated[str, Parameter(help="The customer's id in the partner's system.")],
    json: AsJson = False,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Remove everything personal of a customer. Orders and lots stay, under a pseudonym. It can't be undone."""
    from fulfillment.privacy import service

    async def work(env: Env) -> dict[str, object]:
        erased = await service.erase_customer(env, partner, source_id)
        return {"pseudonym": erased.pseudonym, "orders": erased.orders, "protocols": erased.protocols}

    shown = run(work, data_dir, database_url)
    print_json(shown) if json else print_fields(shown)
