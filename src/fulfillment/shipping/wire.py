"""The contract's shape of a shipping method."""

from typing import Self

from pydantic import BaseModel

from fulfillment.kernel.money import to_wire as money
from fulfillment.shipping.domain import Method


class ShippingMethodOut(BaseModel):
    """A way of shipping and its price."""

    name: str
    description: str
    price: str

    @classmethod
    def of(cls, method: Method) -> Self:
        """Return the shape of *method*."""
        return cls(name=method.name, description=method.description, price=money(method.price))
