"""The memory of each process while a load lasts: level, or not.

    .venv/bin/python bench/memory.py [--minutes 10] [--connections 16]

The load is the mixed one (70 % reads, 30 % creates) over 200 hot products. Written are a plot and the figures: for each
process its memory after the first fifth and at the end, and the slope between, in MB an hour. Private pages count:
a database process's part of the shared buffers grows until it has touched them all, and that is no growth.
"""

import argparse
import json
import re
import statistics
import sys
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import machine
import report
import run as harness

Series = dict[str, list[tuple[float, float]]]  # process -> (second, MB)
_LOOK_SECONDS = 2.0
_WARM = 0.2  # of the time: caches fill


def main() -> int:
    """Run the load, watching."""
    options = _options()
    facts = machine.facts() | {"options": {k: v for k, v in vars(options).items() if k != "output"}}
    with harness.prepared(options, facts) as bench:
        series, kept = watched(bench, options)
    page = table(series, kept, facts)
    print(page)
    harness.RESULTS.mkdir(exist_ok=True)
    place = harness.RESULTS / f"{options.output}.json"
    place.write_text(json.dumps({"facts": facts, "load": kept, "series": series}, default=str) + "\n")
    place.with_suffix(".md").write_text(page)
    plot(series, place.with_suffix(".png"), f"{facts['machine']}, {kept['rate']:,.0f} requests/s mixed")
    print(f"written: {place}")
    return 0


def watched(bench: "harness.Bench", options: argparse.Namespace) -> tuple[Series, dict]:
    """Return each process's memory while the load lasted, and what the load was."""
    series: Series = {}
    ended = threading.Event()
    began = time.monotonic()

    def look() -> None:
        while not ended.is_set():
            at = time.monotonic() - began
            for name, value in private_mb(bench.server.groups.members()).items():
                series.setdefault(name, []).append((round(at, 1), round(value, 2)))
            ended.wait(_LOOK_SECONDS)

    looking = threading.Thread(target=look)
    looking.start()
    try:
        bench.options.runs, bench.options.seconds = 1, options.minutes * 60
        bench.measure_mixed()
    finally:
        ended.set()
        looking.join()
    return series, bench.results[report.MIXED][str(options.connections[0])]


def private_mb(members: dict[str, list[int]]) -> dict[str, float]:
    """Return each process's own memory; the database's processes come and go, so they are one."""
    found: dict[str, float] = {}
    for group, pids in members.items():
        for place, pid in enumerate(sorted(pids), 1):
            name = group if group in ("supervisor", "database") else f"{group} {place}"
            found[name] = found.get(name, 0.0) + private_kb(pid) / 1024
    return found


def private_kb(pid: int) -> int:
    """Return what no other process shares."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return sum(map(int, re.findall(r"^Private_(?:Clean|Dirty):\s+(\d+)", text, re.MULTILINE)))


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Return the trend after the warm-up, in MB an hour."""
    settled = points[int(len(points) * _WARM) :]
    fit = statistics.linear_regression([at for at, _ in settled], [value for _, value in settled])
    return fit.slope * 3600


def table(series: Series, kept: dict, facts: dict) -> str:
    """Return the figures in Markdown."""
    lines = [
        "# Memory under load",
        "",
        f"{facts['machine']}, commit {facts['commit']}, {facts['at']}: {kept['rate']:,.0f} requests/s for "
        f"{kept['seconds']:.0f} s, {kept['errors']} errors.",
        "",
        "| process | MB at the start | after a fifth | at the end | most | MB an hour after a fifth |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for name, points in series.items():
        values = [value for _, value in points]
        lines.append(
            f"| {name} | {values[0]:.0f} | {values[int(len(values) * _WARM)]:.0f} | {values[-1]:.0f} "
            f"| {max(values):.0f} | {slope(points):+.0f} |"
        )
    return "\n".join(lines) + "\n"


def plot(series: Series, place: Path, title: str) -> None:
    """Draw memory over time."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(9, 5))
    for name, points in series.items():
        axes.plot([at / 60 for at, _ in points], [value for _, value in points], label=name)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("minutes")
    axes.set_ylabel("MB, private pages")
    axes.set_title(title, fontsize=8)
    axes.legend(fontsize=8)
    axes.grid(visible=True, alpha=0.3)
    figure.tight_layout()
    figure.savefig(place, dpi=110)
    pyplot.close(figure)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--connections", type=harness.numbers, default=[16])
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--partners", type=int, default=50)
    parser.add_argument("--products", type=int, default=1_000)
    parser.add_argument("--orders", type=int, default=10_000)
    parser.add_argument("--deep", type=int, default=1)
    parser.add_argument("--output", default=datetime.now(UTC).strftime("memory-%Y%m%d-%H%M%S"))
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
