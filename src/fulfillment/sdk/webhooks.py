"""Check and read the webhooks Juniper sends. Nothing here opens a connection.

Verify over the raw bytes of the request, before anything parses them: JSON written anew is not what was
signed.
"""

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final, cast

from .codec import Record, WireMismatch
from .errors import JuniperError
from .models import FulfillmentInfo, OrderStatus

SIGNATURE_HEADER: Final = "X-Juniper-Signature"
WEBHOOK_ID_HEADER: Final = "X-Juniper-Webhook-Id"  # names the delivery; the same over its retries
EVENT_ID_HEADER: Final = "X-Juniper-Event-Id"  # names the event; the same over redelivery and replay
SEQUENCE_HEADER: Final = "X-Juniper-Sequence"  # 1, 2, 3 ... for each order

TOLERANCE_SECONDS: Final = 300


class SignatureInvalid(JuniperError):
    """The request is not from Juniper, or was changed on the way. Answer 400, and use nothing of it."""


class SignatureTooOld(SignatureInvalid):
    """The signature is right, but was made too long ago: somebody may be sending an old request again."""


class MalformedEvent(JuniperError, ValueError):
    """The body is not an event this version of the SDK can read."""


@dataclass(frozen=True, slots=True)
class Event(Record):
    """One webhook. Types other than an order's status change may come, and may carry no order."""

    order_id: str | None = None
    status: OrderStatus | str | None = None
    fulfillment_info: FulfillmentInfo | None = None
    created_at: datetime | None = None  # of the order
    updated_at: datetime | None = None  # of the order
    id: str | None = None  # of the event, when the body names it; else EVENT_ID_HEADER has it
    type: str | None = None  # order.shipped ..., when the body names it
    sequence: int | None = None  # of the event within its order, when the body names it; else SEQUENCE_HEADER


def verify(
    body: bytes,
    header: str,
    secret: str | Sequence[str],
    tolerance: float = TOLERANCE_SECONDS,
    *,
    at: datetime | None = None,
) -> Event:
    """Return the event, once it is sure that Juniper signed exactly these bytes a short while ago.

    Args:
        body: The raw bytes of the request.
        header: The value of X-Juniper-Signature; an absent header is the empty string.
        secret: 64 hex characters, used as text. Several while you rotate.
        tolerance: Seconds the timestamp may lie in the past or the future.
        at: The moment to compare with; now, when left out.

    Raises:
        SignatureTooOld: The signature is right, the timestamp too old.
        SignatureInvalid: The header is malformed, no signature fits, or the timestamp lies in the future.
        MalformedEvent: The signature is right, but the body is no event.

    Source:
        contract/openapi.yaml, webhooks.orderStatusChanged.
    """
    timestamp, signatures = _parts(header)
    secrets = [secret] if isinstance(secret, str) else list(secret)
    if not all(secrets) or not secrets:
        raise ValueError("a secret is empty")
    if not _any_fits(body, timestamp, signatures, secrets):
        raise SignatureInvalid("no signature fits the body: is the secret current, and are these the raw bytes?")
    _check_age((at or datetime.now(UTC)).timestamp() - int(timestamp), tolerance)
    return parse(body)


def parse(body: bytes) -> Event:
    """Read an event without checking who sent it.

    Raises:
        MalformedEvent: The body is no event.
    """
    try:
        found: object = json.loads(body)
        if not isinstance(found, dict):
            raise MalformedEvent("the body is not a JSON object")
        envelope = cast("dict[str, Any]", found)
        return replace(Event.from_wire(_flat(envelope)), raw=envelope)
    except MalformedEvent:
        raise
    except WireMismatch as error:
        raise MalformedEvent(str(error)) from None
    except ValueError:
        raise MalformedEvent("the body is not JSON") from None


def sign(body: bytes, secret: str, at: datetime) -> str:
    """Return the X-Juniper-Signature of a body, to test your own receiver with.

    Args:
        body: The raw bytes you will send.
        secret: 64 hex characters, used as text.
        at: The moment of sending; only whole seconds count.
    """
    timestamp = str(int(at.timestamp()))
    return f"t={timestamp},v1={_digest(body, timestamp, secret)}"


def _parts(header: str) -> tuple[str, list[str]]:
    pairs = [part.partition("=")[::2] for part in header.split(",")]
    times = [value for name, value in pairs if name == "t"]
    signatures = [value for name, value in pairs if name == "v1"]
    if len(times) != 1 or not (times[0].isascii() and times[0].isdigit() and len(times[0]) <= 12):
        raise SignatureInvalid("the signature header has no timestamp")
    if not signatures:
        raise SignatureInvalid("the signature header has no v1 signature")
    return times[0], signatures


def _any_fits(body: bytes, timestamp: str, signatures: Sequence[str], secrets: Sequence[str]) -> bool:
    """Compare every pair in constant time, without stopping at the first that fits."""
    expected = [_digest(body, timestamp, secret).encode() for secret in secrets]
    given = [signature.encode("utf-8", "replace") for signature in signatures]
    fits = [hmac.compare_digest(ours, theirs) for ours in expected for theirs in given]
    return any(fits)


def _digest(body: bytes, timestamp: str, secret: str) -> str:
    return hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def _check_age(age_seconds: float, tolerance: float) -> None:
    if age_seconds > tolerance:
        raise SignatureTooOld(f"the signature is {age_seconds:.0f} s old")
    if age_seconds < -tolerance:
        raise SignatureInvalid(f"the signature is from {-age_seconds:.0f} s ahead: check the clocks")


def _flat(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the order's members beside those of the event itself, which newer servers add."""
    order: object = found.get("order")
    members = cast("dict[str, Any]", order) if isinstance(order, dict) else {}
    named = {
        "id": found.get("eventId", found.get("id")),
        "type": found.get("eventType", found.get("type")),
        "sequence": found.get("orderSequence", found.get("sequence")),
    }
    return {**members, **named}
