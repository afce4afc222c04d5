"""Who acts, what a step led to, and how the warehouse refuses. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from fulfillment.kernel.errors import FulfillmentError, Kind
from fulfillment.orders.domain import HoldCode, Order, OrderStatus
from fulfillment.shipping.tracking import Checkpoint, TrackingStatus

ALL_PACKS: Final = "*"  # in place of a pack's id: all that nobody had checked
PARTNER_RELEASES: Final = frozenset({HoldCode.PARTNER_REQUEST, HoldCode.DUPLICATE_SUSPECTED})
RECALL_HOLDS: Final = frozenset({HoldCode.LOT_RECALLED, HoldCode.STOCK_SHORT})
WAY: Final = (
    OrderStatus.CREATED,
    OrderStatus.PROCESSING,
    OrderStatus.FULFILLED,
    OrderStatus.AWAITING_SHIPMENT,
    OrderStatus.SHIPPED,
)


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts, for the audit log."""

    id: str  # a client's id, or cli, worker, sandbox
    request_id: str | None = None
    packer: str | None = None  # who of the client's people, where the client tells


class Outcome(StrEnum):
    """What a step led to."""

    DONE = "done"
    UNCHANGED = "unchanged"  # it had been done before
    HELD = "held"  # it could not be done; the order is held, which says why
    REFUSED = "refused"  # nothing changed


@dataclass(frozen=True, slots=True)
class Step:
    """An order after a step."""

    order: Order
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Result:
    """What a step over many orders led to for one of them."""

    order_id: str
    outcome: Outcome
    status: str | None  # the order's, where there is such an order
    code: str | None = None  # of the refusal
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class LabelAsk:
    """What the operator knows of a label; nothing is enough in the sandbox."""

    carrier: str | None = None
    service: str | None = None
    tracking_number: str | None = None


@dataclass(frozen=True, slots=True)
class Shipment:
    """A parcel with its carrier."""

    id: str
    order_id: str
    partner_id: str
    carrier: str
    service: str | None
    tracking_number: str
    tracking_url: str | None
    check_digit: str  # "valid", or "unknown" for a number whose rule we don't know
    simulated: bool
    tracking_status: TrackingStatus
    checkpoints: tuple[Checkpoint, ...]  # oldest first
    created_at: datetime
    shipped_at: datetime | None
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Batch:
    """Orders that are picked and packed together."""

    id: str
    actor: str
    created_at: datetime
    orders: Mapping[str, int]  # how many, by status


class BatchNotFound(FulfillmentError):
    """No batch has this id."""

    kind = Kind.NOT_FOUND
    code = "batch_not_found"
    title = "No such batch"


class BatchEmpty(FulfillmentError):
    """None of the orders can be released now, so there is nothing to make a batch of."""

    kind = Kind.CONFLICT
    code = "batch_empty"
    title = "Nothing to release"


class LotNotUsable(FulfillmentError):
    """The order's pills come from a lot that may not leave now. Pick anew."""

    kind = Kind.CONFLICT
    code = "lot_not_usable"
    title = "A lot of the order may not leave"


class LotAlreadyRecalled(FulfillmentError):
    """The lot was recalled before; its trace shows whom it reached."""

    kind = Kind.CONFLICT
    code = "lot_already_recalled"
    title = "The lot is recalled already"


class UnknownPack(FulfillmentError):
    """The order has no pack with this id."""

    kind = Kind.INVALID
    code = "unknown_pack"
    title = "Not a pack of this order"


class WrongLot(FulfillmentError):
    """Another lot of the product is assigned to this pack."""

    kind = Kind.CONFLICT
    code = "wrong_lot"
    title = "Wrong lot"


class LotOfOtherProduct(FulfillmentError):
    """The scanned lot is of a product that does not belong into this pack."""

    kind = Kind.CONFLICT
    code = "lot_of_other_product"
    title = "The lot is of another product"


class OverPicked(FulfillmentError):
    """More was scanned than belongs into the pack."""

    kind = Kind.CONFLICT
    code = "over_picked"
    title = "Too much for this pack"


class UnderPicked(FulfillmentError):
    """Less was scanned than belongs into the pack."""

    kind = Kind.CONFLICT
    code = "under_picked"
    title = "Too little for this pack"


class PackAlreadyConfirmed(FulfillmentError):
    """Somebody else has checked this pack."""

    kind = Kind.CONFLICT
    code = "pack_already_confirmed"
    title = "The pack is confirmed already"


class PacksNotConfirmed(FulfillmentError):
    """The order's packs are not all checked."""

    kind = Kind.CONFLICT
    code = "packs_not_confirmed"
    title = "Packs are not confirmed yet"


class LabelMismatch(FulfillmentError):
    """The parcel's number is not that of the order's label."""

    kind = Kind.CONFLICT
    code = "label_mismatch"
    title = "Not the label of this order"


class ShipmentNotFound(FulfillmentError):
    """No parcel of ours has this number."""

    kind = Kind.NOT_FOUND
    code = "shipment_not_found"
    title = "No such shipment"


class OrderNotHoldable(FulfillmentError):
    """The order has left or was cancelled: nothing can be held back any more."""

    kind = Kind.CONFLICT
    code = "order_not_holdable"
    title = "The order can't be held any more"


class HoldNotYours(FulfillmentError):
    """The hold is for the operator to release."""

    kind = Kind.FORBIDDEN
    code = "hold_not_yours"
    title = "The hold is not yours to release"


class SignatureInvalid(FulfillmentError):
    """The message's signature is not made with the secret we share with the carrier."""

    kind = Kind.UNAUTHENTICATED
    code = "signature_invalid"
    title = "The signature is not valid"


class DocumentNotAvailable(FulfillmentError):
    """The order is not so far that the document could be printed, or the document is the carrier's own."""

    kind = Kind.CONFLICT
    code = "document_not_available"
    title = "The document can't be printed"


def reached(status: OrderStatus, target: OrderStatus) -> bool:
    """Return whether an order of *status* is at *target* or past it on its way."""
    return status in WAY and WAY.index(status) >= WAY.index(target)


def check_holdable(order: Order) -> None:
    """Accept a hold on *order*.

    Raises:
        OrderNotHoldable: It is shipped or cancelled.
    """
    if order.status in (OrderStatus.SHIPPED, OrderStatus.CANCELLED):
        raise OrderNotHoldable(f"The order is {order.status}.", extra={"orderStatus": order.status.value})


def check_partner_releases(code: HoldCode) -> None:
    """Accept that a partner releases a hold of *code*: what it asked for, and what it knows better than we.

    Raises:
        HoldNotYours: Only the operator may: an address that can't be delivered to stays so, and stock is ours.
    """
    if code not in PARTNER_RELEASES:
        raise HoldNotYours(f"A hold with the code {code} is released by the operator.")


def results_by_outcome(results: Sequence[Result]) -> dict[str, int]:
    """Return how many of *results* had which outcome."""
    return {outcome.value: sum(result.outcome is outcome for result in results) for outcome in Outcome}
