"""Three times what the server can do: it turns away quickly, keeps its health, and serves the rest in good time."""

import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final

import httpx2

from tests.chaos.checker import Verdict
from tests.chaos.stage import Stage, memory_megabytes
from tests.world import a_customer, a_line, an_order

_PRODUCT: Final = 88_000_000_100
_PILLS: Final = 2_000_000_000
_TIMES: Final = 3.0
_MOST_LATENCY: Final = 5.0  # times the usual p99
_MOST_MEGABYTES: Final = 100.0
_SHED_MS: Final = 500.0
_HEALTH_SECONDS: Final = 1.0


def play(seed: int) -> list[Verdict]:
    """Measure the capacity, offer three times as much, and return the verdicts."""
    folder = Path(tempfile.mkdtemp(prefix="overload-"))
    folder.chmod(0o711)
    stage = Stage(folder, seed=seed, share=0.0, processes=1, workers=1)
    try:
        stage.start(partner_count=1)
        stage.sql("UPDATE partners SET webhook_url = NULL")  # the API alone is measured
        stage.office.product(_PRODUCT, [_PILLS])
        load(stage, 2)
        capacity = load(stage, 5, connections=32)["per_second"]
        usual = load(stage, 5, rate=capacity * 0.6, connections=400)
        before = memory_megabytes(stage.server.pids("fulfillment.app"))
        with Health(stage) as health:
            over = load(stage, 11, rate=capacity * _TIMES, connections=3000, settle=1)  # a burst is served, at first
            peak = health.megabytes
        after = load(stage, 5, rate=capacity * 0.6, connections=400)
    finally:
        stage.stop()
    verdicts = _verdicts(capacity, usual, over, after, health, peak - before)
    shutil.rmtree(folder, ignore_errors=True)
    return verdicts


def load(
    stage: Stage, seconds: float, *, rate: float = 0.0, connections: int = 16, settle: float = 0.0
) -> dict[str, Any]:
    """Let a process of its own create orders, and return its summary."""
    partner = stage.partners[0]
    command = [sys.executable, "-m", "tests.chaos.load", "--port", str(stage.server.port), "--seconds", str(seconds)]
    command += ["--token", stage.token(partner), "--rate", str(rate), "--connections", str(connections)]
    command += ["--settle", str(settle)]
    command += ["--body", json.dumps(an_order(a_line(_PRODUCT, 1), customer=a_customer(sourceId="load")))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


class Health:
    """Asks for the health and the memory of the server while the block runs."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.answers: Counter[str] = Counter()
        self.longest = 0.0
        self.megabytes = 0.0

    def __enter__(self) -> "Health":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(30)

    def _run(self) -> None:
        pids = self._stage.server.pids("fulfillment.app")
        while not self._stopping.wait(0.2):
            self.megabytes = max(self.megabytes, memory_megabytes(pids))
            for path in ("/livez", "/readyz"):
                began = time.monotonic()
                try:
                    status = str(httpx2.get(self._stage.server.url + path, timeout=5).status_code)
                except httpx2.TransportError as error:
                    status = type(error).__name__
                self.answers[f"{path} {status}"] += 1
                self.longest = max(self.longest, time.monotonic() - began)


def _verdicts(
    capacity: float, usual: dict[str, Any], over: dict[str, Any], after: dict[str, Any], health: Health, grown: float
) -> list[Verdict]:
    statuses: dict[str, int] = over["statuses"]
    strange = [f"{status} x {count}" for status, count in statuses.items() if status not in ("201", "503", "429")]
    shed = max(over.get("p99 503", 0.0), over.get("p99 429", 0.0))
    slow = [f"refusals took {shed} ms (p99)"] if shed > _SHED_MS else []
    factor = over["p99 201"] / usual["p99 201"]
    late = [f"{factor:.1f} times the usual"] if factor > _MOST_LATENCY else []
    sick = [f"{name} x {count}" for name, count in health.answers.items() if not name.endswith(" 200")]
    sick += [f"health took {health.longest:.1f} s"] if health.longest > _HEALTH_SECONDS else []
    fat = [f"it grew by {grown:.0f} MB"] if grown > _MOST_MEGABYTES else []
    ill = [f"{name} x {count}" for name, count in after["statuses"].items() if name != "201"]
    return [
        Verdict(
            "shed",
            f"at {_TIMES:.0f} x the capacity only 201, 503, 429, refusals at once",
            f"capacity {capacity:.0f}/s; {statuses}; refused in {shed:.0f} ms (p99)",
            strange + slow,
        ),
        Verdict(
            "p99",
            f"what is accepted takes at most {_MOST_LATENCY:.0f} x as long",
            f"p99 {usual['p99 201']:.0f} ms usual, {over['p99 201']:.0f} ms, {after['p99 201']:.0f} ms after",
            late,
        ),
        Verdict("health", "health stays green", f"{dict(health.answers)}, longest {health.longest:.2f} s", sick),
        Verdict("memory", f"at most {_MOST_MEGABYTES:.0f} MB more", f"{grown:.0f} MB more", fat),
        Verdict("after", "all is well afterwards", str(after["statuses"]), ill),
    ]
