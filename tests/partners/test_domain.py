"""Rules about partners that need nothing but values."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from fulfillment.kernel.errors import ValidationFailed
from fulfillment.kernel.times import to_wire
from fulfillment.partners.domain import Partner, audited, changed, check_new

AT = datetime(2023, 10, 1, 12, tzinfo=UTC)
ACME = Partner(
    id="2vSGym0bH8qVEwCIGlyFoRgJq1A",
    name="Acme Health",
    discount=Decimal("0.1"),
    volume_discounts={60: Decimal("0.05")},
    phone="555-123-4567",
    webhook_url="https://hooks.partner.com/secret-path?token=abc",
    primary_color="#1a73e8",
    created_at=AT,
    updated_at=AT,
)
LATER = AT + timedelta(hours=1)


def test_a_change_is_dated():
    """What is changed is changed, the rest stays, and the moment is kept."""
    partner = changed(ACME, {"primary_color": None, "logo": "x"}, LATER)

    assert (partner.primary_color, partner.logo, partner.updated_at) == (None, "x", LATER)
    assert (partner.phone, partner.created_at) == (ACME.phone, AT)


@pytest.mark.parametrize("changes", [{}, {"primary_color": "#1a73e8"}, {"logo": None}])
def test_what_changes_nothing_is_no_change(changes: dict[str, str | None]):
    """Setting what is already so leaves the partner as it was, its date too."""
    assert changed(ACME, changes, LATER) is ACME


def test_the_audit_log_gets_no_personal_data():
    """Of contact data it learns that there is some, of a webhook URL where it leads, of a colour all."""
    names = dict.fromkeys(("phone", "webhook_url", "primary_color", "logo"))

    assert audited(ACME, names) == {
        "phone": "(set)",
        "webhook_url": "https://hooks.partner.com",
        "primary_color": "#1a73e8",
        "logo": None,
    }


@pytest.mark.parametrize("discount", ["0", "0.1", "0.0725", "1", "1E-4"])
def test_a_discount_is_a_fraction(discount: str):
    """Anything from nothing to everything, with four places."""
    check_new("Acme", Decimal(discount), None)


@pytest.mark.parametrize(
    ("name", "discount", "description", "pointer"),
    [
        ("", "0", None, "/name"),
        ("  ", "0", None, "/name"),
        ("x" * 201, "0", None, "/name"),
        ("Acme", "-0.1", None, "/discount"),
        ("Acme", "1.0001", None, "/discount"),
        ("Acme", "10", None, "/discount"),
        ("Acme", "0.00001", None, "/discount"),
        ("Acme", "NaN", None, "/discount"),
        ("Acme", "Infinity", None, "/discount"),
        ("Acme", "0", "x" * 2001, "/description"),
    ],
)
def test_a_partner_out_of_bounds_is_refused(name: str, discount: str, description: str | None, pointer: str):
    """The field that is out of bounds is named."""
    with pytest.raises(ValidationFailed) as caught:
        check_new(name, Decimal(discount), description)

    assert [fault.pointer for fault in caught.value.errors] == [pointer]


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2023, 10, 1, 12, tzinfo=UTC), "2023-10-01T12:00:00.000Z"),
        (datetime(2023, 10, 1, 12, 0, 0, 123_999, tzinfo=UTC), "2023-10-01T12:00:00.123Z"),
        (datetime.fromisoformat("2023-10-01T05:00:00.5-07:00"), "2023-10-01T12:00:00.500Z"),
    ],
)
def test_moments_on_the_wire(moment: datetime, text: str):
    """UTC, three places of a second, cut off, and a Z."""
    assert to_wire(moment) == text


def test_a_partners_sealed_secret_does_not_show():
    """Printing a partner shows no secret, not even sealed."""
    assert "webhook_secret" not in repr(ACME)
