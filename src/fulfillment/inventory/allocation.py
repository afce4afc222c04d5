"""Which lots an amount is taken from: first expired, first out, among those that last long enough. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import NamedTuple, final

from fulfillment.inventory.expiry import keeps_promise


@dataclass(frozen=True, slots=True)
class LotView:
    """What allocation needs to know of a lot. Only lots that may be picked (APPROVED) belong here."""

    id: str
    product_id: int
    lot_number: str
    expiry: date | None  # the last usable day
    received_at: datetime
    free: int  # pills or units, on hand and not reserved


class Pick(NamedTuple):
    """An amount taken from one lot."""

    lot_id: str
    amount: int  # pills or units


def fefo(lots: Iterable[LotView]) -> list[LotView]:
    """Return *lots* in the order of taking: by expiry (none last), then receipt, then lot number."""
    return sorted(lots, key=_fefo_key)


def sellable(lots: Iterable[LotView], required_expiry: date) -> int:
    """Return how much of *lots* keeps the promise."""
    return sum(lot.free for lot in lots if keeps_promise(lot.expiry, required_expiry))


def allocate(
    lots: Iterable[LotView], amount: int, required_expiry: date, *, day_quantity: int = 1
) -> tuple[Pick, ...] | None:
    """Return from which of one product's *lots* to take *amount*, or None when it can't be had.

    One lot for all of it where possible, the earliest-expiring that covers it; else split in that order.

    Args:
        amount: Pills or units.
        required_expiry: The first expiry date that keeps the promise (`expiry.required_expiry`).
        day_quantity: Pills of one day; a split never parts a day, as a day is one pouch.

    Raises:
        ValueError: *amount* is not a positive number of whole days.
    """
    _check_amount(amount, day_quantity)
    kept = [lot for lot in fefo(lots) if keeps_promise(lot.expiry, required_expiry)]
    for lot in kept:
        if lot.free >= amount:
            return (Pick(lot.id, amount),)
    return _split([(lot.id, lot.free) for lot in kept], amount, day_quantity)


@final
class LotBook:
    """The free amounts of many products' lots, taken from order by order without asking the database again.

    `take` decides as `allocate` does and lowers the book at once, so that the orders of one batch never
    promise the same pill twice; `undo` gives back what an order took that then failed for another reason.
    Not thread-safe.
    """

    __slots__ = ("_by_id", "_by_product")

    def __init__(self, lots: Iterable[LotView]) -> None:
        self._by_product: dict[int, list[_Slot]] = {}
        self._by_id: dict[str, _Slot] = {}
        for lot in fefo(lots):
            slot = _Slot(lot.id, lot.expiry or date.max, lot.free)
            self._by_product.setdefault(lot.product_id, []).append(slot)
            self._by_id[lot.id] = slot

    def take(
        self, product_id: int, amount: int, required_expiry: date, day_quantity: int = 1
    ) -> list[tuple[str, int]] | None:
        """Take *amount* and return (lot id, amount) for each lot; when short take nothing and return None.

        Raises:
            ValueError: *amount* is not a positive number of whole days.
        """
        _check_amount(amount, day_quantity)
        slots = self._by_product.get(product_id)
        if slots is None:
            return None
        for slot in slots:
            if slot.free >= amount and slot.expiry >= required_expiry:
                slot.free -= amount
                return [(slot.lot_id, amount)]
        kept = [(slot.lot_id, slot.free) for slot in slots if slot.expiry >= required_expiry]
        picks = _split(kept, amount, day_quantity)
        if picks is None:
            return None
        for lot_id, taken in picks:
            self._by_id[lot_id].free -= taken
        return list(picks)

    def undo(self, picks: Iterable[tuple[str, int]]) -> None:
        """Give back what `take` returned."""
        for lot_id, amount in picks:
            self._by_id[lot_id].free += amount

    def sellable(self, product_id: int, required_expiry: date) -> int:
        """Return how much of a product is left that keeps the promise; 0 for a product without lots."""
        slots = self._by_product.get(product_id, ())
        return sum(slot.free for slot in slots if slot.expiry >= required_expiry)

    def free(self, lot_id: str) -> int:
        """Return what is left of a lot.

        Raises:
            KeyError: The lot is not in the book.
        """
        return self._by_id[lot_id].free


@final
class _Slot:
    """A lot's place in the book."""

    __slots__ = ("expiry", "free", "lot_id")

    def __init__(self, lot_id: str, expiry: date, free: int) -> None:
        self.lot_id = lot_id
        self.expiry = expiry  # date.max stands for "never"
        self.free = free


def _fefo_key(lot: LotView) -> tuple[date, datetime, str]:
    return (lot.expiry or date.max, lot.received_at, lot.lot_number)


def _check_amount(amount: int, day_quantity: int) -> None:
    if amount <= 0 or amount % day_quantity:
        raise ValueError(f"{amount} is not a positive number of days of {day_quantity}")


def _split(kept: Sequence[tuple[str, int]], amount: int, day_quantity: int) -> tuple[Pick, ...] | None:
    """Return the picks over (lot id, free) in the given order, each of whole days; None when short."""
    picks: list[Pick] = []
    for lot_id, free in kept:
        taken = min(amount, free - free % day_quantity)
        if taken > 0:
            picks.append(Pick(lot_id, taken))
            amount -= taken
            if amount == 0:
                return tuple(picks)
    return None
