"""A server that is killed, stopped and started again: nothing that was acknowledged is lost."""

import threading
import time
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Final

import pytest
import stripe

from tests.serving import ServerProcess
from tests.world import a_line, an_order

EPA: Final = 77123129891
PATIENCE_SECONDS: Final = 30


class Receiver:
    """A partner's receiver on this machine; it keeps what came."""

    def __init__(self) -> None:
        self.heard: list[tuple[dict[str, str], bytes]] = []
        heard = self.heard

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                """Take a delivery."""
                body = self.rfile.read(int(self.headers["Content-Length"]))
                heard.append((dict(self.headers), body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hooks"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def wait_for(self, count: int) -> None:
        """Wait until so many deliveries have come."""
        until = time.monotonic() + PATIENCE_SECONDS
        while len(self.heard) < count and time.monotonic() < until:
            time.sleep(0.05)

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def receiver() -> Generator[Receiver]:
    """A receiver."""
    made = Receiver()
    yield made
    made.close()


@pytest.fixture
def killable(tmp_path_factory: pytest.TempPathFactory) -> Generator[ServerProcess]:
    """A server of the test's own, without a worker at first."""
    server = ServerProcess(Path(tmp_path_factory.mktemp("s")))
    yield server
    server.stop()


def test_nothing_is_lost(killable: ServerProcess, receiver: Receiver) -> None:
    """Killed with -9 between order and webhook, the webhook still arrives; after a clean stop all data are there."""
    body = an_order(a_line(EPA))
    killable.start()
    with killable.client() as client:
        client.patch("/v1/partners/settings", json={"webhookUrl": receiver.url}).raise_for_status()
        secret = client.get("/v1/partners/settings/webhook-secret").json()["webhookSecret"]
        first = client.post("/v1/orders", json=body, headers={"Idempotency-Key": "before"})
        credentials = killable.demo["client_id"]
    killable.kill()
    assert receiver.heard == []

    killable.arguments = ()
    killable.start()
    receiver.wait_for(1)
    with killable.client() as client:
        again = client.post("/v1/orders", json=body, headers={"Idempotency-Key": "before"})
        second = client.post("/v1/orders", json=body, headers={"Idempotency-Key": "later"})
        receiver.wait_for(2)
    killable.stop()

    killable.start()
    with killable.client() as client:
        listed = [order["id"] for order in client.get("/v1/orders").json()["orders"]]
        replayed = client.post("/v1/orders", json=body, headers={"Idempotency-Key": "later"})

    assert (first.status_code, second.status_code) == (201, 201)
    assert again.content == first.content
    assert again.headers["Idempotent-Replayed"] == "true"
    assert replayed.content == second.content
    assert listed == [second.json()["id"], first.json()["id"]]
    assert killable.demo["client_id"] == credentials
    events = [
        stripe.Webhook.construct_event(payload, headers["X-Juniper-Signature"], secret)  # pyright: ignore
        for headers, payload in receiver.heard
    ]
    assert [(event["order"]["orderId"], event["order"]["status"]) for event in events] == [
        (first.json()["id"], "CREATED"),
        (second.json()["id"], "CREATED"),
    ]
