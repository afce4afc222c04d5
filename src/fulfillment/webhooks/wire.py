"""The shapes of events, deliveries and replays on the wire. The models document; the text is written by hand.

An event's data goes out byte for byte as it was sent, so it is never read and written anew.
"""

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, model_validator

from fulfillment.kernel.times import to_wire as moment
from fulfillment.webhooks.domain import Attempt, Delivery, DeliveryStatus, Event, OrderState, Replay
from fulfillment.webhooks.testing import TestSent

TYPE_PATTERN: Final = r"^[a-z][a-z_.]{0,63}$"
_DIGITS: Final = re.compile(r"[0-9]{1,5}", re.ASCII)
_RFC3339: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
_LATEST: Final = datetime(2100, 1, 1, tzinfo=UTC)


def _whole_number(value: object) -> object:
    if isinstance(value, str) and not _DIGITS.fullmatch(value):
        raise ValueError("A whole number.")
    return value


def _moment(value: object) -> object:
    if not isinstance(value, str | datetime) or (isinstance(value, str) and not _RFC3339.fullmatch(value)):
        raise ValueError("A date and time of RFC 3339 with its zone, such as 2023-10-01T12:00:00Z.")
    return value


WholeNumber = Annotated[int, BeforeValidator(_whole_number)]
Moment = Annotated[AwareDatetime, BeforeValidator(_moment), Field(ge=_EARLIEST, le=_LATEST)]


class EventOut(BaseModel):
    """A change of an order, as it was announced."""

    id: str
    type: str = Field(examples=["order.shipped"])
    orderId: str | None
    orderSequence: int | None = Field(description="1, 2, 3 ... for each order, without a gap")
    createdAt: AwareDatetime
    data: dict[str, Any] = Field(description="The webhook's body, byte for byte as it was sent")
    cursor: str | None = Field(None, description="The feed goes on behind this event; in lists only")


class EventPage(BaseModel):
    """Events, oldest first."""

    events: list[EventOut]
    cursor: str = Field(description="Always there: at the end it is where the next events will be")
    hasMore: bool = Field(description="Whether there is more to read now")


class OrderStateOut(BaseModel):
    """Where an order stands."""

    orderId: str
    status: str
    orderSequence: int = Field(description="Of the order's newest event")
    updatedAt: AwareDatetime


class OrderStatePage(BaseModel):
    """Orders that changed, the longest unchanged first."""

    orders: list[OrderStateOut]
    cursor: str | None
    hasMore: bool


class DeliveryOut(BaseModel):
    """One event on its way to the partner's receiver."""

    id: str = Field(description="X-Juniper-Webhook-Id, the same on every attempt")
    eventId: str
    type: str | None
    orderId: str | None
    orderSequence: int | None
    status: DeliveryStatus
    attemptCount: int
    nextAttemptAt: AwareDatetime | None = Field(description="While it is PENDING")
    createdAt: AwareDatetime
    finishedAt: AwareDatetime | None
    replayId: str | None


class AttemptOut(BaseModel):
    """One try."""

    number: int
    at: AwareDatetime = Field(description="When it ended")
    statusCode: int | None
    durationMs: int
    error: str | None = Field(description="The class of the fault; null when an answer came", examples=["timeout"])
    answer: str | None = Field(description="The first 4 KiB of what the receiver answered, as text")


class DeliveryDetail(DeliveryOut):
    """A delivery with its attempts and its event."""

    attempts: list[AttemptOut]
    event: EventOut | None


class DeliveryPage(BaseModel):
    """Deliveries, newest first."""

    deliveries: list[DeliveryOut]
    cursor: str | None


class ReplayIn(BaseModel):
    """Which events to send again."""

    model_config = ConfigDict(extra="forbid")

    since: Moment
    until: Moment | None = Field(None, description="Now, when left out")
    types: list[Annotated[str, Field(pattern=TYPE_PATTERN)]] | None = Field(None, min_length=1, max_length=50)
    onlyFailed: StrictBool = Field(False, description="Leave out what was delivered")

    @model_validator(mode="after")
    def _spans_something(self) -> Self:
        if self.until is not None and self.until <= self.since:
            raise ValueError("until must be later than since.")
        return self


class ReplayOut(BaseModel):
    """A span of events that is sent again."""

    id: str
    status: Literal["PENDING", "RUNNING", "DONE"]
    total: int = Field(description="Events found when it was asked for")
    done: int = Field(description="Of those, delivered or given up")
    since: AwareDatetime
    until: AwareDatetime
    types: list[str] | None
    onlyFailed: bool
    createdAt: AwareDatetime


