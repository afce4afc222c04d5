"""Checkpoints and the tracking status that follows from them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fulfillment.shipping.tracking import (
    Checkpoint,
    TrackingStatus,
    event_time,
    location_text,
    merge,
    to_wire,
)

T = TrackingStatus
DAY = datetime(2026, 12, 1, tzinfo=UTC)


def scan(hour, tag, **more):
    """Return a zoned scan at *hour* of the day, learned of at once."""
    at = DAY + timedelta(hours=hour)
    given = {
        "checkpoint_time": at,
        "raw_time": at.isoformat(),
        "time_is_zoned": True,
        "location": "Chicago, IL, USA",
        "message": str(tag),
        "tag": tag,
        "subtag": None,
        "index": None,
        "received_at": at,
    }
    return Checkpoint(**(given | more))


def test_there_are_the_nine_tags_of_aftership():
    """The names on the wire are AfterShip's, letter by letter."""
    assert {str(tag) for tag in TrackingStatus} == {
        "Pending",
        "InfoReceived",
        "InTransit",
        "OutForDelivery",
        "AttemptFail",
        "AvailableForPickup",
        "Delivered",
        "Exception",
        "Expired",
    }


def test_a_late_arrival_takes_its_place():
    """A scan we hear of late goes where it happened, and the status stays that of the newest scan."""
    first, second, third = scan(1, T.INFO_RECEIVED), scan(2, T.IN_TRANSIT), scan(3, T.OUT_FOR_DELIVERY)

    merged = merge((first, third), (second,))

    assert merged.checkpoints == (first, second, third)
    assert (merged.status, merged.changed) == (T.OUT_FOR_DELIVERY, True)


def test_the_same_event_twice_changes_nothing():
    """A repeated checkpoint, received later and written with another offset sign, is dropped."""
    known = scan(1, T.IN_TRANSIT)
    again = scan(1, T.IN_TRANSIT, raw_time="2026-12-01T01:00:00Z", received_at=DAY + timedelta(days=2))

    merged = merge((known,), (again, again))

    assert merged.checkpoints == (known,)
    assert not merged.changed


@pytest.mark.parametrize("other", [{"location": "Gary, IN, USA"}, {"message": "else"}, {"tag": T.EXCEPTION}])
def test_events_that_differ_are_kept_apart(other):
    """Two events at one time are two where place, words or tag differ."""
    known = scan(1, T.IN_TRANSIT)

    assert len(merge((known,), (replace(known, **other),)).checkpoints) == 2


def test_an_index_outranks_the_time():
    """Local times without an offset mislead, so the carrier's own order counts where it is given."""
    local = {"checkpoint_time": None, "time_is_zoned": False}
    denver = scan(0, T.IN_TRANSIT, raw_time="2026-12-01T15:30:00", index=0, **local)
    los_angeles = scan(0, T.DELIVERED, raw_time="2026-12-01T14:50:00", index=1, **local)

    assert merge((), (los_angeles, denver)).checkpoints == (denver, los_angeles)


def test_a_scan_without_index_goes_between_those_with_one_by_time():
    """Histories of two sources are woven together by time."""
    one, three = scan(1, T.INFO_RECEIVED, index=0), scan(3, T.OUT_FOR_DELIVERY, index=1)
    two, four = scan(2, T.IN_TRANSIT), scan(4, T.ATTEMPT_FAIL)

    assert merge((one, three), (four, two)).checkpoints == (one, two, three, four)


def test_an_inserted_scan_moves_the_others_up():
    """When a carrier inserts an older scan, the later ones get a higher index; stale news is ignored."""
    local = {"checkpoint_time": None, "time_is_zoned": False}
    # By their local times, C would come before B: it was scanned west of B.
    a = scan(1, T.INFO_RECEIVED, index=0)
    b = scan(3, T.IN_TRANSIT, raw_time="2026-12-01T03:30:00", index=1, **local)
    c = scan(3, T.OUT_FOR_DELIVERY, raw_time="2026-12-01T03:00:00", index=1, **local)

    merged = merge((a, c), (a, b, replace(c, index=2)))
    stale = merge(merged.checkpoints, (a, c))

    assert merged.checkpoints == (a, b, replace(c, index=2))
    assert stale.checkpoints == merged.checkpoints
    assert (merged.changed, stale.changed) == (True, False)


