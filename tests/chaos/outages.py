"""The database is restarted under load, again and again: nothing but 503, and only while it is away."""

import contextlib
import random
import time
from typing import Final

from tests.chaos.checker import Verdict, judge
from tests.chaos.clients import Crowd, database_answers
from tests.chaos.faults import Fault, kill_backend, kill_postmaster, stop_immediately
from tests.chaos.stage import Stage, folder_for, staged

_BETWEEN_SECONDS: Final = 2.0
_LATEST_SECONDS: Final = 1.0  # after the database's return nobody is turned away any more
_SETTLED_SECONDS: Final = 0.3  # for the postmaster to notice what was done to it


def play(seed: int, patience: float = 1.0) -> list[Verdict]:
    """Restart the database in every way, and return the verdicts."""
    stage = Stage(folder_for("outages"), seed=seed, share=0.0)
    with staged(stage):
        stage.start()
        crowd = Crowd.at_work(stage, creators=12, pause_seconds=0.0)
        chance = random.Random(seed)
        outages = [_outage(stage, fault, chance) for fault in _WAYS]
        time.sleep(_BETWEEN_SECONDS)
        crowd.stop()
        verdicts = judge(stage, crowd.journal, patience=patience)
        verdicts.append(_turned_away(crowd, outages, patience))
        stage.clean = not any(verdict.violations for verdict in verdicts)
    return verdicts


def stop_fast(stage: Stage, chance: random.Random) -> None:
    """pg_ctl stop -m fast: sessions are ended, a checkpoint is written."""
    with contextlib.suppress(Exception):  # it may be down already
        stage.database.run_tool("pg_ctl", "stop", "-m", "fast", "-W")


_WAYS: Final[tuple[Fault, ...]] = (stop_fast, stop_immediately, kill_backend, kill_postmaster, stop_fast)


def _outage(stage: Stage, fault: Fault, chance: random.Random) -> tuple[float, float]:
    time.sleep(_BETWEEN_SECONDS)
    began = time.monotonic()
    fault(stage, chance)
    time.sleep(_SETTLED_SECONDS)
    while not database_answers(stage):
        time.sleep(0.02)
    return began, time.monotonic()


def _turned_away(crowd: Crowd, outages: list[tuple[float, float]], patience: float) -> Verdict:
    latest = _LATEST_SECONDS * patience
    journal = crowd.journal
    late = [moment for moment in journal.refusals if not any(began <= moment <= end + latest for began, end in outages)]
    wrong = [f"503 {_since(moment, outages):.1f} s after the database's return" for moment in late]
    wrong += [
        f"{name} x {count}: no connection may be cut"
        for name, count in journal.statuses.items()
        if name.endswith(" cut")
    ]
    away = ", ".join(f"{end - began:.1f}" for began, end in outages)
    rate = len(journal.acks) / (journal.acks[-1] - journal.acks[0])
    checked = f"{rate:.0f} orders/s; away for {away} s; {len(journal.refusals)} x 503"
    return Verdict("S-20", f"503 only while it is away, and {latest:.0f} s", checked, wrong)


def _since(moment: float, outages: list[tuple[float, float]]) -> float:
    return min((moment - end for _, end in outages if moment > end), default=0.0)
