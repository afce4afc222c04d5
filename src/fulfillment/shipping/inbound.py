"""What AfterShip and EasyPost tell us of parcels, as our checkpoints, and whether it is they who speak. Pure.

Source:
    AfterShip's webhook specification (tracking 2026-07) and EasyPost's event and tracker objects.
"""

import base64
import hashlib
import hmac
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from typing import Final, cast
from zoneinfo import ZoneInfo

from fulfillment.kernel.errors import FieldError, FulfillmentError, Kind
from fulfillment.shipping.addresses import zip_place
from fulfillment.shipping.states import STATES
from fulfillment.shipping.tracking import Checkpoint, TrackingStatus, event_time, location_text, merge
from fulfillment.shipping.tracking_numbers import carrier_named, identify

MAX_CHECKPOINTS: Final = 500  # of one message


@dataclass(frozen=True, slots=True)
class TrackingUpdate:
    """News of one parcel."""

    carrier: str | None  # in our spelling where we know it
    tracking_number: str  # as `tracking_numbers.identify` normalises it
    event_id: str | None  # the sender's id of this message, the same when it is sent again
    checkpoints: tuple[Checkpoint, ...]


class TrackingEventInvalid(FulfillmentError):
    """The message is not in the sender's shape; each fault is named."""

    kind = Kind.INVALID
    code = "tracking_event_invalid"
    title = "The tracking event is not valid"


def parse_aftership(body: Mapping[str, object], received_at: datetime) -> tuple[TrackingUpdate, ...]:
    """Return the news in AfterShip's webhook *body*.

    Raises:
        TrackingEventInvalid: With a pointer to each fault.
    """
    faults = _Faults()
    message = faults.mapping(body, "msg", "")
    slug = faults.text(message, "slug", "/msg")
    number = faults.text(message, "tracking_number", "/msg", required=True)
    tag = faults.tag(message, "tag", "/msg", _AFTERSHIP_TAGS)
    scans = [
        _aftership_scan(faults, scan, pointer) for scan, pointer in faults.mappings(message, "checkpoints", "/msg")
    ]
    closing = _Scan(
        raw_time=faults.text(message, "updated_at", "/msg") or _unix(body.get("ts")),
        message=faults.text(message, "subtag_message", "/msg") or str(tag or ""),
        tag=tag,
        subtag=faults.text(message, "subtag", "/msg"),
    )
    faults.raise_any()
    return (_update(slug, number, faults.text(body, "event_id", ""), scans, closing, received_at),)


def parse_easypost(body: Mapping[str, object], received_at: datetime) -> tuple[TrackingUpdate, ...]:
    """Return the news in EasyPost's event *body*; nothing for an event that is not about a tracker.

    Raises:
        TrackingEventInvalid: With a pointer to each fault.
    """
    faults = _Faults()
    result = faults.mapping(body, "result", "")
    if result.get("object", "Tracker") != "Tracker":
        return ()
    carrier = faults.text(result, "carrier", "/result")
    number = faults.text(result, "tracking_code", "/result", required=True)
    tag = faults.tag(result, "status", "/result", _EASYPOST_TAGS)
    scans = [
        _easypost_scan(faults, scan, pointer)
        for scan, pointer in faults.mappings(result, "tracking_details", "/result")
    ]
    detail = faults.text(result, "status_detail", "/result")
    closing = _Scan(
        raw_time=faults.text(result, "updated_at", "/result") or "",
        message=(detail or str(tag or "")).replace("_", " "),
        tag=_refined(tag, detail),
        subtag=detail,
    )
    faults.raise_any()
    return (_update(carrier, number, faults.text(body, "id", ""), scans, closing, received_at),)


def aftership_signature_ok(body: bytes, header: str, secret: str) -> bool:
    """Return whether *header* (``aftership-hmac-sha256``) is the base64 HMAC-SHA256 of the raw *body*."""
    expected = base64.b64encode(hmac.digest(secret.encode(), body, "sha256"))
    return hmac.compare_digest(expected, header.strip().encode())


