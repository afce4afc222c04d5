"""What a result was measured on."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path


def facts() -> dict:
    """Return the machine, the commit and the moment."""
    here = Path(__file__).parent
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=here, capture_output=True, text=True, check=False
    )
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit.stdout.strip(),
        "machine": f"{os.cpu_count()} x {_processor()}, {_memory()} MiB, Linux {platform.release()}, "
        f"Python {platform.python_version()}",
        "load_average": os.getloadavg(),
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def _memory() -> int:
    return int(Path("/proc/meminfo").read_text().split()[1]) // 1024
