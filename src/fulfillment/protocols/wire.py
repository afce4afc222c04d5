"""The contract's shapes of protocols, which are those of orders."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from fulfillment.catalog.domain import Orderable
from fulfillment.kernel.money import discounted
from fulfillment.kernel.money import to_wire as money
from fulfillment.kernel.times import to_wire as moment
from fulfillment.orders.domain import Administration, Draft, DraftLine, OrderType
from fulfillment.orders.wire import administration_json
from fulfillment.protocols.domain import Protocol


def protocol_of(draft: Draft, id_: str, partner_id: str, at: datetime) -> Protocol:
    """Return *draft* as a protocol."""
    return Protocol(
        id=id_,
        partner_id=partner_id,
        customer=draft.customer,
        days_supply=draft.days_supply,
        order_type=draft.order_type.value,
        shipping_method=draft.shipping_method,
        line_items=[_item_json(line) for line in draft.lines],
        created_at=at,
        updated_at=at,
    )


def draft_of(protocol: Protocol, overrides: Mapping[str, Any] | None = None) -> Draft:
    """Return the order that *protocol* makes, with *overrides* of daysSupply, shippingMethod and orderType."""
    given = overrides or {}
    return Draft(
        customer=protocol.customer,
        days_supply=given.get("daysSupply") or protocol.days_supply,
        lines=tuple(_line_of(item) for item in protocol.line_items),
        shipping_method=given.get("shippingMethod") or protocol.shipping_method,
        order_type=OrderType(given.get("orderType") or protocol.order_type),
        protocol_id=protocol.id,
    )


def merged(protocol: Protocol, changes: Mapping[str, Any]) -> Protocol:
    """Return *protocol* with the given fields of a ProtocolUpdate."""
    names = {
        "customer": "customer",
        "daysSupply": "days_supply",
        "lineItems": "line_items",
        "shippingMethod": "shipping_method",
        "orderType": "order_type",
    }
    return replace(protocol, **{names[name]: value for name, value in changes.items()})


def protocol_json(protocol: Protocol, catalog: Mapping[int, Orderable], discount: Decimal) -> dict[str, object]:
    """Return the contract's Protocol; its prices are today's, as it has none of its own."""
    return {
        "id": protocol.id,
        "customer": protocol.customer,
        "daysSupply": protocol.days_supply,
        "orderType": protocol.order_type,
        "shippingMethod": protocol.shipping_method,
        "lineItems": [_shown(item, catalog.get(item["productId"]), discount) for item in protocol.line_items],
        "createdAt": moment(protocol.created_at),
        "updatedAt": moment(protocol.updated_at),
    }


def _shown(item: Mapping[str, Any], product: Orderable | None, discount: Decimal) -> dict[str, Any]:
    shown = {name: value for name, value in item.items() if name != "administration" or value is not None}
    if product is not None:
        shown["price"] = money(product.list_price)
        shown["discountedPrice"] = money(discounted(product.list_price, discount))
    return shown


def _item_json(line: DraftLine) -> dict[str, object]:
    return {
        "productId": line.product_id,
        "quantity": line.quantity,
        "packDescription": line.pack_description,
        "administration": administration_json(line.administration) if line.administration else None,
    }


def _line_of(item: Mapping[str, Any]) -> DraftLine:
    administration = item.get("administration")
    return DraftLine(
        item["productId"],
        item["quantity"],
        item.get("packDescription"),
        Administration(**administration) if administration else None,
    )
