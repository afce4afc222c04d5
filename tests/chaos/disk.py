"""A disk that fills up under load, stays full, and gets room again."""

import contextlib
import random
import threading
import time
from typing import Final

import psycopg

from tests.chaos.checker import Verdict, judge
from tests.chaos.clients import Crowd
from tests.chaos.faults import fill_disk
from tests.chaos.stage import Stage, folder_for, staged

_MEGABYTES: Final = 500
_RESUMED_SECONDS: Final = 10.0
_PATIENCE_SECONDS: Final = 60.0
_MOST_STARTS: Final = 3  # of PostgreSQL, while it has no room


def play(seed: int, seconds: float = 60.0, patience: float = 1.0) -> list[Verdict]:
    """Fill the data dir's file system for *seconds* and return the verdicts."""
    stage = Stage(folder_for("disk"), seed=seed, share=0.0, tmpfs_megabytes=_MEGABYTES)
    if not stage.mounted:
        return [Verdict("S-37", "a full disk", "not played: mounting a tmpfs needs root", [])]
    with staged(stage):
        stage.start()
        crowd = Crowd.at_work(stage)
        time.sleep(2)
        starts = stage.server.log().count("PostgreSQL ended")
        began = time.monotonic()
        filling = threading.Thread(target=fill_disk, args=(stage, random.Random(seed), seconds))
        filling.start()
        time.sleep(seconds / 2)
        _use_up_the_log(stage)
        filling.join()
        room = time.monotonic()
        resumed = _resumed(crowd, room)
        starts = stage.server.log().count("PostgreSQL ended") - starts
        crowd.stop()
        verdicts = judge(stage, crowd.journal, away=[(began, room)], patience=max(patience, 2.0))
        verdicts.append(_verdict(crowd, began, room, resumed, starts, patience))
        stage.clean = not any(verdict.violations for verdict in verdicts)
    return verdicts


def _use_up_the_log(stage: Stage) -> None:
    """Use the segments of WAL that are there, until PostgreSQL has to make one, can't, and gives up."""
    with contextlib.suppress(psycopg.Error):
        for _ in range(50):
            stage.sql("SELECT pg_logical_emit_message(true, 'chaos', repeat('x', 16384)), pg_switch_wal()")


def _resumed(crowd: Crowd, room: float) -> float:
    """Return how many seconds after there was room again an order was acknowledged."""
    until = room + _PATIENCE_SECONDS
    while time.monotonic() < until:
        if crowd.journal.acks and crowd.journal.acks[-1] > room:
            return next(moment for moment in crowd.journal.acks if moment > room) - room
        time.sleep(0.02)
    return _PATIENCE_SECONDS


def _verdict(crowd: Crowd, began: float, room: float, resumed: float, starts: int, patience: float) -> Verdict:
    most = _RESUMED_SECONDS * patience
    refused = sum(began <= moment <= room for moment in crowd.journal.refusals)
    made = sum(began <= moment <= room for moment in crowd.journal.acks)
    wrong = [f"it took {resumed:.1f} s"] if resumed > most else []
    wrong += [f"PostgreSQL was started {starts} times"] if starts > _MOST_STARTS else []
    wrong += [] if refused else ["nobody was turned away: the disk was not full"]
    checked = (
        f"full for {room - began:.0f} s: {made} x 201, {refused} x 503, {starts} starts; again after {resumed:.1f} s"
    )
    return Verdict("S-37", f"goes on by itself within {most:.0f} s of room", checked, wrong)
