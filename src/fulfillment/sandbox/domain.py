"""Scenarios, the steps they are made of, what triggers them, and the sandbox's bounds. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from random import Random
from typing import Any, Final

from fulfillment.kernel.errors import FulfillmentError, Kind
from fulfillment.orders.domain import HoldCode, Order, OrderStatus
from fulfillment.shipping.tracking import Checkpoint, TrackingStatus

EARLIEST: Final = datetime(2015, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(2099, 12, 31, tzinfo=UTC)
LONGEST_ADVANCE: Final = timedelta(days=400)
LONGEST_STAGE_SECONDS: Final = 30 * 86_400
MOST_STEPS: Final = 50  # of one request
STOCKLESS_PRODUCT: Final = 79_000_000_001
RECALLED_PRODUCT: Final = 79_000_000_002
MAGIC_PRODUCTS: Final = (STOCKLESS_PRODUCT, RECALLED_PRODUCT)


class Scenario(StrEnum):
    """How an order fares."""

    HAPPY = "happy"
    CANCEL_TOO_LATE = "cancel_too_late"
    STOCK_OUT = "stock_out"
    ADDRESS_HOLD = "address_hold"
    CARRIER_EXCEPTION = "carrier_exception"
    ATTEMPT_FAILED_THEN_DELIVERED = "attempt_failed_then_delivered"
    LOST = "lost"
    RECALL = "recall"


class StepName(StrEnum):
    """One thing that happens to an order."""

    RELEASE = "release"
    TRY_CANCEL = "try_cancel"  # as the partner would; it is refused
    HOLD_SHORT = "hold_short"
    RESTOCK = "restock"
    HOLD_ADDRESS = "hold_address"
    CLEAR_ADDRESS = "clear_address"
    OWN_LOT = "own_lot"  # the order's first product comes from a lot that nobody else has anything of
    PACK = "pack"
    LABEL = "label"
    SHIP = "ship"
    HUB = "hub"
    EXCEPTION = "exception"
    RESUMED = "resumed"
    OUT_FOR_DELIVERY = "out_for_delivery"
    ATTEMPT_FAILED = "attempt_failed"
    OUT_AGAIN = "out_again"
    DELIVERED = "delivered"
    MISSING = "missing"
    EXPIRED = "expired"
    RECALL = "recall"


@dataclass(frozen=True, slots=True)
class Story:
    """What a scenario consists of."""

    description: str
    steps: tuple[StepName, ...]


_MADE: Final = (StepName.RELEASE, StepName.PACK, StepName.LABEL, StepName.SHIP)
_BROUGHT: Final = (StepName.HUB, StepName.OUT_FOR_DELIVERY, StepName.DELIVERED)
STORIES: Final[Mapping[Scenario, Story]] = {
    Scenario.HAPPY: Story("Released, packed, labelled, shipped and delivered.", (*_MADE, *_BROUGHT)),
    Scenario.CANCEL_TOO_LATE: Story(
        "Released at once; the cancellation that follows is refused, and the order is delivered.",
        (StepName.RELEASE, StepName.TRY_CANCEL, *_MADE[1:], *_BROUGHT),
    ),
    Scenario.STOCK_OUT: Story(
        "Held with STOCK_SHORT before its release; stock arrives, the hold is released, the order is delivered.",
        (StepName.HOLD_SHORT, StepName.RESTOCK, *_MADE, *_BROUGHT),
    ),
    Scenario.ADDRESS_HOLD: Story(
        "Held with ADDRESS; somebody clears it up, the hold is released, the order is delivered.",
        (StepName.HOLD_ADDRESS, StepName.CLEAR_ADDRESS, *_MADE, *_BROUGHT),
    ),
    Scenario.CARRIER_EXCEPTION: Story(
        "Shipped; the carrier reports an exception, goes on a stage later and delivers.",
        (*_MADE, StepName.HUB, StepName.EXCEPTION, StepName.RESUMED, *_BROUGHT[1:]),
    ),
    Scenario.ATTEMPT_FAILED_THEN_DELIVERED: Story(
        "Nobody is at home the first time; the second attempt delivers.",
        (
            *_MADE,
            StepName.HUB,
            StepName.OUT_FOR_DELIVERY,
            StepName.ATTEMPT_FAILED,
            StepName.OUT_AGAIN,
            StepName.DELIVERED,
        ),
    ),
    Scenario.LOST: Story(
        "The carrier loses the parcel: an exception, then no more news.",
        (*_MADE, StepName.HUB, StepName.MISSING, StepName.EXPIRED),
    ),
    Scenario.RECALL: Story(
        "Delivered; then a lot of its pills is recalled, and an event names the order.",
        (StepName.OWN_LOT, *_MADE, *_BROUGHT, StepName.RECALL),
    ),
}


@dataclass(frozen=True, slots=True)
class MagicValue:
    """A value in an order that decides how it fares."""

    field: str
    value: str
    scenario: Scenario
    effect: str


MAGIC_VALUES: Final[tuple[MagicValue, ...]] = (
    MagicValue("customer.lastName", "Toolate", Scenario.CANCEL_TOO_LATE, "Released at once, so that a cancel is late"),
    MagicValue("customer.lastName", "Stockout", Scenario.STOCK_OUT, "Held with STOCK_SHORT for one stage"),
    MagicValue("customer.lastName", "Badaddress", Scenario.ADDRESS_HOLD, "Held with ADDRESS for one stage"),
    MagicValue("customer.lastName", "Exception", Scenario.CARRIER_EXCEPTION, "The carrier reports an exception"),
    MagicValue("customer.lastName", "Attempt", Scenario.ATTEMPT_FAILED_THEN_DELIVERED, "The first attempt fails"),
    MagicValue("customer.lastName", "Lost", Scenario.LOST, "The parcel is lost"),
    MagicValue("customer.lastName", "Recall", Scenario.RECALL, "A lot is recalled after delivery"),
    MagicValue("customer.address.zipCode", "00000", Scenario.ADDRESS_HOLD, "Created with an ADDRESS hold"),
    MagicValue("customer.address.zipCode", "*-9001", Scenario.CARRIER_EXCEPTION, "Any ZIP with this +4: an exception"),
    MagicValue(
        "customer.address.zipCode",
        "*-9002",
        Scenario.ATTEMPT_FAILED_THEN_DELIVERED,
        "Any ZIP with this +4: the first attempt fails",
    ),
    MagicValue("customer.address.zipCode", "*-9003", Scenario.LOST, "Any ZIP with this +4: the parcel is lost"),
    MagicValue(
        "lineItems.productId", str(STOCKLESS_PRODUCT), Scenario.STOCK_OUT, "Refused: 409 insufficient_stock, always"
    ),
    MagicValue(
        "lineItems.productId",
        str(RECALLED_PRODUCT),
        Scenario.RECALL,
        "A lot of this product is recalled after delivery",
    ),
)


@dataclass(frozen=True, slots=True)
class Plan:
    """How an order goes on."""

    order_id: str
    partner_id: str
    scenario: Scenario
    dice: str  # the seed of what is left to chance for this order
    step: int  # how many of its steps are made
    next_at: datetime | None  # on the partner's clock; None: finished
    lot_id: str | None = None  # of its own, to be recalled

    @property
    def steps(self) -> tuple[StepName, ...]:
        """Every step of its scenario."""
        return STORIES[self.scenario].steps

    @property
    def next(self) -> StepName | None:
        """The step that comes next; None: the scenario is over."""
        return self.steps[self.step] if self.step < len(self.steps) else None


@dataclass(frozen=True, slots=True)
class Made:
    """A step that was made."""

    step: StepName
    outcome: str  # done, unchanged, refused
    at: datetime  # the partner's present
    code: str | None = None  # of the refusal that the scenario wanted


@dataclass(frozen=True, slots=True)
class State:
    """What the sandbox remembers of a partner."""

    partner_id: str
    seed: str
    planned: int
    planned_after: str
    moving_until: datetime | None


@dataclass(frozen=True, slots=True)
class Advanced:
    """What an advance of the clock led to."""

    frozen_at: datetime
    completed: bool  # False: there was too much to do for one request; the same call goes on
    steps: int
    deliveries: int  # attempts


class ClockNotSet(FulfillmentError):
    """The partner has no test clock: its time is the real one."""

    kind = Kind.CONFLICT
    code = "clock_not_set"
    title = "There is no test clock"


class SandboxBusy(FulfillmentError):
    """Somebody else moves this partner's orders at the moment."""

    kind = Kind.CONFLICT
    code = "sandbox_busy"
    title = "The sandbox is moving your orders"


