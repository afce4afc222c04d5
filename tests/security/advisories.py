"""Asks pip-audit about everything that is pinned, and says so when nobody could be asked.

pip-audit ends well when it could look nothing up: "No known vulnerabilities found" may mean that all were skipped.
"""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

_ROOT: Final = Path(__file__).parents[2]
CLEAN, FOUND, UNKNOWN = 0, 1, 2


def judge(report: Mapping[str, Any] | None) -> tuple[int, str]:
    """Return the exit status and the sentence for a report of pip-audit; None: there was none."""
    packages: Sequence[Mapping[str, Any]] = report["dependencies"] if report else ()
    skipped = [package["name"] for package in packages if "skip_reason" in package]
    found = [
        f"{package['name']} {package['version']}: {', '.join(each['id'] for each in package['vulns'])}"
        for package in packages
        if package.get("vulns")
    ]
    if found:
        return FOUND, "Known vulnerabilities:\n" + "\n".join(found)
    if not packages or len(skipped) == len(packages):
        return UNKNOWN, f"Nothing is known: no service could be asked about any of {len(packages)} packages."
    if skipped:
        return UNKNOWN, f"{len(packages) - len(skipped)} packages are clean; nobody knew {', '.join(skipped)}."
    return CLEAN, f"{len(packages)} packages, no known vulnerability."


def ask() -> tuple[int, str]:
    """Run pip-audit over the runtime's lock and return the exit status and the sentence."""
    lock = _ROOT / "requirements.lock"
    done = subprocess.run(
        [
            Path(sys.executable).with_name("pip-audit"),
            "-r",
            lock,
            "--disable-pip",
            "--no-deps",
            "--format",
            "json",
            "--timeout",
            "10",
            "--progress-spinner",
            "off",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        report = json.loads(done.stdout)
    except ValueError:
        report = None
    return judge(report)


def main() -> int:
    """Ask, and say what was heard."""
    status, sentence = ask()
    print(sentence)
    return status


if __name__ == "__main__":
    sys.exit(main())
