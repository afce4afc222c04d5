"""Crashes that take long to recover from, and first starts that are killed at any moment."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Final

import httpx2
import psycopg

from fulfillment.infra.postgres import EmbeddedPostgres
from tests.chaos.checker import Verdict, judge
from tests.chaos.clients import Crowd
from tests.chaos.stage import Stage, folder_for, staged

_START: Final = """
import sys, time
from pathlib import Path
from fulfillment.infra.postgres import EmbeddedPostgres
EmbeddedPostgres(Path(sys.argv[1])).start()
time.sleep(60)
"""
_SERVES_SECONDS: Final = 10.0  # after a first start that was killed
_STEP_SECONDS: Final = 0.05
_GIGABYTES: Final = 3.0
_ROWS_OF_A_GIGABYTE: Final = 500_000  # of two kilobytes each
_ROWS_AT_ONCE: Final = 250_000
_LONGEST_SECONDS: Final = 240.0  # of a recovery; the disk decides


def boots(points: int = 30, patience: float = 1.0) -> list[Verdict]:
    """Kill a first start every 50 ms of its life, each with its whole group, and start again."""
    slow: list[str] = []
    longest = 0.0
    for point in range(1, points + 1):
        # However few points there are, they lie over the whole second and a half.
        moment = 30 * _STEP_SECONDS * point / points
        seconds = _boot(moment)
        longest = max(longest, seconds)
        if seconds > _SERVES_SECONDS * patience:
            slow.append(f"killed after {moment:.2f} s: {seconds:.1f} s until it served")
    checked = f"{points} kills between 0.05 and 1.50 s; longest start afterwards {longest:.1f} s"
    return [Verdict("S-09", "a first boot killed at any moment is no obstacle", checked, slow)]


def _boot(moment: float) -> float:
    folder = folder_for("boot")
    data_dir = folder / "data"
    try:
        process = subprocess.Popen([sys.executable, "-c", _START, data_dir], start_new_session=True)
        time.sleep(moment)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return _seconds_until_served(data_dir)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _seconds_until_served(data_dir: Path) -> float:
    began = time.monotonic()
    database = EmbeddedPostgres(data_dir, echo=lambda _: None)
    try:
        database.start(60)
        with psycopg.connect(database.owner_dsn) as connection:
            connection.execute("CREATE TABLE probe (x int)")
        return time.monotonic() - began
    finally:
        database.stop(hurry=lambda: True)


def wal(seed: int, gigabytes: float = _GIGABYTES) -> list[Verdict]:
    """Kill everything when *gigabytes* of WAL are to be recovered, start again, and return the verdicts."""
    stage = Stage(folder_for("wal"), seed=seed, share=0.0, processes=1, workers=1)
    with staged(stage):
        stage.start()
        for setting in ("max_wal_size = '64GB'", "checkpoint_timeout = '1d'", "wal_compression = off"):
            stage.sql(f"ALTER SYSTEM SET {setting}")
        stage.sql("SELECT pg_reload_conf()")
        stage.sql("CHECKPOINT")
        begin = stage.sql("SELECT pg_current_wal_lsn()::text")[0][0]
        crowd = Crowd(stage, [stage.server.url])
        crowd.prepare()
        crowd.start(creators=2)
        _write(stage, gigabytes)
        written = float(stage.sql("SELECT pg_current_wal_lsn() - %s::pg_lsn", begin)[0][0]) / 1e9
        stage.server.kill()
        began = time.monotonic()
        stage.server.start(wait=False)
        answers = _ask_until_ready(stage, began)
        seconds = time.monotonic() - began
        crowd.stop()
        stage.sql("DROP TABLE ballast")
        verdicts = judge(stage, crowd.journal, away=[(began, began + seconds)])
        verdicts.append(_verdict(written, seconds, answers, gigabytes))
        stage.clean = not any(verdict.violations for verdict in verdicts)
    return verdicts


def _write(stage: Stage, gigabytes: float) -> None:
    stage.sql("CREATE TABLE ballast (place int, filling text)")
    stage.sql("ALTER TABLE ballast ALTER COLUMN filling SET STORAGE PLAIN")
    left = int(gigabytes * _ROWS_OF_A_GIGABYTE)
    while left > 0:
        stage.sql(
            "INSERT INTO ballast SELECT place, repeat('x', 2000) FROM generate_series(1, %s) AS place",
            min(left, _ROWS_AT_ONCE),
        )
        left -= _ROWS_AT_ONCE


def _ask_until_ready(stage: Stage, began: float) -> "Counter[str]":
    """Ask for the readiness and count the answers, until it is ready."""
    answers: Counter[str] = Counter()
    while time.monotonic() - began < _LONGEST_SECONDS:
        try:
            status = httpx2.get(stage.server.url + "/readyz", timeout=5).status_code
        except httpx2.ConnectError:
            time.sleep(0.1)
            continue
        except httpx2.TimeoutException:
            # The socket listens before the first process is there to answer.
            answers["none yet" if not answers["503"] else "none"] += 1
            continue
        answers[str(status)] += 1
        if status == 200:
            return answers
        time.sleep(0.2)
    raise TimeoutError(f"not ready after {_LONGEST_SECONDS:.0f} s: {answers}")


def _verdict(written: float, seconds: float, answers: "Counter[str]", gigabytes: float) -> Verdict:
    wrong = [f"{name} x {count}" for name, count in answers.items() if name not in ("200", "503", "none yet")]
    wrong += [] if answers["503"] else ["nobody was told to come again"]
    wrong += [f"only {written:.1f} GB of WAL were there"] if written < gigabytes else []
    checked = f"{written:.1f} GB of WAL; ready after {seconds:.0f} s; {dict(answers)}"
    return Verdict("S-10", "a long recovery is waited for, and answered with 503", checked, wrong)
