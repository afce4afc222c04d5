"""The contract's objects as frozen dataclasses.

``repr()`` of an object never shows names, addresses, e-mail, phones or secrets, so that one in a log line
is harmless.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Generic, TypeVar

from .codec import OMIT_NONE, UNSET, Json, Model, Record, Unset

T = TypeVar("T", covariant=True)


class OrderStatus(StrEnum):
    """Where an order stands."""

    CREATED = "CREATED"
    CANCELLED = "CANCELLED"
    PROCESSING = "PROCESSING"
    FULFILLED = "FULFILLED"
    AWAITING_SHIPMENT = "AWAITING_SHIPMENT"
    SHIPPED = "SHIPPED"


class OrderType(StrEnum):
    """Why an order was made."""

    ONE_TIME = "ONE_TIME"
    SUBSCRIPTION = "SUBSCRIPTION"


class ProductStatus(StrEnum):
    """Whether a product can be ordered: only an ACTIVE one can."""

    ACTIVE = "ACTIVE"
    DRAFT = "DRAFT"
    BACKORDERED = "BACKORDERED"
    DISCONTINUED = "DISCONTINUED"


class ShippingMethodName(StrEnum):
    """How fast a parcel travels."""

    STANDARD = "STANDARD"
    EXPRESS = "EXPRESS"
    OVERNIGHT = "OVERNIGHT"


@dataclass(frozen=True, slots=True)
class Address(Model):
    """Where a customer lives. In the United States."""

    line1: str = field(repr=False)
    city: str = field(repr=False)
    state: str  # USPS code, two letters
    zip_code: str = field(repr=False)  # 94301 or 94301-1234
    line2: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Customer(Model):
    """Who receives an order."""

    source_id: str  # the customer's id in your system
    first_name: str = field(repr=False)
    last_name: str = field(repr=False)
    address: Address = field(repr=False)
    email: str | None = field(default=None, repr=False)
    phone: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Administration(Model):
    """Pills at each time of day. The four add up to the line item's quantity."""

    morning: int = 0
    afternoon: int = 0
    evening: int = 0
    sleep: int = 0


@dataclass(frozen=True, slots=True)
class LineItemCreate(Model):
    """One product of an order to be made."""

    product_id: int
    quantity: int  # pack items: pills a day; external items: units
    pack_description: str | None = None  # required for pack items
    # Left out, the product's recommended usage stands in if it adds up to the quantity.
    administration: Administration | None = field(default=None, metadata=OMIT_NONE)


@dataclass(frozen=True, slots=True)
class OrderCreate(Model):
    """An order to be made."""

    customer: Customer
    days_supply: int  # 30, 60 or 90
    line_items: tuple[LineItemCreate, ...]
    shipping_method: ShippingMethodName | str
    order_type: OrderType | str | None = field(default=None, metadata=OMIT_NONE)


@dataclass(frozen=True, slots=True)
class ProtocolCreate(OrderCreate):
    """A reusable order template to be kept."""


@dataclass(frozen=True, slots=True)
class ProtocolUpdate(Model):
    """The fields of a protocol to be changed; those left out stay as they are."""

    customer: Customer | Unset = UNSET
    days_supply: int | Unset = UNSET
    line_items: tuple[LineItemCreate, ...] | Unset = UNSET
    shipping_method: ShippingMethodName | str | Unset = UNSET
    order_type: OrderType | str | Unset = UNSET


@dataclass(frozen=True, slots=True)
class LineItem(Record):
    """One product of an order, with its price at the time of the order."""

    product_id: int
    quantity: int  # pack items: pills a day; external items: units
    pack_description: str | None = None
    administration: Administration | None = None
    price: Decimal | None = None  # dollars for each pill or unit
    discounted_price: Decimal | None = None  # the same, with your discount


@dataclass(frozen=True, slots=True)
class Checkpoint(Record):
    """One sighting of a parcel."""

    checkpoint_time: datetime | None = None
    location: str | None = None
    message: str | None = None
    tag: str | None = None  # InTransit, OutForDelivery, Delivered ...


@dataclass(frozen=True, slots=True)
class FulfillmentInfo(Record):
    """The parcel of an order."""

    carrier: str | None = None
    tracking_number: str | None = None
    tracking_status: str | None = None  # the carrier's axis: Delivered is never an order status
    tracking_url: str | None = None
    checkpoints: tuple[Checkpoint, ...] = ()


@dataclass(frozen=True, slots=True)
class Order(Record):
    """A customer's order, from creation to shipment. Amounts are dollars."""

    id: str  # KSUID, 27 characters
    customer: Customer
    days_supply: int
    shipping_method: ShippingMethodName | str
    status: OrderStatus | str
    line_items: tuple[LineItem, ...]
    created_at: datetime
    updated_at: datetime
    order_type: OrderType | str | None = None
    discount: str | None = None  # "10%"
    fulfillment_info: FulfillmentInfo | None = None
    protocol_id: str | None = None
    subtotal: Decimal | None = None
    handling_fee: Decimal | None = None
    volume_discount: Decimal | None = None
    shipping_cost: Decimal | None = None
    total: Decimal | None = None
    cancellable_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Protocol(Record):
    """A reusable order template."""

    id: str
    customer: Customer
    days_supply: int
    shipping_method: ShippingMethodName | str
    line_items: tuple[LineItem, ...]
    created_at: datetime
    updated_at: datetime
    order_type: OrderType | str | None = None


