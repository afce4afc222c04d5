"""Signatures, judged by openssl and by other people's verifiers."""

import base64
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest
import standardwebhooks
import stripe

from fulfillment.webhooks.signing import (
    headers_for,
    new_secret,
    signature,
    standard_secret,
    standard_signature,
    verify,
)

AT = datetime(2026, 11, 23, 12, 0, 0, 999_999, tzinfo=UTC)
SECONDS = 1795435200
SECRET = "0123456789abcdef" * 4
BODIES = [
    b'{"order":{"orderId":"2vSGym0bH8qVEwCIGlyFoRgJq1A","status":"CREATED"}}',
    '{"name":"Zoë Müller 😀 \\u2028"}'.encode(),
    b"",
    b'{"a":"' + b"x" * 20_000 + b'"}',
]


StripeCheck = Callable[[str, str, str, int], bool]


def openssl_hmac(key: str, data: bytes) -> bytes:
    """HMAC-SHA256 as openssl computes it, keyed with the text *key*."""
    command = ["openssl", "dgst", "-sha256", "-hmac", key, "-binary"]
    return subprocess.run(command, input=data, capture_output=True, check=True).stdout


@pytest.mark.parametrize("body", BODIES)
def test_signature_is_what_openssl_computes(body: bytes) -> None:
    """v1 is the HMAC of "{t}.{body}" under the secret's 64 characters as text, t the whole second."""
    mac = openssl_hmac(SECRET, b"%d." % SECONDS + body).hex()

    assert signature(SECRET, body, AT) == f"t={SECONDS},v1={mac}"


@pytest.mark.parametrize("body", BODIES)
def test_standard_signature_is_what_openssl_computes(body: bytes) -> None:
    """The Standard Webhooks signature has the same key, and signs the id too."""
    mac = openssl_hmac(SECRET, b"msg_1.%d." % SECONDS + body)

    assert standard_signature(SECRET, "msg_1", body, AT) == "v1," + base64.b64encode(mac).decode()


@pytest.mark.parametrize("body", [body for body in BODIES if body])
def test_stripe_accepts_it(body: bytes) -> None:
    """Stripe's own verifier takes our header, and refuses it for another body, secret or time."""
    secret, now = new_secret(), datetime.now(UTC)
    header = signature(secret, body, now)
    check = cast(
        StripeCheck,
        stripe.WebhookSignature.verify_header,  # pyright: ignore[reportUnknownMemberType]
    )

    assert check(body.decode(), header, secret, 300)
    for wrong in (
        (body.decode() + " ", header, secret),
        (body.decode(), header, new_secret()),
        (body.decode(), signature(secret, body, now - timedelta(seconds=301)), secret),
    ):
        with pytest.raises(stripe.SignatureVerificationError):
            check(*wrong, 300)


@pytest.mark.parametrize("body", [body for body in BODIES if body.startswith(b"{")])
def test_standard_webhooks_accepts_it(body: bytes) -> None:
    """The verifier of Standard Webhooks takes our headers with whsec_ and the base64 of the 64 characters."""
    secret = new_secret()
    headers = a_delivery(secret, body)
    verifier = standardwebhooks.Webhook("whsec_" + base64.b64encode(secret.encode()).decode())

    verifier.verify(body, headers)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        verifier.verify(body + b" ", headers)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        verifier.verify(body, headers | {"webhook-id": "another"})


def a_delivery(secret: str, body: bytes) -> dict[str, str]:
    """The headers of a first attempt, just now."""
    return headers_for(
        secret,
        body,
        datetime.now(UTC),
        webhook_id="2vSGym0bH8qVEwCIGlyFoRgJq1A",
        event_id="2vSGym0bH8qVEwCIGlyFoRgJq1B",
        event_type="order.created",
        sequence=1,
        attempt=1,
    )


def test_standard_secret() -> None:
    """The secret for verifiers of the standard is whsec_ and base64 of its text."""
    assert base64.b64decode(standard_secret("ab" * 32).removeprefix("whsec_")) == b"ab" * 32