class TestOut(BaseModel):
    """What the receiver answered to a test event."""

    delivered: bool = Field(description="It answered 2xx")
    webhookId: str
    eventId: str
    statusCode: int | None
    durationMs: int
    error: str | None = Field(description="The class of the fault; null when an answer came")
    answer: str | None = Field(description="The first 4 KiB of the answer, as text")


class WebhookStatusOut(BaseModel):
    """How the partner's receiver does."""

    webhookStatus: Literal["ENABLED", "DISABLED", "UNCONFIGURED"]
    webhookDisabledAt: AwareDatetime | None
    webhookDisabledReason: str | None = Field(
        description="gone: it answered 410; failing: for days nothing but failure"
    )
    webhookFailingSince: AwareDatetime | None


def event_json(event: Event, cursor: str | None = None) -> str:
    """Return an event as JSON text."""
    sequence = "null" if event.order_sequence is None else event.order_sequence
    place = f',"cursor":"{cursor}"' if cursor else ""
    return (
        f'{{"id":"{event.key.id}","type":"{event.type}","orderId":{_quoted(event.order_id)},'
        f'"orderSequence":{sequence},"createdAt":"{moment(event.created_at)}","data":{event.payload}{place}}}'
    )


def events_json(events: Sequence[str], cursor: str, more: bool) -> str:
    """Return a page of events, given as JSON texts, as JSON text."""
    return f'{{"events":[{",".join(events)}],"cursor":"{cursor}","hasMore":{json.dumps(more)}}}'


def order_state_json(state: OrderState) -> dict[str, object]:
    """Return where an order stands."""
    return {
        "orderId": state.order_id,
        "status": state.status,
        "orderSequence": state.order_sequence,
        "updatedAt": moment(state.updated_at),
    }


def delivery_json(delivery: Delivery) -> dict[str, object]:
    """Return a delivery."""
    pending = delivery.status is DeliveryStatus.PENDING
    return {
        "id": delivery.id,
        "eventId": delivery.event_id,
        "type": delivery.event_type,
        "orderId": delivery.order_id,
        "orderSequence": delivery.order_sequence,
        "status": delivery.status.value,
        "attemptCount": delivery.attempts,
        "nextAttemptAt": moment(delivery.due_at) if pending else None,
        "createdAt": moment(delivery.created_at),
        "finishedAt": moment(delivery.finished_at) if delivery.finished_at else None,
        "replayId": delivery.replay_id,
    }


def delivery_detail_json(delivery: Delivery, attempts: Sequence[Attempt], event: Event | None) -> str:
    """Return a delivery with its attempts and its event as JSON text."""
    shown = delivery_json(delivery) | {"attempts": [_attempt_json(attempt) for attempt in attempts]}
    text = json.dumps(shown, ensure_ascii=False, separators=(",", ":"))
    return f'{text[:-1]},"event":{event_json(event) if event else "null"}}}'


def replay_json(replay: Replay) -> dict[str, object]:
    """Return a replay."""
    return {
        "id": replay.id,
        "status": replay.status,
        "total": replay.total,
        "done": replay.done,
        "since": moment(replay.since),
        "until": moment(replay.until),
        "types": list(replay.types) if replay.types is not None else None,
        "onlyFailed": replay.only_failed,
        "createdAt": moment(replay.created_at),
    }


def test_json(sent: TestSent) -> dict[str, object]:
    """Return what became of a test event."""
    answer = sent.answer
    return {
        "delivered": answer.ok,
        "webhookId": sent.webhook_id,
        "eventId": sent.event_id,
        "statusCode": answer.status,
        "durationMs": answer.duration_ms,
        "error": answer.error_class,
        "answer": _text(answer.excerpt) if answer.status is not None else None,
    }


def _attempt_json(attempt: Attempt) -> dict[str, object]:
    return {
        "number": attempt.number,
        "at": moment(attempt.created_at),
        "statusCode": attempt.status_code,
        "durationMs": attempt.duration_ms,
        "error": attempt.error,
        "answer": _text(attempt.excerpt) if attempt.excerpt is not None and attempt.status_code is not None else None,
    }


def _text(excerpt: bytes) -> str:
    return excerpt.decode("utf-8", "replace")


def _quoted(text: str | None) -> str:
    return "null" if text is None else f'"{text}"'