def easypost_signature_ok(body: bytes, header: str, secret: str) -> bool:
    """Return whether *header* (``X-Hmac-Signature``) is ``hmac-sha256-hex=`` and the HMAC-SHA256 of *body*.

    The key is the secret in Unicode's form NFKD, as in EasyPost's own clients.
    """
    key = unicodedata.normalize("NFKD", secret).encode()
    expected = "hmac-sha256-hex=" + hmac.new(key, body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected.encode(), header.strip().encode())


_AFTERSHIP_TAGS: Final = {str(tag): tag for tag in TrackingStatus}
_EASYPOST_TAGS: Final = {
    "unknown": TrackingStatus.PENDING,
    "pre_transit": TrackingStatus.INFO_RECEIVED,
    "in_transit": TrackingStatus.IN_TRANSIT,
    "out_for_delivery": TrackingStatus.OUT_FOR_DELIVERY,
    "available_for_pickup": TrackingStatus.AVAILABLE_FOR_PICKUP,
    "delivered": TrackingStatus.DELIVERED,
    "return_to_sender": TrackingStatus.EXCEPTION,
    "failure": TrackingStatus.EXCEPTION,
    "cancelled": TrackingStatus.EXCEPTION,
    "error": TrackingStatus.PENDING,  # EasyPost's own trouble; it says nothing of the parcel
}


@dataclass(frozen=True, slots=True)
class _Scan:
    """A checkpoint as read, before its place among the others is known."""

    raw_time: str
    message: str
    tag: TrackingStatus | None
    subtag: str | None = None
    location: str | None = None
    zone: tzinfo | None = None


@dataclass(slots=True)
class _Faults:
    """Reads untrusted JSON and collects every fault on the way, so that all are answered at once."""

    found: list[FieldError] = field(default_factory=list[FieldError])

    def mapping(self, parent: Mapping[str, object], key: str, pointer: str) -> Mapping[str, object]:
        value = parent.get(key)
        if isinstance(value, dict):
            return cast(dict[str, object], value)
        self.found.append(FieldError(f"{pointer}/{key}", "An object is expected here."))
        return {}

    def mappings(self, parent: Mapping[str, object], key: str, pointer: str) -> list[tuple[Mapping[str, object], str]]:
        value = parent.get(key)
        if value is None:
            return []
        if not isinstance(value, list):
            self.found.append(FieldError(f"{pointer}/{key}", "A list is expected here."))
            return []
        items = cast(list[object], value)
        if len(items) > MAX_CHECKPOINTS:
            self.found.append(FieldError(f"{pointer}/{key}", f"At most {MAX_CHECKPOINTS} are read."))
            return []
        read: list[tuple[Mapping[str, object], str]] = []
        for at, item in enumerate(items):
            where = f"{pointer}/{key}/{at}"
            if isinstance(item, dict):
                read.append((cast(dict[str, object], item), where))
            else:
                self.found.append(FieldError(where, "An object is expected here."))
        return read

    def text(self, parent: Mapping[str, object], key: str, pointer: str, *, required: bool = False) -> str | None:
        value = parent.get(key)
        if isinstance(value, str) and value.strip():
            return value.strip()
        if value is not None and not isinstance(value, str):
            self.found.append(FieldError(f"{pointer}/{key}", "A string is expected here."))
        elif required:
            self.found.append(FieldError(f"{pointer}/{key}", "It is missing."))
        return None

    def tag(
        self,
        parent: Mapping[str, object],
        key: str,
        pointer: str,
        tags: Mapping[str, TrackingStatus],
        *,
        required: bool = False,
    ) -> TrackingStatus | None:
        name = self.text(parent, key, pointer, required=required)
        if name is None:
            return None
        if name not in tags:
            self.found.append(FieldError(f"{pointer}/{key}", f"It must be one of {', '.join(tags)}."))
        return tags.get(name)

    def raise_any(self) -> None:
        if self.found:
            raise TrackingEventInvalid("The tracking event can't be read.", errors=self.found)


