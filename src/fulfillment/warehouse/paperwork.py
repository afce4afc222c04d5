"""Orders, lots and facts as the printed documents want them. Pure."""

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, Final

from fulfillment.catalog.facts import CombinedFacts, PackFacts, Slot
from fulfillment.catalog.facts import FactsRow as Row
from fulfillment.catalog.nutrients import Group
from fulfillment.documents.model import (
    Address,
    Brand,
    Dose,
    FactsCell,
    FactsRow,
    FactsTable,
    LotUse,
    PackingSlip,
    PackItem,
    PackLabel,
    PackRoll,
    PickLine,
    PickList,
    ShippingLabel,
    SlipLine,
)
from fulfillment.documents.wording import count, slot_name
from fulfillment.orders.domain import Order
from fulfillment.partners.domain import Partner
from fulfillment.warehouse import packing
from fulfillment.warehouse.domain import Shipment
from fulfillment.warehouse.packing import SLOTS, Content, Pack

NEVER: Final = date(9999, 12, 31)  # printed for what does not expire
SHIP_FROM: Final = Address("Juniper Health Fulfillment", "350 Rhode Island St", "San Francisco", "CA", "94103")


def brand_of(partner: Partner, logo: bytes | None) -> Brand:
    """Return the partner's brand; *logo* is its picture, where we have it."""
    return Brand(
        name=partner.name,
        primary_color=partner.primary_color,
        secondary_color=partner.secondary_color,
        logo_png=logo,
        phone=partner.phone,
        support_email=partner.support_email,
        website=partner.website,
    )


def address_of(customer: Mapping[str, Any]) -> Address:
    """Return where a customer lives."""
    address = customer["address"]
    return Address(
        f"{customer['firstName']} {customer['lastName']}",
        address["line1"],
        address["city"],
        address["state"],
        address["zipCode"],
        address.get("line2"),
    )


def slip_of(
    order: Order,
    customer: Mapping[str, Any],
    contents: Sequence[Content],
    uses: Sequence[packing.LotUse],
    brand: Brand,
    facts: CombinedFacts,
    ordered_on: date,
) -> PackingSlip:
    """Return an order's packing slip."""
    return PackingSlip(
        brand=brand,
        order_id=order.id,
        ordered_on=ordered_on,
        ship_to=address_of(customer),
        shipping_method=order.shipping_method,
        lines=tuple(_slip_line(content, order.days_supply, uses) for content in contents),
        facts=facts_table(facts, order.days_supply) if facts.per_day.rows else None,
    )


def roll_of(order: Order, recipient: str, packs: Sequence[Pack], brand: Brand) -> PackRoll:
    """Return the labels of an order's pouches, in the order of making; what goes beside them has none."""
    labels = [
        PackLabel(
            pack_id=pack.id,
            recipient=recipient,
            slot=pack.slot,
            day=pack.day,
            days=order.days_supply,
            items=tuple(PackItem(item.name, item.quantity) for item in pack.items),
            use_by=min(item.expiry or NEVER for item in pack.items),
            description=pack.description,
        )
        for pack in packs
        if pack.slot is not None and pack.day is not None
    ]
    return PackRoll(brand, tuple(labels))


def label_of(order: Order, customer: Mapping[str, Any], shipment: Shipment, shipped_on: date) -> ShippingLabel:
    """Return the label of a parcel of the simulated carrier."""
    ship_to = address_of(customer)
    return ShippingLabel(
        ship_from=SHIP_FROM,
        ship_to=ship_to,
        service=shipment.service or order.shipping_method,
        carrier=shipment.carrier,
        tracking_number=shipment.tracking_number,
        routing=f"420{ship_to.postal_code.replace('-', '')}{shipment.tracking_number}",
        shipped_on=shipped_on,
        reference=order.id,
        sandbox=shipment.simulated,
    )


def picks_of(
    batch_id: str, released_on: date, orders: int, packs: int, rows: Sequence[tuple[packing.LotUse, str, bool, int]]
) -> PickList:
    """Return a batch's pick list.

    Args:
        rows: What is taken of a lot, the product's name, whether it goes beside the packs, how many orders it serves.
    """
    lines = [
        PickLine(
            product_name=name,
            lot_number=use.lot.lot_number,
            expires_on=use.lot.expiry or NEVER,
            quantity=use.quantity,
            unit="units" if external else "pills",
            location=use.lot.location or "",
            sku=str(use.lot.product_id),
            orders=served,
        )
        for use, name, external, served in rows
    ]
    return PickList(batch_id, released_on, orders, packs, tuple(lines))


def facts_table(facts: CombinedFacts, days: int) -> FactsTable:
    """Return the combined panel as a table: a column for each time of day that has pills, and one for the day."""
    taken = [(slot, facts.slots[slot]) for slot in Slot if facts.slots[slot].pills]
    columns = [(f"{slot_name(slot.value)} pack", pack) for slot, pack in taken] if len(taken) > 1 else []
    columns.append(("Per day", facts.per_day))
    sizes = ", ".join(f"{slot_name(slot.value).lower()} {count(pack.pills, 'pills')}" for slot, pack in taken)
    return FactsTable(
        columns=tuple(name for name, _ in columns),
        rows=tuple(_facts_row(row, [pack for _, pack in columns]) for row in facts.per_day.rows),
        serving=f"Serving Size: 1 pack ({sizes})",
        servings=f"Servings Per Container: {days}" + (" of each" if len(taken) > 1 else ""),
        other_ingredients=facts.per_day.other_ingredients,
        contains=tuple(allergen.replace("_", " ").capitalize() for allergen in facts.per_day.contains),
    )


def _slip_line(content: Content, days: int, uses: Sequence[packing.LotUse]) -> SlipLine:
    own = [use for use in uses if use.lot.product_id == content.product_id]
    return SlipLine(
        product_name=content.name,
        total=content.amount(days),
        unit="units" if content.external else "pills",
        doses=tuple(Dose(slot, pills) for slot, pills in zip(SLOTS, content.slots, strict=True) if pills),
        days_supply=None if content.external else days,
        lots=tuple(LotUse(use.lot.lot_number, use.lot.expiry or NEVER, use.quantity) for use in own),
        pack_description=content.description,
    )


def _facts_row(row: Row, packs: Sequence[PackFacts]) -> FactsRow:
    return FactsRow(
        name=row.name,
        cells=tuple(_cell(next((own for own in pack.rows if _same(own, row)), None)) for pack in packs),
        established=row.group is not Group.OTHER,
        has_value=row.daily_value is not None,
        diet_based=row.diet_based,
    )


def _same(one: Row, other: Row) -> bool:
    return (one.name, one.unit) == (other.name, other.unit)


def _cell(row: Row | None) -> FactsCell | None:
    return FactsCell(row.amount, row.unit or "", _percent(row.daily_value)) if row else None


def _percent(text: str | None) -> Decimal | None:
    if text is None or not text.endswith("%"):
        return None
    # "<1%" is any share below one: the document writes it so again.
    return Decimal("0.5") if text.startswith("<") else Decimal(text.rstrip("%").replace(",", ""))
