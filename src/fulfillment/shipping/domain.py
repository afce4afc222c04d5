"""What a partner may choose for the way. Pure."""

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Method:
    """A way of shipping and its price."""

    name: str  # the contract's ShippingMethodName
    description: str
    price: Decimal  # dollars, an order
