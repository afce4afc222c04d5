"""How long starting takes: the command's help, a first start, and starts on an existing data folder; and idle memory.

    .venv/bin/python bench/startup.py [--runs 5] [--processes 1]

A start is measured from the command's execution to the first 200 of /readyz; database, API processes and worker
included.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import machine

from serving import Server

IDLE_SECONDS = 3.0  # until the processes have settled


def main() -> int:
    """Measure, print, and say which of the goals are met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--processes", type=int, default=1, help="API processes, as serve starts without options")
    parser.add_argument("--output", type=Path, help="write the figures here too, as JSON")
    options = parser.parse_args()
    found = measured(options.runs, options.processes)
    print(f"fulfillment --help   {told(found['help_seconds'])}, CPU {found['help_cpu_seconds']:.2f} s")
    print(f"first start          {found['first_start_seconds']:.2f} s")
    print(f"later start          {told(found['later_start_seconds'])}")
    print(f"CPU of a later start {found['later_start_cpu_seconds']:.2f} s, all processes")
    print(f"idle memory (PSS)    {sum(found['idle_mb'].values()):.0f} MB: {found['idle_mb']}")
    if options.output:
        options.output.write_text(json.dumps({"facts": machine.facts()} | found, indent=1) + "\n")
    return 0


def measured(runs: int, processes: int) -> dict:
    """Return the figures of one machine."""
    folder = Path(tempfile.mkdtemp(prefix="jf-start-"))
    folder.chmod(0o711)
    try:
        help_seconds()  # reads the files
        before = os.times()
        helps = [help_seconds() for _ in range(runs)]
        after = os.times()
        help_cpu = after.children_user + after.children_system - before.children_user - before.children_system
        server = Server(folder, processes)
        first = server.started_seconds
        server.stop()
        later, cpu, idle = [], 0.0, {}
        for _ in range(runs):
            server = Server(folder, processes)
            later.append(server.started_seconds)
            cpu = sum(server.groups.cpu().values())
            while len(server.groups.members()["api"]) > processes:
                time.sleep(0.1)  # the demo data is looked after
            time.sleep(IDLE_SECONDS)
            idle = {name: round(value, 1) for name, value in server.groups.memory_mb().items()}
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return {
        "help_seconds": helps,
        "help_cpu_seconds": help_cpu / runs,
        "first_start_seconds": first,
        "later_start_seconds": later,
        "later_start_cpu_seconds": cpu,
        "idle_mb": idle,
    }


def help_seconds() -> float:
    """Return how long the command's help takes."""
    command = Path(sys.executable).with_name("fulfillment")
    began = time.perf_counter()
    subprocess.run([command, "--help"], check=True, stdout=subprocess.DEVNULL, env=os.environ)
    return time.perf_counter() - began


def told(seconds: Sequence[float]) -> str:
    """Return the median and the range."""
    return f"{statistics.median(seconds):.2f} s ({min(seconds):.2f}-{max(seconds):.2f})"


if __name__ == "__main__":
    sys.exit(main())
