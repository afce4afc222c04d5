"""Signatures, judged by openssl and by Stripe's verifier, and the events behind them."""

import json
import subprocess
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import stripe

from fulfillment.sdk import JuniperError, models, webhooks
from tests.sdk import samples

SECRET = samples.SECRET["webhookSecret"]
OTHER = "f" * 64
AT = datetime(2026, 11, 23, 12, 0, 0, 900_000, tzinfo=UTC)
UNIX = 1795435200  # date -u -d '2026-11-23 12:00:00' +%s
BODY = json.dumps(samples.EVENT).encode()


def openssl(body: bytes, secret: str = SECRET, at: int = UNIX) -> str:
    """Return the signature openssl makes."""
    made = subprocess.run(
        ["openssl", "dgst", "-sha256", "-hmac", secret, "-hex"],
        input=f"{at}.".encode() + body,
        capture_output=True,
        check=True,
    )
    return made.stdout.decode().rsplit("= ", 1)[1].strip()


def header(body: bytes = BODY, secret: str = SECRET, at: int = UNIX) -> str:
    """Return the header Juniper sends, with openssl's signature."""
    return f"t={at},v1={openssl(body, secret, at)}"


def test_a_right_signature():
    """What openssl signed is accepted, and the event is read."""
    event = webhooks.verify(BODY, header(), SECRET, at=AT)

    assert event.order_id == samples.ORDER_ID
    assert event.status is models.OrderStatus.SHIPPED
    assert event.fulfillment_info is not None
    assert event.fulfillment_info.tracking_number == "1Z9999999999999999"
    assert event.created_at == datetime(2023, 10, 1, 12, 0, tzinfo=UTC)
    assert event.updated_at == datetime(2023, 10, 5, 14, 30, tzinfo=UTC)
    assert event.raw == samples.EVENT


@pytest.mark.parametrize("body", [b'{"a": "\xc3\xbc"}', b"{}\n", b'{"z": 1.0, "a": "\\u00fc"}', b'{"n": "\\u0000"}'])
def test_the_exact_bytes_count(body: bytes):
    """Whatever the bytes are, they are signed and checked as they are."""
    webhooks.verify(body, header(body), SECRET, at=AT)

    with pytest.raises(webhooks.SignatureInvalid):
        webhooks.verify(body + b" ", header(body), SECRET, at=AT)


def test_signed_like_openssl():
    """sign() makes the header openssl makes; only whole seconds count."""
    assert webhooks.sign(BODY, SECRET, AT) == header()


def test_signed_for_stripe(monkeypatch: pytest.MonkeyPatch):
    """Stripe's own verifier accepts what sign() made."""
    monkeypatch.setattr("time.time", lambda: UNIX)

    judge: Any = stripe.WebhookSignature

    assert judge.verify_header(BODY.decode(), webhooks.sign(BODY, SECRET, AT), SECRET, tolerance=300)


@pytest.mark.parametrize(
    "given",
    [
        f"t={UNIX},v1={openssl(BODY, OTHER)},v1={openssl(BODY)}",
        f"t={UNIX},v1={openssl(BODY)},v1=00",
        f"t={UNIX},v0=abc,v1={openssl(BODY)}",
        f"v1={openssl(BODY)},t={UNIX}",
    ],
)
def test_one_of_several_signatures(given: str):
    """During a rotation the header has several v1; one that fits is enough. Unknown schemes are passed over."""
    assert webhooks.verify(BODY, given, SECRET, at=AT).order_id == samples.ORDER_ID


def test_one_of_several_secrets():
    """A receiver that is changing its secret may know two."""
    assert webhooks.verify(BODY, header(), [OTHER, SECRET], at=AT).order_id == samples.ORDER_ID


@pytest.mark.parametrize(
    "given",
    [
        "",
        "garbage",
        f"t={UNIX}",
        f"v1={openssl(BODY)}",
        f"t=,v1={openssl(BODY)}",
        f"t=-5,v1={openssl(BODY)}",
        f"t={UNIX}.0,v1={openssl(BODY)}",
        f"t=²,v1={openssl(BODY)}",
        f"t={'9' * 13},v1={openssl(BODY)}",
        f"t={UNIX},t={UNIX},v1={openssl(BODY)}",
        f"t={UNIX + 1},v1={openssl(BODY)}",
        f"t={UNIX},v1={openssl(BODY).upper()}",
        f"t={UNIX}, v1={openssl(BODY)}",
        f"t={UNIX},v1={openssl(BODY)[:-1]}",
        f"t={UNIX},v1={openssl(BODY)} ",
        f"t={UNIX},v1=",
        f"t={UNIX},v1=ü\udc80",
        f"t={UNIX},v1={openssl(BODY, OTHER)}",
        f"t={UNIX},v0={openssl(BODY)}",
    ],
)
def test_wrong_signatures(given: str):
    """A header that is absent, malformed, for another time or by another secret is refused."""
    with pytest.raises(webhooks.SignatureInvalid):
        webhooks.verify(BODY, given, SECRET, at=AT)


