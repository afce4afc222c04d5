"""Real worker processes, as the supervisor starts them."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final, Self

_MODULE: Final = (sys.executable, "-m", "fulfillment.worker")


class Worker:
    """One worker process on one database."""

    def __init__(self, dsn: str, data_dir: Path, **settings: str) -> None:
        self._environment = os.environ | {
            "FULFILLMENT_DATABASE_URL": dsn,
            "FULFILLMENT_DATA_DIR": str(data_dir),
            "FULFILLMENT_LOG_LEVEL": "error",
            **{f"FULFILLMENT_{name.upper()}": value for name, value in settings.items()},
        }
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start it."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End it, if nobody did."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def start(self) -> None:
        """Start it, and wait until it runs."""
        reading, writing = os.pipe()
        self._process = subprocess.Popen(
            [*_MODULE, "--ready-fd", str(writing)], env=self._environment, pass_fds=(writing,)
        )
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            assert pipe.readline() == b"ready\n"

    def kill(self) -> None:
        """End it without a warning."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> int:
        """Ask it to end, and return its exit status."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(20)

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid
