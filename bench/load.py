"""Driving load and accounting for it: wrk, pgbench, and the CPU and memory of process groups."""

import os
import re
import subprocess
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")
LUA = Path(__file__).parent / "lua"
_LOOK_SECONDS = 2.0  # between two looks at memory; a look costs some milliseconds for each process


@dataclass
class Sample:
    """One run of one load."""

    rate: float  # requests/s
    p50_ms: float
    p99_ms: float | None  # pgbench says only the average
    requests: int
    errors: int
    seconds: float
    cpu_seconds: dict[str, float] = field(default_factory=dict)  # by process group, during the run
    peak_mb: dict[str, float] = field(default_factory=dict)


def median_of(samples: Sequence[Sample]) -> dict:
    """Return the sample of the median rate, with the rates' range and the highest memory."""
    ordered = sorted(samples, key=lambda sample: sample.rate)
    kept = asdict(ordered[len(ordered) // 2])
    peaks = {name: max(sample.peak_mb.get(name, 0.0) for sample in samples) for name in kept["peak_mb"]}
    return kept | {
        "peak_mb": peaks,
        "rate_min": ordered[0].rate,
        "rate_max": ordered[-1].rate,
        "runs": len(ordered),
        "errors": sum(sample.errors for sample in samples),
    }


class Groups:
    """The processes of a server by what they do, and what they used.

    Args:
        server_pid: The supervisor's; it is counted with what it started.
        floor_pid: Of another server on the same database.
    """

    def __init__(self, server_pid: int, floor_pid: int | None = None) -> None:
        self._server = server_pid
        self._floor = floor_pid

    def beside(self, floor_pid: int) -> "Groups":
        """Return the same with another server's processes."""
        return Groups(self._server, floor_pid)

    def members(self) -> dict[str, list[int]]:
        """Return the processes of each group."""
        children = _children()
        groups: dict[str, list[int]] = {"supervisor": [self._server], "api": [], "worker": [], "database": []}
        for pid in _below(self._server, children):
            groups[_kind(pid)].append(pid)
        if self._floor is not None:
            groups["floor"] = [self._floor, *_below(self._floor, children)]
        return groups

    def cpu(self) -> dict[str, float]:
        """Return the CPU seconds of each group since its start, with those of children that have ended."""
        return {name: sum(map(_cpu_seconds, pids)) for name, pids in self.members().items()}

    def memory_mb(self) -> dict[str, float]:
        """Return each group's proportional memory (PSS): shared pages are counted once."""
        return {name: sum(map(pss_kb, pids)) / 1024 for name, pids in self.members().items()}

    @contextmanager
    def peaks(self) -> Generator[dict[str, float]]:
        """Look at the memory while the block runs; the highest of each group is in what is yielded."""
        highest: dict[str, float] = {}
        ended = threading.Event()

        def look() -> None:
            while True:
                last = ended.wait(_LOOK_SECONDS)
                for name, value in self.memory_mb().items():
                    highest[name] = max(highest.get(name, 0.0), value)
                if last:
                    return

        looking = threading.Thread(target=look)
        looking.start()
        try:
            yield highest
        finally:
            ended.set()
            looking.join()


def _children() -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (stat := _stat(int(entry))):
            found.setdefault(int(stat[1]), []).append(int(entry))
    return found


def _below(pid: int, children: Mapping[int, list[int]]) -> list[int]:
    direct = children.get(pid, [])
    return [*direct, *(each for child in direct for each in _below(child, children))]


def _kind(pid: int) -> str:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return "api"
    return "database" if b"postgres" in command else "worker" if b"fulfillment.worker" in command else "api"


def _stat(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return []


def _cpu_seconds(pid: int) -> float:
    return sum(map(int, _stat(pid)[11:15])) / TICK


def pss_kb(pid: int) -> int:
    """Return a process's proportional memory."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    found = re.search(r"^Pss:\s+(\d+)", text, re.MULTILINE)
    return int(found.group(1)) if found else 0


def wrk(
    url: str, script: str, connections: int, seconds: float, environment: Mapping[str, str], groups: Groups
) -> Sample:
    """Run wrk once and return what it and the process groups say."""
    command = [
        *("wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--latency", "--timeout", "30s"),
        *("-s", str(LUA / script), url),
    ]
    text, used, peaks = _accounted(command, os.environ | environment | {"LUA": str(LUA)}, groups)

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
        seconds=_milliseconds(number(r"requests in ([\d.]+[a-z]+)")) / 1000,
        cpu_seconds=used,
        peak_mb=peaks,
    )


def pgbench(command: Sequence[str], clients: int, seconds: float, script: Path, groups: Groups) -> Sample:
    """Run pgbench once with its own script; *command* is pgbench with its connection options."""
    whole = [*command, "-n", "-M", "prepared", "-c", str(clients), "-j", "1", "-T", f"{max(1, round(seconds))}"]
    text, used, peaks = _accounted([*whole, "-f", str(script)], os.environ, groups)
    rate = re.search(r"tps = ([\d.]+)", text)
    latency = re.search(r"latency average = ([\d.]+) ms", text)
    count = re.search(r"number of transactions actually processed: (\d+)", text)
    if rate is None or latency is None or count is None:
        raise ValueError(f"pgbench said something else: {text}")
    return Sample(
        float(rate.group(1)), float(latency.group(1)), None, int(count.group(1)), 0, round(seconds), used, peaks
    )


def _accounted(
    command: Sequence[str], environment: Mapping[str, str], groups: Groups
) -> tuple[str, dict[str, float], dict[str, float]]:
    """Run a driver; return what it said, the CPU seconds of each group and of the driver, and the highest memory."""
    with groups.peaks() as peaks:
        before, driver = groups.cpu(), os.times()
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        after, now = groups.cpu(), os.times()
    if ended.returncode != 0:
        raise RuntimeError(f"{command[0]}: {ended.stdout}{ended.stderr}")
    used = {name: round(after[name] - before.get(name, 0.0), 2) for name in after}
    used["driver"] = round(now.children_user + now.children_system - driver.children_user - driver.children_system, 2)
    return ended.stdout, used, {name: round(value, 1) for name, value in peaks.items()}


def _milliseconds(text: str) -> float:
    for unit, factor in (("us", 0.001), ("ms", 1.0), ("s", 1000.0), ("m", 60_000.0)):
        if text.endswith(unit):
            return float(text.removesuffix(unit)) * factor
    return float(text)