def test_a_changed_body():
    """One changed byte is refused."""
    with pytest.raises(webhooks.SignatureInvalid):
        webhooks.verify(BODY.replace(b"SHIPPED", b"CREATED"), header(), SECRET, at=AT)


@pytest.mark.parametrize(
    ("seconds", "refusal"),
    [
        (0, None),
        (299, None),
        (301, webhooks.SignatureTooOld),
        (-299, None),
        (-302, webhooks.SignatureInvalid),
    ],
)
def test_age(seconds: int, refusal: type[Exception] | None):
    """A timestamp may lie five minutes in the past or the future, no more."""
    moment = AT + timedelta(seconds=seconds)

    if refusal is None:
        assert webhooks.verify(BODY, header(), SECRET, at=moment).order_id == samples.ORDER_ID
    else:
        with pytest.raises(refusal) as caught:
            webhooks.verify(BODY, header(), SECRET, at=moment)
        assert type(caught.value) is refusal


def test_the_tolerance_can_be_set():
    """A receiver may be stricter."""
    with pytest.raises(webhooks.SignatureTooOld):
        webhooks.verify(BODY, header(), SECRET, 5, at=AT + timedelta(seconds=6))


def test_now_is_the_default():
    """Without a moment given, the clock decides."""
    now = int(datetime.now(UTC).timestamp())

    assert webhooks.verify(BODY, header(at=now), SECRET).order_id == samples.ORDER_ID
    with pytest.raises(webhooks.SignatureTooOld):
        webhooks.verify(BODY, header(at=now - 400), SECRET)


def test_age_is_told_only_to_the_rightful():
    """A wrong signature that is old too is just wrong."""
    with pytest.raises(webhooks.SignatureInvalid) as caught:
        webhooks.verify(BODY, header(secret=OTHER), SECRET, at=AT + timedelta(days=1))

    assert type(caught.value) is webhooks.SignatureInvalid


@pytest.mark.parametrize("secret", ["", [], [SECRET, ""]])
def test_no_secret(secret: Any):
    """An empty secret is a mistake of the receiver: anybody could sign with it."""
    with pytest.raises(ValueError, match="secret"):
        webhooks.verify(BODY, header(secret=SECRET), secret, at=AT)


def test_what_newer_servers_add():
    """The event's own id, type and sequence are read when the signed body names them."""
    body: dict[str, Any] = {
        **samples.EVENT,
        "eventId": "e1",
        "eventType": "order.shipped",
        "orderSequence": 4,
        "new": {},
    }

    event = webhooks.parse(json.dumps(body).encode())

    assert (event.id, event.type, event.sequence, event.status) == ("e1", "order.shipped", 4, "SHIPPED")


def test_events_of_other_kinds():
    """An event without an order, and a status of the future, are read and not refused."""
    test = webhooks.parse(b'{"id": "e1", "type": "test", "message": "hello"}')
    later = webhooks.parse(b'{"order": {"orderId": "o1", "status": "ON_MARS"}}')

    assert (test.order_id, test.type, test.raw["message"]) == (None, "test", "hello")
    assert later.status == "ON_MARS"


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b'{"order": {"orderId": 5}}'])
def test_a_body_that_is_no_event(body: bytes):
    """A body that is no event says so, though its signature is right."""
    with pytest.raises(webhooks.MalformedEvent):
        webhooks.verify(body, header(body), SECRET, at=AT)


def test_all_refusals_are_of_the_sdk():
    """One class catches everything webhooks can raise."""
    assert issubclass(webhooks.SignatureTooOld, webhooks.SignatureInvalid)
    assert issubclass(webhooks.SignatureInvalid, JuniperError)
    assert issubclass(webhooks.MalformedEvent, JuniperError)
