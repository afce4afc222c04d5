"""HTTP for protocols. A route reads the request, calls one service function, and writes the answer."""

import re
from typing import Final

from fulfillment.catalog import service as catalog
from fulfillment.infra import jsontext
from fulfillment.infra.cursors import Listing, cursors_of, link_headers, read_page, to_page
from fulfillment.infra.env import Env
from fulfillment.infra.web import Answer, Call, HotRoute, read_model
from fulfillment.kernel.callers import Caller
from fulfillment.kernel.errors import FieldError, ValidationFailed
from fulfillment.oauth.http import partner_caller
from fulfillment.orders.http import claim_of, created_answer, read_on_duplicate, read_order
from fulfillment.orders.idempotency import read_key
from fulfillment.orders.wire import OrderFromProtocolIn, ProtocolUpdateIn
from fulfillment.partners import service as partners
from fulfillment.protocols import service, wire
from fulfillment.protocols.domain import Protocol, ProtocolNotFound

_ID: Final = re.compile(r"[0-9A-Za-z]{27}")
_LONGEST_SEARCH: Final = 200  # characters


async def create_protocol(call: Call) -> Answer:
    """Create a protocol."""
    caller = await partner_caller(call)
    call.query(())
    body = await read_order(call.env, await call.json())
    return await _answer(call.env, caller, await service.create_protocol(call.env, caller, body.to_draft()), 201)


async def get_protocol(call: Call) -> Answer:
    """Return one protocol."""
    caller = await partner_caller(call)
    call.query(())
    return await _answer(call.env, caller, await service.get_protocol(call.env, caller, _read_id(call)))


async def list_protocols(call: Call) -> Answer:
    """Return a page of protocols, newest first; a search finds customers by name, typos forgiven."""
    caller = await partner_caller(call)
    query = call.query(("limit", "cursor", "direction", "search"))
    search = query.get("search")
    if search is not None and len(search) > _LONGEST_SEARCH:
        raise ValidationFailed(
            "A parameter is not valid.", errors=[FieldError("search", f"At most {_LONGEST_SEARCH} characters.")]
        )
    listing = Listing("/v1/protocols", caller.partner_id, {"search": search} if search is not None else {})
    key = call.env.secrets.cursor_key
    request = read_page(query, key, listing)
    found = await service.list_protocols(call.env, caller, search, request)
    page = to_page(found, request, lambda protocol: (protocol.id,))
    cursor, links = cursors_of(page, request, key, listing)
    body = {"protocols": [await _shown(call.env, caller, protocol) for protocol in page.items], "cursor": cursor}
    url = call.env.settings.base_url + "/v1/protocols"
    return Answer(200, jsontext.write(body), headers=link_headers(url, links))


async def update_protocol(call: Call) -> Answer:
    """Change the given fields of a protocol."""
    caller = await partner_caller(call)
    call.query(())
    body = read_model(ProtocolUpdateIn, await call.json())
    changes = body.model_dump(include=body.model_fields_set)
    return await _answer(call.env, caller, await service.update_protocol(call.env, caller, _read_id(call), changes))


async def replace_protocol(call: Call) -> Answer:
    """Replace a protocol as a whole."""
    caller = await partner_caller(call)
    call.query(())
    body = await read_order(call.env, await call.json())
    return await _answer(
        call.env, caller, await service.replace_protocol(call.env, caller, _read_id(call), body.to_draft())
    )


async def delete_protocol(call: Call) -> Answer:
    """Delete a protocol."""
    caller = await partner_caller(call)
    call.query(())
    await service.delete_protocol(call.env, caller, _read_id(call))
    return Answer(204, b"")


async def create_order_from_protocol(call: Call) -> Answer:
    """Create an order from a protocol, checked and priced anew."""
    caller = await partner_caller(call)
    on_duplicate = read_on_duplicate(call)
    key = read_key(call.headers(b"idempotency-key"))
    content = await call.json() if _has_body(call) else {}
    overrides = read_model(OrderFromProtocolIn, content).model_dump(exclude_none=True)
    protocol_id = _read_id(call)
    path = f"/v1/protocols/{protocol_id}/orders"
    claim = claim_of(caller, "createOrderFromProtocol", path, key, [content, on_duplicate])
    return created_answer(
        await service.create_order(call.env, caller, protocol_id, overrides, claim=claim, on_duplicate=on_duplicate)
    )


HOT: Final = (
    HotRoute("POST", "/v1/protocols", create_protocol),
    HotRoute("GET", "/v1/protocols", list_protocols),
    HotRoute("GET", "/v1/protocols/{protocolId}", get_protocol),
    HotRoute("PATCH", "/v1/protocols/{protocolId}", update_protocol),
    HotRoute("PUT", "/v1/protocols/{protocolId}", replace_protocol),
    HotRoute("DELETE", "/v1/protocols/{protocolId}", delete_protocol),
    HotRoute("POST", "/v1/protocols/{protocolId}", create_order_from_protocol, suffix="/orders"),
)


async def _answer(env: Env, caller: Caller, protocol: Protocol, status: int = 200) -> Answer:
    return Answer(status, jsontext.write(await _shown(env, caller, protocol)))


async def _shown(env: Env, caller: Caller, protocol: Protocol) -> dict[str, object]:
    products = (await catalog.get_orderables(env)).value
    partner = await partners.get_partner(env, caller.partner_id)
    return wire.protocol_json(protocol, products, partner.discount)


def _read_id(call: Call) -> str:
    if _ID.fullmatch(call.path_id) is None:
        raise ProtocolNotFound("You have no protocol with this id.")
    return call.path_id


def _has_body(call: Call) -> bool:
    length = call.header(b"content-length")
    return call.header(b"transfer-encoding") is not None or (length is not None and length.strip(b"0") != b"")
