"""A real `fulfillment serve` process, as an operator starts it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx2

from tests import pooled

_PATIENCE_SECONDS: Final = 60
_SERVE: Final = "import sys; from fulfillment.cli.main import main; sys.exit(main())"


@dataclass(slots=True)
class ServerProcess:
    """One server on one data folder; it may be started and stopped again and again."""

    folder: Path
    arguments: tuple[str, ...] = ("--no-worker",)
    environment: dict[str, str] = field(default_factory=dict[str, str])
    url: str = ""
    demo: dict[str, str] = field(default_factory=dict[str, str])
    _process: "subprocess.Popen[bytes] | None" = None
    _database: pooled.PooledDatabase | None = None

    def start(self) -> None:
        """Start it and wait until it serves."""
        environment = os.environ | {"FULFILLMENT_LOG_FORMAT": "json"} | self.environment
        if pooled.ASKED and "FULFILLMENT_DATABASE_URL" not in environment:
            self._database = pooled.PooledDatabase(self.folder)
            environment |= self._database.start()
        with (self.folder / "log.txt").open("ab") as log:
            begin = log.tell()
            self._process = subprocess.Popen(
                [sys.executable, "-c", _SERVE, "serve", "--port", "0", "--data-dir", self.folder, *self.arguments],
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
            )
        self._wait(begin)
        self.demo = json.loads((self.folder / "demo.json").read_text())

    def _wait(self, begin: int) -> None:
        marker = "Listening on "
        until = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < until:
            assert self._process is not None
            assert self._process.poll() is None, self.log()[begin:]
            for line in self.log()[begin:].splitlines():
                if line.startswith(marker) and self._ready(line.removeprefix(marker).strip()):
                    return
            time.sleep(0.1)
        raise TimeoutError(self.log()[begin:])

    def _ready(self, url: str) -> bool:
        self.url = url
        try:
            return httpx2.get(url + "/readyz").status_code == 200
        except httpx2.TransportError:
            return False

    @property
    def pid(self) -> int:
        """Return the supervisor's process id."""
        assert self._process is not None
        return self._process.pid

    def stop(self) -> None:
        """End it as Ctrl-C does, and wait."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(30)
            self._process = None
        if self._database is not None:
            self._database.stop()
            self._database = None

    def kill(self) -> None:
        """End it and all of its children, the database too, without a word (kill -9)."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(30)
            self._process = None
        if self._database is not None:
            self._database.kill()
            self._database = None

    def log(self) -> str:
        """Return all that it has written."""
        return (self.folder / "log.txt").read_text(errors="replace")

    def client(self) -> httpx2.Client:
        """Return a client of the demo partner, with its token."""
        return self.client_of(self.demo["client_id"], self.demo["client_secret"])

    def client_of(self, client_id: str, secret: str) -> httpx2.Client:
        """Return a client with a token of an OAuth client."""
        form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": secret}
        token: dict[str, Any] = httpx2.post(self.url + "/oauth2/token", data=form).json()
        return httpx2.Client(
            base_url=self.url, headers={"Authorization": f"Bearer {token['access_token']}"}, timeout=30
        )


@contextmanager
def serving(*arguments: str, **environment: str) -> Generator[ServerProcess]:
    """Give a server on a folder of its own, both gone behind the block."""
    folder = Path(tempfile.mkdtemp(prefix="js-"))  # short: a socket's path has little room
    folder.chmod(0o711)
    process = ServerProcess(folder, arguments, environment)
    process.start()
    try:
        yield process
    finally:
        process.stop()
        shutil.rmtree(folder, ignore_errors=True)
