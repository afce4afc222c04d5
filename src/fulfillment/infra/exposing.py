"""`/metrics`: every process writes what it has counted to a file each second, and one of them shows the sum of all.

Which one: whoever gets the port; the others try again each second, so that it is served again as soon as its holder
has ended. A process holds a lock on its file for as long as it lives. What an ended one had counted is added to a sum
that is kept, so that no counter ever goes back; what it had at hand is forgotten.
"""

import asyncio
import contextlib
import fcntl
import json
import logging
import os
import secrets
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from fulfillment.infra.db import ALL_TENANTS, ReadTx
from fulfillment.infra.env import Env
from fulfillment.infra.metrics import Histogram, Labels, Metrics, metrics_of
from fulfillment.infra.settings import Settings
from fulfillment.kernel.errors import FulfillmentError

Gauges = Mapping[tuple[str, Labels], float]
Ask = Callable[[ReadTx], Awaitable[Gauges]]

WRITE_SECONDS: Final = 1.0
ASK_SECONDS: Final = 5.0  # the database is asked at most this often
REQUESTS: Final = "fulfillment_http_requests"
_ASK_TIMEOUT_SECONDS: Final = 3.0
_MAX_REQUEST_BYTES: Final = 8 * 1024
_REQUEST_SECONDS: Final = 5.0
_ENDED: Final = "ended.json"
_STARTED: Final = time.time()
_log = logging.getLogger(__name__)

# What is shown: name, kind, and what it says. A name that is not here is not shown, so that this list is complete.
CATALOGUE: Final[Mapping[str, tuple[str, str]]] = {
    "fulfillment_http_requests_total": ("counter", "Requests answered, by route template, method and status."),
    "fulfillment_http_request_seconds": ("histogram", "Time from a request's head to its answer."),
    "fulfillment_http_in_flight": ("gauge", "Requests under way."),
    "fulfillment_requests_shed_total": ("counter", "Requests refused because too many were under way."),
    "fulfillment_connections": ("gauge", "Open client connections."),
    "fulfillment_rate_limited_total": ("counter", "Requests over a partner's limit, by class."),
    "fulfillment_token_failures_total": ("counter", "Wrong secrets at the token endpoint."),
    "fulfillment_cache_loads_total": ("counter", "Values read anew into memory, by cache."),
    "fulfillment_pool_in_use": ("gauge", "Database connections lent."),
    "fulfillment_pool_waiting": ("gauge", "Callers that wait for a database connection."),
    "fulfillment_pool_size": ("gauge", "Database connections that may be lent."),
    "fulfillment_intake_batch_orders": ("histogram", "Orders created in one transaction."),
    "fulfillment_webhook_deliveries_total": ("counter", "Attempts to deliver, by result."),
    "fulfillment_webhook_endpoints_disabled_total": ("counter", "Receivers switched off, by reason."),
    "fulfillment_build_info": ("gauge", "Always 1; the release is in its labels."),
    "fulfillment_process_start_seconds": ("gauge", "When each process started, Unix seconds."),
    "fulfillment_orders": ("gauge", "Orders by status. SHIPPED and CANCELLED are counted every five minutes."),
    "fulfillment_orders_held": ("gauge", "Orders that a hold keeps from going on."),
    "fulfillment_deliveries_pending": ("gauge", "Deliveries not yet made, the waiting ones too."),
    "fulfillment_delivery_queue_age_seconds": ("gauge", "How long the oldest delivery that is due has been due."),
    "fulfillment_delivery_lag_seconds": ("gauge", "Age of the oldest event that is not delivered."),
    "fulfillment_event_age_seconds": ("gauge", "Age of the newest event."),
    "fulfillment_webhook_endpoints_disabled": ("gauge", "Receivers that are switched off now."),
    "fulfillment_database_up": ("gauge", "Whether the database answered."),
    "fulfillment_metrics_processes": ("gauge", "Processes whose counts are in this answer."),
}


@dataclass(slots=True)
class Total:
    """Counts of several processes."""

    counters: dict[tuple[str, Labels], float] = field(default_factory=dict[tuple[str, Labels], float])
    histograms: dict[tuple[str, Labels], Histogram] = field(default_factory=dict[tuple[str, Labels], Histogram])
    gauges: dict[tuple[str, Labels], float] = field(default_factory=dict[tuple[str, Labels], float])

    def add(self, snapshot: Mapping[str, Any], *, alive: bool) -> None:
        """Add what one process has written; what it had at hand only while it lives."""
        for name, labels, value in snapshot["counters"]:
            key = (name, _labels(labels))
            self.counters[key] = self.counters.get(key, 0) + value
        for name, labels, bounds, counts, total in snapshot["histograms"]:
            key = (name, _labels(labels))
            found = self.histograms.get(key)
            if found is None or found.bounds != tuple(bounds):  # a release with other bounds begins anew
                found = self.histograms[key] = Histogram(tuple(bounds))
            found.counts = [ours + theirs for ours, theirs in zip(found.counts, counts, strict=True)]
            found.total += total
        for name, labels, value in snapshot["gauges"] if alive else ():
            key = (name, _labels(labels))
            self.gauges[key] = self.gauges.get(key, 0) + value

    def snapshot(self) -> dict[str, Any]:
        """Return the counts as they are written."""
        return {
            "counters": [[name, labels, value] for (name, labels), value in self.counters.items()],
            "histograms": [
                [name, labels, each.bounds, each.counts, each.total] for (name, labels), each in self.histograms.items()
            ],
            "gauges": [[name, labels, value] for (name, labels), value in self.gauges.items()],
        }