class ScenarioOver(FulfillmentError):
    """The order can't be moved on like that: its scenario is over, or it is past the point where it differs."""

    kind = Kind.CONFLICT
    code = "scenario_over"
    title = "The order can't go that way any more"


def scenario_of(customer: Mapping[str, Any], product_ids: Iterable[int], holds: Iterable[str]) -> Scenario:
    """Return the scenario that an order's magic values trigger; happy without any.

    Args:
        holds: The codes of the order's open holds: an address that can't be delivered to is cleared up in time.
    """
    last_name, zip_code = str(customer["lastName"]).strip().lower(), str(customer["address"]["zipCode"])
    products = {str(product_id) for product_id in product_ids}
    for magic in MAGIC_VALUES:
        if _matches(magic, last_name, zip_code, products):
            return magic.scenario
    return Scenario.ADDRESS_HOLD if HoldCode.ADDRESS in set(holds) else Scenario.HAPPY


def _matches(magic: MagicValue, last_name: str, zip_code: str, products: set[str]) -> bool:
    match magic.field:
        case "customer.lastName":
            return last_name == magic.value.lower()
        case "customer.address.zipCode":
            return zip_code.endswith(magic.value[1:]) if magic.value.startswith("*") else zip_code == magic.value
        case _:
            return magic.value in products


