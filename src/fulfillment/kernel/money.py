"""Money: decimal dollars, rounded half up, once, here."""

from decimal import ROUND_HALF_UP, Decimal
from functools import lru_cache
from typing import Final

ZERO: Final = Decimal("0.00")
_CENT: Final = Decimal("0.01")
_PRICE_UNIT: Final = Decimal("0.0001")


def to_cents(amount: Decimal) -> Decimal:
    """Return *amount* rounded half up to whole cents."""
    return amount.quantize(_CENT, ROUND_HALF_UP)


@lru_cache(4096)  # the products' prices, again and again
def discounted(price: Decimal, discount: Decimal) -> Decimal:
    """Return *price* less *discount* (a fraction, 0.1 is 10 %), rounded half up to four places."""
    return (price * (1 - discount)).quantize(_PRICE_UNIT, ROUND_HALF_UP)


@lru_cache(4096)
def to_wire(amount: Decimal) -> str:
    """Return *amount* as the contract writes it: a decimal string of two to four places."""
    text = f"{amount:.4f}"
    if text.endswith("00"):
        return text[:-2]
    return text[:-1] if text.endswith("0") else text


@lru_cache(256)
def percent(discount: Decimal) -> str:
    """Return a fraction as the contract writes a discount: ``10%``, ``7.5%``."""
    return f"{(discount * 100).normalize():f}%"
