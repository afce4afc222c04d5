"""Who asks: a partner's client or an operator's."""

from dataclasses import dataclass
from enum import StrEnum


class Scope(StrEnum):
    """What a client may do."""

    PARTNER = "partner"  # its own orders, protocols and settings
    OPERATOR = "operator"  # the warehouse


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated client."""

    client_id: str
    scope: Scope
    partner_id: str  # the partner whose data it sees; empty for an operator
