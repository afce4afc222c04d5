"""fulfillment trigger: an order in the sandbox, sent through a scenario."""

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from fulfillment.cli.exits import Exit
from fulfillment.cli.options import AsJson, print_json, print_table
from fulfillment.cli.profiles import Profile, connect
from fulfillment.cli.shown import read_json, show_order
from fulfillment.kernel.errors import ValidationFailed
from fulfillment.sdk import Client


def trigger(
    scenario: Annotated[str | None, Parameter(help="happy, carrier_exception, lost ...; without: list them.")] = None,
    *,
    order: Annotated[str | None, Parameter(help="Take this order instead of a new one.")] = None,
    from_: Annotated[Path | None, Parameter(name="--from", help="Create the new order from this JSON file.")] = None,
    json: AsJson = False,
    profile: Profile = None,
) -> int:
    """Create an order and drive it through a scenario; your webhook hears all that happens. Sandbox only."""
    with connect(profile) as juniper:
        if scenario is None:
            _list(juniper, as_json=json)
            return Exit.DONE
        order_id = order or juniper.create_order(_body(juniper, from_)).id
        juniper.advance_order(order_id, scenario=scenario)
        show_order(juniper.get_order_by_id(order_id), as_json=json)
    return Exit.DONE


def _list(juniper: Client, *, as_json: bool) -> None:
    found = juniper.list_scenarios()
    if as_json:
        print_json(found)
    else:
        rows = [(one.get("name", ""), one.get("description", "")) for one in found]
        print_table("Scenarios", ("name", "what happens"), rows)


def _body(juniper: Client, file: Path | None) -> dict[str, Any]:
    if file is not None:
        return read_json(file)
    for product in juniper.iter_products(status="ACTIVE", limit=50):
        usage = product.recommended_usage
        enough = product.inventory is None or product.inventory.available >= 1000
        if not product.external and usage is not None and enough:
            return _order_of(product.id, usage.morning + usage.afternoon + usage.evening + usage.sleep)
    raise ValidationFailed("The catalogue has no product to order: give --from FILE or --order ID.")


def _order_of(product_id: int, quantity: int) -> dict[str, Any]:
    return {
        "customer": {
            "sourceId": "fulfillment-trigger",
            "firstName": "Jane",
            "lastName": "Doe",
            "address": {"line1": "437 Lytton Ave", "city": "Palo Alto", "state": "CA", "zipCode": "94301"},
        },
        "daysSupply": 30,
        "lineItems": [{"productId": product_id, "quantity": quantity, "packDescription": "Trigger"}],
        "shippingMethod": "STANDARD",
    }
