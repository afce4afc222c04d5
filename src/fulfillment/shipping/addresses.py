"""Whether an address can be delivered to with a shipping method, and what looks wrong with it. Pure.

Nothing is ever corrected here: a finding may carry a suggestion, and the partner decides. What stops an
order is only what makes delivery impossible or sends the parcel elsewhere; an odd city or a new ZIP is a
warning.

Source:
    USPS Publication 28; the ZIP code directory of the package zipcodes, with a table of prefixes as a second
    opinion, since the directory ages and a few ZIPs cross state lines.
"""

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

from fulfillment.shipping import zip_codes
from fulfillment.shipping.calendar import ShippingMethod
from fulfillment.shipping.states import STATES, State, StateKind, states_of_zip

Verdict = Literal["verified", "warning", "undeliverable"]


@dataclass(frozen=True, slots=True)
class AddressFinding:
    """One thing that is wrong with an address. Its texts name parts of the address: never log them."""

    code: str  # stable, snake_case
    pointer: str  # JSON Pointer into the order
    message: str
    suggestion: str | None = None  # what probably was meant
    blocking: bool = False  # it can't be delivered like this


@dataclass(frozen=True, slots=True)
class AddressVerdict:
    """What was found; "undeliverable" as soon as one finding blocks."""

    verdict: Verdict
    findings: tuple[AddressFinding, ...]
    usps_only: bool  # PO boxes and military addresses: no other carrier may enter


@dataclass(frozen=True, slots=True)
class ZipPlace:
    """What the directory says of a ZIP code."""

    city: str  # the name that the USPS prefers
    state: str
    accepted: frozenset[str]  # further names it accepts, normalised
    known: frozenset[str]  # names people use all the same, normalised
    zone: str  # IANA name; empty for military addresses


VERIFIED: Final = AddressVerdict("verified", (), usps_only=False)

_CITY: Final = "/customer/address/city"
_STATE: Final = "/customer/address/state"
_ZIP: Final = "/customer/address/zipCode"
_LINE1: Final = "/customer/address/line1"
_LINE2: Final = "/customer/address/line2"
_METHOD: Final = "/shippingMethod"


def check_address(
    line1: str, line2: str | None, city: str, state: str, zip_code: str, shipping_method: str
) -> AddressVerdict:
    """Return whether the address can be delivered to with the method, and everything that looks wrong.

    Codes that block: ``unknown_state``, ``unknown_zip`` and ``zip_state_mismatch`` (the last two only where
    the other parts contradict it too), ``military_zip``, ``po_box_not_served``, ``military_not_served``.
    Warnings only: ``city_zip_mismatch``, ``military_line``, ``overnight_not_promised``.

    Args:
        state: A two-letter code.
        zip_code: Five digits, or nine with or without a hyphen.
        shipping_method: A ShippingMethodName.
    """
    place = zip_place(zip_code)
    box = po_box_line(line1, line2)
    known = STATES.get(state)
    military = _is_military(place, city, state, zip_code)
    findings = _place_findings(place, city, known, state, zip_code)
    if military:
        findings += _military_findings(place, line1, line2, city, zip_code, shipping_method)
    elif box:
        findings += _box_findings(box, shipping_method)
    if known and state in _FAR and shipping_method == ShippingMethod.OVERNIGHT:
        message = f"OVERNIGHT takes longer than one business day to {known.name}."
        findings.append(AddressFinding("overnight_not_promised", _METHOD, message))
    usps_only = military or box is not None
    if not findings and not usps_only:
        return VERIFIED
    return AddressVerdict(_verdict(findings), tuple(findings), usps_only)


def zip_place(zip_code: str) -> ZipPlace | None:
    """Return what the directory says of a ZIP code (five digits, anything after is ignored), or None."""
    return _place(zip_code[:5])


def normalised_zip(zip_code: str) -> str | None:
    """Return ``12345`` or ``12345-6789``, or None when it is no ZIP code."""
    found = _ZIP_CODE.fullmatch(zip_code.strip())
    if found is None:
        return None
    return f"{found[1]}-{found[2]}" if found[2] else found[1]


