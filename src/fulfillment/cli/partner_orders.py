"""fulfillment orders create, cancel, watch: what a partner does with its orders, over the API."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Annotated, Final, Literal

from cyclopts import Parameter

from fulfillment.cli.exits import Exit
from fulfillment.cli.options import AsJson, print_json
from fulfillment.cli.profiles import Profile, connect
from fulfillment.cli.shown import FromFile, moment, read_json, show_order, show_orders
from fulfillment.sdk import Client, Order
from fulfillment.sdk.codec import Json

_ORDER: Final = ("CREATED", "PROCESSING", "FULFILLED", "AWAITING_SHIPMENT", "SHIPPED", "DELIVERED")
Until = Literal["PROCESSING", "FULFILLED", "AWAITING_SHIPMENT", "SHIPPED", "DELIVERED"]


def create(
    *,
    from_: FromFile,
    idempotency_key: Annotated[str | None, Parameter(help="The same key makes the same order once.")] = None,
    on_duplicate: Annotated[
        Literal["accept", "hold", "reject"] | None, Parameter(help="If this customer got the same lately.")
    ] = None,
    json: AsJson = False,
    profile: Profile = None,
) -> None:
    """Create an order from a JSON file, once, however often the network makes us ask."""
    with connect(profile) as juniper:
        order = juniper.create_order(read_json(from_), idempotency_key=idempotency_key, on_duplicate=on_duplicate)
    show_order(order, as_json=json)


def cancel(order_id: str, *, json: AsJson = False, profile: Profile = None) -> None:
    """Cancel an order that is still CREATED."""
    with connect(profile) as juniper:
        show_order(juniper.cancel_order(order_id), as_json=json)


def list_orders(status: str | None, limit: int, *, as_json: bool, profile: str | None) -> None:
    """List the partner's newest orders."""
    found: list[Order] = []
    with connect(profile) as juniper:
        for order in juniper.iter_orders(status=status, limit=min(max(limit, 1), 100)):
            if len(found) == limit:
                break
            found.append(order)
    show_orders(found, as_json=as_json)


def show(order_id: str, *, as_json: bool, profile: str | None) -> None:
    """Show one of the partner's orders."""
    with connect(profile) as juniper:
        show_order(juniper.get_order_by_id(order_id), as_json=as_json)


def watch(
    order_id: str,
    *,
    until: Annotated[Until, Parameter(help="Stop there; a cancelled order stops it too.")] = "DELIVERED",
    every: Annotated[float, Parameter(help="Seconds between two looks.")] = 2.0,
    timeout: Annotated[float | None, Parameter(help="Seconds to wait at most; then the exit status is 7.")] = None,
    json: AsJson = False,
    profile: Profile = None,
) -> int:
    """Follow an order: print each change of its status and of its parcel, as a line or (--json) a JSON line."""
    import json as json_module

    def tell(order: Order) -> None:
        if json:
            print(json_module.dumps(dict(order.raw)), flush=True)
        else:
            print(_line(order), flush=True)

    with connect(profile) as juniper, _waiting(json):
        return _follow(juniper, order_id, until, every, timeout, tell)


def _follow(
    juniper: Client, order_id: str, until: str, every: float, timeout: float | None, tell: Callable[[Order], None]
) -> Exit:
    deadline = None if timeout is None else time.monotonic() + timeout
    seen: tuple[str, ...] | None = None
    while True:
        order = juniper.get_order_by_id(order_id)
        now = _state(order)
        if now != seen:
            tell(order)
            seen = now
        if str(order.status) == "CANCELLED":
            return Exit.DONE if until == "DELIVERED" else Exit.REFUSED
        if _ORDER.index(_progress(order)) >= _ORDER.index(until):
            return Exit.DONE
        if deadline is not None and time.monotonic() + every > deadline:
            return Exit.TIME_IS_UP
        time.sleep(every)


def _waiting(as_json: bool) -> AbstractContextManager[object]:
    from rich.console import Console

    return Console(stderr=True, quiet=as_json).status("Waiting for the next change (Ctrl-C stops)")


def _state(order: Order) -> tuple[str, ...]:
    parcel = order.fulfillment_info
    holds = tuple(hold["code"] for hold in order.raw.get("holds") or ())
    seen = (str(parcel.tracking_status), str(len(parcel.checkpoints))) if parcel else ()
    return (str(order.status), *seen, *holds)


def _progress(order: Order) -> str:
    delivered = order.fulfillment_info is not None and order.fulfillment_info.tracking_status == "Delivered"
    return "DELIVERED" if delivered else str(order.status)


def _line(order: Order) -> str:
    parcel = order.fulfillment_info
    holds = ", ".join(hold["code"] for hold in order.raw.get("holds") or ())
    parts = [moment(order.updated_at), f"{order.status:<17}", f"held: {holds}" if holds else ""]
    if parcel:
        last = parcel.checkpoints[-1] if parcel.checkpoints else None
        parts += [parcel.carrier or "", parcel.tracking_number or "", parcel.tracking_status or ""]
        parts.append((last.message or "") if last else "")
    return "  ".join(part for part in parts if part)


def preview(*, from_: FromFile, json: AsJson = False, profile: Profile = None) -> int:
    """Run an order through every check without making it."""
    with connect(profile) as juniper:
        found = juniper.preview_order(read_json(from_))
    if json:
        print_json(found)
    else:
        _print_preview(found)
    return Exit.DONE if found["valid"] else Exit.REFUSED


def _print_preview(preview: Json) -> None:
    totals = preview.get("totals") or {}
    print("It can be made." if preview["valid"] else "It can't be made:")
    for fault in preview["errors"]:
        print(f"  {fault['pointer']}: {fault['message']} ({fault['code']})")
    for warning in preview["warnings"]:
        print(f"  Warning: {warning['message']}")
    if totals:
        print(f"Total ${totals['total']}; cancel until {preview['cancellableUntil'] or 'it is released'}.")
    for way in preview["shippingMethods"]:
        print(f"  {way['name']:<10} ships {way['shipsOn']}, arrives {way['arrivesFrom']} to {way['arrivesBy']}")
