"""What is said of hours of load: pure, from the samples and from what the driver reported."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tests.chaos.checker import Verdict
from tests.chaos.soaking.histogram import merged, quantile_ms
from tests.chaos.soaking.samples import DRIVER, SESSION, Sample, Tables

_WARM: Final = 0.25  # of the time: caches fill
_MOST_AN_HOUR: Final = 0.01  # of a process's memory
_LONG_SECONDS: Final = 3600.0  # shorter runs can't tell a slope from the allocator's steps
_MOST_MEGABYTES: Final = 8.0  # of growth that a short run forgives
_SESSIONS_MEGABYTES: Final = 0.5  # the same of the database's mean session, which has 4: its caches fill for long
_MOST_MORE: Final = 6  # files or sessions
_WINDOW_SECONDS: Final = 600.0
_MOST_SLOWER: Final = 1.1  # times, from window to window
_SHORT_SLOWER: Final = 2.0  # the same where the windows are seconds, on a machine that has other things to do
_SHORT_MS: Final = 40.0  # a p99 below it is the machine's noise in a short run
_SLOW_SYNC_MS: Final = 100.0
_SLACK_SECONDS: Final = 15.0
_MOST_BEHIND_SECONDS: Final = 5.0  # of the load: deliveries that have not come


@dataclass(frozen=True, slots=True)
class Interval:
    """What the driver counted in a stretch."""

    until: float  # seconds since the load began
    answers: Mapping[str, int]
    latencies: Mapping[str, Mapping[int, int]]  # by kind of request, then by step
    behind: int  # acknowledged changes whose delivery had not come

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> "Interval":
        """Return what a line of JSON says."""
        steps = {kind: {int(place): n for place, n in found.items()} for kind, found in said["latencies"].items()}
        return cls(said["until"], said["answers"], steps, said["behind"])

    def quantile_ms(self, share: float) -> float:
        """Return the milliseconds that *share* of its answers took at most."""
        return quantile_ms(merged(self.latencies.values()), share)


@dataclass(frozen=True, slots=True)
class Trend:
    """A process's memory after the warm-up."""

    megabytes: float  # the mean
    grown: float  # by the line of least squares, from its begin to its end
    share_an_hour: float


def trend(samples: Sequence[Sample], name: str) -> Trend | None:
    """Return the trend of a process; None when it was not there all the time."""
    settled = samples[int(len(samples) * _WARM) :]
    if any(name not in sample.megabytes for sample in settled) or len(settled) < 2:
        return None
    moments, values = [sample.at for sample in settled], [sample.megabytes[name] for sample in settled]
    slope = statistics.linear_regression(moments, values).slope
    mean = statistics.fmean(values)
    return Trend(mean, slope * (moments[-1] - moments[0]), slope * 3600 / mean)


def memory(samples: Sequence[Sample], seconds: float) -> Verdict:
    """No process grows by more than one per cent an hour; in a short run, by a few megabytes."""
    wrong: list[str] = []
    shown: list[str] = []
    for name in samples[-1].megabytes:
        found = trend(samples, name)
        if found is None:
            continue
        text = f"{name.partition(' ')[0]} {found.megabytes:.1f} MB {100 * found.share_an_hour:+.1f} %/h"
        shown.append(f"{text} ({found.grown:+.1f} MB)")
        forgiven = _MOST_MEGABYTES if seconds < _LONG_SECONDS else _SESSIONS_MEGABYTES if name == SESSION else 0.0
        if name != DRIVER and found.share_an_hour > _MOST_AN_HOUR and found.grown > forgiven:
            wrong.append(f"{name} grew by {found.grown:.1f} MB, {100 * found.share_an_hour:.1f} % an hour")
    return Verdict("S-42 memory", "RSS grows by at most 1 %/h", ", ".join(shown), wrong)


def descriptors(samples: Sequence[Sample]) -> Verdict:
    """Files and sessions of the second half are no more than those of the first, and no process was replaced."""
    half = len(samples) // 2
    first, second = samples[:half], samples[half:]
    names = {name for sample in samples for name in sample.descriptors}
    wrong = [
        f"{name} was not there all the time" for name in names if any(name not in one.descriptors for one in samples)
    ]
    for name in sorted(names):
        before, after = (max(sample.descriptors.get(name, 0) for sample in part) for part in (first, second))
        if after > before + _MOST_MORE and name != DRIVER:
            wrong.append(f"{name} had {before} files open, then {after}")
    before, after = (max(sample.sessions for sample in part) for part in (first, second))
    wrong += [f"{before} sessions, then {after}"] if after > before + _MOST_MORE else []
    most = max(count for sample in samples for name, count in sample.descriptors.items() if name != DRIVER)
    checked = f"{most} files of a process at most; {before} sessions, then {after}"
    return Verdict("S-42 files", "files and connections stay as many", checked, wrong)


