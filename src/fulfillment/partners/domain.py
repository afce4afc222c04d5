"""What a partner is, and what may become of its settings. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from urllib.parse import urlsplit

from fulfillment.kernel.errors import FieldError, FulfillmentError, Kind, ValidationFailed

DEFAULT_VOLUME_DISCOUNTS: Final[Mapping[int, Decimal]] = {60: Decimal("0.05"), 90: Decimal("0.10")}
_MAX_NAME: Final = 200
_MAX_DESCRIPTION: Final = 2000
_DISCOUNT_PLACES: Final = 4
_SHOWN_IN_AUDIT: Final = frozenset({"primary_color", "secondary_color"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Partner:
    """A telehealth company that orders for its customers."""

    id: str
    name: str
    description: str | None = None
    discount: Decimal  # a fraction of each price
    volume_discounts: Mapping[int, Decimal]  # a fraction of the pack lines, by days of supply
    primary_color: str | None = None  # #rrggbb
    secondary_color: str | None = None  # #rrggbb
    logo: str | None = None  # a URL, or a key of a file of ours
    phone: str | None = None
    support_email: str | None = None
    website: str | None = None
    billing_address_line1: str | None = None
    billing_address_line2: str | None = None
    billing_city: str | None = None
    billing_state: str | None = None
    billing_postal_code: str | None = None
    billing_country: str | None = None  # ISO 3166-1 alpha-2
    webhook_url: str | None = None
    webhook_secret: str | None = field(default=None, repr=False)  # sealed
    clock_frozen_at: datetime | None = None  # the sandbox's test clock; None: the real time
    auto_advance_seconds: int | None = None  # the sandbox moves its orders on by itself
    webhook_faults: Mapping[str, Any] | None = None  # the sandbox's faults on demand
    created_at: datetime
    updated_at: datetime


def changed(partner: Partner, changes: Mapping[str, str | None], at: datetime) -> Partner:
    """Return *partner* with *changes* (attribute: value), made at the moment *at*; itself if nothing differs."""
    if all(getattr(partner, name) == value for name, value in changes.items()):
        return partner
    return replace(partner, **changes, updated_at=at)  # pyright: ignore[reportArgumentType]


def audited(partner: Partner, names: Mapping[str, object]) -> dict[str, object]:
    """Return what the audit log may keep of the partner's attributes *names*.

    Contact and billing values are somebody's personal data, and the path of a webhook URL may hold a password: of
    those it keeps only whether there was one, and of the URL where it leads.
    """
    return {name: _audited(name, getattr(partner, name)) for name in names}


def _audited(name: str, value: str | None) -> str | None:
    if value is None or name in _SHOWN_IN_AUDIT:
        return value
    if name == "webhook_url":
        parts = urlsplit(value)
        return f"{parts.scheme}://{parts.netloc}"
    return "(set)"


def check_new(name: str, discount: Decimal, description: str | None) -> None:
    """Check what a new partner is made of.

    Raises:
        ValidationFailed: Everything that is wrong with it.
    """
    faults: list[FieldError] = []
    if not 1 <= len(name.strip()) <= _MAX_NAME:
        faults.append(FieldError("/name", f"1 to {_MAX_NAME} characters."))
    if description is not None and len(description) > _MAX_DESCRIPTION:
        faults.append(FieldError("/description", f"{_MAX_DESCRIPTION} characters at most."))
    if not discount.is_finite() or not 0 <= discount <= 1 or round(discount, _DISCOUNT_PLACES) != discount:
        faults.append(FieldError("/discount", "A fraction from 0 to 1 with four places at most: 0.1 is 10 %."))
    if faults:
        raise ValidationFailed("The partner is not valid.", errors=faults)


class PartnerNotFound(FulfillmentError):
    """There is no partner with this id."""

    kind = Kind.NOT_FOUND
    code = "partner_not_found"
    title = "No such partner"


class WebhookNotConfigured(FulfillmentError):
    """The partner has no webhookUrl, so that there is no secret to speak of."""

    kind = Kind.NOT_FOUND
    code = "webhook_not_configured"
    title = "No webhook is configured"

    def __init__(self) -> None:
        super().__init__("Set a webhookUrl first: PATCH /v1/partners/settings.")
