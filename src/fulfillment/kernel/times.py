"""Moments as the contract writes them."""

from datetime import datetime


def to_wire(at: datetime) -> str:
    """Return *at* (aware UTC) as RFC 3339 with milliseconds: ``2023-10-01T12:00:00.123Z``."""
    return at.isoformat(timespec="milliseconds")[:23] + "Z"
