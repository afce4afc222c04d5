"""How the partner's commands show what the API answers: tables for people, the wire's JSON for programs."""

import json
import sys
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Final

from cyclopts import Parameter

from fulfillment.cli.options import print_fields, print_json, print_table
from fulfillment.kernel.errors import FieldError, ValidationFailed
from fulfillment.sdk import Order, Protocol
from fulfillment.sdk.models import LineItem

FromFile = Annotated[
    Path,
    Parameter(name="--from", allow_leading_hyphen=True, help="A JSON file in the API's form; - is standard input."),
]
Limit = Annotated[int, Parameter(help="Rows at most.")]
_SLOTS: Final = ("morning", "afternoon", "evening", "sleep")


def read_json(file: Path) -> dict[str, Any]:
    """Return the JSON object in *file*, or on standard input.

    Raises:
        ValidationFailed: It can't be read, or is no JSON object.
    """
    try:
        found: object = json.loads(sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValidationFailed(f"{file} can't be read: {error.strerror}.") from None
    except ValueError as error:
        raise ValidationFailed(f"{file} is not JSON: {error}.") from None
    if not isinstance(found, dict):
        raise ValidationFailed(f"{file} is not a JSON object.", errors=[FieldError("", "An object is expected.")])
    return found


def show_order(order: Order, *, as_json: bool) -> None:
    """Print an order."""
    if as_json:
        print_json(order.raw)
        return
    parcel = order.fulfillment_info
    fields: dict[str, object] = {
        "Order": order.id,
        "Status": str(order.status),
        "Customer": f"{order.customer.first_name} {order.customer.last_name} ({order.customer.source_id})",
        "Supply": f"{order.days_supply} days, {order.shipping_method}",
        "Created": moment(order.created_at),
        "Cancel until": moment(order.cancellable_until),
        "Parcel": f"{parcel.carrier} {parcel.tracking_number}, {parcel.tracking_status}" if parcel else "",
        "Held": ", ".join(hold["code"] for hold in order.raw.get("holds") or ()),
        "Total": money(order.total),
    }
    print_fields({name: value for name, value in fields.items() if value})
    for warning in order.raw.get("warnings") or ():
        print(f"Warning       {warning['message']}")
    _show_lines(order.line_items)


def show_protocol(protocol: Protocol, *, as_json: bool) -> None:
    """Print a protocol."""
    if as_json:
        print_json(protocol.raw)
        return
    customer = protocol.customer
    print_fields(
        {
            "Protocol": protocol.id,
            "Customer": f"{customer.first_name} {customer.last_name} ({customer.source_id})",
            "Supply": f"{protocol.days_supply} days, {protocol.shipping_method}",
            "Created": moment(protocol.created_at),
        }
    )
    _show_lines(protocol.line_items)


def show_orders(orders: Iterable[Order], *, as_json: bool) -> None:
    """Print a list of orders."""
    found = list(orders)
    if as_json:
        print_json([order.raw for order in found])
        return
    rows = [
        (order.id, str(order.status), _tracking(order), order.days_supply, money(order.total), moment(order.created_at))
        for order in found
    ]
    print_table("Orders", ("id", "status", "parcel", "days", "total", "created"), rows)


def moment(at: datetime | None) -> str:
    """Return a moment for people, in UTC."""
    return f"{at:%Y-%m-%d %H:%M:%S} UTC" if at else ""


def money(amount: Decimal | None) -> str:
    """Return dollars for people."""
    return f"${amount}" if amount is not None else ""


def _tracking(order: Order) -> str:
    return (order.fulfillment_info.tracking_status or "") if order.fulfillment_info else ""


def _show_lines(lines: Iterable[LineItem]) -> None:
    rows = [
        (
            line.product_id,
            line.raw.get("name", ""),
            line.quantity,
            *((getattr(line.administration, slot) or "" for slot in _SLOTS) if line.administration else ("",) * 4),
            money(line.discounted_price),
        )
        for line in lines
    ]
    print_table("", ("product", "name", "quantity", *_SLOTS, "each"), rows)
