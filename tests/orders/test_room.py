"""Creates are turned away only where a queue stands."""

from contextlib import ExitStack
from typing import Final

import pytest

from fulfillment.kernel.errors import Unavailable
from fulfillment.orders.room import PLACES, Room

_STAYING: Final[list[ExitStack]] = []  # a place that nobody holds would be free at once


class Clock:
    """Seconds that the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Return the present."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Return a clock that stands."""
    return Clock()


def crowd(room: Room, times: int) -> None:
    """Let creates come that stay."""
    stay = ExitStack()
    for _ in range(times):
        stay.enter_context(room.place())
    _STAYING.append(stay)


def stand(room: Room, clock: Clock, seconds: float) -> None:
    """Let the first in line wait half a second, again and again, for *seconds*."""
    until = clock.now + seconds
    while clock.now < until:
        room.judge(0.5)
        clock.now += 0.05


def test_a_burst_is_served(clock: Clock) -> None:
    """Ten times the places at once are let in while the queue comes and goes."""
    room = Room(clock)
    stand(room, clock, 0.25)
    room.judge(0.01)
    stand(room, clock, 0.25)

    crowd(room, 10 * PLACES)


def test_a_standing_queue_turns_away(clock: Clock) -> None:
    """After a second of late ones only one transaction's worth is let in; the others are told to come again in 1 s."""
    room = Room(clock)
    stand(room, clock, 1.0)
    crowd(room, PLACES)

    with pytest.raises(Unavailable) as refused:
        room.check()

    assert refused.value.retry_after_seconds == 1


def test_who_leaves_makes_room(clock: Clock) -> None:
    """A place that has become free is given to the next."""
    room = Room(clock)
    stand(room, clock, 1.0)
    crowd(room, PLACES - 1)

    with room.place(), pytest.raises(Unavailable):
        room.check()

    room.check()


def test_calm_returns(clock: Clock) -> None:
    """A second after the last refusal and late one, everybody is let in again."""
    room = Room(clock)
    stand(room, clock, 1.0)
    crowd(room, PLACES)
    with pytest.raises(Unavailable):
        room.check()

    clock.now += 1.1
    room.judge(0.01)

    crowd(room, 10 * PLACES)
