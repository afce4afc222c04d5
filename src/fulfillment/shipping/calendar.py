"""When a parcel leaves and arrives: business days, federal holidays, transit of the methods. Pure."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo
from enum import StrEnum
from functools import lru_cache
from typing import Final

Holidays = Callable[[int], frozenset[date]]  # a year's holidays

_DAY: Final = timedelta(days=1)
_MONDAY, _THURSDAY, _SATURDAY, _SUNDAY = 0, 3, 5, 6


class ShippingMethod(StrEnum):
    """The contract's ShippingMethodName."""

    STANDARD = "STANDARD"
    EXPRESS = "EXPRESS"
    OVERNIGHT = "OVERNIGHT"


@dataclass(frozen=True, slots=True)
class Transit:
    """How long a method takes from shipping to arrival, in business days."""

    fewest: int
    most: int

    @property
    def description(self) -> str:
        """The contract's wording: ``5-8 business days``, ``1 business day``."""
        span = str(self.most) if self.fewest == self.most else f"{self.fewest}-{self.most}"
        return f"{span} business day{'s' if self.most > 1 else ''}"


@dataclass(frozen=True, slots=True)
class ShipRule:
    """How the planned ship date follows from the moment of the order."""

    cutoff: time = time(14)  # warehouse time; from then on an order counts as the next business day's
    production_days: int = 1  # business days to make the packs


@dataclass(frozen=True, slots=True)
class ArrivalWindow:
    """The days on which a parcel may arrive, both inclusive."""

    earliest: date
    latest: date


TRANSIT: Final = {
    ShippingMethod.STANDARD: Transit(5, 8),
    ShippingMethod.EXPRESS: Transit(2, 3),
    ShippingMethod.OVERNIGHT: Transit(1, 1),
}
DEFAULT_SHIP_RULE: Final = ShipRule()


@lru_cache(maxsize=64)
def federal_holidays(year: int) -> frozenset[date]:
    """Return the days of *year* on which a US federal holiday is observed.

    One that falls on a Saturday is observed on the Friday before, on a Sunday on the Monday after; New Year's
    Day of the next year may thus be observed in this one.

    Source:
        5 U.S.C. 6103.
    """
    fixed = (
        date(year, 1, 1),
        date(year, 6, 19),
        date(year, 7, 4),
        date(year, 11, 11),
        date(year, 12, 25),
        date(year + 1, 1, 1),
    )
    floating = (
        _nth_weekday(year, 1, _MONDAY, 3),  # Martin Luther King, Jr.
        _nth_weekday(year, 2, _MONDAY, 3),  # Washington
        date(year, 5, 31) - timedelta(days=date(year, 5, 31).weekday()),  # Memorial Day, the last Monday
        _nth_weekday(year, 9, _MONDAY, 1),  # Labor Day
        _nth_weekday(year, 10, _MONDAY, 2),  # Columbus
        _nth_weekday(year, 11, _THURSDAY, 4),  # Thanksgiving
    )
    observed = {_observed(day) for day in fixed} | set(floating)
    return frozenset(day for day in observed if day.year == year)


def is_business_day(day: date, holidays: Holidays = federal_holidays) -> bool:
    """Return whether carriers and the warehouse work on *day*."""
    return day.weekday() < _SATURDAY and day not in holidays(day.year)


def add_business_days(day: date, count: int, holidays: Holidays = federal_holidays) -> date:
    """Return the *count*-th business day after *day*; for 0 the first on or after it.

    Raises:
        ValueError: *count* is negative.
    """
    if count < 0:
        raise ValueError("business days are counted forward")
    if count == 0:
        return day if is_business_day(day, holidays) else _next_business_day(day, holidays)
    for _ in range(count):
        day = _next_business_day(day, holidays)
    return day


def ship_date(created_at: datetime, zone: tzinfo, rule: ShipRule = DEFAULT_SHIP_RULE) -> date:
    """Return the planned day of shipping of an order made at *created_at*.

    Args:
        created_at: The moment of the order, with a time zone.
        zone: The warehouse's time zone; the cut-off is meant in it.

    Raises:
        ValueError: *created_at* has no time zone.
    """
    if created_at.tzinfo is None:
        raise ValueError("a moment needs a time zone")
    local = created_at.astimezone(zone)
    late = local.time() >= rule.cutoff
    return _ship_date(local.date(), late, rule.production_days)


@lru_cache(maxsize=4096)
def arrival_window(shipped_on: date, method: ShippingMethod) -> ArrivalWindow:
    """Return the days on which a parcel shipped on *shipped_on* may arrive."""
    transit = TRANSIT[method]
    return ArrivalWindow(add_business_days(shipped_on, transit.fewest), add_business_days(shipped_on, transit.most))


def max_transit_days(method: ShippingMethod, shipped_on: date) -> int:
    """Return the calendar days until the latest arrival of a parcel shipped on *shipped_on*."""
    return (arrival_window(shipped_on, method).latest - shipped_on).days


@lru_cache(maxsize=4096)
def _ship_date(day: date, late: bool, production_days: int) -> date:
    starts = _next_business_day(day, federal_holidays) if late else add_business_days(day, 0)
    return add_business_days(starts, production_days)


def _next_business_day(day: date, holidays: Holidays) -> date:
    day += _DAY
    while not is_business_day(day, holidays):
        day += _DAY
    return day


def _nth_weekday(year: int, month: int, weekday: int, nth: int) -> date:
    first = date(year, month, 1)
    return first + timedelta(days=(weekday - first.weekday()) % 7 + 7 * (nth - 1))


def _observed(day: date) -> date:
    if day.weekday() == _SATURDAY:
        return day - _DAY
    return day + _DAY if day.weekday() == _SUNDAY else day
