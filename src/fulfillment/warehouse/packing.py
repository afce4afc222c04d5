"""What lies in which pack, from which lot, and whether what was scanned is that. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from fulfillment.inventory.domain import Lot, Need
from fulfillment.kernel.errors import FieldError
from fulfillment.warehouse.domain import LotOfOtherProduct, OverPicked, UnderPicked, UnknownPack, WrongLot

SLOTS: Final = ("morning", "afternoon", "evening", "sleep")
_LETTERS: Final[Mapping[str, str]] = dict(zip(SLOTS, "MAES", strict=True))


@dataclass(frozen=True, slots=True)
class Content:
    """One product of an order, over all of its lines."""

    product_id: int
    name: str
    external: bool  # beside the packs
    slots: tuple[int, int, int, int]  # pills at each time of day; zeros for externals
    quantity: int  # pills a day, or units
    description: str | None

    def amount(self, days: int) -> int:
        """Return the pills or units of the whole order."""
        return self.quantity if self.external else self.quantity * days

    @property
    def day_quantity(self) -> int:
        """What can't be parted over two lots: the pills of a day, a unit."""
        return 1 if self.external else self.quantity


@dataclass(frozen=True, slots=True)
class LotUse:
    """What an order has of one lot."""

    lot: Lot
    quantity: int  # pills or units


@dataclass(frozen=True, slots=True)
class PackItem:
    """One product in a pack, out of one lot."""

    product_id: int
    name: str
    quantity: int  # pills or units
    lot_id: str | None  # None: no lot is assigned any more
    lot_number: str | None
    expiry: date | None


@dataclass(frozen=True, slots=True)
class Pack:
    """A pouch: one day, one time of day. Or one external product, which goes beside the pouches."""

    id: str
    day: int | None  # 1 for the first; None: beside the packs
    slot: str | None  # one of SLOTS
    items: tuple[PackItem, ...]
    description: str | None


@dataclass(frozen=True, slots=True)
class Scanned:
    """What a packer scanned into a pack."""

    lot_number: str
    quantity: int  # pills or units
    product_id: int | None = None  # where two products share a lot number


@dataclass(frozen=True, slots=True)
class Scan:
    """A pack that a packer confirms."""

    pack_id: str
    contents: tuple[Scanned, ...] | None = None  # None: only the pack itself was scanned


def contents_of(document: Mapping[str, Any]) -> tuple[Content, ...]:
    """Return what an order consists of, by product.

    Args:
        document: The order as it was answered at creation.
    """
    found: dict[int, Content] = {}
    for line in document["lineItems"]:
        given = line.get("administration") or {}
        slots = tuple(0 if line["external"] else int(given.get(slot, 0)) for slot in SLOTS)
        product_id, before = int(line["productId"]), found.get(int(line["productId"]))
        summed = tuple(a + b for a, b in zip(slots, before.slots, strict=True)) if before else slots
        found[product_id] = Content(
            product_id,
            line["name"],
            line["external"],
            (summed[0], summed[1], summed[2], summed[3]),
            line["quantity"] + (before.quantity if before else 0),
            (before.description if before else None) or line.get("packDescription"),
        )
    return tuple(found.values())


def needs_of(order_id: str, contents: Iterable[Content], days: int, lasts_until: date) -> dict[int, Need]:
    """Return what the whole order takes, by product id."""
    return {
        content.product_id: Need(order_id, content.product_id, content.amount(days), content.day_quantity, lasts_until)
        for content in contents
    }


def packs_of(order_id: str, contents: Sequence[Content], days: int, uses: Sequence[LotUse]) -> tuple[Pack, ...]:
    """Return every pack of an order in the order of making: by day, by time of day, then what goes beside.

    A product of two lots takes the earlier-expiring on its first days: a day is never parted.

    Args:
        uses: What the order has of lots now.
    """
    lots = {content.product_id: _in_order(uses, content.product_id) for content in contents}
    inside = [content for content in contents if not content.external]
    outside = [content for content in contents if content.external]
    packs = [
        _pouch(order_id, day, place, slot, inside, lots)
        for day in range(1, days + 1)
        for place, slot in enumerate(SLOTS)
        if any(content.slots[place] for content in inside)
    ]
    beside = [
        Pack(f"{order_id}-U{place}", None, None, _units(content, lots[content.product_id]), content.description)
        for place, content in enumerate(outside, 1)
    ]
    return (*packs, *beside)


