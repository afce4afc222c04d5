"""The pure rules of deliveries."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from fulfillment.webhooks.delivering import Lane
from fulfillment.webhooks.domain import (
    Claimed,
    Faults,
    Outcome,
    Streak,
    first_id_at,
    is_written_off,
    next_wait,
    streak,
)

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def an_outcome(ok: bool, minutes: int = 0, duration_ms: int = 10) -> Outcome:
    """An attempt that ended some minutes after noon."""
    claimed = Claimed("d", "p", "e", "order.created", 1, b"{}", 0, NOW)
    at = NOW + timedelta(minutes=minutes)
    return Outcome(claimed, at, duration_ms, 200 if ok else 500, None, b"", ok)


@pytest.mark.parametrize(
    ("attempts", "asked", "chance", "seconds"),
    [
        (1, None, 0.5, 10),
        (1, None, 0.0, 8),
        (1, None, 1.0, 12),
        (2, None, 0.5, 100),
        (1, 40, 0.5, 40),
        (2, 40, 0.5, 100),
    ],
)
def test_the_wait_is_the_schedules_with_a_fifth_of_jitter(
    attempts: int, asked: int | None, chance: float, seconds: float
):
    """Of a schedule of 10 and 100 seconds; what the receiver asks for is the least."""
    assert next_wait((10, 100), attempts, asked, chance) == timedelta(seconds=seconds)


def test_after_the_last_attempt_there_is_no_wait():
    """Two waits make three attempts."""
    assert next_wait((10, 100), 3, 40, 0.5) is None
    assert next_wait((), 1, None, 0.5) is None


@pytest.mark.parametrize(
    ("oks", "expected"),
    [
        ([False, False], Streak(False, 2, NOW)),
        ([True, False], Streak(True, 1, NOW + timedelta(minutes=1))),
        ([False, True], Streak(True, 0, None)),
        ([False, True, False, False], Streak(True, 2, NOW + timedelta(minutes=2))),
    ],
)
def test_a_streak_counts_the_failures_at_the_end(oks: Sequence[bool], expected: Streak):
    """A success forgets what was before it."""
    assert streak([an_outcome(ok, minutes) for minutes, ok in enumerate(oks)]) == expected


@pytest.mark.parametrize(
    ("failures", "hours", "expected"), [(10, 120, True), (9, 120, False), (10, 119, False), (500, 121, True)]
)
def test_a_receiver_is_written_off_after_days_of_nothing_but_failure(failures: int, hours: int, expected: bool):
    """120 hours and at least ten failures: two failures five days apart are none."""
    assert is_written_off(failures, NOW - timedelta(hours=hours), NOW, timedelta(hours=120)) is expected


def test_a_receiver_that_does_not_fail_is_not_written_off():
    """Without a first failure there is nothing to count from."""
    assert not is_written_off(0, None, NOW, timedelta(hours=120))


@pytest.mark.parametrize(
    ("milliseconds", "expected"), [(None, 32), (1, 600), (50, 600), (100, 320), (500, 64), (1000, 32), (9000, 32)]
)
def test_a_lane_holds_what_its_receiver_takes_in_a_second(milliseconds: int | None, expected: int):
    """Never less than what may be under way at once, never more than three batches."""
    lane = Lane()
    if milliseconds is not None:
        lane.observe(an_outcome(True, duration_ms=milliseconds))

    assert lane.depth(32, 200) == expected


def test_a_failing_lane_holds_no_more_than_is_under_way():
    """A fast refusal is no reason to take more."""
    lane = Lane()
    lane.observe(an_outcome(False, duration_ms=1))

    assert lane.depth(32, 200) == 32


def test_the_first_id_of_a_second():
    """Ids of a moment sort from here on; a moment no id can bear is the nearest that one can."""
    assert first_id_at(datetime.fromtimestamp(1_400_000_000, UTC)) == "0" * 27
    assert first_id_at(datetime(1999, 1, 1, tzinfo=UTC)) == "0" * 27
    assert first_id_at(NOW) < first_id_at(NOW, seconds_later=1) < first_id_at(datetime(2099, 1, 1, tzinfo=UTC))
    assert len(first_id_at(datetime(9999, 1, 1, tzinfo=UTC))) == 27


def test_faults_are_read_from_the_partners_wish():
    """Nothing asked for is nothing done; what is left out is off."""
    assert Faults.of(None) is None
    assert Faults.of({}) is None
    assert Faults.of({"drop": 0.1, "delaySeconds": 5, "seed": 7}) == Faults(0.1, 0.0, 5.0, False, 7)
