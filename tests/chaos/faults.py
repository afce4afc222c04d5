"""What goes wrong: each fault is a function over the stage, drawn by seed."""

import contextlib
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Final

from tests.chaos.stage import Stage

Fault = Callable[[Stage, random.Random], None]
SHORT_FREEZE_SECONDS: Final = 3.0
LONG_FREEZE_SECONDS: Final = 10.0
_FULL_SECONDS: Final = 8.0
_EVERY_SECONDS: Final = 2.5


def kill_api(stage: Stage, chance: random.Random) -> None:
    """kill -9 of one API process."""
    _kill_one(stage.server.pids("fulfillment.app"), chance)


def kill_worker(stage: Stage, chance: random.Random) -> None:
    """kill -9 of one worker."""
    _kill_one(stage.server.pids("fulfillment.worker"), chance)


def kill_postmaster(stage: Stage, chance: random.Random) -> None:
    """kill -9 of the postmaster; its backends find out by themselves."""
    _kill_one(stage.server.pids("/postgres"), chance)


def kill_backend(stage: Stage, chance: random.Random) -> None:
    """kill -9 of one backend: the postmaster resets all the others."""
    _kill_one(stage.server.postgres_pids()[1:], chance)


def stop_immediately(stage: Stage, chance: random.Random) -> None:
    """pg_ctl stop -m immediate: no shutdown checkpoint, recovery at the next start."""
    with contextlib.suppress(Exception):  # it may be down already
        stage.database.run_tool("pg_ctl", "stop", "-m", "immediate", "-W")


def freeze_short(stage: Stage, chance: random.Random) -> None:
    """SIGSTOP of the whole database for three seconds."""
    freeze(stage, SHORT_FREEZE_SECONDS)


def freeze_long(stage: Stage, chance: random.Random) -> None:
    """SIGSTOP of the whole database for ten seconds."""
    freeze(stage, LONG_FREEZE_SECONDS)


def freeze(stage: Stage, seconds: float) -> None:
    """Stop every process of the database, and let them go on later."""
    pids = stage.server.postgres_pids()
    _signal_all(pids, signal.SIGSTOP)
    time.sleep(seconds)
    _signal_all(pids, signal.SIGCONT)


def kill_everything(stage: Stage, chance: random.Random) -> None:
    """kill -9 of the supervisor and all it runs, as a power cut; then it is started again."""
    stage.server.kill()
    stage.server.start()


def fill_disk(stage: Stage, chance: random.Random, seconds: float = _FULL_SECONDS) -> None:
    """Fill the file system of the data dir, and make room again after a while."""
    ballast = stage.data_dir / "ballast"
    try:
        until = time.monotonic() + seconds
        with ballast.open("ab", buffering=0) as file:
            while time.monotonic() < until:
                try:
                    file.write(b"\0" * 65536)
                except OSError:
                    time.sleep(0.2)  # full; what others free is taken again
    finally:
        ballast.unlink(missing_ok=True)


SHORT: Final[dict[str, Fault]] = {
    "api": kill_api,
    "worker": kill_worker,
    "postmaster": kill_postmaster,
    "backend": kill_backend,
    "immediate": stop_immediately,
    "freeze": freeze_short,
}
LONG: Final[dict[str, Fault]] = SHORT | {"freeze": freeze_long, "everything": kill_everything, "disk": fill_disk}

_TAKES_TIME: Final = frozenset({"freeze", "everything", "disk"})


class Weather:
    """Lets faults happen, one after the other, until told to stop."""

    def __init__(self, stage: Stage, faults: dict[str, Fault]) -> None:
        self.happened: Counter[str] = Counter()
        self.errors: list[str] = []
        self.away: list[tuple[float, float]] = []  # from when to when nothing could be served: not ours to answer for
        self._stage = stage
        self._faults = faults
        self._chance = random.Random(f"{stage.seed}/weather")
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin."""
        if self._faults:
            self._thread.start()

    def stop(self) -> None:
        """End after the fault under way."""
        self._stopping.set()
        if self._faults:
            self._thread.join(180)

    def _run(self) -> None:
        waiting: list[str] = []
        while not self._stopping.wait(_EVERY_SECONDS * (0.6 + 0.8 * self._chance.random())):
            if not waiting:  # every fault comes once before any comes again
                waiting = sorted(self._faults)
                self._chance.shuffle(waiting)
            name = waiting.pop()
            began = time.monotonic()
            try:
                self._faults[name](self._stage, self._chance)
                self.happened[name] += 1
                if name in _TAKES_TIME:
                    self.away.append((began, time.monotonic()))
            except Exception as error:
                self.errors.append(f"fault {name}: {type(error).__name__}: {error}")


def _kill_one(pids: list[int], chance: random.Random) -> None:
    if pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(chance.choice(pids), signal.SIGKILL)


def _signal_all(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
