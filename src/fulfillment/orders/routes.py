"""HTTP for orders. A route reads the request, calls one service function, and writes the answer."""

import re
from collections.abc import Sequence
from typing import Final

from fulfillment.infra.cursors import Listing, cursors_of, link_headers, read_page, to_page
from fulfillment.infra.web import Answer, Call, HotRoute
from fulfillment.kernel.errors import FieldError, ValidationFailed
from fulfillment.kernel.pages import Direction, PageRequest
from fulfillment.oauth.http import partner_caller
from fulfillment.orders import service, wire
from fulfillment.orders.domain import Order, OrderNotFound, OrderStatus
from fulfillment.orders.http import claim_of, created_answer, read_on_duplicate, read_order
from fulfillment.orders.idempotency import read_key
from fulfillment.orders.intake import intake_of
from fulfillment.orders.written import WrittenPage, WrittenPages

_ID: Final = re.compile(r"[0-9A-Za-z]{27}")


async def create_order(call: Call) -> Answer:
    """Create an order."""
    room = intake_of(call.env).room
    room.check()
    caller = await partner_caller(call)
    on_duplicate = read_on_duplicate(call)
    key = read_key(call.headers(b"idempotency-key"))
    content = await call.json()
    with room.place():
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
    request = read_page(query, call.env.secrets.cursor_key, listing)
    if status is not None or request.direction is not Direction.NEXT:
        return _page_answer(call, listing, request, await service.list_orders(call.env, caller, status, request))
    written = WrittenPages.of(call.env)
    key = (caller.partner_id, request)
    kept = written.get(key)
    newest = await service.list_newest(call.env, caller, request, kept.mark if kept else None)
    if newest.orders is None and kept is not None:
        return kept.answer
    answer = _page_answer(call, listing, request, newest.orders or ())
    written.keep(key, WrittenPage(newest.mark, answer))
    return answer


def _page_answer(call: Call, listing: Listing, request: PageRequest, orders: Sequence[Order]) -> Answer:
    page = to_page(orders, request, lambda order: (order.id,))
    cursor, links = cursors_of(page, request, call.env.secrets.cursor_key, listing)
    texts = ",".join(wire.order_json(order) for order in page.items)
    body = f'{{"orders":[{texts}],"cursor":{f"{chr(34)}{cursor}{chr(34)}" if cursor else "null"}}}'
    return Answer(200, body.encode(), headers=link_headers(call.env.settings.base_url + "/v1/orders", links))


HOT: Final = (
    HotRoute("POST", "/v1/orders", create_order),
    HotRoute("GET", "/v1/orders", list_orders),
    HotRoute("GET", "/v1/orders/{orderId}", get_order),
    HotRoute("POST", "/v1/orders/{orderId}", cancel_order, suffix="/cancel"),
)


def read_order_id(text: str) -> str:
    """Return an order's id.

    Raises:
        OrderNotFound: It can't be one.
    """
    if _ID.fullmatch(text) is None:
        raise OrderNotFound("You have no order with this id.")
    return text


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
