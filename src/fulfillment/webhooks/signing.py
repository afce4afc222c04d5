"""How deliveries are signed: the contract's scheme, and Standard Webhooks over the same bytes."""

import hmac
import re
from base64 import b64encode
from datetime import datetime
from hashlib import sha256
from secrets import token_hex
from typing import Final

USER_AGENT: Final = "Juniper-Webhooks/1.0"
TOLERANCE_SECONDS: Final = 300

_TIMESTAMP: Final = re.compile(r"[0-9]{1,12}", re.ASCII)


def new_secret() -> str:
    """Return a new webhook secret: 64 hex characters, 256 random bits."""
    return token_hex(32)


def signature(secret: str, body: bytes, at: datetime) -> str:
    """Return the X-Juniper-Signature header for *body* sent at *at*.

    Args:
        secret: 64 hex characters, used as text.
        body: The raw bytes of the request.
        at: The moment of sending; only whole seconds count.

    Returns:
        ``t={unix seconds},v1={hex HMAC-SHA256 of "{t}.{body}"}``.

    Source:
        contract/openapi.yaml, webhooks.orderStatusChanged.
    """
    seconds = int(at.timestamp())
    return f"t={seconds},v1={_digest(secret, b'%d.%b' % (seconds, body)).hex()}"


def standard_signature(secret: str, webhook_id: str, body: bytes, at: datetime) -> str:
    """Return the webhook-signature header of Standard Webhooks for *body* sent at *at*.

    The key is the same as the contract's: the secret's 64 hex characters as ASCII bytes, not the 32 bytes
    they spell. A verifier of that standard is given `standard_secret` of it.

    Args:
        webhook_id: The webhook-id header; part of what is signed.

    Returns:
        ``v1,{base64 HMAC-SHA256 of "{webhook_id}.{unix seconds}.{body}"}``.

    Source:
        The Standard Webhooks specification 1.0.0, "Signature scheme".
    """
    signed = b"%b.%d.%b" % (webhook_id.encode(), int(at.timestamp()), body)
    return "v1," + b64encode(_digest(secret, signed)).decode()


def standard_secret(secret: str) -> str:
    """Return the secret for verifiers of Standard Webhooks: ``whsec_`` and base64 of the 64 characters."""
    return "whsec_" + b64encode(secret.encode()).decode()


def headers_for(
    secret: str,
    body: bytes,
    at: datetime,
    *,
    webhook_id: str,
    event_id: str,
    event_type: str,
    sequence: int | None,
    attempt: int,
) -> dict[str, str]:
    """Return all headers of one attempt to deliver *body*, signed afresh.

    Args:
        secret: The secret of this moment, not of the moment of the event.
        at: The moment of this attempt.
        webhook_id: Names the delivery; the same on every attempt.
        sequence: The event's place in its order, from 1; None for an event of no order, which goes without.
        attempt: From 1.
    """
    headers = {
        "Content-Type": "application/json",
        "User-Agent": USER_AGENT,
        "X-Juniper-Signature": signature(secret, body, at),
        "X-Juniper-Webhook-Id": webhook_id,
        "X-Juniper-Event-Id": event_id,
        "X-Juniper-Event-Type": event_type,
        "X-Juniper-Delivery-Attempt": str(attempt),
        "webhook-id": webhook_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": standard_signature(secret, webhook_id, body, at),
    }
    if sequence is not None:
        headers["X-Juniper-Sequence"] = str(sequence)
    return headers


def verify(body: bytes, header: str, secret: str, *, tolerance_seconds: int = TOLERANCE_SECONDS, now: datetime) -> bool:
    """Return whether *header* is an X-Juniper-Signature of *body*, made with *secret* about *now*.

    A header may carry several ``v1``; one that fits is enough. A time further away than the tolerance, in the
    past or in the future, is refused.
    """
    parts = [part.partition("=") for part in header.split(",")]
    times = [value for name, _, value in parts if name == "t"]
    if len(times) != 1 or not _TIMESTAMP.fullmatch(times[0]):
        return False
    if abs(int(now.timestamp()) - int(times[0])) > tolerance_seconds:
        return False
    expected = _digest(secret, times[0].encode() + b"." + body).hex().encode()
    return any(hmac.compare_digest(expected, value.encode()) for name, _, value in parts if name == "v1")


def _digest(secret: str, signed: bytes) -> bytes:
    return hmac.digest(secret.encode(), signed, sha256)
