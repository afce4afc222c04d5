"""Where a process's time goes: samples by py-spy, where it is installed, as a table of functions."""

import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path

MOST = 45  # rows of each table
_RATE = 250  # samples a second
_LOOP = "Runner.run ("
_IDLE = (_LOOP, "_worker (")  # the loop; a thread that waits for work


@contextmanager
def recorded(pid: int, seconds: int, place: Path) -> Generator[None]:
    """Sample the process while the block runs, and write the tables to *place*.

    What C code does counts for the function that called it.
    """
    program = shutil.which("py-spy") or shutil.which("py-spy", path=str(Path(sys.executable).parent))
    if program is None:
        raise SystemExit("py-spy is not installed: uv pip install py-spy")
    with tempfile.NamedTemporaryFile(suffix=".txt") as raw:
        sampling = subprocess.Popen(
            [program, "record", "-p", str(pid), "-d", str(seconds), "-r", str(_RATE), "-f", "raw", "-o", raw.name],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        yield
        _, said = sampling.communicate()
        if sampling.returncode != 0:
            raise SystemExit(f"py-spy: {said}")
        place.write_text(tables(Path(raw.name).read_text().splitlines()))


def tables(lines: Iterable[str]) -> str:
    """Return the functions by their own time and by the time of all they call.

    Args:
        lines: py-spy's raw form: frames parted by semicolons, a space, the number of samples.
    """
    own: Counter[str] = Counter()
    whole: Counter[str] = Counter()
    total = waited = 0
    for line in lines:
        stack, _, count = line.rpartition(" ")
        frames = [_short(frame) for frame in stack.split(";")]
        if frames[-1].startswith(_IDLE):
            waited += int(count) if frames[-1].startswith(_LOOP) else 0
            continue
        total += int(count)
        own[frames[-1]] += int(count)
        for frame in set(frames):
            whole[frame] += int(count)
    parts = [
        f"{total} samples of one API process under creates, 16 connections, {_RATE} a second.",
        f"In {waited} more the event loop waited, or was in its own C code: the two look the same from here.",
    ]
    for title, counter in (("own time", own), ("with all it calls", whole)):
        parts += ["", title, ""]
        parts += [f"{100 * count / max(1, total):6.1f} %  {name}" for name, count in counter.most_common(MOST)]
    return "\n".join(parts) + "\n"


def _short(frame: str) -> str:
    # "function (path:line)": lines apart would hide the function; of the path, what follows the packages' folder.
    name, _, place = frame.partition(" (")
    path = place.rstrip(")").rpartition(":")[0]
    for mark in ("site-packages/", "/src/", "/lib/python"):
        path = path.rpartition(mark)[2]
    return f"{name} ({path})"
