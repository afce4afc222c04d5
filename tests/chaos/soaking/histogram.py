"""Latencies in steps of one per cent: as exact as the promise needs, and as large after hours as after minutes."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping

_STEP = math.log(1.01)
_LEAST_SECONDS = 1e-5


def place_of(seconds: float) -> int:
    """Return the step that *seconds* falls into."""
    return int(math.log(max(seconds, _LEAST_SECONDS) / _LEAST_SECONDS) / _STEP)


def merged(histograms: "Iterable[Mapping[int, int]]") -> "Counter[int]":
    """Return the histogram of all of them together."""
    total: Counter[int] = Counter()
    for histogram in histograms:
        total.update(histogram)
    return total


def quantile_ms(histogram: Mapping[int, int], share: float) -> float:
    """Return the milliseconds that *share* of all stay within; 0 when there are none."""
    wanted = share * sum(histogram.values())
    seen = 0
    for place in sorted(histogram):
        seen += histogram[place]
        if seen >= wanted:
            return 1000 * _LEAST_SECONDS * math.exp((place + 1) * _STEP)
    return 0.0