def po_box_line(line1: str, line2: str | None) -> str | None:
    """Return the JSON Pointer of the line that is a PO box, or None."""
    # "Box 12" alone is a PO box as a first line, but a mailbox inside a building as a second.
    if _PO_BOX.search(line1) or _BARE_BOX.fullmatch(line1):
        return _LINE1
    return _LINE2 if line2 and _PO_BOX.search(line2) else None


def valid_phone(text: str) -> bool:
    """Return whether a person could be called at *text*: lenient, as partners write numbers in many ways.

    Any number of 7 to 15 digits passes; extensions and letters (``1-800-FLOWERS``) where they make a possible
    number, with US as the country where none is given.
    """
    if _PLAIN_PHONE.fullmatch(text):
        return 7 <= sum(each.isdigit() for each in text) <= 15
    import phonenumbers  # seldom needed, and slow to import

    try:
        return phonenumbers.is_possible_number(phonenumbers.parse(text, "US"))
    except phonenumbers.NumberParseException:
        return False


def valid_email(text: str) -> bool:
    """Return whether *text* has the form of an e-mail address; no look-up, and ``.test`` domains pass."""
    # The library takes 20 us; the plainest addresses under the plainest domains, which it always accepts, take one.
    if len(text) <= 100 and _PLAIN_EMAIL.fullmatch(text):
        return True
    from email_validator import EmailNotValidError, validate_email  # seldom needed, and slow to import

    try:
        _ = validate_email(text, check_deliverability=False, test_environment=True)
    except EmailNotValidError:
        return False
    return True


def _place_findings(
    place: ZipPlace | None, city: str, known: State | None, state: str, zip_code: str
) -> list[AddressFinding]:
    """Return what is wrong between state, ZIP and city; one finding at most."""
    if known is None:
        message = "It is not one of the USPS's 62 two-letter codes."
        return [AddressFinding("unknown_state", _STATE, message, place and place.state, blocking=True)]
    by_prefix = states_of_zip(zip_code)
    if place is None:
        blocking = state not in by_prefix
        message = f"ZIP code {zip_code} is not in the directory" + (
            f", and none of {state} begins like it." if blocking else "; it may be new or mistyped."
        )
        return [AddressFinding("unknown_zip", _ZIP, message, blocking=blocking)]
    city_fits = _plain(city) in place.accepted
    if place.state == state:
        return [] if city_fits else [_city_finding(place, zip_code)]
    # Carriers route by ZIP. Where the city belongs to it, the state is the slip and the parcel arrives; where
    # neither does, it would go to a stranger.
    blocking = not (city_fits or _plain(city) in place.known or state in by_prefix)
    message = f"ZIP code {zip_code} is in {place.state}, not in {state}."
    return [AddressFinding("zip_state_mismatch", _STATE, message, place.state, blocking)]


def _city_finding(place: ZipPlace, zip_code: str) -> AddressFinding:
    message = f"The USPS knows ZIP code {zip_code} as {place.city}."
    return AddressFinding("city_zip_mismatch", _CITY, message, place.city)


def _military_findings(
    place: ZipPlace | None, line1: str, line2: str | None, city: str, zip_code: str, shipping_method: str
) -> list[AddressFinding]:
    findings: list[AddressFinding] = []
    if _plain(city) in _MILITARY_CITIES and not _military_zip(place, zip_code):
        message = f"{city} is military, but ZIP code {zip_code} is not."
        findings.append(AddressFinding("military_zip", _ZIP, message, blocking=True))
    if not (_MILITARY_LINE.search(line1) or (line2 and _MILITARY_LINE.search(line2))):
        message = "A military address names a unit: PSC, CMR or UNIT with its number, and BOX with its number."
        findings.append(AddressFinding("military_line", _LINE1, message))
    if shipping_method != ShippingMethod.STANDARD:
        findings.append(_not_served("military_not_served", "military addresses", shipping_method))
    return findings


def _box_findings(pointer: str, shipping_method: str) -> list[AddressFinding]:
    if shipping_method == ShippingMethod.STANDARD:
        return []
    return [_not_served("po_box_not_served", "PO boxes", shipping_method, pointer)]


def _not_served(code: str, what: str, method: str, pointer: str = _METHOD) -> AddressFinding:
    message = f"Only the USPS delivers to {what}, and {method} does not go by the USPS."
    return AddressFinding(code, pointer, message, ShippingMethod.STANDARD, blocking=True)


