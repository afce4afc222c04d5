"""What an order is and what may become of it. Pure: no I/O, no clock, no framework."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, NamedTuple

from fulfillment.kernel.errors import FulfillmentError, Kind


class OrderStatus(StrEnum):
    """The six public statuses."""

    CREATED = "CREATED"
    CANCELLED = "CANCELLED"
    PROCESSING = "PROCESSING"  # released: lots are assigned
    FULFILLED = "FULFILLED"  # packs are made and checked
    AWAITING_SHIPMENT = "AWAITING_SHIPMENT"  # the label is made
    SHIPPED = "SHIPPED"  # the carrier has it


class OrderType(StrEnum):
    """Once, or one of a series."""

    ONE_TIME = "ONE_TIME"
    SUBSCRIPTION = "SUBSCRIPTION"


class HoldCode(StrEnum):
    """Why an order is held."""

    ADDRESS = "ADDRESS"
    STOCK_SHORT = "STOCK_SHORT"
    LOT_RECALLED = "LOT_RECALLED"
    PARTNER_REQUEST = "PARTNER_REQUEST"
    DUPLICATE_SUSPECTED = "DUPLICATE_SUSPECTED"
    OPERATOR = "OPERATOR"


_NEXT: Final[Mapping[OrderStatus, tuple[OrderStatus, ...]]] = {
    OrderStatus.CREATED: (OrderStatus.PROCESSING, OrderStatus.CANCELLED),
    OrderStatus.PROCESSING: (OrderStatus.FULFILLED,),
    OrderStatus.FULFILLED: (OrderStatus.AWAITING_SHIPMENT,),
    OrderStatus.AWAITING_SHIPMENT: (OrderStatus.SHIPPED,),
    OrderStatus.SHIPPED: (),
    OrderStatus.CANCELLED: (),
}
EVENT_OF: Final[Mapping[OrderStatus, str]] = {status: f"order.{status.lower()}" for status in OrderStatus}


class OrderNotFound(FulfillmentError):
    """The partner has no such order; another partner's is the same as none."""

    kind = Kind.NOT_FOUND
    code = "order_not_found"
    title = "Order not found"


class OrderNotCancellable(FulfillmentError):
    """The order has entered processing, or is cancelled already."""

    kind = Kind.CONFLICT
    code = "order_not_cancellable"
    title = "The order can't be cancelled"


class IllegalTransition(FulfillmentError):
    """The status does not follow from the order's."""

    kind = Kind.CONFLICT
    code = "illegal_transition"
    title = "The order can't make this move"


class OrderHeld(FulfillmentError):
    """An open hold keeps the order where it is."""

    kind = Kind.CONFLICT
    code = "order_held"
    title = "The order is held"


class HoldNotFound(FulfillmentError):
    """The order has no such hold, or it is released already."""

    kind = Kind.NOT_FOUND
    code = "hold_not_found"
    title = "Hold not found"


class InsufficientStock(FulfillmentError):
    """The order needs more than is left of lots that last to the end of its supply."""

    kind = Kind.CONFLICT
    code = "insufficient_stock"
    title = "Insufficient stock"


class DuplicateOrder(FulfillmentError):
    """The same content went to the same customer lately, and the caller asked to refuse that."""

    kind = Kind.CONFLICT
    code = "duplicate_order"
    title = "The customer has this order already"


class IdempotencyKeyReused(FulfillmentError):
    """The key was used for another request."""

    kind = Kind.INVALID
    code = "idempotency_key_reused"
    title = "The idempotency key belongs to another request"


class IdempotencyInProgress(FulfillmentError):
    """The request with this key is still under way."""

    kind = Kind.CONFLICT
    code = "idempotency_in_progress"
    title = "The first request with this key is still running"


class InvalidIdempotencyKey(FulfillmentError):
    """The key is empty, too long or holds characters that a header can't carry safely."""

    kind = Kind.MALFORMED
    code = "invalid_idempotency_key"
    title = "Invalid idempotency key"


class Administration(NamedTuple):
    """Pills at each time of day."""

    morning: int = 0
    afternoon: int = 0
    evening: int = 0
    sleep: int = 0

    @property
    def total(self) -> int:
        """Pills a day."""
        return self.morning + self.afternoon + self.evening + self.sleep


class DraftLine(NamedTuple):
    """A line as asked for."""

    product_id: int
    quantity: int  # pack items: pills a day; external items: units
    pack_description: str | None = None
    administration: Administration | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """An order as asked for: right in shape, not yet checked against the catalogue."""

    customer: Mapping[str, Any]  # the contract's Customer
    days_supply: int
    lines: tuple[DraftLine, ...]
    shipping_method: str
    order_type: OrderType = OrderType.ONE_TIME
    protocol_id: str | None = None


class Order(NamedTuple):
    """An order as it stands."""

    id: str
    partner_id: str
    status: OrderStatus
    sequence: int  # of its newest event
    days_supply: int
    shipping_method: str
    customer: str  # json text
    document: str  # json text: what was answered at creation and never changes
    warnings: str | None  # json text
    holds: str | None  # json text: the open ones
    fulfillment: str | None  # json text: the contract's fulfillmentInfo
    shipments: str | None  # json text
    release_at: datetime | None
    created_at: datetime
    updated_at: datetime
    protocol_id: str | None = None


def allowed_moves(status: OrderStatus) -> tuple[OrderStatus, ...]:
    """Return the statuses that may follow *status*."""
    return _NEXT[status]


def check_move(order: Order, to: OrderStatus) -> None:
    """Accept the move of *order* to the status *to*.

    Raises:
        IllegalTransition: It does not follow; the allowed moves are named.
        OrderHeld: A hold blocks it. Only a cancellation gets past holds.
    """
    allowed = _NEXT[order.status]
    if to not in allowed:
        names = [status.value for status in allowed]
        raise IllegalTransition(
            f"An order that is {order.status} cannot become {to}"
            + (f"; it can become {' or '.join(names)}." if names else "; it stays so."),
            extra={"orderStatus": order.status.value, "allowedMoves": names},
        )
    if order.holds is not None and to is not OrderStatus.CANCELLED:
        raise OrderHeld("Release its holds first.", extra={"orderStatus": order.status.value})


def check_cancel(order: Order) -> None:
    """Accept the cancellation of *order*.

    Raises:
        OrderNotCancellable: It is past CREATED.
    """
    if order.status is not OrderStatus.CREATED:
        raise OrderNotCancellable(
            "The order is cancelled already."
            if order.status is OrderStatus.CANCELLED
            else f"Only an order that is CREATED can be cancelled; this one is {order.status}.",
            extra={"orderStatus": order.status.value, "allowedMoves": [move.value for move in _NEXT[order.status]]},
        )


def allowed_actions(order: Order) -> Sequence[str]:
    """Return what the partner may do with *order*."""
    return ("cancel",) if order.status is OrderStatus.CREATED else ()