def check_scan(packs: Mapping[str, Pack], scan: Scan, lots: Sequence[Lot]) -> Pack:
    """Accept what was scanned into a pack, and return the pack.

    Args:
        packs: The order's, by id.
        lots: Every lot that has one of the scanned numbers.

    Raises:
        UnknownPack: The order has no such pack.
        LotOfOtherProduct, WrongLot: A scanned lot does not belong into it.
        OverPicked, UnderPicked: The amounts are not the pack's.
    """
    pack = packs.get(scan.pack_id)
    if pack is None:
        raise UnknownPack(
            "The order has no pack with this id.", errors=[FieldError("/packs", f"{scan.pack_id} is not one of them.")]
        )
    if scan.contents is not None:
        _check_contents(pack, scan.contents, lots)
    return pack


def _check_contents(pack: Pack, contents: Sequence[Scanned], lots: Sequence[Lot]) -> None:
    scanned: dict[str | None, int] = {}
    for item in contents:
        lot_id = _belonging(pack, item, lots)
        scanned[lot_id] = scanned.get(lot_id, 0) + item.quantity
    for item in pack.items:
        taken = scanned.get(item.lot_id, 0)
        facts = {"packId": pack.id, "productId": item.product_id, "expected": item.quantity, "scanned": taken}
        if taken > item.quantity:
            raise OverPicked(f"{item.quantity} of {item.name} belong into this pack, not {taken}.", extra=facts)
        if taken < item.quantity:
            raise UnderPicked(f"{item.quantity} of {item.name} belong into this pack, not {taken}.", extra=facts)


def _belonging(pack: Pack, scanned: Scanned, lots: Sequence[Lot]) -> str:
    matching = [
        lot for lot in lots if lot.lot_number == scanned.lot_number and scanned.product_id in (None, lot.product_id)
    ]
    assigned = {item.lot_id for item in pack.items}
    for lot in matching:
        if lot.id in assigned:
            return lot.id
    facts = {
        "packId": pack.id,
        "lotNumber": scanned.lot_number,
        "expectedLots": [item.lot_number for item in pack.items],
    }
    if matching and not {lot.product_id for lot in matching} & {item.product_id for item in pack.items}:
        raise LotOfOtherProduct("The lot is of a product that does not belong into this pack.", extra=facts)
    raise WrongLot("Another lot is assigned to this pack. Take that one, or have the order picked anew.", extra=facts)


def _in_order(uses: Sequence[LotUse], product_id: int) -> list[LotUse]:
    own = [use for use in uses if use.lot.product_id == product_id]
    return sorted(own, key=lambda use: (use.lot.expiry or date.max, use.lot.received_at, use.lot.lot_number))


def _pouch(
    order_id: str,
    day: int,
    place: int,
    slot: str,
    inside: Sequence[Content],
    lots: Mapping[int, Sequence[LotUse]],
) -> Pack:
    held = [content for content in inside if content.slots[place]]
    items = tuple(
        _item(content, content.slots[place], _lot_of_day(lots[content.product_id], day, content.quantity))
        for content in held
    )
    description = next((content.description for content in held if content.description), None)
    return Pack(f"{order_id}-{day:02d}{_LETTERS[slot]}", day, slot, items, description)


def _lot_of_day(uses: Sequence[LotUse], day: int, day_quantity: int) -> Lot | None:
    covered = 0
    for use in uses:
        covered += use.quantity
        if day * day_quantity <= covered:
            return use.lot
    return None


def _units(content: Content, uses: Sequence[LotUse]) -> tuple[PackItem, ...]:
    return tuple(_item(content, use.quantity, use.lot) for use in uses) or (_item(content, content.quantity, None),)


def _item(content: Content, quantity: int, lot: Lot | None) -> PackItem:
    return PackItem(
        content.product_id,
        content.name,
        quantity,
        lot.id if lot else None,
        lot.lot_number if lot else None,
        lot.expiry if lot else None,
    )
