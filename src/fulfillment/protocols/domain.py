"""What a protocol is. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fulfillment.kernel.errors import FulfillmentError, Kind


class ProtocolNotFound(FulfillmentError):
    """The partner has no such protocol; another partner's is the same as none."""

    kind = Kind.NOT_FOUND
    code = "protocol_not_found"
    title = "Protocol not found"


@dataclass(frozen=True, slots=True)
class Protocol:
    """A template of orders for one customer."""

    id: str
    partner_id: str
    customer: Mapping[str, Any]  # the contract's Customer
    days_supply: int
    order_type: str
    shipping_method: str
    line_items: Sequence[Mapping[str, Any]]  # the contract's LineItemInput
    created_at: datetime
    updated_at: datetime


def searchable_name(customer: Mapping[str, Any]) -> str:
    """Return the text that a search for a customer looks at."""
    return f"{customer['firstName']} {customer['lastName']}".casefold()


def with_letters_swapped(word: str) -> list[str]:
    """Return *word* with each two neighbouring letters in each other's place: "jhon" gives "john" among others."""
    return [word[:at] + word[at + 1] + word[at] + word[at + 2 :] for at in range(len(word) - 1)]