def _verdict(findings: list[AddressFinding]) -> Verdict:
    if any(finding.blocking for finding in findings):
        return "undeliverable"
    return "warning" if findings else "verified"


def _is_military(place: ZipPlace | None, city: str, state: str, zip_code: str) -> bool:
    # The ZIP decides, as carriers go by it; the state only where the directory doesn't know the ZIP.
    if _plain(city) in _MILITARY_CITIES:
        return True
    return _military_zip(place, zip_code) or (place is None and state in _MILITARY_STATES)


def _military_zip(place: ZipPlace | None, zip_code: str) -> bool:
    if place is not None:
        return place.state in _MILITARY_STATES
    return any(code in _MILITARY_STATES for code in states_of_zip(zip_code))


@lru_cache(maxsize=8192)
def _place(zip_code: str) -> ZipPlace | None:
    row = zip_codes.find_row(zip_code)
    if row is None:
        return None
    city, state, zone, accepted, known = row
    return ZipPlace(
        city,
        state,
        frozenset(map(_plain, (city, *accepted.split("|")))),
        frozenset(map(_plain, known.split("|"))) if known else frozenset(),
        zone,
    )


@lru_cache(maxsize=8192)
def _plain(name: str) -> str:
    """Return a city's name as it compares: no case, accents, dots or spaces, words abbreviated."""
    letters = unicodedata.normalize("NFKD", name).casefold()
    words = re.sub(r"[^a-z0-9 ]", " ", re.sub(r"[.'\u2019\u0300-\u036f]", "", letters)).split()
    return "".join(_ABBREVIATIONS.get(word, word) for word in words)


_ABBREVIATIONS: Final = {
    "saint": "st",
    "sainte": "ste",
    "fort": "ft",
    "mount": "mt",
    "north": "n",
    "south": "s",
    "east": "e",
    "west": "w",
}
_MILITARY_CITIES: Final = frozenset({"apo", "fpo", "dpo"})
_MILITARY_STATES: Final = frozenset(code for code, each in STATES.items() if each.kind is StateKind.MILITARY)
_FAR: Final = frozenset(
    code for code, each in STATES.items() if each.kind is not StateKind.MILITARY and not each.contiguous
)

_ZIP_CODE: Final = re.compile(r"([0-9]{5})(?:-?([0-9]{4}))?")
# A number, or a letter or two, must follow the word: "PO Boxwood Ln" and "PO Box Canyon Rd" are streets.
_BOX_NUMBER: Final = r"\.?\s*(?:no\.?|num(?:ber)?\.?|\#)?\s*(?:[a-z]{0,2}-?[0-9]|[a-z]\b)"
_PO_BOX: Final = re.compile(
    rf"""
    \b (?: p[\s.\-]*[o0][\s.\-]* | post\s*office\s* ) (?: box | bx | drawer ) \b {_BOX_NUMBER}
    | \b (?: p\.?\s?o\.?\s? | post\s*office\s* ) box [0-9]
    | \b p\.?\s?o\.?\s?b (?: \b {_BOX_NUMBER} | [0-9] )
    | ^ \s* (?: firm\s+caller | caller | lock\s?box | apartado(?:\s+postal)? ) \b {_BOX_NUMBER}
    """,
    re.IGNORECASE | re.VERBOSE,
)
_BARE_BOX: Final = re.compile(r"\s*box\s*\#?\s*[0-9]+\s*", re.IGNORECASE)
_MILITARY_LINE: Final = re.compile(
    r"\b(?:psc|cmr|unit|omc|umr|bsc|msc)\s*\#?[0-9]|\b(?:uss|usns|uscgc)\b|\bgeneral delivery\b",
    re.IGNORECASE,
)
_PLAIN_PHONE: Final = re.compile(r"\s*\+?[0-9(][0-9\s().\-/\u2010-\u2015]{5,30}")
_PLAIN_EMAIL: Final = re.compile(
    r"[a-z0-9]{1,20}([._+-][a-z0-9]{1,20}){0,2}@[a-z0-9]{2,20}\.(com|net|org|edu|gov)", re.I
)
