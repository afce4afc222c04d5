"""Driving load and accounting for it: wrk, pgbench, and the CPU and memory of process groups."""

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")
LUA = Path(__file__).parent / "lua"


@dataclass
class Sample:
    """One run of one load."""

    rate: float  # requests/s
    p50_ms: float
    p99_ms: float
    requests: int
    errors: int
    cpu_seconds: dict[str, float] = field(default_factory=dict)  # by process group, during the run
    peak_mb: dict[str, float] = field(default_factory=dict)


def median_of(samples: Sequence[Sample]) -> dict[str, object]:
    """Return the sample of the median rate, with the rates' range."""
    ordered = sorted(samples, key=lambda sample: sample.rate)
    middle = ordered[len(ordered) // 2]
    return asdict(middle) | {"rate_min": ordered[0].rate, "rate_max": ordered[-1].rate, "runs": len(ordered)}


class Groups:
    """Finds the processes of a run and reads what they used."""

    def __init__(self, server_pid: int) -> None:
        self._server = server_pid

    def _members(self) -> dict[str, list[int]]:
        children: dict[int, list[int]] = {}
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                try:
                    stat = Path(f"/proc/{entry}/stat").read_text().rsplit(")", 1)[1].split()
                except OSError:
                    continue
                children.setdefault(int(stat[1]), []).append(int(entry))
        groups: dict[str, list[int]] = {"api": [], "worker": [], "database": []}
        pending = list(children.get(self._server, ()))
        while pending:
            pid = pending.pop()
            pending.extend(children.get(pid, ()))
            try:
                command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            name = "database" if "postgres" in command else "worker" if "fulfillment.worker" in command else "api"
            groups[name].append(pid)
        return groups

    def cpu(self) -> dict[str, float]:
        """Return the CPU seconds of each group since its start, with those of children that have ended."""
        used = {}
        for name, pids in self._members().items():
            total = 0
            for pid in pids:
                try:
                    stat = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
                except OSError:
                    continue
                total += sum(int(value) for value in stat[11:15])
            used[name] = total / TICK
        return used

    def memory_mb(self) -> dict[str, float]:
        """Return each group's proportional memory (PSS): shared pages are counted once."""
        return {name: sum(_pss(pid) for pid in pids) / 1024 for name, pids in self._members().items()}


def _pss(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    found = re.search(r"^Pss:\s+(\d+)", text, re.MULTILINE)
    return int(found.group(1)) if found else 0


def wrk(
    url: str, script: str, connections: int, seconds: float, environment: Mapping[str, str], groups: Groups | None
) -> Sample:
    """Run wrk once and return what it and the process groups say."""
    before = groups.cpu() if groups else {}
    driver = os.times()
    command = [
        *("wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "--latency", "--timeout", "30s"),
        *("-s", str(LUA / script), url),
    ]
    ended = subprocess.run(
        command, env=os.environ | environment | {"LUA": str(LUA)}, capture_output=True, text=True, check=True
    )
    after = groups.cpu() if groups else {}
    used = {name: round(after[name] - before[name], 2) for name in after}
    now = os.times()
    used["driver"] = round(now.children_user + now.children_system - driver.children_user - driver.children_system, 2)
    return _sample(ended.stdout, used, groups.memory_mb() if groups else {})


def _sample(text: str, used: dict[str, float], memory: dict[str, float]) -> Sample:
    def number(pattern: str) -> str:
        found = re.search(pattern, text, re.MULTILINE)
        if found is None:
            raise ValueError(f"wrk said something else: {text}")
        return found.group(1)

    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    socket_errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    errors = int(bad.group(1)) if bad else 0
    errors += sum(int(value) for value in socket_errors.groups()) if socket_errors else 0
    return Sample(
        rate=float(number(r"Requests/sec:\s+([\d.]+)")),
        p50_ms=_milliseconds(number(r"^\s+50%\s+(\S+)")),
        p99_ms=_milliseconds(number(r"^\s+99%\s+(\S+)")),
        requests=int(number(r"(\d+) requests in")),
        errors=errors,
        cpu_seconds=used,
        peak_mb={name: round(value, 1) for name, value in memory.items()},
    )


def _milliseconds(text: str) -> float:
    for unit, factor in (("us", 0.001), ("ms", 1.0), ("s", 1000.0), ("m", 60_000.0)):
        if text.endswith(unit):
            return float(text.removesuffix(unit)) * factor
    return float(text)


def pgbench(command: Sequence[str], clients: int, seconds: float, script: Path) -> Sample:
    """Run pgbench once with its own script; *command* is pgbench with its connection options."""
    ended = subprocess.run(
        [*command, "-n", "-M", "prepared", "-c", str(clients), "-j", "1", "-T", f"{seconds:g}", "-f", str(script)],
        capture_output=True,
        text=True,
        check=False,
    )
    rate = re.search(r"tps = ([\d.]+)", ended.stdout)
    if rate is None:
        raise RuntimeError(f"pgbench: {ended.stdout}{ended.stderr}")
    latency = re.search(r"latency average = ([\d.]+) ms", ended.stdout)
    count = re.search(r"number of transactions actually processed: (\d+)", ended.stdout)
    average = float(latency.group(1)) if latency else 0.0
    return Sample(float(rate.group(1)), average, average, int(count.group(1)) if count else 0, 0)
