"""Whether a create and a get cost the same with a million past orders as with ten thousand.

    .venv/bin/python bench/flat.py [--orders 10000,1000000] [--runs 3] [--seconds 5] [--connections 16]

Past orders go straight into the database, with the event each has; a million take some 3 GB and 3 minutes. The two
sizes are measured on one server, the small one first. Beside the rates stands the CPU of a request, which moves less
on a machine that others use too.
"""

import argparse
import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import machine
import report
import run as harness
import seeding

GOAL = 0.85  # the least that is left of the rate
_STEP = 100_000  # past orders in one statement


def main() -> int:
    """Measure both sizes, print and write them."""
    options = _options()
    facts = machine.facts() | {"options": {k: v for k, v in vars(options).items() if k != "output"}}
    sizes: dict[str, report.Results] = {}
    first, *more = options.orders
    options.orders, options.deep = first, 1
    with harness.prepared(options, facts) as bench:
        reached = first
        for count in (first, *more):
            grow(bench, count - reached)
            reached, bench.results = count, {}
            bench.measure_flat()
            sizes[str(count)] = bench.results
    page = table(sizes, facts)
    print(page)
    harness.RESULTS.mkdir(exist_ok=True)
    place = harness.RESULTS / f"{options.output}.json"
    place.write_text(json.dumps({"facts": facts, "sizes": sizes}, indent=1, default=str) + "\n")
    place.with_suffix(".md").write_text(page)
    return 0


def grow(bench: "harness.Bench", count: int) -> None:
    """Write *count* more past orders."""
    began = time.monotonic()
    for start in range(0, count, _STEP):
        seeding.past_orders(
            bench.owner, bench.seeded.partners, min(_STEP, count - start), *bench.template, tag=f"flat{start}"
        )
    if count:
        seeding.settle(bench.server.database.superuser_dsn)
        print(f"{count:,} past orders more in {time.monotonic() - began:.0f} s", flush=True)


def table(sizes: dict[str, report.Results], facts: dict) -> str:
    """Return the comparison in Markdown."""
    (small, first), *others = sizes.items()
    lines = [
        "# Flat?",
        "",
        f"{facts['machine']}, commit {facts['commit']}, {facts['at']}, {facts['options']}",
        "",
        "| work | connections | past orders | per second (min-max) | p50 ms | CPU us | rate / that with "
        f"{int(small):,} | CPU / that | |",
        "|---|--:|--:|--:|--:|--:|--:|--:|---|",
    ]
    for name, by_connections in first.items():
        for connections in by_connections:
            least = report.cpu_us(first, name, int(connections))
            for count, results in [(small, first), *others]:
                kept, spent = results[name][connections], report.cpu_us(results, name, int(connections))
                left = kept["rate"] / first[name][connections]["rate"]
                verdict = "" if results is first else "met" if left >= GOAL else "**not met**"
                lines.append(
                    f"| {name} | {connections} | {int(count):,} "
                    f"| {kept['rate']:,.0f} ({kept['rate_min']:,.0f}-{kept['rate_max']:,.0f}) | {kept['p50_ms']:.2f} "
                    f"| {spent:.0f} | {left:.2f} | {spent / least:.2f} | {verdict} |"
                )
    return "\n".join(lines) + "\n"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--orders", type=harness.numbers, default=[10_000, 1_000_000])
    parser.add_argument("--connections", type=harness.numbers, default=[16])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--partners", type=int, default=50)
    parser.add_argument("--products", type=int, default=1_000)
    parser.add_argument("--output", default=datetime.now(UTC).strftime("flat-%Y%m%d-%H%M%S"))
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
