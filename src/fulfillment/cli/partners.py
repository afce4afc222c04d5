"""fulfillment partners: who may order."""

from typing import Annotated

from cyclopts import App, Parameter

from fulfillment.cli.options import AsJson, DatabaseUrl, DataDir, print_fields, print_json, print_table, run

app = App(name="partners", help="Partners: create, list.")


@app.command
def create(
    *,
    name: str,
    discount: Annotated[str, Parameter(help="Percent off every price.")] = "0",
    description: str | None = None,
    json: AsJson = False,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Create a partner. Its credentials are made with `fulfillment credentials create`."""
    from decimal import Decimal, InvalidOperation

    from fulfillment.infra.env import Env
    from fulfillment.kernel.errors import ValidationFailed
    from fulfillment.kernel.money import percent
    from fulfillment.partners import service

    try:
        fraction = Decimal(discount.rstrip("%")) / 100
    except InvalidOperation:
        raise ValidationFailed("--discount is a number of percent such as 10.") from None

    async def work(env: Env) -> dict[str, str]:
        made = await service.create_partner(env, name=name, discount=fraction, description=description)
        return {"partner_id": made.id, "name": made.name, "discount": percent(made.discount)}

    shown = run(work, data_dir, database_url)
    print_json(shown) if json else print_fields(shown)


@app.command(name="list")
def list_(*, json: AsJson = False, data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """List the partners."""
    from fulfillment.infra.env import Env
    from fulfillment.kernel.money import percent
    from fulfillment.partners import service

    async def work(env: Env) -> list[dict[str, str]]:
        return [
            {"partner_id": one.id, "name": one.name, "discount": percent(one.discount)}
            for one in await service.list_partners(env)
        ]

    shown = run(work, data_dir, database_url)
    if json:
        print_json(shown)
    else:
        print_table("Partners", ("id", "name", "discount"), [tuple(one.values()) for one in shown])
