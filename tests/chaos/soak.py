"""Half of the capacity for as long as asked: nothing grows that should not, nothing slows down, old rows are purged.

Two hours, as promised: `python -m tests.chaos --only soak --seconds 7200`. A run of an hour or more is held to the
promises as they stand; a shorter one forgives what it can't tell from noise, and compares its first quarter with its
last. At most 300 orders a second are offered, so that the database stays below 20 GB in two hours.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from fulfillment.infra.processes import tied_to_parent
from tests.chaos.checker import Verdict
from tests.chaos.soaking import ending, report, verdicts
from tests.chaos.soaking.driver import Plan
from tests.chaos.soaking.samples import Sample, Tables, Watcher
from tests.chaos.soaking.verdicts import Interval
from tests.chaos.stage import Stage, folder_for, staged

SECONDS: Final = 60.0
_SHARE: Final = 0.5  # of the capacity
_MOST_ORDERS: Final = 300.0  # a second
_PARTNERS: Final = 4
_PRODUCTS: Final = tuple(range(88_700_000_000, 88_700_000_020))
_PILLS: Final = 1_000_000_000  # of each
_CALIBRATION_SECONDS: Final = 8.0  # at least; a minute for two hours, in which jobs and checkpoints have their share
_TOKEN_SECONDS: Final = 60  # the least that can be set
_ROTATION_SECONDS: Final = 180.0
_RETENTION_SECONDS: Final = 120.0  # short, so that the first ten minutes hold as many rows as the last
_DAY_SECONDS: Final = 86_400.0  # what the settings keep at least
_REPORTED_SECONDS: Final = 600.0  # runs from here on leave their samples
_SETTINGS: Final = {
    "FULFILLMENT_TOKEN_TTL_SECONDS": str(_TOKEN_SECONDS),
    "FULFILLMENT_IDEMPOTENCY_RETENTION_HOURS": "24",
    "FULFILLMENT_EVENT_RETENTION_DAYS": "1",
    "FULFILLMENT_REQUEST_LOG_DAYS": "1",
}


@dataclass(slots=True)
class Said:
    """What the driver has said so far."""

    calibrated: dict[str, float] = field(default_factory=dict[str, float])
    intervals: list[Interval] = field(default_factory=list[Interval])
    ended: dict[str, Any] = field(default_factory=dict[str, Any])

    def hear(self, line: str) -> None:
        """Take a line."""
        for what, content in json.loads(line).items():
            if what == "interval":
                self.intervals.append(Interval.of(content))
            else:
                setattr(self, what, content)


def play(seed: int, seconds: float = SECONDS) -> list[Verdict]:
    """Keep the server at work for *seconds*, and return the verdicts."""
    retention = min(_RETENTION_SECONDS, seconds / 4)
    stage = Stage(folder_for("soak"), seed=seed, share=0.0, environment=_SETTINGS)
    with staged(stage), ExitStack() as stack:
        stage.start(partner_count=_PARTNERS)
        for product in _PRODUCTS:
            stage.office.product(product, [_PILLS])
        purger = _start_purger(stage, retention)
        said = Said()
        driver = stack.enter_context(_driving(stage, seconds, said))
        watcher = stack.enter_context(Watcher(stage, purger=purger, driver=driver.pid))
        samples, tables = _watch(watcher, driver, said, seconds)
        found = [
            verdicts.memory(samples, seconds),
            verdicts.descriptors(samples),
            verdicts.purged(tables, retention, retention / 2),
            verdicts.latency(said.intervals, seconds),
            verdicts.disk_waits(samples),
            verdicts.answers(said.intervals, said.ended, said.calibrated),
            verdicts.hooks(said.intervals, said.ended),
            *ending.verdicts(stage, stage.folder),
            _disk(tables, seconds),
        ]
        if seconds >= _REPORTED_SECONDS:
            facts = {"seconds": seconds, "cores": os.cpu_count(), **said.calibrated, "ended": said.ended}
            report.write(facts | {"verdicts": [asdict(one) for one in found]}, samples, tables, said.intervals)
        stage.clean = not any(verdict.violations for verdict in found)
    return found


def _start_purger(stage: Stage, retention: float) -> int:
    command = [sys.executable, "-m", "tests.chaos.soaking.purger", "--every", str(retention / 2)]
    command += ["--ahead", str(_DAY_SECONDS - retention)]
    variables = {"FULFILLMENT_DATABASE_URL": stage.database.app_dsn, "FULFILLMENT_DATA_DIR": str(stage.data_dir)}
    with (stage.folder / "purger.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=stage.server.variables | variables)
    stage.extra.append(process)
    return process.pid


@contextmanager
def _driving(stage: Stage, seconds: float, said: Said) -> Generator["subprocess.Popen[str]"]:
    """Run the driver, hearing what it says, until the block ends."""
    plan = Plan(
        port=stage.server.port,
        folder=str(stage.folder),
        partners=[
            {"id": one.id, "client_id": one.client_id, "client_secret": one.client_secret} for one in stage.partners
        ],
        products=list(_PRODUCTS),
        seconds=seconds,
        calibration_seconds=max(_CALIBRATION_SECONDS, seconds / 120),
        share=_SHARE,
        most_orders=_MOST_ORDERS,
        rotation_seconds=min(_ROTATION_SECONDS, seconds / 6),
        renewal_seconds=min(_TOKEN_SECONDS * 0.75, seconds / 4),
        report_seconds=min(60.0, seconds / 12),
    )
    with (stage.folder / "driver.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.soaking.driver"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            preexec_fn=tied_to_parent(signal.SIGKILL),
        )
    assert process.stdin is not None
    process.stdin.write(json.dumps(asdict(plan)) + "\n")
    process.stdin.flush()
    hearing = threading.Thread(target=_hear, args=(process, said), daemon=True)
    hearing.start()
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _hear(process: "subprocess.Popen[str]", said: Said) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        said.hear(line)


def _watch(
    watcher: Watcher, driver: "subprocess.Popen[str]", said: Said, seconds: float
) -> tuple[list[Sample], list[Tables]]:
    """Look at everything while the load lasts, and wait until the driver has ended."""
    while not said.calibrated and driver.poll() is None:
        time.sleep(0.05)
    watcher.begin()
    samples: list[Sample] = []
    tables: list[Tables] = []
    look_every, count_every = max(1.0, seconds / 720), max(2.0, seconds / 120)
    while not said.ended and driver.poll() is None:
        if len(samples) < seconds / look_every:
            samples.append(watcher.look())
        if samples[-1].at >= len(tables) * count_every:
            tables.append(watcher.count())
        time.sleep(look_every)
    if driver.wait(30) or not said.ended:
        raise RuntimeError("the driver broke, see driver.log")
    return samples, tables


def _disk(tables: list[Tables], seconds: float) -> Verdict:
    """Say what two hours of this would take; nothing is wrong with it."""
    grown = tables[-1].megabytes - tables[0].megabytes
    projected = grown / (tables[-1].at - tables[0].at) * 7200 / 1000
    checked = f"{tables[-1].megabytes:.0f} MB after {seconds:.0f} s; at this rate {projected:.1f} GB in two hours"
    return Verdict("S-42 disk", "the database's size (shown)", checked, [])
