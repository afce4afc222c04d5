"""A server that is stopped, or killed, and started again."""

from pathlib import Path

import pytest

from tests.serving import ServerProcess
from tests.world import a_line, an_order

EPA = 77123129891

pytestmark = pytest.mark.xdist_group("server")


def test_data_is_kept_over_a_stop_and_a_kill(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Orders, credentials and idempotency keys live through a clean stop and through kill -9 of everything."""
    server = ServerProcess(Path(tmp_path_factory.mktemp("s")))
    body = an_order(a_line(EPA))
    try:
        server.start()
        with server.client() as client:
            first = client.post("/v1/orders", json=body, headers={"Idempotency-Key": "before"})
            before = server.demo

        server.stop()
        server.start()
        with server.client() as client:
            again = client.post("/v1/orders", json=body, headers={"Idempotency-Key": "before"})
            second = client.post("/v1/orders", json=body, headers={"Idempotency-Key": "later"})

        server.kill()
        server.start()
        with server.client() as client:
            listed = [order["id"] for order in client.get("/v1/orders").json()["orders"]]
            replayed = client.post("/v1/orders", json=body, headers={"Idempotency-Key": "later"})
    finally:
        server.stop()

    assert first.status_code == 201
    assert again.content == first.content
    assert again.headers["Idempotent-Replayed"] == "true"
    assert replayed.content == second.content
    assert listed == [second.json()["id"], first.json()["id"]]
    assert server.demo["client_id"] == before["client_id"]
