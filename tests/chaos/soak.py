"""Steady load for as long as asked: nothing grows that should not, and what is old is purged."""

import os
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from tests.chaos.checker import Verdict, judge
from tests.chaos.clients import Crowd
from tests.chaos.stage import Stage, folder_for, memory_megabytes, staged

_EVERY_SECONDS: Final = 1.0
_MOST_MEGABYTES: Final = 8.0  # more in the second half than in the first, of one process: a floor under the share
_MOST_SHARE_AN_HOUR: Final = 0.01
_MOST_DESCRIPTORS: Final = 6
_LATER: Final = timedelta(days=32)
_PURGED: Final = {"idempotency_keys": "idempotency_keys", "events": "events", "request_log": "requests"}  # table, job


@dataclass(frozen=True, slots=True)
class Sample:
    """What the server holds at a moment."""

    at: float
    megabytes: dict[int, float]  # by process
    descriptors: dict[int, int]
    sessions: int  # of the database


def play(seed: int, seconds: float = 180.0) -> list[Verdict]:
    """Keep the server at work for *seconds*, and return the verdicts."""
    stage = Stage(folder_for("soak"), seed=seed, share=0.05)
    with staged(stage):
        stage.start()
        crowd = Crowd.at_work(stage, creators=3)
        time.sleep(min(20.0, seconds / 4))  # until every process has seen everything once
        samples: list[Sample] = []
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            samples.append(_sample(stage))
            time.sleep(_EVERY_SECONDS)
        crowd.stop()
        stage.heal()
        verdicts = judge(stage, crowd.journal)
        verdicts += [_memory(samples, seconds), _descriptors(samples), _purges(stage)]
        stage.clean = not any(verdict.violations for verdict in verdicts)
    return verdicts


def _sample(stage: Stage) -> Sample:
    pids = [*stage.server.pids("fulfillment.app"), *stage.server.pids("fulfillment.worker")]
    sessions = stage.sql("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'")[0][0]
    return Sample(
        time.monotonic(),
        {pid: memory_megabytes([pid]) for pid in pids},
        {pid: len(os.listdir(f"/proc/{pid}/fd")) for pid in pids if Path(f"/proc/{pid}/fd").exists()},
        sessions,
    )


def _memory(samples: list[Sample], seconds: float) -> Verdict:
    """Compare each process's last quarter with its second: the first still warms up."""
    early, late = samples[len(samples) // 4 : len(samples) // 2], samples[3 * len(samples) // 4 :]
    grown: dict[int, float] = {}
    wrong: list[str] = []
    for pid in late[-1].megabytes:
        before, after = (sum(sample.megabytes.get(pid, 0.0) for sample in part) / len(part) for part in (early, late))
        grown[pid] = after - before
        hours = (late[0].at - early[0].at) / 3600
        if after - before > max(_MOST_MEGABYTES, before * _MOST_SHARE_AN_HOUR * hours):
            wrong.append(f"process {pid} grew from {before:.1f} to {after:.1f} MB")
    shown = ", ".join(f"{megabytes:+.1f}" for megabytes in grown.values())
    total = sum(late[-1].megabytes.values())
    return Verdict("S-42", "memory stays level", f"{seconds:.0f} s; MB by process {shown} of {total:.0f}", wrong)


def _descriptors(samples: list[Sample]) -> Verdict:
    half = len(samples) // 2
    wrong: list[str] = []
    for pid in samples[-1].descriptors:
        before, after = (
            max(sample.descriptors.get(pid, 0) for sample in part) for part in (samples[:half], samples[half:])
        )
        if after > before + _MOST_DESCRIPTORS:
            wrong.append(f"process {pid} had {before} files open, then {after}")
    before, after = (max(sample.sessions for sample in part) for part in (samples[:half], samples[half:]))
    wrong += [f"{before} sessions, then {after}"] if after > before + _MOST_DESCRIPTORS else []
    most = max(max(sample.descriptors.values()) for sample in samples)
    return Verdict("S-42", "files and sessions stay as many", f"{most} files at most, {after} sessions", wrong)


def _purges(stage: Stage) -> Verdict:
    """Run the worker's own jobs once, a month ahead, and look at what is left."""
    before = {table: _count(stage, table) for table in _PURGED}
    stage.office.run_jobs([f"{table}.purged" for table in _PURGED.values()], ahead=_LATER)
    left = {table: _count(stage, table) for table in _PURGED}
    wrong = [f"{count} rows of {table} are left of {before[table]}" for table, count in left.items() if count]
    checked = ", ".join(f"{table} {count}" for table, count in before.items())
    return Verdict("S-42", "what is old is purged", checked, wrong)


def _count(stage: Stage, table: str) -> int:
    return stage.sql(f"SELECT count(*) FROM {table}")[0][0]
