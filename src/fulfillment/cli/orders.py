"""fulfillment orders: what an operator at the machine can see and do of orders."""

from typing import Annotated

from cyclopts import App, Parameter

from fulfillment.cli.options import AsJson, DatabaseUrl, DataDir, print_json, print_table, run
from fulfillment.infra.env import Env

app = App(name="orders", help="Orders: list, show, advance, ship.")


@app.command(name="list")
def list_(
    *,
    partner: Annotated[str | None, Parameter(help="Only this partner's.")] = None,
    status: str | None = None,
    limit: int = 20,
    json: AsJson = False,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """List the newest orders of all partners."""
    from fulfillment.orders import service

    async def work(env: Env) -> list[dict[str, object]]:
        return [
            {
                "id": order.id,
                "status": order.status.value,
                "partner_id": order.partner_id,
                "days_supply": order.days_supply,
                "shipping_method": order.shipping_method,
                "held": order.holds is not None,
                "created_at": order.created_at.isoformat(timespec="seconds"),
            }
            for order in await service.list_any_orders(env, partner_id=partner, status=status, limit=limit)
        ]

    rows = run(work, data_dir, database_url)
    if json:
        print_json(rows)
    else:
        columns = ("id", "status", "partner", "days", "method", "held", "created")
        print_table("Orders", columns, [tuple(row.values()) for row in rows])


@app.command
def show(order_id: str, *, data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Print an order as its partner sees it."""
    import json

    from fulfillment.orders import service, wire

    async def work(env: Env) -> str:
        return wire.order_json(await service.get_any_order(env, order_id))

    print_json(json.loads(run(work, data_dir, database_url)))
