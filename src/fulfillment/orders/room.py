"""When creates are turned away: a burst is served, however large; a queue that stands is not."""

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final

from fulfillment.kernel.errors import Unavailable

PLACES: Final = 64  # creates under way in one process while it is overloaded: one transaction's worth
LATE_SECONDS: Final = 0.2  # in line
BURST_SECONDS: Final = 0.3  # of nothing but late ones
CALM_SECONDS: Final = 1.0  # without a refusal: then everybody is let in again


class Room:
    """One process's room for creates.

    More creates under way than a transaction carries make no more orders, only later answers. But where a queue only
    comes and goes, nobody need be refused: so the judge is how long the first in line has waited, and for how long that
    has been so.

    Args:
        clock: Seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.under_way = 0
        self.overloaded = False
        self._late_since: float | None = None
        self._refused_at = 0.0

    def check(self) -> None:
        """Accept that one more create comes. It costs nothing, so it is asked first.

        Raises:
            Unavailable: There is no room.
        """
        if self.overloaded and self.under_way >= PLACES:
            self._refused_at = self._clock()
            raise Unavailable("The service is busy. Try again.", retry_after_seconds=1)

    @contextmanager
    def place(self) -> Generator[None]:
        """Count a create as under way while the block runs. Its body has been read: who sends slowly takes no place.

        Raises:
            Unavailable: There is no room.
        """
        self.check()
        self.under_way += 1
        try:
            yield
        finally:
            self.under_way -= 1

    def judge(self, waited: float) -> None:
        """Note how long the first of a batch has waited in line, in seconds."""
        now = self._clock()
        if waited < LATE_SECONDS:
            self._late_since = None
        elif self._late_since is None:
            self._late_since = now
        late = self._late_since is not None and now - self._late_since > BURST_SECONDS
        self.overloaded = late or (self.overloaded and now - self._refused_at < CALM_SECONDS)
