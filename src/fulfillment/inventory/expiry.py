"""The one place that says what "expires" means. Pure.

A lot is usable through its expiry date, inclusive, in the warehouse's time zone. The promise: no pill
expires before the last day of the recipient's supply, with a buffer. External items (powders, liquids) are
held to the same days of supply as packs: they are bought for the same period, and nothing else says how long
a tub lasts.
"""

from datetime import date, datetime, timedelta, tzinfo


def warehouse_day(at: datetime, zone: tzinfo) -> date:
    """Return the calendar day in the warehouse at the moment *at*.

    Raises:
        ValueError: *at* has no time zone, so it names no moment.
    """
    if at.tzinfo is None:
        raise ValueError("a moment needs a time zone")
    return at.astimezone(zone).date()


def usable_on(expiry: date | None, day: date) -> bool:
    """Return whether a lot may be taken on *day*; one without expiry always may."""
    return expiry is None or day <= expiry


def required_expiry(ship_date: date, transit_days: int, days_supply: int, buffer_days: int) -> date:
    """Return the first expiry date that keeps the promise.

    Args:
        ship_date: The planned day of shipping, in the warehouse's time zone.
        transit_days: Calendar days, at most, until the parcel arrives.
        days_supply: Days the recipient uses it.
        buffer_days: Days it must last beyond.
    """
    return ship_date + timedelta(days=transit_days + days_supply + buffer_days)


def keeps_promise(expiry: date | None, required: date) -> bool:
    """Return whether a lot may be promised: it is usable on the *required* date, or never expires."""
    return usable_on(expiry, required)