@dataclass(frozen=True, slots=True)
class Ingredient(Record):
    """One line of a supplement facts panel."""

    name: str
    amount: str | None = None
    unit: str | None = None
    daily_value: str | None = None  # percent of the daily value, or a footnote's mark


@dataclass(frozen=True, slots=True)
class SupplementFactsPanel(Record):
    """What is in one serving."""

    serving_size: int | None = None
    type: str | None = None  # softgel, tablet, capsule, gummy or scoop
    other_ingredients: tuple[str, ...] = ()
    ingredients: tuple[Ingredient, ...] = ()


@dataclass(frozen=True, slots=True)
class Inventory(Record):
    """What is left of a product."""

    available: int
    unit: str  # pill or unit


@dataclass(frozen=True, slots=True)
class Product(Record):
    """A product of the catalogue, at your price."""

    id: int
    name: str
    price: Decimal  # dollars for each pill or unit, with your discount
    status: ProductStatus | str
    description: str | None = None
    pack_description: str | None = None
    external: bool = False  # not part of the pill packs: a powder or a liquid
    product_image: str | None = None
    recommended_usage: Administration | None = None
    form: str | None = None  # tablet, capsule, softgel or gummy
    certifications: tuple[str, ...] = ()
    allergens: tuple[str, ...] = ()
    supplement_facts_panel: SupplementFactsPanel | None = None
    inventory: Inventory | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ShippingMethod(Record):
    """A way to ship, and what it costs in dollars."""

    name: ShippingMethodName | str
    description: str
    price: Decimal


@dataclass(frozen=True, slots=True)
class WebhookSecret(Record):
    """The key your webhooks are signed with."""

    webhook_secret: str = field(repr=False)  # 64 hex characters, used as text


@dataclass(frozen=True, slots=True)
class PartnerSettingsUpdate(Model):
    """The settings to be changed: those left out stay as they are, None clears."""

    primary_color: str | Unset | None = UNSET  # "#1a73e8"
    secondary_color: str | Unset | None = UNSET
    logo: str | Unset | None = UNSET
    phone: str | Unset | None = field(default=UNSET, repr=False)
    support_email: str | Unset | None = field(default=UNSET, repr=False)
    website: str | Unset | None = UNSET
    webhook_url: str | Unset | None = field(default=UNSET, repr=False)  # may carry a secret of yours
    billing_address_line1: str | Unset | None = field(default=UNSET, repr=False)
    billing_address_line2: str | Unset | None = field(default=UNSET, repr=False)
    billing_city: str | Unset | None = field(default=UNSET, repr=False)
    billing_state: str | Unset | None = UNSET
    billing_postal_code: str | Unset | None = field(default=UNSET, repr=False)
    billing_country: str | Unset | None = UNSET  # two letters


@dataclass(frozen=True, slots=True)
class PartnerSettings(Record):
    """Branding, contact, billing and webhook settings of your account."""

    id: str
    name: str
    description: str | None = None
    discount: str | None = None  # "10%"
    discount_value: float | None = None  # 0.1
    primary_color: str | None = None
    secondary_color: str | None = None
    logo: str | None = None
    phone: str | None = field(default=None, repr=False)
    support_email: str | None = field(default=None, repr=False)
    website: str | None = None
    webhook_url: str | None = field(default=None, repr=False)  # may carry a secret of yours
    billing_address_line1: str | None = field(default=None, repr=False)
    billing_address_line2: str | None = field(default=None, repr=False)
    billing_city: str | None = field(default=None, repr=False)
    billing_state: str | None = None
    billing_postal_code: str | None = field(default=None, repr=False)
    billing_country: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class FeedEvent(Record):
    """One event of the feed. ``data`` is the body its webhook had."""

    id: str
    type: str  # order.created, order.shipped ...
    created_at: datetime
    order_id: str | None = None
    order_sequence: int | None = None  # 1, 2, 3 ... for each order, no gap
    data: Json = field(default_factory=dict[str, Any], repr=False)


@dataclass(frozen=True, slots=True)
class OrderState(Record):
    """Where an order stands, in one row."""

    order_id: str
    status: OrderStatus | str
    order_sequence: int | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list."""

    items: tuple[T, ...]
    cursor: str | None = field(default=None, repr=False)  # None on the last page
    raw: Json = field(default_factory=dict[str, Any], repr=False, compare=False)

    def __iter__(self) -> Iterator[T]:
        """Go through the items of this page only."""
        return iter(self.items)

    def __len__(self) -> int:
        """Count the items of this page."""
        return len(self.items)