def first_step(order: Order, scenario: Scenario) -> int:
    """Return how many steps of *scenario* the order has behind it already, made by others."""
    reached = _REACHED[order.status]
    steps = STORIES[scenario].steps
    return max((place + 1 for place, step in enumerate(steps) if step in reached), default=0)


_REACHED: Final[Mapping[OrderStatus, frozenset[StepName]]] = {
    OrderStatus.CREATED: frozenset(),
    OrderStatus.CANCELLED: frozenset(StepName),
    OrderStatus.PROCESSING: frozenset({StepName.RELEASE}),
    OrderStatus.FULFILLED: frozenset({StepName.RELEASE, StepName.PACK}),
    OrderStatus.AWAITING_SHIPMENT: frozenset({StepName.RELEASE, StepName.PACK, StepName.LABEL}),
    OrderStatus.SHIPPED: frozenset(_MADE),
}
STATUS_AFTER: Final[Mapping[StepName, OrderStatus]] = {
    StepName.RELEASE: OrderStatus.PROCESSING,
    StepName.PACK: OrderStatus.FULFILLED,
    StepName.LABEL: OrderStatus.AWAITING_SHIPMENT,
    StepName.SHIP: OrderStatus.SHIPPED,
}
_HUBS: Final = (
    "Memphis, TN, USA",
    "Louisville, KY, USA",
    "Chicago, IL, USA",
    "Denver, CO, USA",
    "Dallas, TX, USA",
    "Phoenix, AZ, USA",
)
_TROUBLES: Final = (
    "Delayed by weather",
    "Package damaged, repackaged",
    "Missorted, being rerouted",
    "Held at the facility",
)
_TAGS: Final[Mapping[StepName, tuple[TrackingStatus, str, str | None]]] = {
    StepName.HUB: (TrackingStatus.IN_TRANSIT, "Arrived at hub", None),
    StepName.EXCEPTION: (TrackingStatus.EXCEPTION, "", None),
    StepName.RESUMED: (TrackingStatus.IN_TRANSIT, "On its way again", None),
    StepName.OUT_FOR_DELIVERY: (TrackingStatus.OUT_FOR_DELIVERY, "Out for delivery", None),
    StepName.ATTEMPT_FAILED: (TrackingStatus.ATTEMPT_FAIL, "Nobody was at home", None),
    StepName.OUT_AGAIN: (TrackingStatus.OUT_FOR_DELIVERY, "Out for delivery, second attempt", None),
    StepName.DELIVERED: (TrackingStatus.DELIVERED, "Delivered", None),
    StepName.MISSING: (TrackingStatus.EXCEPTION, "The parcel can't be found", "Exception_012"),
    StepName.EXPIRED: (TrackingStatus.EXPIRED, "No news for 30 days", None),
}
TRACKED: Final = frozenset(_TAGS)


def checkpoint(step: StepName, dice: str, destination: str, at: datetime) -> Checkpoint:
    """Return what the simulated carrier reports of a *step* of tracking.

    Args:
        dice: The order's seed: the same gives the same hub and the same trouble.
        destination: The recipient's place, as the contract writes it.
    """
    random = Random(f"{dice}/parcel")  # noqa: S311  to be repeated, not guessed
    hub, trouble = random.choice(_HUBS), random.choice(_TROUBLES)
    tag, message, subtag = _TAGS[step]
    near = step in {StepName.OUT_FOR_DELIVERY, StepName.ATTEMPT_FAILED, StepName.OUT_AGAIN, StepName.DELIVERED}
    return Checkpoint(
        checkpoint_time=at,
        raw_time=at.isoformat(),
        time_is_zoned=True,
        location=destination if near else hub,
        message=message or trouble,
        tag=tag,
        subtag=subtag,
        index=None,
        received_at=at,
    )


def as_json(scenario: Scenario) -> dict[str, object]:
    """Return a scenario as it is listed."""
    story = STORIES[scenario]
    return {
        "name": scenario.value,
        "description": story.description,
        "steps": [step.value for step in story.steps],
        "magicValues": [
            {"field": magic.field, "value": magic.value, "effect": magic.effect}
            for magic in MAGIC_VALUES
            if magic.scenario is scenario
        ],
    }
