"""Moments on the wire: RFC 3339 in UTC, with milliseconds."""

from datetime import UTC, datetime
from functools import lru_cache


@lru_cache(1024)  # an order writes its moment four times
def to_wire(moment: datetime) -> str:
    """Return an aware *moment* as every answer writes it: ``2023-10-01T12:00:00.123Z``, cut, not rounded."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")[:-6] + "Z"
