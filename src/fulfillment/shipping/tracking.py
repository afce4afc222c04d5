"""Checkpoints of a parcel and the tracking status that follows from them. Pure.

The tracking status is an axis of its own: it never becomes the status of the order.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, tzinfo
from enum import StrEnum


class TrackingStatus(StrEnum):
    """The nine delivery tags of AfterShip."""

    PENDING = "Pending"  # just added, nothing known
    INFO_RECEIVED = "InfoReceived"  # the carrier has the data, not the parcel
    IN_TRANSIT = "InTransit"
    OUT_FOR_DELIVERY = "OutForDelivery"
    ATTEMPT_FAIL = "AttemptFail"
    AVAILABLE_FOR_PICKUP = "AvailableForPickup"
    DELIVERED = "Delivered"  # final
    EXCEPTION = "Exception"  # held, returned, lost, damaged; a later scan may revive it
    EXPIRED = "Expired"  # no news for 30 days; a later scan may revive it


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One thing that happened to a parcel."""

    checkpoint_time: datetime | None  # UTC; None when the carrier's local time can't be placed on the globe
    raw_time: str  # the time as the source wrote it
    time_is_zoned: bool  # whether the source itself gave an offset
    location: str | None
    message: str
    tag: TrackingStatus
    subtag: str | None
    index: int | None  # place in the carrier's own list, where times can't order it
    received_at: datetime  # when we learned of it, UTC

    @property
    def moment(self) -> datetime:
        """The best moment to order by: the event's, else its local time as if UTC, else the receipt."""
        return self.checkpoint_time or _local_as_utc(self.raw_time) or self.received_at


@dataclass(frozen=True, slots=True)
class Merged:
    """A parcel's history after news."""

    checkpoints: tuple[Checkpoint, ...]  # oldest first
    status: TrackingStatus
    changed: bool  # whether there is anything to store: a new checkpoint, or another order of the old ones


def merge(existing: Sequence[Checkpoint], new: Sequence[Checkpoint]) -> Merged:
    """Return the history with *new* in its place: each event once, in whatever order it came.

    Two checkpoints are the same event when time, tag, location and message agree; the one stored first stays.
    Those with an index are ordered by it, the others by time, then by receipt.
    """
    at = {_identity(checkpoint): position for position, checkpoint in enumerate(existing)}
    history = list(existing)
    for checkpoint in new:
        position = at.setdefault(_identity(checkpoint), len(history))
        if position == len(history):
            history.append(checkpoint)
        else:
            history[position] = _with_later_index(history[position], checkpoint.index)
    ordered = tuple(_in_order(history))
    return Merged(ordered, status_of(ordered), ordered != tuple(existing))


def status_of(checkpoints: Sequence[Checkpoint]) -> TrackingStatus:
    """Return the tracking status of a history ordered oldest first: its newest tag, with three exceptions.

    Delivered stays. "Pending" says that nothing is known, so it never replaces anything that is. "Expired"
    says that there was no news, so any other checkpoint we learned of later revives the parcel, however old
    its scan.
    """
    telling = [each for each in checkpoints if each.tag is not TrackingStatus.PENDING]
    if any(each.tag is TrackingStatus.DELIVERED for each in telling):
        return TrackingStatus.DELIVERED
    scans = [each for each in telling if each.tag is not TrackingStatus.EXPIRED]
    if scans:
        news_at = max(each.received_at for each in scans)
        telling = [each for each in telling if each in scans or each.received_at >= news_at]
    return telling[-1].tag if telling else TrackingStatus.PENDING


def event_time(raw: str, zone: tzinfo | None = None) -> tuple[datetime | None, bool]:
    """Return the moment that a source's time text means, in UTC, and whether it came with an offset.

    Args:
        raw: ISO 8601, as carriers write it: often the local time of the scan without an offset.
        zone: The time zone of the place of the scan, where known; None leaves a local time unplaced.
    """
    parsed = _parsed(raw)
    if parsed is None:
        return None, False
    if parsed.tzinfo is not None:
        return parsed.astimezone(UTC), True
    return (parsed.replace(tzinfo=zone).astimezone(UTC) if zone else None), False


def location_text(city: str | None, state: str | None, country: str | None) -> str | None:
    """Return a place as the contract writes it (``Chicago, IL, USA``), or None when nothing is known.

    Args:
        country: Any form; "US" becomes "USA".
    """
    named = {"US": "USA", "UNITED STATES": "USA"}.get((country or "").strip().upper(), country)
    parts = [part.strip() for part in (city, state, named) if part and part.strip()]
    return ", ".join(parts) or None


def to_wire(checkpoint: Checkpoint) -> dict[str, str | None]:
    """Return the contract's checkpoint.

    The contract's checkpointTime is a moment, so it is left out where only a local time without its zone is
    known: shown as UTC it would be off by hours.
    """
    wire: dict[str, str | None] = {}
    if checkpoint.checkpoint_time is not None:
        wire["checkpointTime"] = checkpoint.checkpoint_time.isoformat().replace("+00:00", "Z")
    wire["location"] = checkpoint.location
    wire["message"] = checkpoint.message
    wire["tag"] = str(checkpoint.tag)
    return wire


def _identity(checkpoint: Checkpoint) -> tuple[str, TrackingStatus, str | None, str]:
    # The same moment may be written with "Z" or "+00:00"; a local time is only itself.
    zoned = checkpoint.time_is_zoned and checkpoint.checkpoint_time
    when = zoned.isoformat() if zoned else checkpoint.raw_time
    return when, checkpoint.tag, checkpoint.location, checkpoint.message


def _with_later_index(stored: Checkpoint, index: int | None) -> Checkpoint:
    # A carrier that learns of an older scan inserts it, which moves the later ones up: an index only grows,
    # and a smaller one is old news that was overtaken on its way to us.
    if index is None or (stored.index is not None and index <= stored.index):
        return stored
    return replace(stored, index=index)


def _in_order(history: Sequence[Checkpoint]) -> list[Checkpoint]:
    """Return the checkpoints oldest first; one without an index goes where its moment falls."""
    placed = sorted((each for each in history if each.index is not None), key=_by_index)
    for each in sorted((each for each in history if each.index is None), key=_by_time):
        at = len(placed)
        while at and placed[at - 1].moment > each.moment:
            at -= 1
        placed.insert(at, each)
    return placed


def _by_index(checkpoint: Checkpoint) -> tuple[int, datetime, datetime]:
    return (checkpoint.index or 0, checkpoint.moment, checkpoint.received_at)


def _by_time(checkpoint: Checkpoint) -> tuple[datetime, datetime]:
    return (checkpoint.moment, checkpoint.received_at)


def _parsed(raw: str) -> datetime | None:
    # A date alone names no moment.
    if len(raw) <= len("2026-01-31"):
        return None
    try:
        return datetime.fromisoformat(raw)
    except ValueError:
        return None


def _local_as_utc(raw: str) -> datetime | None:
    parsed = _parsed(raw)
    return parsed.replace(tzinfo=UTC) if parsed else None
