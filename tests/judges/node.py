"""Programs from npm: each with its exact version in a folder of its own, kept for the next run."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

CACHE: Final = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "juniper-judges"
_SECONDS: Final = 300


class NodeMissing(Exception):
    """Node or npm is not here, or a package can't be had."""


def folder_of(name: str, packages: tuple[str, ...]) -> Path:
    """Return a folder with *packages* installed.

    Raises:
        NodeMissing: They can't be.
    """
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        raise NodeMissing("node and npm are not installed")
    folder = CACHE / name
    complete = folder / "complete"
    if not complete.exists() or complete.read_text() != " ".join(packages):
        folder.mkdir(parents=True, exist_ok=True)
        command = [npm, "install", "--no-audit", "--no-fund", "--loglevel", "error", "--prefix", str(folder), *packages]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=_SECONDS)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            raise NodeMissing(f"npm can't install {' '.join(packages)}") from error
        complete.write_text(" ".join(packages))
    return folder


def run_program(folder: Path, name: str, *arguments: str | Path, cwd: Path) -> "subprocess.CompletedProcess[str]":
    """Run a program of the folder's packages."""
    return _run([folder / "node_modules" / ".bin" / name, *arguments], cwd)


def run_script(folder: Path, text: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run a script of ours that uses the folder's packages."""
    script = folder / "script.mjs"
    script.write_text(text)
    return _run([str(shutil.which("node")), script, *arguments], folder)


def _run(command: list[str | Path], cwd: Path) -> "subprocess.CompletedProcess[str]":
    environment = os.environ | {"REDOCLY_TELEMETRY": "off", "NO_COLOR": "1", "NODE_NO_WARNINGS": "1"}
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=_SECONDS, check=False
    )
