"""fulfillment orders: a partner's over the API, and all of them for an operator at the machine."""

from typing import Annotated

from cyclopts import App, Parameter

from fulfillment.cli.options import AsJson, DatabaseUrl, DataDir, print_json, print_table, run
from fulfillment.cli.profiles import Profile, over_api
from fulfillment.infra.env import Env

app = App(name="orders", help="Orders: create, list, show, watch, import; advance, ship, hold.")
for _name, _place, _help in (
    ("create", "fulfillment.cli.partner_orders:create", "Create an order from a JSON file, once."),
    ("preview", "fulfillment.cli.partner_orders:preview", "Run an order through every check without making it."),
    ("cancel", "fulfillment.cli.partner_orders:cancel", "Cancel an order that is still CREATED."),
    ("watch", "fulfillment.cli.partner_orders:watch", "Follow an order until it is delivered."),
    ("import", "fulfillment.cli.importing:import_orders", "Create many orders from a file; resumable, none twice."),
):
    app.command(_place, name=_name, help=_help)


@app.command(name="list")
def list_(
    *,
    partner: Annotated[str | None, Parameter(help="Only this partner's.")] = None,
    status: str | None = None,
    limit: int = 20,
    json: AsJson = False,
    profile: Profile = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """List the newest orders: your own (API), or those of all partners (database).

    The database is asked when it is named (--data-dir, --database-url, FULFILLMENT_DATA_DIR, FULFILLMENT_DATABASE_URL)
    or when nobody is logged in; else, and with --profile, the API.
    """
    from fulfillment.cli import partner_orders
    from fulfillment.orders import service

    if over_api(profile, data_dir, database_url):
        partner_orders.list_orders(status, limit, as_json=json, profile=profile)
        return

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
def show(
    order_id: str,
    *,
    json: AsJson = False,
    profile: Profile = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Print an order: your own (API), or any as its partner sees it (database, always as JSON).

    Which of the two is asked is decided as by `fulfillment orders list`.
    """
    import json as json_module

    from fulfillment.cli import partner_orders
    from fulfillment.orders import service, wire

    if over_api(profile, data_dir, database_url):
        partner_orders.show(order_id, as_json=json, profile=profile)
        return

    async def work(env: Env) -> str:
        return wire.order_json(await service.get_any_order(env, order_id))

    print_json(json_module.loads(run(work, data_dir, database_url)))


@app.command
def advance(
    order_id: str,
    *,
    to: Annotated[str, Parameter(help="PROCESSING, FULFILLED, AWAITING_SHIPMENT or SHIPPED.")],
    carrier: Annotated[str | None, Parameter(help="Who carries it; needed in production for the label.")] = None,
    tracking_number: Annotated[str | None, Parameter(help="The label's number; the sandbox makes one.")] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Walk an order through every step up to the status TO; all packs count as confirmed."""
    from fulfillment.kernel.errors import ValidationFailed
    from fulfillment.orders.domain import OrderStatus
    from fulfillment.warehouse.domain import Actor, LabelAsk
    from fulfillment.warehouse.service import stepping

    if to.upper() not in OrderStatus.__members__:
        raise ValidationFailed(f"--to is one of {', '.join(OrderStatus)}.")
    target = OrderStatus(to.upper())
    ask = LabelAsk(carrier, None, tracking_number)

    async def work(env: Env) -> str:
        return (await stepping.advance_order(env, Actor("cli"), order_id, target, ask)).order.status.value

    print(f"{order_id} is {run(work, data_dir, database_url)}.")


@app.command
def ship(
    order_id: str,
    *,
    carrier: Annotated[str, Parameter(help="UPS, USPS, FedEx, DHL, OnTrac, or another.")],
    tracking_number: Annotated[str, Parameter(help="As printed on the carrier's label.")],
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Ship an order with a carrier's label: every step that is left, up to SHIPPED."""
    from fulfillment.orders.domain import OrderStatus
    from fulfillment.warehouse.domain import Actor, LabelAsk
    from fulfillment.warehouse.service import stepping

    async def work(env: Env) -> str:
        actor = Actor("cli")
        ask = LabelAsk(carrier, None, tracking_number)
        await stepping.advance_order(env, actor, order_id, OrderStatus.SHIPPED, ask)
        shipped = await stepping.ship_order(env, actor, order_id, carrier=carrier, tracking_number=tracking_number)
        return shipped.order.status.value

    print(f"{order_id} is {run(work, data_dir, database_url)} with {carrier}, {tracking_number}.")


@app.command
def hold(
    order_id: str,
    *,
    code: str = "OPERATOR",
    note: str = "",
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Hold an order: until the hold is released it makes no further step."""
    from fulfillment.kernel.errors import ValidationFailed
    from fulfillment.orders.domain import HoldCode
    from fulfillment.warehouse.domain import Actor
    from fulfillment.warehouse.service import holding

    if code.upper() not in HoldCode.__members__:
        raise ValidationFailed(f"--code is one of {', '.join(HoldCode)}.")

    async def work(env: Env) -> None:
        await holding.hold_order(env, Actor("cli"), order_id, HoldCode(code.upper()), note)

    run(work, data_dir, database_url)
    print(f"{order_id} is held.")


@app.command
def release_hold(order_id: str, hold_id: str, *, data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Release one hold of an order; `orders show` lists its holds."""
    from fulfillment.warehouse.domain import Actor
    from fulfillment.warehouse.service import holding

    async def work(env: Env) -> bool:
        return (await holding.release_hold(env, Actor("cli"), order_id, hold_id)).holds is not None

    print(f"{order_id} is {'still held by others' if run(work, data_dir, database_url) else 'free'}.")
