"""What an order costs: subtotal, volume discount, handling, shipping, total. Pure, decimal, rounded once a line."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from fulfillment.kernel.money import ZERO, discounted, to_cents
from fulfillment.orders.packs import Line


@dataclass(frozen=True, slots=True)
class Terms:
    """What a partner pays by."""

    discount: Decimal  # a fraction of each price
    volume_discounts: Mapping[int, Decimal]  # a fraction of the pack lines, from so many days of supply on
    handling_fee: Decimal  # dollars for each external line item
    shipping_price: Decimal  # dollars


class PricedLine(NamedTuple):
    """A line with its frozen prices."""

    line: Line
    price: Decimal  # dollars for a pill or unit
    discounted_price: Decimal
    total: Decimal  # dollars, whole cents


@dataclass(frozen=True, slots=True)
class Totals:
    """Dollars, whole cents: total = subtotal - volume_discount + handling_fee + shipping_cost."""

    subtotal: Decimal
    volume_discount: Decimal
    handling_fee: Decimal
    shipping_cost: Decimal
    total: Decimal


def price(lines: Sequence[Line], days_supply: int, terms: Terms) -> tuple[tuple[PricedLine, ...], Totals]:
    """Return each line with its price, and the totals."""
    priced: list[PricedLine] = []
    subtotal = pack_total = fee = ZERO
    for line in lines:
        unit = discounted(line.product.list_price, terms.discount)
        total = to_cents(unit * line.amount(days_supply))
        priced.append(PricedLine(line, line.product.list_price, unit, total))
        subtotal += total
        if line.product.external:
            fee += terms.handling_fee
        else:
            pack_total += total
    volume = to_cents(pack_total * volume_fraction(terms.volume_discounts, days_supply))
    shipping = to_cents(terms.shipping_price)
    fee = to_cents(fee)
    return tuple(priced), Totals(subtotal, volume, fee, shipping, subtotal - volume + fee + shipping)


def volume_fraction(steps: Mapping[int, Decimal], days_supply: int) -> Decimal:
    """Return the fraction of the highest step that *days_supply* reaches."""
    reached = [days for days in steps if days <= days_supply]
    return steps[max(reached)] if reached else ZERO
