"""What a product is. Pure."""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Final, NamedTuple

from fulfillment.catalog.facts import ProductFacts
from fulfillment.kernel.errors import FulfillmentError, Kind
from fulfillment.kernel.pages import Direction, PageRequest

Usage = tuple[int, int, int, int]  # pills in the morning, afternoon, evening, before sleep
SLOTS: Final = ("morning", "afternoon", "evening", "sleep")


class ProductStatus(StrEnum):
    """Where a product is in its life. Only ACTIVE ones can be ordered."""

    ACTIVE = "ACTIVE"
    DRAFT = "DRAFT"
    BACKORDERED = "BACKORDERED"
    DISCONTINUED = "DISCONTINUED"


class Form(StrEnum):
    """The contract's forms of a pill."""

    TABLET = "tablet"
    CAPSULE = "capsule"
    SOFTGEL = "softgel"
    GUMMY = "gummy"


class ProductNotFound(FulfillmentError):
    """No product has this id."""

    kind = Kind.NOT_FOUND
    code = "product_not_found"
    title = "No such product"


class ImportInvalid(FulfillmentError):
    """A file of products has faults; every one is named by row and field, and nothing was imported."""

    kind = Kind.INVALID
    code = "import_invalid"
    title = "The file can't be imported"


@dataclass(frozen=True, slots=True)
class NewProduct:
    """A product as it is brought in."""

    id: int
    name: str
    list_price: Decimal  # dollars, a pill or a unit
    external: bool  # not part of the pill packs: a powder or a liquid
    status: ProductStatus
    description: str = ""
    pack_description: str | None = None
    product_image: str | None = None
    recommended_usage: Usage | None = None
    form: Form | None = None
    certifications: tuple[str, ...] = ()
    allergens: tuple[str, ...] = ()  # the contract's free-from claims
    contains_allergens: tuple[str, ...] = ()
    stimulant: bool = False
    supplement_facts: Mapping[str, object] | None = None  # the contract's JSON, checked when it came in
    search_terms: tuple[str, ...] = ()
    pills_per_day_limit: int | None = None  # what the label says not to exceed


@dataclass(frozen=True, slots=True, kw_only=True)
class Product(NewProduct):
    """A product of the catalogue."""

    created_at: datetime
    updated_at: datetime

    @property
    def facts(self) -> ProductFacts:
        """What the rules over Supplement Facts need to know of it."""
        return ProductFacts.of(
            self.supplement_facts,
            product_id=self.id,
            name=self.name,
            contains_allergens=self.contains_allergens,
            free_from=self.allergens,
            stimulant=self.stimulant,
            external=self.external,
        )


@dataclass(frozen=True, slots=True)
class Orderable:
    """What ordering and listing need of a product: every process keeps one of each in memory."""

    id: int
    name: str
    list_price: Decimal  # dollars, a pill or a unit
    external: bool
    status: ProductStatus
    recommended_usage: Usage | None
    pack_description: str | None
    rank: int  # its place in the list of all: the microsecond of its making, negative
    updated_on: date  # UTC


class Frozen(NamedTuple):
    """A product's JSON in three pieces; the caller's price and what is left go in between."""

    head: str
    middle: str
    tail: str


class Offer(NamedTuple):
    """A product as one partner sees it."""

    frozen: Frozen
    price: Decimal  # dollars, less the partner's discount
    available: int  # pills or units


class Hit(NamedTuple):
    """A product's place in a list."""

    rank: int  # ascending: `Orderable.rank`, or what the match of a search costs
    id: int


class Hits:
    """A list of products in ascending order of (rank, id), in sixteen bytes each."""

    __slots__ = ("_ids", "_ranks")

    def __init__(self, ranks: Iterable[int], ids: Iterable[int]) -> None:
        self._ranks = array("q", ranks)
        self._ids = array("q", ids)

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, place: int) -> Hit:
        return Hit(self._ranks[place], self._ids[place])

    def behind(self, page: PageRequest) -> Iterator[Hit]:
        """Give the hits behind the page's key, in the direction of reading."""
        after = Hit(int(page.after[0]), int(page.after[1])) if page.after else None
        if page.direction is Direction.NEXT:
            begin = 0 if after is None else bisect_right(self, after)
            return map(self.__getitem__, range(begin, len(self)))
        end = len(self) if after is None else bisect_left(self, after)
        return map(self.__getitem__, range(end - 1, -1, -1))


@dataclass(frozen=True, slots=True)
class ProductQuery:
    """What a list of products asks for."""

    page: PageRequest
    status: ProductStatus | None = None
    updated_after: date | None = None  # UTC day, inclusive
    updated_before: date | None = None  # UTC day, inclusive
    search: str = ""

    def admits(self, product: Orderable) -> bool:
        """Return whether the filters let *product* through."""
        return (
            (self.status is None or product.status is self.status)
            and (self.updated_after is None or product.updated_on >= self.updated_after)
            and (self.updated_before is None or product.updated_on <= self.updated_before)
        )
