"""What a lot is, what may become of it, and what refusing a change is called. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Final

from fulfillment.inventory.expiry import keeps_promise
from fulfillment.kernel.errors import FulfillmentError, Kind


class LotState(StrEnum):
    """Where a lot is in its life. Only APPROVED ones are promised and picked."""

    APPROVED = "APPROVED"
    QUARANTINED = "QUARANTINED"  # not tested yet
    ON_HOLD = "ON_HOLD"  # a question is open
    RECALLED = "RECALLED"
    EXPIRED = "EXPIRED"
    DEPLETED = "DEPLETED"  # nothing is left


class MovementKind(StrEnum):
    """Why a lot's amount on hand changed."""

    RECEIVED = "RECEIVED"
    ADJUSTED = "ADJUSTED"
    CONSUMED = "CONSUMED"  # an order took it
    SCRAPPED = "SCRAPPED"


class ReservationState(StrEnum):
    """What became of the amount that an order holds of a lot."""

    OPEN = "OPEN"
    CONSUMED = "CONSUMED"  # it has left the lot
    RELEASED = "RELEASED"  # it was given back
    REPLACED = "REPLACED"  # it had left the lot, and was thrown away and made anew from another


class LotNotFound(FulfillmentError):
    """No lot has this id."""

    kind = Kind.NOT_FOUND
    code = "lot_not_found"
    title = "No such lot"


class LotStateInvalid(FulfillmentError):
    """The lot can't go from its state to that one; `allowedStates` says where it can go."""

    kind = Kind.CONFLICT
    code = "lot_state_invalid"
    title = "Wrong state of the lot"


class LotNumberTaken(FulfillmentError):
    """The product has a lot of this number."""

    kind = Kind.CONFLICT
    code = "lot_number_taken"
    title = "The lot number is taken"


class NegativeStock(FulfillmentError):
    """The lot would hold less than nothing, or less than orders hold of it."""

    kind = Kind.CONFLICT
    code = "negative_stock"
    title = "Stock can't become negative"


@dataclass(frozen=True, slots=True)
class Lot:
    """A received amount of one product that shares its expiry and its fate."""

    id: str
    product_id: int
    lot_number: str
    expiry: date | None  # the last usable day; None: it does not expire
    supplier: str | None
    location: str | None
    state: LotState
    received: int  # pills or units
    on_hand: int  # pills or units
    reserved: int  # of on_hand
    received_at: datetime
    updated_at: datetime

    @property
    def free(self) -> int:
        """What is on hand and not reserved."""
        return self.on_hand - self.reserved


@dataclass(frozen=True, slots=True)
class NewLot:
    """A lot as it is received."""

    product_id: int
    lot_number: str
    expiry: date | None
    quantity: int  # pills or units
    supplier: str | None = None
    location: str | None = None
    state: LotState = LotState.APPROVED


@dataclass(frozen=True, slots=True)
class Reservation:
    """What an order holds, or held, of a lot."""

    order_id: str
    product_id: int
    lot_id: str
    quantity: int  # pills or units
    state: ReservationState


@dataclass(frozen=True, slots=True)
class Need:
    """What an order needs of one product, and how long it must last."""

    order_id: str
    product_id: int
    amount: int  # pills or units
    day_quantity: int  # pills of one day; 1 for units
    lasts_until: date  # the least expiry date of its lots


@dataclass(frozen=True, slots=True)
class Movement:
    """A line of a lot's ledger."""

    id: str
    lot_id: str
    kind: MovementKind
    quantity: int  # signed: what it added to the lot's on_hand
    order_id: str | None
    reason: str | None
    actor: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Difference:
    """A lot whose counters are not what its ledger says."""

    lot_id: str
    on_hand: int
    on_hand_by_ledger: int  # the sum of its movements
    reserved: int
    reserved_by_ledger: int  # the sum of its open reservations

    @property
    def repairable(self) -> bool:
        """Whether the ledger itself makes sense: nobody can repair a lot that owes more than it has."""
        return 0 <= self.reserved_by_ledger <= self.on_hand_by_ledger


_NEXT: Final[Mapping[LotState, frozenset[LotState]]] = {
    LotState.APPROVED: frozenset(LotState) - {LotState.APPROVED},
    LotState.QUARANTINED: frozenset(LotState) - {LotState.QUARANTINED},
    LotState.ON_HOLD: frozenset(LotState) - {LotState.ON_HOLD},
    # Pills of it may be at customers: a recall is never taken back, and can still come when nothing is left.
    LotState.RECALLED: frozenset(),
    LotState.EXPIRED: frozenset({LotState.RECALLED, LotState.DEPLETED}),
    LotState.DEPLETED: frozenset({LotState.RECALLED, LotState.APPROVED}),
}


def check_state(lot: Lot, to: LotState) -> None:
    """Accept that *lot* goes to the state *to*.

    Raises:
        LotStateInvalid: It can't from where it is, or something is left of one that is to be DEPLETED, or nothing
            of one that is to be APPROVED.
    """
    allowed = sorted(state.value for state in _NEXT[lot.state])
    if to not in _NEXT[lot.state]:
        raise LotStateInvalid(
            f"A lot that is {lot.state} can't become {to}.", extra={"allowedStates": allowed}, lot_id=lot.id
        )
    if to is LotState.DEPLETED and lot.on_hand > 0:
        raise LotStateInvalid(
            f"There are {lot.on_hand} left of the lot: only an empty one becomes DEPLETED.", lot_id=lot.id
        )
    if lot.state is LotState.DEPLETED and to is LotState.APPROVED and lot.on_hand == 0:
        raise LotStateInvalid("Nothing is left of the lot. Adjust it first.", lot_id=lot.id)


def check_adjustment(lot: Lot, quantity: int) -> None:
    """Accept that *quantity* (signed) is added to what is on hand.

    Raises:
        NegativeStock: Less would be left than orders hold of it.
    """
    left = lot.on_hand + quantity
    if left < lot.reserved:
        raise NegativeStock(
            f"The lot has {lot.on_hand} on hand and orders hold {lot.reserved} of it: {-quantity} can't be taken.",
            extra={"onHand": lot.on_hand, "reserved": lot.reserved},
            lot_id=lot.id,
        )


def fault_of(lot: Lot, promised: date) -> str | None:
    """Return why what an order has of *lot* may not leave, or None when it may.

    Args:
        promised: The date on which it must still be usable.
    """
    if lot.state not in _MAY_LEAVE:
        return lot.state.value
    return None if keeps_promise(lot.expiry, promised) else "EXPIRES_TOO_SOON"


# Of a DEPLETED lot the orders took the last pills, which are as good as the others.
_MAY_LEAVE: Final = frozenset({LotState.APPROVED, LotState.DEPLETED})
