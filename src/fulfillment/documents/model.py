"""What the documents say: frozen values of strings, numbers and dates, of no other room."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

SLOTS = ("morning", "afternoon", "evening", "sleep")  # the contract's times of day, in the order of a day


@dataclass(frozen=True, slots=True)
class Brand:
    """Whose name and colours a document wears: the branding fields of the contract's PartnerSettings."""

    name: str
    primary_color: str | None = None  # "#1a73e8"; anything unreadable counts as not set
    secondary_color: str | None = None
    logo_png: bytes | None = None  # PNG or JPEG; a broken one gives a word-mark of the name
    phone: str | None = None
    support_email: str | None = None
    website: str | None = None


@dataclass(frozen=True, slots=True)
class Address:
    """A postal address, as it is to be printed."""

    name: str
    line1: str
    city: str
    state: str
    postal_code: str
    line2: str | None = None
    country: str = "US"


@dataclass(frozen=True, slots=True)
class LotUse:
    """What one lot gave to one line."""

    lot_number: str
    expires_on: date
    quantity: int


@dataclass(frozen=True, slots=True)
class Dose:
    """Pills of one product at one time of day."""

    slot: str  # one of SLOTS
    quantity: int


@dataclass(frozen=True, slots=True)
class SlipLine:
    """One product of an order."""

    product_name: str
    total: int  # pills or units shipped
    unit: str = "pills"  # "pills" or "units"
    doses: tuple[Dose, ...] = ()  # a day's pills; empty for products outside the packs
    days_supply: int | None = None
    lots: tuple[LotUse, ...] = ()
    pack_description: str | None = None


@dataclass(frozen=True, slots=True)
class FactsCell:
    """How much of one ingredient is in one serving."""

    amount: Decimal | None  # None: the label gives no amount
    unit: str  # "mcg DFE"
    percent: Decimal | None  # of the Daily Value; None: no Daily Value is established


@dataclass(frozen=True, slots=True)
class FactsRow:
    """One ingredient over all servings of the table."""

    name: str
    cells: tuple[FactsCell | None, ...]  # one for each column of the table; None: not in that serving
    established: bool = True  # False: below the heavy line, among the other dietary ingredients
    has_value: bool = True  # False: neither a percent nor a note belongs here (calories)
    diet_based: bool = False  # the percent rests on a 2,000 calorie diet (fat, carbohydrate, fibre, protein)
    indent: int = 0  # levels under the row above
    members: tuple[str, ...] = ()  # of a proprietary blend, in descending weight


@dataclass(frozen=True, slots=True)
class FactsTable:
    """A Supplement Facts panel with one column for each serving."""

    columns: tuple[str, ...]  # ("Morning", "Evening", "Per day"); one column gives the classic panel
    rows: tuple[FactsRow, ...]  # in the order of 21 CFR 101.36(b)
    serving: str  # "Serving Size: 1 pack (4 pills)"
    servings: str | None = None  # "Servings Per Container: 30"
    other_ingredients: tuple[str, ...] = ()  # in descending weight
    contains: tuple[str, ...] = ()  # allergens, as they are to be named

    def __post_init__(self) -> None:
        if any(len(row.cells) != len(self.columns) for row in self.rows):
            raise ValueError("every row of a facts table needs one cell for each column")


@dataclass(frozen=True, slots=True)
class PackingSlip:
    """What lies in the parcel: one order for its recipient."""

    brand: Brand
    order_id: str
    ordered_on: date
    ship_to: Address
    shipping_method: str
    lines: tuple[SlipLine, ...]
    reference: str | None = None  # the partner's own name of the order
    facts: FactsTable | None = None
    storage: str = "Store in a cool, dry place, out of direct sunlight. Keep out of reach of children."


@dataclass(frozen=True, slots=True)
class PackItem:
    """One product in one pouch."""

    product_name: str
    pills: int


@dataclass(frozen=True, slots=True)
class PackLabel:
    """The label of one pouch: one day, one time of day."""

    pack_id: str
    recipient: str  # the full name; the label shows the first name and one initial
    slot: str  # one of SLOTS
    day: int  # 1 for the first
    days: int
    items: tuple[PackItem, ...]
    use_by: date  # the earliest expiry among its pills
    description: str | None = None


@dataclass(frozen=True, slots=True)
class PackRoll:
    """The labels of one order (or many), in the order in which they come off the roll."""

    brand: Brand
    labels: tuple[PackLabel, ...]


@dataclass(frozen=True, slots=True)
class PickLine:
    """What to take from one lot."""

    product_name: str
    lot_number: str
    expires_on: date
    quantity: int
    unit: str = "pills"
    location: str = ""
    sku: str = ""
    orders: int = 0  # how many orders it serves


@dataclass(frozen=True, slots=True)
class PickList:
    """What a batch takes from the shelves."""

    batch_id: str
    released_on: date
    orders: int
    packs: int
    lines: tuple[PickLine, ...]  # in any order: the document sorts them


@dataclass(frozen=True, slots=True)
class ShippingLabel:
    """The label of one parcel with the simulated carrier."""

    ship_from: Address
    ship_to: Address
    service: str  # "EXPRESS"
    carrier: str
    tracking_number: str
    routing: str  # what the routing Data Matrix says
    shipped_on: date
    reference: str = ""
    weight: str = ""  # "0.8 lb"
    sandbox: bool = True  # marks the label as not valid for shipment


@dataclass(frozen=True, slots=True)
class FactsSheet:
    """Supplement Facts panels on a page of their own."""

    brand: Brand
    order_id: str
    tables: tuple[FactsTable, ...]


Document = PackingSlip | PackRoll | PickList | ShippingLabel | FactsSheet
