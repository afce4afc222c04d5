"""What a soak says of its samples: that it can say no."""

import io
import json
import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from fulfillment.webhooks.signing import signature
from tests.chaos.soaking import ear, report, verdicts
from tests.chaos.soaking.histogram import place_of, quantile_ms
from tests.chaos.soaking.samples import SESSION, Kept, Sample, Tables
from tests.chaos.soaking.verdicts import Interval

_HOURS = 7200.0
_MINUTE = 60.0
_ORDER = "2" * 27
_BODY = b'{"order":{"orderId":"' + _ORDER.encode() + b'"}}'


def _samples(seconds: float, *, share_an_hour: float = 0.0, megabytes: float = 0.0, files: int = 0) -> list[Sample]:
    """Return the samples of a process of 100 MB that grows, and of its files."""
    chance = random.Random(1)
    made: list[Sample] = []
    for place in range(100):
        at = seconds * place / 100
        held = 100 * (1 + share_an_hour * at / 3600) + megabytes * place / 100 + chance.gauss(0, 0.1)
        made.append(Sample(at, {"api 7": held}, {"api 7": 30 + files * place // 100}, 40))
    return made


@pytest.mark.parametrize(
    ("seconds", "share_an_hour", "megabytes", "broken"),
    [
        (_HOURS, 0.02, 0.0, True),
        (_HOURS, 0.005, 0.0, False),
        (_HOURS, -0.02, 0.0, False),
        (_MINUTE, 0.0, 4.0, False),  # 240 % an hour, and nothing that a minute could tell from the allocator's steps
        (_MINUTE, 0.0, 20.0, True),
    ],
)
def test_memory(seconds: float, share_an_hour: float, megabytes: float, broken: bool) -> None:
    """More than one per cent an hour is found in hours, and some megabytes in a minute."""
    found = verdicts.memory(_samples(seconds, share_an_hour=share_an_hour, megabytes=megabytes), seconds)

    assert bool(found.violations) is broken


def test_warm_up_is_no_leak() -> None:
    """What a process takes in the first quarter is not held against it."""
    samples = [Sample(at, {"api 7": min(100.0 + at / 10, 150.0)}, {}, 40) for at in map(float, range(0, 7200, 60))]

    assert not verdicts.memory(samples, _HOURS).violations


@pytest.mark.parametrize(("grown", "broken"), [(0.4, False), (1.0, True)])
def test_sessions(grown: float, broken: bool) -> None:
    """The database's mean session may fill its caches by half a megabyte in hours, not by more."""
    samples = [Sample(at, {SESSION: 4 + grown * at / 5400}, {}, 40) for at in map(float, range(0, 7200, 60))]

    assert bool(verdicts.memory(samples, _HOURS).violations) is broken


@pytest.mark.parametrize(("files", "broken"), [(0, False), (20, True)])
def test_files(files: int, broken: bool) -> None:
    """Files that become more are found."""
    assert bool(verdicts.descriptors(_samples(_MINUTE, files=files)).violations) is broken


def test_replaced_process() -> None:
    """A process that was replaced is found: its memory would begin anew."""
    before, after = Sample(0, {}, {"api 7": 1}, 40), Sample(1, {}, {"api 8": 1}, 40)

    assert len(verdicts.descriptors([before, before, after, after]).violations) == 2


@pytest.mark.parametrize(
    ("rows", "oldest", "ended", "broken"),
    [(100, 880.0, _HOURS, False), (100, 1000.0, _HOURS, True), (0, 0.0, _HOURS, True), (100, 300.0, 600.0, True)],
)
def test_purges(rows: int, oldest: float, ended: float, broken: bool) -> None:
    """Rows beyond their time are found, and so is a run that has not shown anything."""
    tables = [Tables(ended, {"events": Kept(rows, oldest, 1.0)}, 100.0)]

    assert bool(verdicts.purged(tables, 600, 300).violations) is broken


def _intervals(seconds: float, first_ms: float, last_ms: float) -> list[Interval]:
    count = 120
    steps = [first_ms + (last_ms - first_ms) * (place >= count // 2) for place in range(count)]
    return [
        Interval(seconds * (place + 1) / count, {"get 200": 100}, {"get": {place_of(ms / 1000): 100}}, 0)
        for place, ms in enumerate(steps)
    ]


@pytest.mark.parametrize(
    ("seconds", "first", "last", "broken"),
    [
        (_HOURS, 20.0, 21.5, False),
        (_HOURS, 20.0, 22.6, True),
        (_MINUTE, 20.0, 39.0, False),
        (_MINUTE, 30.0, 65.0, True),
    ],
)
def test_latency(seconds: float, first: float, last: float, broken: bool) -> None:
    """A p99 that is 1.1 times the first is found in hours; in a minute, one twice as long."""
    assert bool(verdicts.latency(_intervals(seconds, first, last), seconds).violations) is broken


def test_windows_are_ten_minutes() -> None:
    """Of two hours the first and the last ten minutes are compared."""
    first, last, window = verdicts.windows(_intervals(_HOURS, 1, 1), _HOURS)

    assert (window, len(first), len(last), first[-1].until, last[-1].until) == (600, 10, 10, 600, _HOURS)


def test_histogram_is_as_exact_as_its_steps() -> None:
    """A quantile is that of the sorted latencies, to one per cent."""
    chance = random.Random(1)
    latencies = sorted(chance.expovariate(100) + 0.001 for _ in range(5000))
    steps: dict[int, int] = {}
    for seconds in latencies:
        steps[place_of(seconds)] = steps.get(place_of(seconds), 0) + 1

    assert quantile_ms(steps, 0.99) == pytest.approx(1000 * latencies[4949], rel=0.011)  # pyright: ignore[reportUnknownMemberType]


def _ended(**changed: object) -> dict[str, Any]:
    heard = {"deliveries": 7200, "latest_old": 0.0, "wrong": 0, "examples": []}
    return {"changes": 7200, "wrong": 0, "examples": [], "renewed": 9, "rotated": 9, "heard": heard} | changed


@pytest.mark.parametrize(
    ("rate", "ended", "broken"),
    [
        (1.6, _ended(), False),
        (1.6, _ended(wrong=1, examples=["get was answered 500"]), True),
        (1.6, _ended(renewed=0), True),
        (1.8, _ended(), True),  # 12,000 answers of 12,960
    ],
)
def test_answers(rate: float, ended: dict[str, Any], broken: bool) -> None:
    """A wrong answer is found, tokens that were not renewed, and a driver that offered less than it said."""
    found = verdicts.answers(_intervals(_HOURS, 1, 1), ended, {"capacity": 2 * rate, "rate": rate})

    assert bool(found.violations) is broken


@pytest.mark.parametrize(
    ("behind", "ended", "broken"), [(3, _ended(), False), (6, _ended(), True), (0, _ended(rotated=0), True)]
)
def test_hooks(behind: int, ended: dict[str, Any], broken: bool) -> None:
    """Deliveries more than five seconds behind the load are found, and secrets that were not rotated."""
    intervals = [Interval(_HOURS, {}, {}, behind)]

    assert bool(verdicts.hooks(intervals, ended).violations) is broken


def test_report(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A long run leaves its samples, with a plot beside them."""
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    tables = [Tables(at, {"events": Kept(1, 1.0, 1.0)}, 100.0) for at in (0.0, 60.0)]
    place = report.write({"seconds": 60}, _samples(_MINUTE), tables, _intervals(_MINUTE, 1, 2))

    content = json.loads(place.read_text())
    assert (len(content["samples"]), len(content["tables"]), len(content["intervals"])) == (100, 2, 120)
    assert place.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


class _Clock:
    def __init__(self) -> None:
        self.at = 100.0

    def monotonic(self) -> float:
        return self.at


def _deliver(listening: ear.Ear, secret: str) -> int:
    header = signature(secret, _BODY, datetime.now(UTC)).encode()
    listening.take("/p", {b"x-juniper-signature": header, b"x-juniper-sequence": b"1"}, _BODY)
    return listening.heard.wrong


def test_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """The secret in force is right, the one before it for the time on the wire, any other never."""
    clock = _Clock()
    monkeypatch.setattr(ear, "time", clock)
    record = io.StringIO()
    listening = ear.Ear(record)
    listening.expect("/p", "old")

    assert _deliver(listening, "old") == 0
    listening.rotating("/p")
    assert _deliver(listening, "new") == 0  # before the rotation's answer: judged when that comes
    listening.rotated("/p", "new")
    assert _deliver(listening, "new") == _deliver(listening, "old") == 0
    clock.at += 1.5
    assert _deliver(listening, "old") == 1
    assert _deliver(listening, "other") == 2
    assert record.getvalue() == f"{_ORDER}\t1\n" * 6


def test_early_delivery_with_a_wrong_secret() -> None:
    """What came during a rotation and bears neither secret is found when the new one is known."""
    listening = ear.Ear(io.StringIO())
    listening.expect("/p", "old")
    listening.rotating("/p")
    _deliver(listening, "other")
    listening.rotated("/p", "new")

    assert listening.heard.wrong == 1


def test_a_slow_disk_is_said() -> None:
    """When the disk alone was slow is named, and is nobody's fault."""
    samples = [Sample(float(at), {}, {}, 40, 250.0 if at == 30 else 0.2) for at in range(0, 100, 10)]
    said = verdicts.disk_waits(samples)
    assert said.checked == "p50 0.2 ms, at most 250 ms; over 100 ms at: 30 s"
    assert not said.violations
