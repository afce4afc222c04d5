"""What "expires" means, and from which date on a lot keeps the promise."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fulfillment.inventory.expiry import keeps_promise, required_expiry, usable_on, warehouse_day

PACIFIC = ZoneInfo("America/Los_Angeles")
DAYS = st.dates(date(2020, 1, 1), date(2060, 1, 1))


def test_a_lot_is_usable_on_its_last_day():
    """The expiry date itself is still a day of use."""
    assert usable_on(date(2027, 3, 31), date(2027, 3, 31))


def test_a_lot_is_not_usable_the_day_after():
    """The day after the expiry date is too late."""
    assert not usable_on(date(2027, 3, 31), date(2027, 4, 1))


def test_a_lot_without_expiry_is_always_usable():
    """A lot that never expires may be taken on any day."""
    assert usable_on(None, date(2099, 12, 31))


def test_the_day_is_the_warehouse_s_day():
    """At 06:30 UTC it is still the evening before in Los Angeles, so a lot of that day is still usable."""
    late = datetime(2027, 4, 1, 6, 30, tzinfo=UTC)

    day = warehouse_day(late, PACIFIC)

    assert day == date(2027, 3, 31)
    assert usable_on(date(2027, 3, 31), day)


def test_a_moment_without_a_zone_is_no_moment():
    """A naive datetime is refused instead of being read in some zone."""
    with pytest.raises(ValueError, match="time zone"):
        warehouse_day(datetime(2027, 4, 1, 6, 30), PACIFIC)  # noqa: DTZ001 - that is the point


def test_the_required_expiry_adds_transit_supply_and_buffer():
    """Shipped on 1 March, 10 days of transit, 30 of supply, a buffer of 14: 54 days later, 24 April."""
    assert required_expiry(date(2027, 3, 1), 10, 30, 14) == date(2027, 4, 24)


def test_the_promise_is_kept_on_the_required_day_and_not_the_day_before():
    """A lot that expires on the required day will do; one that expires a day earlier will not."""
    required = date(2027, 4, 24)

    assert keeps_promise(date(2027, 4, 24), required)
    assert not keeps_promise(date(2027, 4, 23), required)
    assert keeps_promise(None, required)


@given(
    expiry=DAYS,
    shipped=DAYS,
    transit=st.integers(0, 20),
    supply=st.sampled_from([30, 60, 90]),
    buffer=st.integers(0, 60),
)
def test_a_promised_lot_is_usable_on_every_day_of_the_supply(expiry, shipped, transit, supply, buffer):
    """Whatever lot keeps the promise is usable on each day from shipping to the last pill, and the buffer."""
    if keeps_promise(expiry, required_expiry(shipped, transit, supply, buffer)):
        assert all(usable_on(expiry, shipped + timedelta(days=n)) for n in range(transit + supply + buffer + 1))
    else:
        assert (expiry - shipped).days < transit + supply + buffer
