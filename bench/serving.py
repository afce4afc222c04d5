"""`fulfillment serve` as a user starts it, in a folder of its own, and further API processes on its database."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import load

from fulfillment.infra.postgres import EmbeddedPostgres

# One order in one transaction: what the intake does for a single caller, done for each of many.
UNBATCHED = """
from fulfillment.orders import intake
intake._MOST = 1
from fulfillment.app import main
main()
"""
TOKENS_LAST = {"FULFILLMENT_TOKEN_TTL_SECONDS": "86400"}


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


class Server:
    """A server on *folder*, which is new or was used before; constructing it waits until it is ready."""

    def __init__(self, folder: Path, processes: int) -> None:
        self.folder, self.port = folder, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        began = time.monotonic()
        with (folder / "serve.log").open("w") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "fulfillment", "serve", "--data-dir", str(folder / "var")),
                    *("--port", str(self.port), "--processes", str(processes)),
                ],
                stdout=log,
                stderr=log,
                env=os.environ | TOKENS_LAST,
            )
        wait_until_ready(self.url, self.process, folder / "serve.log")
        self.started_seconds = time.monotonic() - began
        self.groups = load.Groups(self.process.pid)
        self.database = EmbeddedPostgres(folder / "var", echo=lambda _: None)

    def stop(self) -> None:
        """Stop it and all of its processes."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)

    def token(self, client: tuple[str, str]) -> str:
        """Return an access token."""
        form = urllib.parse.urlencode(
            {"grant_type": "client_credentials", "client_id": client[0], "client_secret": client[1]}
        )
        with urllib.request.urlopen(f"{self.url}/oauth2/token", form.encode(), timeout=10) as answer:
            return json.load(answer)["access_token"]

    def get(self, path: str, token: str) -> dict:
        """Return the JSON of a GET."""
        request = urllib.request.Request(self.url + path, headers={"Authorization": f"Bearer {token}"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def create(self, token: str, product_ids: list[int]) -> str:
        """Create an order of one line each and return its id."""
        request = urllib.request.Request(
            f"{self.url}/v1/orders",
            json.dumps(order(product_ids)).encode(),
            {"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)["id"]

    @contextmanager
    def unbatched(self) -> Generator[tuple[str, load.Groups]]:
        """Run one more API process, whose intake never joins two orders, and give its address and the processes."""
        port = free_port()
        variables = {
            "FULFILLMENT_DATABASE_URL": self.database.app_dsn,
            "FULFILLMENT_DATA_DIR": str(self.folder / "var"),
            "FULFILLMENT_PORT": str(port),
            "FULFILLMENT_PUBLIC_URL": self.url,  # whose tokens it takes
        }
        with (self.folder / "unbatched.log").open("w") as log:
            process = subprocess.Popen(
                [sys.executable, "-c", UNBATCHED], env=os.environ | TOKENS_LAST | variables, stdout=log, stderr=log
            )
        try:
            wait_until_ready(f"http://127.0.0.1:{port}", process, self.folder / "unbatched.log")
            yield f"http://127.0.0.1:{port}", self.groups.beside(process.pid)
        finally:
            process.terminate()
            process.wait(30)


def wait_until_ready(url: str, process: subprocess.Popen, log: Path) -> None:
    """Return when /readyz says so."""
    while True:
        try:
            with urllib.request.urlopen(f"{url}/readyz", timeout=2):
                return
        except OSError:
            if process.poll() is not None:
                raise SystemExit(log.read_text()) from None
            time.sleep(0.02)


def order(product_ids: list[int]) -> dict:
    """Return the body of an order."""
    return {
        "customer": {
            "sourceId": "c0",
            "firstName": "John",
            "lastName": "Doe",
            "address": {"line1": "437 Lytton Ave", "city": "Palo Alto", "state": "CA", "zipCode": "94301"},
        },
        "daysSupply": 30,
        "lineItems": [
            {
                "productId": product,
                "quantity": 1,
                "packDescription": "Daily Pack",
                "administration": {"morning": 1, "afternoon": 0, "evening": 0, "sleep": 0},
            }
            for product in product_ids
        ],
        "shippingMethod": "STANDARD",
    }