@pytest.mark.parametrize(
    ("tags", "status"),
    [
        ([], T.PENDING),
        ([T.PENDING], T.PENDING),
        ([T.IN_TRANSIT, T.PENDING], T.IN_TRANSIT),
        ([T.DELIVERED, T.IN_TRANSIT], T.DELIVERED),
        ([T.DELIVERED, T.EXCEPTION], T.DELIVERED),
        ([T.EXCEPTION, T.IN_TRANSIT], T.IN_TRANSIT),
        ([T.IN_TRANSIT, T.EXCEPTION], T.EXCEPTION),
        ([T.IN_TRANSIT, T.EXPIRED], T.EXPIRED),
        ([T.EXPIRED, T.OUT_FOR_DELIVERY], T.OUT_FOR_DELIVERY),
        ([T.OUT_FOR_DELIVERY, T.ATTEMPT_FAIL, T.AVAILABLE_FOR_PICKUP], T.AVAILABLE_FOR_PICKUP),
    ],
)
def test_the_status_is_the_newest_tag_but_delivered_stays(tags, status):
    """Delivered is final, an exception and an expiry are not, and Pending tells nothing."""
    assert merge((), [scan(hour, tag) for hour, tag in enumerate(tags)]).status == status


def test_news_of_an_older_scan_revives_an_expired_parcel():
    """News that comes after an expiry ends it, though the scan itself is older than the expiry."""
    expired = scan(40, T.EXPIRED)
    late_news = scan(20, T.IN_TRANSIT, received_at=DAY + timedelta(hours=41))

    assert merge((expired,), (late_news,)).status == T.IN_TRANSIT


SCANS = st.lists(
    st.builds(
        scan,
        st.integers(0, 20),
        st.sampled_from(list(T)),
        location=st.sampled_from([None, "Gary, IN, USA"]),
    ),
    max_size=8,
)


@given(SCANS, st.randoms(use_true_random=False), st.integers(0, 8))
def test_the_history_does_not_depend_on_the_order_of_arrival(scans, random, cut):
    """However messages are cut, shuffled and repeated, checkpoints and status end the same."""
    expected = merge((), scans)
    shuffled = scans + scans
    random.shuffle(shuffled)

    first = merge((), shuffled[:cut])
    got = merge(first.checkpoints, shuffled[cut:])

    assert set(got.checkpoints) == set(expected.checkpoints)
    assert [each.moment for each in got.checkpoints] == sorted(each.moment for each in expected.checkpoints)
    assert merge(got.checkpoints, shuffled) == merge(got.checkpoints, ())


@pytest.mark.parametrize(
    ("raw", "zone", "moment", "zoned"),
    [
        ("2026-12-01T08:00:00-06:00", None, datetime(2026, 12, 1, 14, tzinfo=UTC), True),
        ("2026-12-01T08:00:00Z", ZoneInfo("America/Chicago"), datetime(2026, 12, 1, 8, tzinfo=UTC), True),
        ("2026-12-01T08:00:00", ZoneInfo("America/Chicago"), datetime(2026, 12, 1, 14, tzinfo=UTC), False),
        ("2026-12-01T08:00:00", None, None, False),
        ("2026-12-01", ZoneInfo("America/Chicago"), None, False),
        ("yesterday at noon", None, None, False),
        ("", None, None, False),
    ],
)
def test_a_time_is_a_moment_only_with_a_zone(raw, zone, moment, zoned):
    """An offset settles it; else the place of the scan may; a bare local time stays unplaced."""
    assert event_time(raw, zone) == (moment, zoned)


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        (("Chicago", "IL", "USA"), "Chicago, IL, USA"),
        (("Chicago", "IL", "US"), "Chicago, IL, USA"),
        (("Chicago", None, None), "Chicago"),
        ((None, " ", "DEU"), "DEU"),
        ((None, None, None), None),
    ],
)
def test_a_place_reads_as_in_the_contract(parts, text):
    """City, state and country, as far as they are known."""
    assert location_text(*parts) == text


def test_the_wire_has_the_contract_s_four_fields():
    """A checkpoint as the contract shows it, in UTC."""
    wire = to_wire(scan(1, T.IN_TRANSIT, message="Package arrived at facility"))

    assert wire == {
        "checkpointTime": "2026-12-01T01:00:00Z",
        "location": "Chicago, IL, USA",
        "message": "Package arrived at facility",
        "tag": "InTransit",
    }


def test_an_unplaced_local_time_is_not_shown_as_utc():
    """Where the moment is not known, no checkpointTime is claimed."""
    assert "checkpointTime" not in to_wire(scan(1, T.IN_TRANSIT, checkpoint_time=None, time_is_zoned=False))
