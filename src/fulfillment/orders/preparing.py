"""Everything about a new order that can be decided before its stock is looked at. Pure."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Any, Final, NamedTuple

from fulfillment.catalog.domain import Orderable
from fulfillment.inventory.expiry import required_expiry
from fulfillment.kernel.errors import FieldError, ValidationFailed
from fulfillment.kernel.money import percent
from fulfillment.orders import packs, pricing, wire
from fulfillment.orders.domain import Draft
from fulfillment.partners.domain import Partner
from fulfillment.shipping.addresses import AddressVerdict, check_address
from fulfillment.shipping.calendar import ShippingMethod as Method
from fulfillment.shipping.calendar import max_transit_days, ship_date

_UNKNOWN: Final = "unknown_product"


@dataclass(frozen=True, slots=True)
class Rules:
    """The settings a new order is made by."""

    zone: tzinfo  # the warehouse's
    buffer_days: int
    handling_fee: Decimal
    release_after: timedelta | None  # None: released by hand


class Demand(NamedTuple):
    """What an order takes of one product."""

    product_id: int
    amount: int  # pills or units
    day_quantity: int  # pills of one day; 1 for units


class Prepared(NamedTuple):
    """A new order, complete but for its stock."""

    partner: Partner
    draft: Draft
    document: str
    demands: tuple[Demand, ...]  # by product id
    ships_on: date
    lasts_until: date  # the least expiry date of its lots
    address: AddressVerdict
    content_key: int
    release_at: datetime | None
    created_at: datetime
    lines: tuple[pricing.PricedLine, ...]
    totals: pricing.Totals


def check_draft(draft: Draft, catalog: Mapping[int, Orderable]) -> list[packs.Line]:
    """Return the lines of *draft* as they can be made.

    Raises:
        UnknownProduct, ProductNotOrderable: All faults are of that kind.
        ValidationFailed: There are several kinds; every fault is named.
    """
    lines, faults = packs.check_lines(list(enumerate(draft.lines)), catalog)
    if faults:
        raise refusal(faults)
    return lines


def refusal(faults: list[FieldError]) -> ValidationFailed:
    """Return the error that names *faults*: of their own class when they are all of one."""
    codes = {fault.code for fault in faults}
    kind = _OF_CODE.get(codes.pop() or "", ValidationFailed) if len(codes) == 1 else ValidationFailed
    return kind("The order has lines that can't be made.", errors=faults)


class UnknownProduct(ValidationFailed):
    """A line names a product that is not in the catalogue."""

    code = "unknown_product"
    title = "Unknown product"


class ProductNotOrderable(ValidationFailed):
    """A line names a product that can't be ordered now."""

    code = "product_not_orderable"
    title = "Product not orderable"


_OF_CODE: Final[Mapping[str, type[ValidationFailed]]] = {
    UnknownProduct.code: UnknownProduct,
    ProductNotOrderable.code: ProductNotOrderable,
}


def prepare(
    draft: Draft,
    catalog: Mapping[int, Orderable],
    partner: Partner,
    shipping_price: Decimal,
    rules: Rules,
    at: datetime,
) -> Prepared:
    """Return the order of *draft*, priced and placed, as it would be made at the moment *at*.

    Raises:
        ValidationFailed: As `check_draft`.
    """
    lines = check_draft(draft, catalog)
    terms = pricing.Terms(partner.discount, partner.volume_discounts, rules.handling_fee, shipping_price)
    priced, totals = pricing.price(lines, draft.days_supply, terms)
    ships_on = ship_date(at, rules.zone)
    return Prepared(
        partner=partner,
        draft=draft,
        document=wire.document_json(draft, priced, totals, percent(partner.discount), at),
        demands=demands_of(lines, draft.days_supply),
        ships_on=ships_on,
        lasts_until=_lasts_until(draft, rules, ships_on),
        address=verdict_of(draft),
        content_key=content_key(partner.id, draft, lines),
        release_at=release_at(rules, partner, at),
        created_at=at,
        lines=priced,
        totals=totals,
    )


def lasts_until(draft: Draft, rules: Rules, at: datetime) -> date:
    """Return the least expiry date of the lots of an order that is made at the moment *at*."""
    return _lasts_until(draft, rules, ship_date(at, rules.zone))


def _lasts_until(draft: Draft, rules: Rules, ships_on: date) -> date:
    transit = max_transit_days(Method(draft.shipping_method), ships_on)
    return required_expiry(ships_on, transit, draft.days_supply, rules.buffer_days)


def release_at(rules: Rules, partner: Partner, at: datetime) -> datetime | None:
    """Return the cut-off of an order that is made at the moment *at*: until then it can be cancelled.

    A partner whose sandbox orders move by themselves has its own; None: released by hand.
    """
    if partner.auto_advance_seconds is not None:
        return at + timedelta(seconds=partner.auto_advance_seconds)
    return at + rules.release_after if rules.release_after is not None else None


def verdict_of(draft: Draft, shipping_method: str | None = None) -> AddressVerdict:
    """Return what the address rules say of the draft's address, with its own shipping method or another."""
    address: Mapping[str, Any] = draft.customer["address"]
    return check_address(
        address["line1"],
        address["line2"],
        address["city"],
        address["state"],
        address["zipCode"],
        shipping_method or draft.shipping_method,
    )


def content_key(partner_id: str, draft: Draft, lines: list[packs.Line]) -> int:
    """Return a 64-bit hash of who gets what: partner, customer, and the products with their places in the day."""
    content = sorted((line.product.id, line.quantity, _places(line)) for line in lines)
    text = f"{partner_id}\n{draft.customer['sourceId']}\n{content}"
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), signed=True)


def _places(line: packs.Line) -> tuple[int, int, int, int]:
    given = line.administration
    return (given.morning, given.afternoon, given.evening, given.sleep) if given else (0, 0, 0, 0)


def demands_of(lines: list[packs.Line], days_supply: int) -> tuple[Demand, ...]:
    """Return what an order of *lines* takes, by product id."""
    amounts: dict[int, int] = {}
    daily: dict[int, int] = {}
    for line in lines:
        product = line.product
        amounts[product.id] = amounts.get(product.id, 0) + line.amount(days_supply)
        daily[product.id] = 1 if product.external else daily.get(product.id, 0) + line.quantity
    return tuple(Demand(product, amounts[product], daily[product]) for product in sorted(amounts))
