"""HTTP for orders. A route reads the request, calls one service function, and writes the answer."""

import re
from collections.abc import Mapping
from typing import Any, Final

from fulfillment.catalog import service as catalog
from fulfillment.infra.cursors import Listing, cursors_of, read_page, to_page
from fulfillment.infra.env import Env
from fulfillment.infra.web import Answer, Call, HotRoute, read_model
from fulfillment.kernel.callers import Caller
from fulfillment.kernel.errors import FieldError, ValidationFailed
from fulfillment.oauth.http import partner_caller
from fulfillment.orders import packs, service, wire
from fulfillment.orders.domain import OrderNotFound, OrderStatus
from fulfillment.orders.idempotency import Claim, fingerprint, read_key
from fulfillment.orders.intake import Created, OnDuplicate

_ID: Final = re.compile(r"[0-9A-Za-z]{27}")
_DUPLICATES: Final[Mapping[str, OnDuplicate]] = {"accept": "accept", "hold": "hold", "reject": "reject"}


async def create_order(call: Call) -> Answer:
    """Create an order."""
    caller = await partner_caller(call)
    on_duplicate = read_on_duplicate(call)
    key = read_key(call.header(b"idempotency-key"))
    content = await call.json()
    body = await read_order(call.env, content)
    claim = claim_of(caller, "createOrder", "/v1/orders", key, [content, on_duplicate])
    return created_answer(
        await service.create_order(call.env, caller, body.to_draft(), claim=claim, on_duplicate=on_duplicate)
    )


async def get_order(call: Call) -> Answer:
    """Return one order."""
    caller = await partner_caller(call)
    call.query(())
    order = await service.get_order(call.env, caller, read_order_id(call.path_id))
    return Answer(200, wire.order_json(order).encode())


async def cancel_order(call: Call) -> Answer:
    """Cancel an order that has not entered processing."""
    caller = await partner_caller(call)
    call.query(())
    order = await service.cancel_order(call.env, caller, read_order_id(call.path_id))
    return Answer(200, wire.order_json(order).encode())


async def list_orders(call: Call) -> Answer:
    """Return a page of orders, newest first."""
    caller = await partner_caller(call)
    query = call.query(("limit", "cursor", "direction", "status"))
    status = _read_status(query.get("status"))
    listing = Listing("/v1/orders", caller.partner_id, {"status": query["status"]} if status else {})
    key = call.env.secrets.cursor_key
    request = read_page(query, key, listing)
    page = to_page(await service.list_orders(call.env, caller, status, request), request, lambda order: (order.id,))
    cursor, links = cursors_of(page, request, key, listing)
    orders = ",".join(wire.order_json(order) for order in page.items)
    body = f'{{"orders":[{orders}],"cursor":{f"{chr(34)}{cursor}{chr(34)}" if cursor else "null"}}}'
    return Answer(200, body.encode(), headers=link_headers(call.env, "/v1/orders", links))


HOT: Final = (
    HotRoute("POST", "/v1/orders", create_order),
    HotRoute("GET", "/v1/orders", list_orders),
    HotRoute("GET", "/v1/orders/{orderId}", get_order),
    HotRoute("POST", "/v1/orders/{orderId}", cancel_order, suffix="/cancel"),
)


def link_headers(env: Env, path: str, links: list[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    """Return the RFC 8288 Link header of a page's neighbours."""
    if not links:
        return []
    text = ", ".join(f'<{env.settings.base_url}{path}?{query}>; rel="{rel}"' for rel, query in links)
    return [(b"link", text.encode())]


def read_order_id(text: str) -> str:
    """Return an order's id.

    Raises:
        OrderNotFound: It can't be one.
    """
    if _ID.fullmatch(text) is None:
        raise OrderNotFound("You have no order with this id.")
    return text


def read_on_duplicate(call: Call) -> OnDuplicate:
    """Return what the caller wants of look-alikes.

    Raises:
        ValidationFailed: It is none of accept, hold, reject.
    """
    text = call.query(("onDuplicate",)).get("onDuplicate", "accept")
    if text not in _DUPLICATES:
        raise ValidationFailed(
            "A parameter is not valid.", errors=[FieldError("onDuplicate", "One of: accept, hold, reject.")]
        )
    return _DUPLICATES[text]


def claim_of(caller: Caller, operation: str, path: str, key: str | None, content: Any) -> Claim | None:
    """Return the claim of a request with an Idempotency-Key, or None without."""
    return Claim(caller.partner_id, operation, key, fingerprint(path, content)) if key is not None else None


def created_answer(created: Created) -> Answer:
    """Return 201 with the order's bytes."""
    return Answer(201, created.body, headers=[(b"idempotent-replayed", b"true")] if created.replayed else ())


async def read_order(env: Env, content: object) -> wire.OrderCreateIn:
    """Return an order's body.

    A body that is wrong in shape is still checked against the catalogue where it can be read, so that all of its
    faults come at once.

    Raises:
        ValidationFailed: Every fault with its pointer.
    """
    try:
        return read_model(wire.OrderCreateIn, content)
    except ValidationFailed as error:
        faults = list(error.errors)
        places = {fault.pointer for fault in faults}
        more = [fault for fault in await _line_faults(env, content) if fault.pointer not in places]
        raise ValidationFailed(error.detail, errors=[*faults, *more]) from None


async def _line_faults(env: Env, content: object) -> list[FieldError]:
    items = content.get("lineItems") if isinstance(content, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    if not isinstance(items, list):
        return []
    readable: list[tuple[int, Any]] = []
    for place, item in enumerate(items[: wire.MAX_LINES]):  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        try:
            readable.append((place, read_model(wire.LineItemIn, item).to_draft()))
        except ValidationFailed:
            continue  # its faults are named already
    _, faults = packs.check_lines(readable, (await catalog.get_orderables(env)).value)
    return faults


def _read_status(text: str | None) -> OrderStatus | None:
    if text is None:
        return None
    try:
        return OrderStatus(text)
    except ValueError:
        names = ", ".join(status.value for status in OrderStatus)
        raise ValidationFailed(
            "A parameter is not valid.", errors=[FieldError("status", f"One of: {names}.")]
        ) from None


