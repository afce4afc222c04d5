"""Ratios of two results: python bench/compare.py A.json B.json shows A / B, in rate and in CPU of a request."""

import json
import sys
from pathlib import Path


def main() -> int:
    """Print a line for each work that both have measured."""
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    first, second = (json.loads(Path(name).read_text()) for name in sys.argv[1:])
    for letter, found in (("A", first), ("B", second)):
        print(f"{letter}: {found['facts']['commit']}, {found['facts']['at']}, {found['facts']['machine']}")
    print(f"{'work':34} {'conn':>4} {'A /s':>9} {'B /s':>9} {'A/B':>6}   {'A us':>7} {'B us':>7} {'A/B':>6}")
    for name, by_connections in first["results"].items():
        for connections, kept in by_connections.items():
            other = second["results"].get(name, {}).get(connections)
            if other:
                mine, theirs = _cpu_us(kept), _cpu_us(other)
                print(
                    f"{name:34} {connections:>4} {kept['rate']:9.0f} {other['rate']:9.0f} "
                    f"{_ratio(kept['rate'], other['rate'])}   {mine:7.0f} {theirs:7.0f} {_ratio(mine, theirs)}"
                )
    return 0


def _cpu_us(kept: dict) -> float:
    """Return the CPU of a request, all processes but the driver."""
    used = sum(seconds for group, seconds in kept["cpu_seconds"].items() if group != "driver")
    return 1e6 * used / max(1, kept["requests"])


def _ratio(over: float, under: float) -> str:
    return f"{over / under:6.2f}" if under else f"{'-':>6}"


if __name__ == "__main__":
    sys.exit(main())
