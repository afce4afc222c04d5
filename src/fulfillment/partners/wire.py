"""The contract's shapes of partner settings."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final

from email_validator import EmailNotValidError, validate_email
from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError, ValidationInfo
from pydantic.alias_generators import to_camel
from yarl import URL

from fulfillment.infra.addresses import AddressPolicy, ForbiddenUrl, check_url
from fulfillment.infra.web import faults_of
from fulfillment.kernel.errors import FieldError, ValidationFailed
from fulfillment.kernel.money import percent
from fulfillment.kernel.times import to_wire as moment
from fulfillment.partners.countries import COUNTRIES
from fulfillment.partners.domain import Partner

_OURS: Final = frozenset({"id", "name", "description", "discount", "discountValue", "createdAt", "updatedAt"})
_COLOR: Final = re.compile(r"#[0-9A-Fa-f]{6}")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_PHONE: Final = re.compile(r"[0-9A-Za-z +()./#*,;:-]{3,40}")
_SCRIPT: Final = re.compile(r"\s*(javascript|vbscript|data|file)\s*:", re.IGNORECASE)
_LONGEST_URL: Final = 2048


def _text(longest: int) -> AfterValidator:
    def check(value: str) -> str:
        if not 1 <= len(value) <= longest or not value.strip():
            raise ValueError(f"1 to {longest} characters, or null to clear it.")
        if _CONTROL.search(value):
            raise ValueError("One line of text, without control characters.")
        return value

    return AfterValidator(check)


def _color(value: str) -> str:
    if not _COLOR.fullmatch(value):
        raise ValueError("A colour like #1a73e8: # and six hexadecimal digits.")
    return value


def _logo(value: str) -> str:
    if _SCRIPT.match(value):
        raise ValueError("An http or https URL of an image, or the key of one.")
    return value


def _phone(value: str) -> str:
    import phonenumbers  # seldom needed, and slow to import

    try:
        possible = phonenumbers.is_possible_number(phonenumbers.parse(value, "US"))
    except phonenumbers.NumberParseException:
        possible = False
    if not possible or not _PHONE.fullmatch(value):
        raise ValueError("A phone number, such as 555-123-4567 or +44 20 7946 0958.")
    return value


def _email(value: str) -> str:
    try:
        validate_email(value, check_deliverability=False, test_environment=True)
    except EmailNotValidError:
        raise ValueError("An e-mail address, such as support@partner.com.") from None
    return value


def _website(value: str) -> str:
    fault = "An absolute http or https URL, such as https://partner.com."
    if len(value) > _LONGEST_URL or re.search(r"[\s\x00-\x1f\x7f\\<>\"]", value):
        raise ValueError(fault)
    try:
        url = URL(value)
        known = url.scheme in {"http", "https"} and bool(url.host) and url.user is None and url.password is None
    except ValueError:
        known = False
    if not known:
        raise ValueError(fault)
    return value


def _webhook_url(value: str, info: ValidationInfo) -> str:
    policy = info.context
    if not isinstance(policy, AddressPolicy):
        raise TypeError("a webhook URL is judged by a policy: give one as the context")
    try:
        check_url(value, policy)
    except ForbiddenUrl as error:
        raise ValueError(error.detail) from None
    return value


def _country(value: str) -> str:
    if value not in COUNTRIES:
        raise ValueError("A two-letter country code of ISO 3166-1 in capitals, such as US.")
    return value


_Color = Annotated[str, AfterValidator(_color)] | None


class PartnerSettingsUpdate(BaseModel):
    """What a partner may change itself. Fields left out stay; null clears."""

    model_config = ConfigDict(extra="forbid", alias_generator=to_camel, frozen=True)

    primary_color: _Color = None
    secondary_color: _Color = None
    logo: Annotated[str, _text(_LONGEST_URL), AfterValidator(_logo)] | None = None
    phone: Annotated[str, AfterValidator(_phone)] | None = None
    support_email: Annotated[str, AfterValidator(_email)] | None = None
    website: Annotated[str, AfterValidator(_website)] | None = None
    webhook_url: Annotated[str, AfterValidator(_webhook_url)] | None = None
    billing_address_line1: Annotated[str, _text(100)] | None = None
    billing_address_line2: Annotated[str, _text(100)] | None = None
    billing_city: Annotated[str, _text(100)] | None = None
    billing_state: Annotated[str, _text(50)] | None = None
    billing_postal_code: Annotated[str, _text(20)] | None = None
    billing_country: Annotated[str, AfterValidator(_country)] | None = None

    def changes(self) -> dict[str, str | None]:
        """Return what is to change: the partner's attributes and their new values."""
        return self.model_dump(exclude_unset=True)


def read_update(body: object, policy: AddressPolicy) -> dict[str, str | None]:
    """Return the changes that *body* asks for.

    Raises:
        ValidationFailed: Every field that is wrong, unknown or not the partner's to change.
    """
    if not isinstance(body, dict):
        raise ValidationFailed("The settings are not valid.", errors=[FieldError("", "Send a JSON object.")])
    try:
        return PartnerSettingsUpdate.model_validate(body, context=policy).changes()
    except ValidationError as error:
        found = [_worded(finding) for finding in error.errors(include_input=False, include_url=False)]
        raise ValidationFailed("The settings are not valid.", errors=faults_of(found)) from None


def _worded(finding: Any) -> dict[str, Any]:
    if finding["type"] != "extra_forbidden":
        return dict(finding)
    name = finding["loc"][0]
    message = (
        "This belongs to the platform; ask us to change it." if name in _OURS else "The settings have no such field."
    )
    return {**finding, "msg": message}


def settings_json(partner: Partner) -> Mapping[str, object]:
    """Return the contract's PartnerSettings of *partner*."""
    return {
        "id": partner.id,
        "name": partner.name,
        "description": partner.description,
        "discount": percent(partner.discount),
        "discountValue": float(partner.discount),
        "primaryColor": partner.primary_color,
        "secondaryColor": partner.secondary_color,
        "logo": partner.logo,
        "phone": partner.phone,
        "supportEmail": partner.support_email,
        "website": partner.website,
        "webhookUrl": partner.webhook_url,
        "billingAddressLine1": partner.billing_address_line1,
        "billingAddressLine2": partner.billing_address_line2,
        "billingCity": partner.billing_city,
        "billingState": partner.billing_state,
        "billingPostalCode": partner.billing_postal_code,
        "billingCountry": partner.billing_country,
        "createdAt": moment(partner.created_at),
        "updatedAt": moment(partner.updated_at),
    }
