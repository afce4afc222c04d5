"""Counters of one process, cheap enough for every request; `infra.exposing` shows those of all processes together."""

from bisect import bisect_left
from collections.abc import Callable
from typing import Final

from fulfillment.infra.env import Env

BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)  # seconds
_NAME: Final = "infra.metrics"

Labels = tuple[tuple[str, str], ...]


class Histogram:
    """Counts of values by bucket."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...] = BUCKETS) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float, times: int = 1) -> None:
        """Count one value, or the same one several times."""
        self.counts[bisect_left(self.bounds, value)] += times
        self.total += value * times


class Metrics:
    """What one process has counted since its start, and what it has at hand."""

    def __init__(self) -> None:
        self.requests: dict[tuple[str, str, int], Histogram] = {}
        self.counters: dict[tuple[str, Labels], float] = {}
        self.histograms: dict[tuple[str, Labels], Histogram] = {}
        self.gauges: dict[tuple[str, Labels], float] = {}
        self.sources: list[Callable[[Metrics], None]] = []  # asked before the values are shown

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

    def set_counter(self, name: str, value: float, **labels: str) -> None:
        """Set a counter that is kept elsewhere to what it has reached."""
        self.counters[name, tuple(sorted(labels.items()))] = value

    def observe(self, name: str, value: float, bounds: tuple[float, ...] = BUCKETS, **labels: str) -> None:
        """Count one value of a histogram; *bounds* are those of its first value."""
        key = (name, tuple(sorted(labels.items())))
        histogram = self.histograms.get(key)
        if histogram is None:
            histogram = self.histograms[key] = Histogram(bounds)
        histogram.observe(value)

    def gauge(self, name: str, value: float, **labels: str) -> None:
        """Set what is at hand now."""
        self.gauges[name, tuple(sorted(labels.items()))] = value

    def refresh(self) -> None:
        """Ask every source for its values."""
        for source in self.sources:
            source(self)


def metrics_of(env: Env) -> Metrics:
    """Return the metrics of the process that *env* belongs to."""
    metrics = env.local.get(_NAME)
    if metrics is None:
        metrics = env.local[_NAME] = Metrics()
    return metrics