def purged(tables: Sequence[Tables], retention_seconds: float, every_seconds: float) -> Verdict:
    """Nothing is older than the retention and the time until the next purge; so nothing but the orders grows."""
    oldest_allowed = retention_seconds + every_seconds + _SLACK_SECONDS
    wrong: list[str] = []
    shown: list[str] = []
    for table, last in tables[-1].kept.items():
        oldest = max(each.kept[table].oldest_seconds for each in tables)
        most = max(each.kept[table].rows for each in tables)
        shown.append(f"{table} {most:,} rows at most, {last.rows:,} at the end, {last.megabytes:.0f} MB")
        if oldest > oldest_allowed:
            wrong.append(f"{table} held rows of {oldest:.0f} s")
        if not most:
            wrong.append(f"{table} was empty: nothing was to be purged")
    if tables[-1].at < oldest_allowed:
        wrong.append("the run ended before anything had to be gone")
    checked = f"kept {retention_seconds:.0f} s, purged every {every_seconds:.0f} s: " + ", ".join(shown)
    return Verdict("S-42 purges", "the worker purges what is old", checked, wrong)


def windows(intervals: Sequence[Interval], seconds: float) -> tuple[list[Interval], list[Interval], float]:
    """Return the first and the last intervals that are compared, and the seconds of each of the two."""
    window = min(_WINDOW_SECONDS, seconds / 4)
    first = [one for one in intervals if one.until <= window * 1.01] or list(intervals[:1])
    return first, list(intervals[-len(first) :]), window


def latency(intervals: Sequence[Interval], seconds: float) -> Verdict:
    """The p99 of the last ten minutes is at most 1.1 times that of the first; a short run compares its quarters."""
    first, last, window = windows(intervals, seconds)
    before, after = (
        quantile_ms(merged(steps for one in part for steps in one.latencies.values()), 0.99) for part in (first, last)
    )
    limit = before * _MOST_SLOWER if window >= _WINDOW_SECONDS else max(before * _SHORT_SLOWER, _SHORT_MS)
    wrong = [f"{after:.1f} ms, {after / before:.2f} times the first"] if after > limit else []
    minutes = [one.quantile_ms(0.99) for one in intervals]
    checked = (
        f"p99 {before:.1f} ms in the first {window:.0f} s, {after:.1f} ms in the last; "
        f"p50 {first[0].quantile_ms(0.5):.1f} ms, then {last[-1].quantile_ms(0.5):.1f} ms; "
        f"p99 of an interval {min(minutes):.1f} to {max(minutes):.1f} ms"
    )
    return Verdict("S-42 latency", f"p99 <= {limit:.1f} ms at the end", checked, wrong)


def disk_waits(samples: Sequence[Sample]) -> Verdict:
    """Say how long the disk took to sync one page of nobody's; nothing is wrong with it, it explains what may be."""
    taken = sorted(sample.sync_ms for sample in samples)
    slow = [f"{sample.at:.0f} s" for sample in samples if sample.sync_ms > _SLOW_SYNC_MS]
    checked = f"p50 {taken[len(taken) // 2]:.1f} ms, at most {taken[-1]:.0f} ms; over {_SLOW_SYNC_MS:.0f} ms at: "
    return Verdict("S-42 syncs", "what the disk takes alone (shown)", checked + (", ".join(slow[:20]) or "no time"), [])


def answers(intervals: Sequence[Interval], ended: Mapping[str, Any], calibrated: Mapping[str, float]) -> Verdict:
    """Every answer is the one that was asked for: tokens are renewed in time, nothing is turned away at half load."""
    total = sum(sum(one.answers.values()) for one in intervals)
    wrong = [f"{ended['wrong']} wrong: {'; '.join(ended['examples'])}"] if ended["wrong"] else []
    offered = calibrated["rate"] * intervals[-1].until
    if total < 0.98 * offered:
        wrong.append(f"{total} answers of {offered:.0f} that were due: the driver fell behind")
    if not ended["renewed"]:
        wrong.append("no token was renewed")
    checked = (
        f"capacity {calibrated['capacity']:.0f} requests/s, offered {calibrated['rate']:.0f}/s; {total:,} answers, "
        f"{ended['renewed']} tokens"
    )
    return Verdict("S-42 answers", "every answer is the right one", checked, wrong)


def hooks(intervals: Sequence[Interval], ended: Mapping[str, Any]) -> Verdict:
    """Every delivery bears the secret in force, also when secrets are rotated, and deliveries keep up with the load."""
    heard = ended["heard"]
    wrong = [f"{heard['wrong']} wrong: {'; '.join(heard['examples'])}"] if heard["wrong"] else []
    if intervals[-1].behind > _MOST_BEHIND_SECONDS * ended["changes"] / intervals[-1].until:
        wrong.append(f"{intervals[-1].behind} deliveries had not come at the end of the load")
    if not ended["rotated"]:
        wrong.append("no secret was rotated")
    checked = (
        f"{heard['deliveries']:,} deliveries of {ended['changes']:,} changes, {max(one.behind for one in intervals)} "
        f"behind at most; {ended['rotated']} rotations, the latest old secret {heard['latest_old'] * 1000:.0f} ms after"
    )
    return Verdict("S-42 hooks", "deliveries keep up, signed by the secret in force", checked, wrong)
