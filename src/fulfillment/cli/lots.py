"""fulfillment lots: what was received, what is left of it, and whom it reached."""

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from fulfillment.cli.options import AsJson, DatabaseUrl, DataDir, print_fields, print_json, print_table, run
from fulfillment.infra.env import Env

app = App(name="lots", help="Lots: receive, list, show, adjust, state, trace, recall.")
CsvFile = Annotated[Path | None, Parameter(name="--csv", help="Write every order it reached to this file.")]


@app.command
def receive(
    *,
    product: int,
    number: str,
    expiry: Annotated[str, Parameter(help="The last day on which it may be used, such as 2027-12-31.")],
    quantity: Annotated[int, Parameter(help="Pills, or units of an external item.")],
    supplier: str | None = None,
    location: str | None = None,
    state: Annotated[str, Parameter(help="APPROVED, QUARANTINED or ON_HOLD.")] = "APPROVED",
    json: AsJson = False,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Take in a lot."""
    from fulfillment.infra.web import read_model
    from fulfillment.warehouse import wire
    from fulfillment.warehouse.domain import Actor
    from fulfillment.warehouse.service import stocking

    body = {
        "productId": product,
        "lotNumber": number,
        "expiry": expiry,
        "quantity": quantity,
        "supplier": supplier,
        "location": location,
        "state": state.upper(),
    }
    new = read_model(wire.LotIn, body).to_new()

    async def work(env: Env) -> dict[str, object]:
        return wire.LotOut.of(await stocking.receive_lot(env, Actor("cli"), new)).model_dump(mode="json")

    shown = run(work, data_dir, database_url)
    print_json(shown) if json else print_fields(shown)


@app.command(name="list")
def list_(
    *,
    product: int | None = None,
    state: str | None = None,
    limit: int = 50,
    json: AsJson = False,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """List the newest lots."""
    from fulfillment.inventory.domain import LotState
    from fulfillment.kernel.pages import PageRequest
    from fulfillment.warehouse import wire
    from fulfillment.warehouse.service import stocking

    wanted = _state(state) if state is not None else None

    async def work(env: Env) -> list[dict[str, object]]:
        found = await stocking.list_lots(
            env, PageRequest(limit), product_id=product, state=LotState(wanted) if wanted else None
        )
        return [wire.LotOut.of(lot).model_dump(mode="json") for lot in found[:limit]]

    lots = run(work, data_dir, database_url)
    if json:
        print_json(lots)
        return
    columns = ("id", "productId", "lotNumber", "expiry", "state", "onHand", "reserved", "location")
    print_table("Lots", columns, [tuple(lot[column] for column in columns) for lot in lots])


@app.command
def show(lot_id: str, *, data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Print a lot and the newest lines of its ledger."""
    from fulfillment.kernel.pages import PageRequest
    from fulfillment.warehouse import wire
    from fulfillment.warehouse.service import stocking

    async def work(env: Env) -> tuple[wire.LotOut, list[wire.MovementOut]]:
        lot = wire.LotOut.of(await stocking.get_lot(env, lot_id))
        ledger = await stocking.list_movements(env, lot_id, PageRequest(50))
        return lot, [wire.MovementOut.of(line) for line in ledger]

    lot, ledger = run(work, data_dir, database_url)
    print_fields(lot.model_dump(mode="json"))
    rows = [(line.createdAt, line.kind, line.quantity, line.orderId, line.reason, line.actor) for line in ledger]
    print_table("Ledger", ("at", "kind", "quantity", "order", "reason", "actor"), rows)


@app.command
def adjust(
    lot_id: str,
    *,
    quantity: Annotated[int, Parameter(help="What is added; negative: taken off.")],
    reason: str,
    scrapped: Annotated[bool, Parameter(negative="", help="Thrown away, and not counted anew.")] = False,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Correct what a lot has on hand."""
    from fulfillment.warehouse.domain import Actor
    from fulfillment.warehouse.service import stocking

    async def work(env: Env) -> tuple[int, int]:
        lot = await stocking.adjust_lot(env, Actor("cli"), lot_id, quantity, reason, scrapped=scrapped)
        return lot.on_hand, lot.free

    on_hand, free = run(work, data_dir, database_url)
    print(f"{on_hand} on hand, {free} free.")


@app.command
def state(lot_id: str, *, to: str, reason: str, data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Move a lot to the state TO: APPROVED, QUARANTINED, ON_HOLD, EXPIRED or DEPLETED."""
    from fulfillment.inventory.domain import LotState
    from fulfillment.warehouse.domain import Actor
    from fulfillment.warehouse.service import stocking

    wanted = LotState(_state(to))

    async def work(env: Env) -> str:
        return (await stocking.change_lot_state(env, Actor("cli"), lot_id, wanted, reason)).state.value

    print(f"The lot is {run(work, data_dir, database_url)}.")


@app.command
def trace(
    lot_id: str,
    *,
    csv: CsvFile = None,
    json: AsJson = False,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Say who reserved, was packed, or was sent pills of a lot."""
    from fulfillment.warehouse.recalls import Trace
    from fulfillment.warehouse.service import recalling

    async def work(env: Env) -> Trace:
        return await recalling.trace_lot(env, lot_id)

    _tell(run(work, data_dir, database_url), csv, json)


@app.command
def recall(
    lot_id: str,
    *,
    dry_run: Annotated[bool, Parameter(negative="", help="Only say whom it would reach.")] = False,
    reason: str = "",
    csv: CsvFile = None,
    json: AsJson = False,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Recall a lot: orders not shipped are picked anew or held, and every affected partner is told."""
    from fulfillment.warehouse.domain import Actor
    from fulfillment.warehouse.recalls import Trace
    from fulfillment.warehouse.service import recalling

    async def work(env: Env) -> Trace:
        return await recalling.recall_lot(env, Actor("cli"), lot_id, dry_run=dry_run, reason=reason)

    _tell(run(work, data_dir, database_url), csv, json)


def _tell(trace: object, csv: Path | None, as_json: bool) -> None:
    from fulfillment.warehouse import recalls, wire
    from fulfillment.warehouse.recalls import Trace

    assert isinstance(trace, Trace)
    if csv is not None:
        csv.write_text(recalls.csv_of(trace), encoding="utf-8", newline="")
    shown = wire.TraceOut.of(trace)
    if as_json:
        print_json(shown.model_dump(mode="json"))
        return
    lot = trace.lot
    print_fields({"lot": lot.lot_number, "product": trace.product_name, "state": lot.state.value, **shown.summary})
    rows = [
        (one.order_id, one.partner_name, one.customer_source_id, one.stage.value, one.pills, one.action or "")
        for one in trace.reached
    ]
    print_table("Orders", ("order", "partner", "customer", "stage", "pills", "action"), rows)


def _state(text: str) -> str:
    from fulfillment.inventory.domain import LotState
    from fulfillment.kernel.errors import ValidationFailed

    if text.upper() not in LotState.__members__:
        raise ValidationFailed(f"A lot's state is one of {', '.join(LotState)}.")
    return text.upper()
