"""`fulfillment demo` against a running server with a worker."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.serving import ServerProcess

pytestmark = pytest.mark.xdist_group("server")

_DEMO = "import sys; from fulfillment.cli.main import main; sys.exit(main())"


def run(folder: Path) -> "subprocess.CompletedProcess[str]":
    """Run the demo as a stranger does."""
    return subprocess.run(
        [sys.executable, "-c", _DEMO, "demo", "--data-dir", folder], capture_output=True, text=True, timeout=120
    )


def test_the_demo_tells_a_whole_order(tmp_path_factory: pytest.TempPathFactory) -> None:
    """It walks an order from search to delivery, with a verified webhook for each step, and can be run again."""
    server = ServerProcess(tmp_path_factory.mktemp("d"), arguments=())
    try:
        server.start()
        first, again = run(server.folder), run(server.folder)
        with server.client() as client:
            statuses = [order["status"] for order in client.get("/v1/orders").json()["orders"]]
            settings = client.get("/v1/partners/settings").json()
    finally:
        server.stop()
    stopped = run(server.folder)

    assert first.returncode == 0, first.stdout + first.stderr
    assert again.returncode == 0, again.stdout + again.stderr
    told = re.findall(r"webhook: ([A-Za-z_, ]+), signature verified", first.stdout)
    assert told == [
        "CREATED",
        "PROCESSING",
        "FULFILLED",
        "AWAITING_SHIPMENT",
        "SHIPPED, InTransit",
        "SHIPPED, InTransit",
        "SHIPPED, OutForDelivery",
        "SHIPPED, Delivered",
    ]
    assert "409 order_not_cancellable" in first.stdout
    assert sorted(statuses) == ["CANCELLED", "CANCELLED", "SHIPPED", "SHIPPED"]
    assert settings["webhookUrl"] is None
    assert stopped.returncode != 0
    assert "Traceback" not in stopped.stderr
