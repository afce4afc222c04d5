"""Counters of one process, cheap enough for every request; `/metrics` shows them."""

from bisect import bisect_left
from typing import Final

BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)  # seconds


class Histogram:
    """Counts of durations by bucket."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS) + 1)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        """Count one duration."""
        self.counts[bisect_left(BUCKETS, seconds)] += 1
        self.total += seconds


class Metrics:
    """What one process has counted since its start."""

    def __init__(self) -> None:
        self.requests: dict[tuple[str, str, int], Histogram] = {}
        self.counters: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}

    def observe_request(self, template: str, method: str, status: int, seconds: float) -> None:
        """Count one answered request by its route's template."""
        key = (template, method, status)
        histogram = self.requests.get(key)
        if histogram is None:
            histogram = self.requests[key] = Histogram()
        histogram.observe(seconds)

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        """Add *amount* to a counter."""
        key = (name, tuple(sorted(labels.items())))
        self.counters[key] = self.counters.get(key, 0) + amount
