"""Ratios of two results: python bench/compare.py A.json B.json shows A / B."""

import json
import sys
from pathlib import Path


def main() -> int:
    first, second = (json.loads(Path(name).read_text())["results"] for name in sys.argv[1:3])
    print(f"{'work':30} {'conn':>4} {'A /s':>10} {'B /s':>10} {'A/B':>6}")
    for name in first:
        for connections, kept in first[name].items():
            other = second.get(name, {}).get(connections)
            if other:
                ratio = kept["rate"] / other["rate"] if other["rate"] else float("nan")
                print(f"{name:30} {connections:>4} {kept['rate']:10.0f} {other['rate']:10.0f} {ratio:6.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
