"""What an event is. Pure."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event about to be written in the transaction of its change."""

    id: str
    partner_id: str
    type: str  # "order.created", ...
    payload: str  # json text: the body as it will be sent
    created_at: datetime
    order_id: str | None = None
    order_sequence: int | None = None
    deliver: bool = True  # the partner has a receiver
    on_clock: bool = False  # the partner has a test clock
