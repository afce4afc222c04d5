"""What an event and its delivery are, and what follows from a receiver's answer. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, NamedTuple

from fulfillment.kernel.errors import FulfillmentError, Kind
from fulfillment.kernel.ids import encode

JITTER: Final = 0.2  # a wait is the schedule's, plus or minus this fraction
CIRCUIT_FAILURES: Final = 20  # in a row; from then on one delivery at a time tries the receiver
DISABLE_FAILURES: Final = 10  # in a row at least, before the days of nothing but failure count
GONE: Final = 410
_KSUID_EPOCH: Final = 1_400_000_000
_LAST_SECOND: Final = 2**32 - 1


class NewEvent(NamedTuple):
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


@dataclass(frozen=True, slots=True)
class FeedKey:
    """Where an event stands in the feed: the order in which transactions began, so that a late commit is no gap."""

    era: int  # grows when a dump is restored
    txid: int  # of the transaction that wrote it
    id: str


@dataclass(frozen=True, slots=True)
class Event:
    """An event as it was written."""

    key: FeedKey
    type: str
    order_id: str | None
    order_sequence: int | None
    payload: str  # json text, byte for byte what was sent
    created_at: datetime


@dataclass(frozen=True, slots=True)
class FeedFilter:
    """Which events of the feed are wanted."""

    type: str | None = None
    order_id: str | None = None
    undelivered: bool = False  # no delivery of it has succeeded


@dataclass(frozen=True, slots=True)
class OrderState:
    """Where an order stands, by its newest event."""

    key: FeedKey
    order_id: str
    status: str
    order_sequence: int
    updated_at: datetime


class DeliveryStatus(StrEnum):
    """How far a delivery is."""

    PENDING = "PENDING"  # being sent, or waiting for its turn
    DELIVERED = "DELIVERED"
    FAILED = "FAILED"  # the last attempt of the schedule failed; it no longer holds back its order's later events
    DISCARDED = "DISCARDED"  # its event is older than the feed keeps


@dataclass(frozen=True, slots=True)
class Claimed:
    """A delivery that this process may send while its lease lasts."""

    id: str
    partner_id: str
    event_id: str
    event_type: str
    order_sequence: int | None
    payload: bytes | None  # None: its event is older than the feed keeps
    attempts: int  # made before
    leased_until: datetime
    troubled: bool = False  # its receiver was failing when it was claimed


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one attempt came to, as it is recorded."""

    claimed: Claimed
    ended_at: datetime  # on the partner's clock, when it has one
    duration_ms: int
    status_code: int | None
    error: str | None  # the class of the fault; None: an answer came
    excerpt: bytes  # the start of the receiver's answer
    ok: bool
    retry_after_seconds: int | None = None

    @property
    def tells(self) -> bool:
        """Whether it says anything about the receiver: what has no event any more was not sent, and is discarded."""
        return self.claimed.payload is not None


@dataclass(frozen=True, slots=True)
class Streak:
    """What a handful of outcomes says about a receiver."""

    recovered: bool  # one of them succeeded
    failures: int  # in a row at the end
    since: datetime | None  # the first of those


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try, as the log shows it."""

    number: int  # from 1
    created_at: datetime
    duration_ms: int
    status_code: int | None
    error: str | None
    excerpt: bytes | None


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event on its way to a partner's receiver, as the log shows it."""

    id: str
    event_id: str
    event_type: str | None  # None: the event is older than the feed keeps
    order_id: str | None
    order_sequence: int | None
    status: DeliveryStatus
    attempts: int
    due_at: datetime
    created_at: datetime
    finished_at: datetime | None
    replay_id: str | None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """How a partner's receiver does."""

    disabled: bool = False
    failures: int = 0  # in a row
    failing_since: datetime | None = None
    disabled_at: datetime | None = None
    disabled_reason: str | None = None  # gone, failing


@dataclass(frozen=True, slots=True)
class Replay:
    """A span of events that is sent again."""

    id: str
    partner_id: str
    since: datetime
    until: datetime
    types: Sequence[str] | None
    only_failed: bool
    total: int
    queued: int
    done: int
    queued_at: datetime | None
    created_at: datetime

    @property
    def status(self) -> str:
        """Return PENDING, RUNNING or DONE."""
        if self.queued_at is not None and self.done >= self.queued:
            return "DONE"
        return "RUNNING" if self.queued or self.queued_at is not None else "PENDING"