def _labels(pairs: Sequence[Sequence[str]]) -> Labels:
    return tuple((name, value) for name, value in pairs)


def total_of(metrics: Metrics) -> Total:
    """Return the counts of one process."""
    metrics.refresh()
    total = Total(dict(metrics.counters), dict(metrics.histograms), dict(metrics.gauges))
    for (template, method, status), histogram in metrics.requests.items():
        route = (("method", method), ("route", template))
        total.counters[f"{REQUESTS}_total", (*route, ("status", str(status)))] = sum(histogram.counts)
        key = ("fulfillment_http_request_seconds", route)
        merged = total.histograms.setdefault(key, Histogram())
        merged.counts = [ours + theirs for ours, theirs in zip(merged.counts, histogram.counts, strict=True)]
        merged.total += histogram.total
    return total


class Board:
    """The folder in which processes tell each other what they have counted."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._name = f"{os.getpid()}-{secrets.token_hex(4)}"
        with self._exclusively():  # nobody may find the file before it is locked
            self._alive = (folder / f"{self._name}.lock").open("w")
            fcntl.flock(self._alive, fcntl.LOCK_EX)

    def write(self, total: Total) -> None:
        """Tell the others."""
        fresh = self._folder / f".{self._name}"
        fresh.write_text(json.dumps(total.snapshot()))
        fresh.replace(self._folder / f"{self._name}.json")

    def read(self) -> tuple[Total, int]:
        """Return the counts of all processes that are or were, and how many are."""
        total, living = Total(), 0
        with self._exclusively():
            ended = self._bury()
            total.add(ended, alive=False)
            for path in sorted(self._folder.glob("*.json")):
                if path.name != _ENDED:
                    total.add(json.loads(path.read_text()), alive=True)
                    living += 1
        return total, living

    def leave(self, total: Total) -> None:
        """Tell the others for the last time."""
        self.write(total)
        self._alive.close()

    def _bury(self) -> dict[str, Any]:
        """Add what ended processes had counted to the sum that is kept, and return that."""
        kept: dict[str, Any] = _read(self._folder / _ENDED) or {**Total().snapshot(), "names": []}
        dead = [path for path in self._folder.glob("*.lock") if path.stem != self._name and _is_free(path)]
        if not dead:
            return kept
        sum_, counted = Total(), set(kept["names"])
        sum_.add(kept, alive=False)
        for path in dead:
            left = _read(path.with_suffix(".json"))
            if left is not None and path.stem not in counted:
                sum_.add(left, alive=False)
        # The names are written with the sum: a kill before the files are gone must not count them twice.
        kept = {**sum_.snapshot(), "names": [path.stem for path in dead]}
        fresh = self._folder / "ended.new"
        fresh.write_text(json.dumps(kept))
        fresh.replace(self._folder / _ENDED)
        for path in dead:
            path.with_suffix(".json").unlink(missing_ok=True)
            path.unlink(missing_ok=True)
        return kept

    @contextmanager
    def _exclusively(self) -> Generator[None]:
        with (self._folder / "mutex").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return None


def _is_free(path: Path) -> bool:
    with contextlib.suppress(OSError), path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


def board_of(settings: Settings) -> Path:
    """Return the folder of the processes that share a data folder."""
    return settings.data_dir / "metrics"


@asynccontextmanager
async def exposing(env: Env, ask: Sequence[Ask] = ()) -> AsyncGenerator[None]:
    """Tell and show what is counted while the block runs; nothing happens when `metrics_port` is 0.

    Args:
        ask: Read what the database knows: the gauges by name and labels.
    """
    if not env.settings.metrics_port:
        yield
        return
    metrics = metrics_of(env)
    metrics.sources.append(lambda shown: _pool(env, shown))
    board = Board(board_of(env.settings))
    tasks = [
        asyncio.create_task(_write_again(board, metrics)),
        asyncio.create_task(_Exposition(env, board, ask).serve()),
    ]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        board.leave(total_of(metrics))


def _pool(env: Env, metrics: Metrics) -> None:
    metrics.gauge("fulfillment_pool_in_use", env.db.in_use)
    metrics.gauge("fulfillment_pool_waiting", env.db.waiting)
    metrics.gauge("fulfillment_pool_size", env.settings.pool_size)
    metrics.gauge("fulfillment_process_start_seconds", _STARTED, pid=str(os.getpid()))
    for name, times in env.caches.loads.items():
        metrics.set_counter("fulfillment_cache_loads_total", times, cache=name)


async def _write_again(board: Board, metrics: Metrics) -> None:
    while True:
        try:
            board.write(total_of(metrics))
        except OSError as error:  # a full disk: what is counted is told when there is room
            _log.warning("metrics.not_written", extra={"errno": error.errno})
        await asyncio.sleep(WRITE_SECONDS)


class _Exposition:
    """The server of /metrics, in one process at a time."""

    def __init__(self, env: Env, board: Board, ask: Sequence[Ask]) -> None:
        self._env = env
        self._board = board
        self._ask = ask
        self._asked_at = -ASK_SECONDS
        self._known: dict[tuple[str, Labels], float] = {}
        self._asking = asyncio.Lock()

    async def serve(self) -> None:
        """Serve as soon as the port is free, until cancelled."""
        settings = self._env.settings
        while True:
            try:
                server = await asyncio.start_server(
                    self._answer, settings.metrics_host, settings.metrics_port, limit=_MAX_REQUEST_BYTES
                )
            except OSError:  # another process has it
                await asyncio.sleep(WRITE_SECONDS)
                continue
            async with server:
                await server.serve_forever()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_REQUEST_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
            found = head.startswith((b"GET /metrics ", b"GET /metrics?"))
            body = await self._text() if found else b"See /metrics.\n"
            status = b"200 OK" if found else b"404 Not Found"
            kind = b"text/plain; version=0.0.4; charset=utf-8" if found else b"text/plain"
            writer.write(
                b"HTTP/1.1 %s\r\ncontent-type: %s\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%s"
                % (status, kind, len(body), body)
            )
            async with asyncio.timeout(_REQUEST_SECONDS):
                await writer.drain()
        except (TimeoutError, OSError, EOFError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()

    async def _text(self) -> bytes:
        await self._ask_database()
        self._board.write(total_of(metrics_of(self._env)))
        total, living = self._board.read()
        total.gauges.update(self._known)
        total.gauges["fulfillment_metrics_processes", ()] = living
        total.gauges["fulfillment_build_info", (("version", version("juniper-fulfillment")),)] = 1
        return exposition(total)

    async def _ask_database(self) -> None:
        async with self._asking:
            now = asyncio.get_running_loop().time()
            if now - self._asked_at < ASK_SECONDS:
                return
            self._asked_at = now
            try:
                async with asyncio.timeout(_ASK_TIMEOUT_SECONDS), self._env.db.reading(ALL_TENANTS) as tx:
                    known: dict[tuple[str, Labels], float] = {("fulfillment_database_up", ()): 1.0}
                    for ask in self._ask:
                        known.update(await ask(tx))
            except (FulfillmentError, TimeoutError):
                # Old figures would look like news: without the database there are none.
                known = {("fulfillment_database_up", ()): 0.0}
            self._known = known


def exposition(total: Total) -> bytes:
    """Return *total* in Prometheus's text format."""
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

    def family(name: str, kind: str, text: str) -> Metric:
        if kind == "histogram":
            histogram = HistogramMetricFamily(name, text, labels=_names(total.histograms, name))
            for (found, labels), value in total.histograms.items():
                if found == name:
                    histogram.add_metric([one for _, one in labels], _cumulative(value), value.total)
            return histogram
        counts = total.counters if kind == "counter" else total.gauges
        make = CounterMetricFamily if kind == "counter" else GaugeMetricFamily
        plain = make(name, text, labels=_names(counts, name))
        for (found, labels), value in counts.items():
            if found == name:
                plain.add_metric([one for _, one in labels], value)
        return plain

    class Collected:
        def collect(self) -> Iterator[Metric]:
            for name, (kind, text) in CATALOGUE.items():
                yield family(name, kind, text)

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Collected())  # pyright: ignore[reportArgumentType]  # it is one by its method
    return generate_latest(registry)


def _names(values: Mapping[tuple[str, Labels], object], name: str) -> list[str]:
    return next(([label for label, _ in labels] for found, labels in values if found == name), [])


def _cumulative(histogram: Histogram) -> list[tuple[str, float]]:
    buckets: list[tuple[str, float]] = []
    so_far = 0
    for bound, count in zip((*histogram.bounds, float("inf")), histogram.counts, strict=True):
        so_far += count
        buckets.append(("+Inf" if bound == float("inf") else str(bound), so_far))
    return buckets
