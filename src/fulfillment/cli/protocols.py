"""fulfillment protocols: reusable order templates, over the API."""

from itertools import islice
from typing import Annotated, Literal

from cyclopts import App, Parameter

from fulfillment.cli.options import AsJson, print_json, print_table
from fulfillment.cli.profiles import Profile, connect
from fulfillment.cli.shown import FromFile, Limit, moment, read_json, show_order, show_protocol

app = App(name="protocols", help="Protocols: list, show, create, delete, order.")


@app.command(name="list")
def list_(
    *,
    search: Annotated[str | None, Parameter(help="A customer's name; typos are forgiven.")] = None,
    limit: Limit = 20,
    json: AsJson = False,
    profile: Profile = None,
) -> None:
    """List your protocols."""
    with connect(profile) as juniper:
        found = list(islice(juniper.iter_protocols(search=search, limit=min(max(limit, 1), 100)), limit))
    if json:
        print_json([protocol.raw for protocol in found])
        return
    rows = [
        (
            protocol.id,
            f"{protocol.customer.first_name} {protocol.customer.last_name}",
            protocol.days_supply,
            str(protocol.shipping_method),
            len(protocol.line_items),
            moment(protocol.created_at),
        )
        for protocol in found
    ]
    print_table("Protocols", ("id", "customer", "days", "method", "products", "created"), rows)


@app.command
def show(protocol_id: str, *, json: AsJson = False, profile: Profile = None) -> None:
    """Show a protocol."""
    with connect(profile) as juniper:
        show_protocol(juniper.get_protocol_by_id(protocol_id), as_json=json)


@app.command
def create(*, from_: FromFile, json: AsJson = False, profile: Profile = None) -> None:
    """Create a protocol from a JSON file. It takes no stock."""
    with connect(profile) as juniper:
        show_protocol(juniper.create_protocol(read_json(from_)), as_json=json)


@app.command
def delete(protocol_id: str, *, profile: Profile = None) -> None:
    """Delete a protocol. The orders made from it stay."""
    with connect(profile) as juniper:
        juniper.delete_protocol(protocol_id)
    print(f"{protocol_id} is deleted.")


@app.command
def order(
    protocol_id: str,
    *,
    days_supply: Literal[30, 60, 90] | None = None,
    shipping_method: Literal["STANDARD", "EXPRESS", "OVERNIGHT"] | None = None,
    idempotency_key: Annotated[str | None, Parameter(help="The same key makes the same order once.")] = None,
    json: AsJson = False,
    profile: Profile = None,
) -> None:
    """Create an order from a protocol; what is given stands in for the protocol's own."""
    with connect(profile) as juniper:
        made = juniper.create_order_from_protocol(
            protocol_id,
            days_supply=days_supply,
            shipping_method=shipping_method,
            idempotency_key=idempotency_key,
        )
    show_order(made, as_json=json)