def test_all_headers() -> None:
    """An attempt carries the contract's headers, those about the event, and those of Standard Webhooks."""
    body = BODIES[0]
    headers = headers_for(
        SECRET, body, AT, webhook_id="w", event_id="e", event_type="order.shipped", sequence=5, attempt=3
    )

    mac = openssl_hmac(SECRET, b"%d." % SECONDS + body)
    standard = openssl_hmac(SECRET, b"w.%d." % SECONDS + body)
    assert headers == {
        "Content-Type": "application/json",
        "User-Agent": "Juniper-Webhooks/1.0",
        "X-Juniper-Signature": f"t={SECONDS},v1={mac.hex()}",
        "X-Juniper-Webhook-Id": "w",
        "X-Juniper-Event-Id": "e",
        "X-Juniper-Event-Type": "order.shipped",
        "X-Juniper-Sequence": "5",
        "X-Juniper-Delivery-Attempt": "3",
        "webhook-id": "w",
        "webhook-timestamp": str(SECONDS),
        "webhook-signature": "v1," + base64.b64encode(standard).decode(),
    }


def test_an_event_of_no_order_has_no_sequence() -> None:
    """The sequence header is left out where there is none."""
    headers = headers_for(SECRET, b"", AT, webhook_id="w", event_id="e", event_type="test", sequence=None, attempt=1)

    assert "X-Juniper-Sequence" not in headers


def test_new_secret() -> None:
    """A new secret is 64 lower-case hex characters, and another every time."""
    secrets = {new_secret() for _ in range(100)}

    assert len(secrets) == 100
    assert all(len(secret) == 64 and set(secret) <= set("0123456789abcdef") for secret in secrets)


HEADER = f"t={SECONDS},v1={openssl_hmac(SECRET, b'%d.{}' % SECONDS).hex()}"


@pytest.mark.parametrize(
    "header",
    [HEADER, f"t={SECONDS},v1={'0' * 64},{HEADER.split(',')[1]}", f"v0=x,{HEADER}", f"{HEADER},v1=é"],
)
def test_verify_accepts(header: str) -> None:
    """A header made by openssl is accepted, also among others during a rotation."""
    assert verify(b"{}", header, SECRET, now=AT)


@pytest.mark.parametrize("seconds", [-300, 300])
def test_verify_accepts_within_the_tolerance(seconds: int) -> None:
    """Five minutes off is near enough, in both directions."""
    assert verify(b"{}", HEADER, SECRET, now=AT + timedelta(seconds=seconds))


@pytest.mark.parametrize("seconds", [-301, 301])
def test_verify_refuses_beyond_the_tolerance(seconds: int) -> None:
    """More than five minutes off is refused, in both directions."""
    assert not verify(b"{}", HEADER, SECRET, now=AT + timedelta(seconds=seconds))


@pytest.mark.parametrize(
    "header",
    [
        "",
        "nonsense",
        f"t={SECONDS}",
        HEADER.split(",")[1],
        f"t={SECONDS},t={SECONDS},{HEADER.split(',')[1]}",
        HEADER.replace("v1", "v0"),
        HEADER.replace(f"t={SECONDS}", f"t={SECONDS + 1}"),
        HEADER.replace(f"t={SECONDS}", "t=now"),
        HEADER.replace(f"t={SECONDS}", f"t=+{SECONDS}"),
        HEADER.upper(),
        HEADER[:-1],
        HEADER[:-1] + ("0" if HEADER[-1] != "0" else "1"),
        HEADER.replace(",", ", "),
    ],
)
def test_verify_refuses(header: str) -> None:
    """A header that is incomplete, doubled, changed or oddly written is refused."""
    assert not verify(b"{}", header, SECRET, now=AT)


def test_verify_refuses_another_body_or_secret() -> None:
    """The signature holds for one body and one secret."""
    assert not verify(b"{} ", HEADER, SECRET, now=AT)
    assert not verify(b"{}", HEADER, "f" * 64, now=AT)


def test_the_clock_of_the_test_is_right() -> None:
    """The fixed second is the one that the time zone's rules give."""
    assert time.gmtime(SECONDS)[:6] == (2026, 11, 23, 12, 0, 0)
