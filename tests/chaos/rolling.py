"""SIGHUP under load: every process is replaced, nobody's request fails, and at the end everything stops in time."""

import random
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

import httpx2

from tests.chaos.checker import Verdict, judge
from tests.chaos.clients import Crowd
from tests.chaos.stage import Stage, folder_for, staged

RELOADS: Final = 2
_STOP_SECONDS: Final = 10.0


@dataclass(slots=True)
class Shots:
    """Requests that are made once, on a connection of their own or on one that is kept."""

    statuses: "Counter[str]" = field(default_factory=Counter[str])
    failures: list[str] = field(default_factory=list[str])
    retried: int = 0  # on a kept connection that had been closed a moment before


def play(seed: int, patience: float = 1.0, reloads: int = RELOADS) -> list[Verdict]:
    """Replace all processes under load, then stop under load, and return the verdicts."""
    stage = Stage(folder_for("rolling"), seed=seed, share=0.0)
    shots, stopping = Shots(), threading.Event()
    with staged(stage):
        stage.start(partner_count=1)
        crowd = Crowd.at_work(stage, creators=3, movers=1)
        threads = [
            threading.Thread(target=_shoot, args=(stage, shots, stopping, kept, seed), daemon=True)
            for kept in (False, False, True, True)
        ]
        for thread in threads:
            thread.start()
        before = _pids(stage)
        for _ in range(reloads):
            time.sleep(1.5)
            stage.server.reload()
        time.sleep(1)
        after = _pids(stage)
        stopping.set()
        for thread in threads:
            thread.join(60)
        crowd.stop()
        verdicts = judge(stage, crowd.journal, patience=patience)
        verdicts.append(_replaced(before, after, shots, crowd, reloads))
        verdicts.append(_stopped(stage, patience))
        stage.clean = not any(verdict.violations for verdict in verdicts)
    return verdicts


def _pids(stage: Stage) -> set[int]:
    return {*stage.server.pids("fulfillment.app"), *stage.server.pids("fulfillment.worker")}


def _shoot(stage: Stage, shots: Shots, stopping: threading.Event, kept: bool, seed: int) -> None:
    chance = random.Random(seed)
    headers = {"Authorization": f"Bearer {stage.token(stage.partners[0])}"}
    if not kept:
        headers["Connection"] = "close"
    with httpx2.Client(base_url=stage.server.url, headers=headers, timeout=30) as client:
        while not stopping.is_set():
            time.sleep(chance.random() * 0.01)
            fault = _shot(client, shots)
            if fault is not None and kept:
                # A kept connection may be closed while the request is on its way; clients repeat that by themselves.
                shots.retried += 1
                fault = _shot(client, shots)
            if fault is not None:
                shots.failures.append(fault)


def _shot(client: httpx2.Client, shots: Shots) -> str | None:
    try:
        answer = client.get("/v1/orders?limit=1")
    except httpx2.TransportError as error:
        return f"{type(error).__name__}: {error}"
    shots.statuses[str(answer.status_code)] += 1
    return None if answer.status_code == 200 else f"{answer.status_code} {answer.text[:100]}"


def _replaced(before: set[int], after: set[int], shots: Shots, crowd: Crowd, reloads: int) -> Verdict:
    wrong = [f"process {pid} was not replaced" for pid in before & after]
    wrong += shots.failures
    wrong += [
        f"{name} x {count}" for name, count in crowd.journal.statuses.items() if name.rpartition(" ")[2][0] == "5"
    ]
    checked = f"{sum(shots.statuses.values())} requests over {reloads} restarts, {shots.retried} repeated"
    return Verdict("S-22", "a rolling restart fails no request", checked, wrong)


def _stopped(stage: Stage, patience: float) -> Verdict:
    """Stop while requests are under way: each that was taken is answered."""
    answered: Counter[str] = Counter()
    headers = {"Authorization": f"Bearer {stage.token(stage.partners[0])}"}
    first = threading.Semaphore(0)

    def ask() -> None:
        with httpx2.Client(base_url=stage.server.url, headers=headers, timeout=30) as client:
            while True:
                try:
                    answered[str(client.get("/v1/orders?limit=100").status_code)] += 1
                except httpx2.ConnectError:  # nobody listens any more
                    return
                except httpx2.TransportError as error:
                    answered[type(error).__name__] += 1  # on a kept connection, closed in between
                    return
                first.release()

    threads = [threading.Thread(target=ask, daemon=True) for _ in range(8)]
    for thread in threads:
        thread.start()
    for _ in threads:
        first.acquire(timeout=30)
    seconds = stage.server.stop()
    for thread in threads:
        thread.join(30)
    wrong = [f"it took {seconds:.1f} s"] if seconds > _STOP_SECONDS * patience else []
    wrong += [f"{status} x {count}" for status, count in answered.items() if status.isdigit() and status != "200"]
    return Verdict("S-22", f"it stops within {_STOP_SECONDS:.0f} s", f"{seconds:.1f} s; {dict(answered)}", wrong)