@dataclass(frozen=True, slots=True)
class Faults:
    """What the sandbox does to a partner's deliveries when asked to."""

    drop: float = 0.0  # the share of attempts that never leave
    duplicate: float = 0.0  # the share of attempts that are sent twice
    delay_seconds: float = 0.0
    reorder: bool = False  # later events of an order may overtake
    seed: int = 0  # the same seed does the same to the same deliveries
    since: str = "0"  # the transaction behind which events are counted: chance goes by their place, not by ids

    @classmethod
    def of(cls, value: Mapping[str, Any] | None) -> "Faults | None":
        """Return the faults of a partner's `webhook_faults`; None when it has none."""
        if not value:
            return None
        return cls(
            float(value.get("drop", 0)),
            float(value.get("duplicate", 0)),
            float(value.get("delaySeconds", 0)),
            bool(value.get("reorder", False)),
            int(value.get("seed", 0)),
            str(value.get("since", "0")),
        )


def next_wait(
    schedule: Sequence[int], attempts: int, retry_after_seconds: int | None, chance: float
) -> timedelta | None:
    """Return the wait after a failed attempt, or None when it was the last.

    Args:
        schedule: The waits between attempts, seconds.
        attempts: Made so far, this one included.
        retry_after_seconds: What the receiver asked for: never sooner than that, nor than the schedule says.
        chance: From 0 to 1; places the wait between 80 % and 120 % of the schedule's.
    """
    if attempts > len(schedule):
        return None
    seconds = schedule[attempts - 1] * (1 - JITTER + 2 * JITTER * chance)
    return timedelta(seconds=max(seconds, retry_after_seconds or 0))


def streak(outcomes: Sequence[Outcome]) -> Streak:
    """Return what *outcomes* of one receiver, in the order they ended, say about it."""
    recovered, failures, since = False, 0, None
    for outcome in outcomes:
        if outcome.ok:
            recovered, failures, since = True, 0, None
        else:
            failures, since = failures + 1, since or outcome.ended_at
    return Streak(recovered, failures, since)


def is_written_off(failures: int, failing_since: datetime | None, at: datetime, disable_after: timedelta) -> bool:
    """Return whether a receiver has done nothing but fail for so long that it is switched off."""
    return failing_since is not None and failures >= DISABLE_FAILURES and at - failing_since >= disable_after


def first_id_at(at: datetime, *, seconds_later: int = 0) -> str:
    """Return the least id that anything made in the second of *at*, or later, can have."""
    return encode(min(max(0, int(at.timestamp()) - _KSUID_EPOCH + seconds_later), _LAST_SECOND), 0)


class EventNotFound(FulfillmentError):
    """The partner has no such event, or it is older than the feed keeps."""

    kind = Kind.NOT_FOUND
    code = "event_not_found"
    title = "Event not found"


class DeliveryNotFound(FulfillmentError):
    """The partner has no such delivery, or it is older than the log keeps."""

    kind = Kind.NOT_FOUND
    code = "delivery_not_found"
    title = "Delivery not found"


class DeliveryPending(FulfillmentError):
    """The delivery is on its way already."""

    kind = Kind.CONFLICT
    code = "delivery_pending"
    title = "The delivery is still pending"


class WebhookDisabled(FulfillmentError):
    """The receiver is switched off."""

    kind = Kind.CONFLICT
    code = "webhook_disabled"
    title = "The webhook is switched off"


class ReplayNotFound(FulfillmentError):
    """The partner has no such replay."""

    kind = Kind.NOT_FOUND
    code = "replay_not_found"
    title = "Replay not found"


class ReplayRunning(FulfillmentError):
    """The partner's last replay is still being queued."""

    kind = Kind.CONFLICT
    code = "replay_running"
    title = "A replay is running"


class WebhookTestRunning(FulfillmentError):
    """The partner's last test event is still under way."""

    kind = Kind.CONFLICT
    code = "webhook_test_running"
    title = "A test is running"
