"""When a parcel leaves and arrives."""

from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fulfillment.shipping.calendar import (
    TRANSIT,
    ArrivalWindow,
    ShippingMethod,
    ShipRule,
    add_business_days,
    arrival_window,
    federal_holidays,
    is_business_day,
    max_transit_days,
    ship_date,
)

PACIFIC = ZoneInfo("America/Los_Angeles")


def test_the_federal_holidays_of_2026():
    """The days are those of the government's calendar for 2026; 4 July is a Saturday, so 3 July is free."""
    assert sorted(federal_holidays(2026)) == [
        date(2026, 1, 1),
        date(2026, 1, 19),
        date(2026, 2, 16),
        date(2026, 5, 25),
        date(2026, 6, 19),
        date(2026, 7, 3),
        date(2026, 9, 7),
        date(2026, 10, 12),
        date(2026, 11, 11),
        date(2026, 11, 26),
        date(2026, 12, 25),
    ]


def test_new_year_s_day_can_be_observed_in_december():
    """1 January 2028 is a Saturday: the holiday is 31 December 2027, and 2028 begins without one."""
    assert date(2027, 12, 31) in federal_holidays(2027)
    assert date(2028, 1, 1) not in federal_holidays(2028)


def test_a_holiday_on_a_sunday_is_observed_on_monday():
    """4 July 2027 is a Sunday, so Monday the 5th is free."""
    assert date(2027, 7, 5) in federal_holidays(2027)


@pytest.mark.parametrize(
    ("day", "count", "expected"),
    [
        (date(2026, 12, 1), 1, date(2026, 12, 2)),
        (date(2026, 12, 4), 1, date(2026, 12, 7)),  # over a weekend
        (date(2026, 12, 5), 1, date(2026, 12, 7)),  # from a Saturday
        (date(2026, 12, 24), 1, date(2026, 12, 28)),  # over Christmas and a weekend
        (date(2026, 11, 25), 5, date(2026, 12, 3)),  # over Thanksgiving
        (date(2026, 12, 2), 0, date(2026, 12, 2)),
        (date(2026, 12, 6), 0, date(2026, 12, 7)),
    ],
)
def test_business_days_skip_weekends_and_holidays(day, count, expected):
    """Counted on a calendar of 2026 by hand."""
    assert add_business_days(day, count) == expected


def test_business_days_are_counted_forward():
    """A negative count is refused."""
    with pytest.raises(ValueError, match="forward"):
        add_business_days(date(2026, 12, 1), -1)


def test_other_holidays_can_be_given():
    """A warehouse that closes on 2 December ships on the 3rd."""
    assert add_business_days(date(2026, 12, 1), 1, lambda _: frozenset({date(2026, 12, 2)})) == date(2026, 12, 3)


@given(st.dates(date(2020, 1, 1), date(2050, 1, 1)), st.integers(1, 15))
def test_as_many_business_days_lie_between(day, count):
    """From the day after to the answer there are exactly as many business days as asked for."""
    end = add_business_days(day, count)

    days = [date.fromordinal(each) for each in range(day.toordinal() + 1, end.toordinal() + 1)]
    assert sum(is_business_day(each) for each in days) == count
    assert is_business_day(end)


@pytest.mark.parametrize(
    ("method", "description"),
    [
        (ShippingMethod.STANDARD, "5-8 business days"),
        (ShippingMethod.EXPRESS, "2-3 business days"),
        (ShippingMethod.OVERNIGHT, "1 business day"),
    ],
)
def test_the_transit_reads_as_the_contract_writes_it(method, description):
    """The description of each shipping method."""
    assert TRANSIT[method].description == description


@pytest.mark.parametrize(
    ("created", "expected"),
    [
        ("2026-12-01T21:59:00+00:00", date(2026, 12, 2)),  # 13:59 in Los Angeles, a Tuesday
        ("2026-12-01T22:00:00+00:00", date(2026, 12, 3)),  # 14:00: the cut-off has passed
        ("2026-12-05T10:00:00-08:00", date(2026, 12, 8)),  # Saturday counts as Monday
        ("2026-12-05T20:00:00-08:00", date(2026, 12, 8)),  # and so does Saturday night
        ("2026-12-02T07:30:00+00:00", date(2026, 12, 3)),  # still Tuesday there, but late
    ],
)
def test_the_ship_date_follows_the_cut_off_in_the_warehouse(created, expected):
    """Before 14:00 warehouse time an order is made the same day and ships on the next business day."""
    assert ship_date(datetime.fromisoformat(created), PACIFIC) == expected


def test_the_ship_rule_can_be_set():
    """With three days of production and a cut-off at ten, an order at eleven on Tuesday ships on Monday."""
    rule = ShipRule(cutoff=time(10), production_days=3)

    assert ship_date(datetime(2026, 12, 1, 19, tzinfo=UTC), PACIFIC, rule) == date(2026, 12, 7)


def test_a_ship_date_needs_a_moment():
    """A naive time is refused."""
    with pytest.raises(ValueError, match="time zone"):
        ship_date(datetime(2026, 12, 1, 19), PACIFIC)  # noqa: DTZ001 - that is the point


def test_the_arrival_window_spans_the_method_s_business_days():
    """STANDARD from Friday 18 December 2026: five business days to the 28th, eight to the 31st."""
    assert arrival_window(date(2026, 12, 18), ShippingMethod.STANDARD) == ArrivalWindow(
        date(2026, 12, 28), date(2026, 12, 31)
    )


@pytest.mark.parametrize(
    ("method", "days"),
    [(ShippingMethod.STANDARD, 13), (ShippingMethod.EXPRESS, 5), (ShippingMethod.OVERNIGHT, 3)],
)
def test_the_longest_transit_is_in_calendar_days(method, days):
    """From Friday 18 December 2026: 31 December, Wednesday 23, Monday 21."""
    assert max_transit_days(method, date(2026, 12, 18)) == days
