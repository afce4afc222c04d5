"""Programs from PyPI that are no dependency of ours: each in an environment of its own, kept for the next run."""

import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.judges.node import CACHE
from tests.judges.verdict import Skipped

_SECONDS: Final = 300


def folder_of(name: str, packages: tuple[str, ...]) -> Path:
    """Return an environment's folder of programs with *packages* installed.

    Raises:
        Skipped: They can't be.
    """
    folder = CACHE / f"python-{name}"
    complete = folder / "complete"
    if not complete.exists() or complete.read_text() != " ".join(packages):
        try:
            _run(sys.executable, "-m", "venv", "--clear", folder)
            _run(folder / "bin" / "python", "-m", "pip", "install", "-q", "--disable-pip-version-check", *packages)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            raise Skipped(f"pip can't install {' '.join(packages)}") from error
        complete.write_text(" ".join(packages))
    return folder / "bin"


def _run(*command: str | Path) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=_SECONDS)