def _aftership_scan(faults: _Faults, scan: Mapping[str, object], pointer: str) -> _Scan:
    tag = faults.tag(scan, "tag", pointer, _AFTERSHIP_TAGS, required=True)
    city = faults.text(scan, "city", pointer)
    state = faults.text(scan, "state", pointer)
    country = faults.text(scan, "country_iso3", pointer) or faults.text(scan, "country_region", pointer)
    zip_code = faults.text(scan, "zip", pointer) or faults.text(scan, "postal_code", pointer)
    place = None if city else faults.text(scan, "location", pointer)
    note = faults.text(scan, "message", pointer) or faults.text(scan, "subtag_message", pointer)
    return _Scan(
        raw_time=faults.text(scan, "checkpoint_time", pointer) or "",
        message=note or str(tag or ""),
        tag=tag,
        subtag=faults.text(scan, "subtag", pointer),
        location=place or location_text(city, state, country),
        zone=_zone(zip_code, state, country),
    )


def _easypost_scan(faults: _Faults, scan: Mapping[str, object], pointer: str) -> _Scan:
    tag = faults.tag(scan, "status", pointer, _EASYPOST_TAGS, required=True)
    detail = faults.text(scan, "status_detail", pointer)
    where = f"{pointer}/tracking_location"
    place: Mapping[str, object] = {}
    if scan.get("tracking_location") is not None:
        place = faults.mapping(scan, "tracking_location", pointer)
    state = faults.text(place, "state", where)
    country = faults.text(place, "country", where)
    note = faults.text(scan, "message", pointer) or faults.text(scan, "description", pointer)
    return _Scan(
        raw_time=faults.text(scan, "datetime", pointer) or "",
        message=note or str(tag or ""),
        tag=_refined(tag, detail),
        subtag=detail,
        location=location_text(faults.text(place, "city", where), state, country),
        zone=_zone(faults.text(place, "zip", where), state, country),
    )


def _refined(tag: TrackingStatus | None, detail: str | None) -> TrackingStatus | None:
    # EasyPost has no status for what AfterShip calls Expired, only a detail.
    return TrackingStatus.EXPIRED if detail == "expired" else tag


def _zone(zip_code: str | None, state: str | None, country: str | None) -> tzinfo | None:
    """Return the time zone of a place in the US, where ZIP or state settle it."""
    if country and country.upper() not in {"US", "USA"}:
        return None
    place = zip_place(zip_code) if zip_code else None
    known = STATES.get((state or "").upper())
    name = (place.zone if place else None) or (known.zone if known else None)
    return ZoneInfo(name) if name else None


def _unix(seconds: object) -> str:
    if isinstance(seconds, bool) or not isinstance(seconds, int) or not 0 < seconds < _FAR_FUTURE:
        return ""
    return datetime.fromtimestamp(seconds, UTC).isoformat()


_FAR_FUTURE: Final = 1 << 35  # seconds; beyond it a calendar has no year


def _update(
    carrier: str | None,
    number: str | None,
    event_id: str | None,
    scans: list[_Scan],
    closing: _Scan,
    received_at: datetime,
) -> TrackingUpdate:
    checkpoints = _checkpoints(scans, received_at)
    # The parcel's own tag may know more than its scans: nobody scans a parcel that has expired.
    if closing.tag not in (None, TrackingStatus.PENDING, merge((), checkpoints).status):
        checkpoints += _checkpoints([closing], received_at)
    named = carrier_named(carrier) if carrier else None
    return TrackingUpdate(named or carrier, identify(number or "").number, event_id, tuple(checkpoints))


def _checkpoints(scans: list[_Scan], received_at: datetime) -> list[Checkpoint]:
    timed = [(scan, *event_time(scan.raw_time, scan.zone)) for scan in scans]
    # Times order the scans unless one of them can't be placed; then the carrier's own order is all there is.
    by_place = len(scans) > 1 and any(moment is None for _, moment, _ in timed)
    return [
        Checkpoint(
            checkpoint_time=moment,
            raw_time=scan.raw_time,
            time_is_zoned=zoned,
            location=scan.location,
            message=scan.message,
            tag=scan.tag or TrackingStatus.PENDING,
            subtag=scan.subtag,
            index=at if by_place else None,
            received_at=received_at,
        )
        for at, (scan, moment, zoned) in enumerate(timed)
    ]
