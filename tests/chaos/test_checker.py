"""What the judge calculates by itself."""

import pytest

from tests.chaos.checker import pauses_of


@pytest.mark.parametrize(
    ("moments", "away", "pauses"),
    [
        ([1.0, 1.5, 8.0], [], [0.5, 6.5]),
        ([1.0, 14.0], [(2.0, 12.0)], [3.0]),  # frozen for ten seconds of thirteen
        ([1.0, 14.0], [(0.0, 3.0), (12.0, 20.0)], [9.0]),  # only what lies between the two counts
        ([1.0, 14.0], [(20.0, 30.0)], [13.0]),
        ([1.0], [], []),
    ],
)
def test_pauses(moments: list[float], away: list[tuple[float, float]], pauses: list[float]) -> None:
    """A pause is the time between two acknowledgements, less what nothing could be served in."""
    assert pauses_of(moments, away) == pytest.approx(pauses)  # pyright: ignore[reportUnknownMemberType]
