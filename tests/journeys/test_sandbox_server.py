"""The sandbox on a running server with a worker: the demo, orders that move by themselves, a clock through the SDK."""

import re
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path

import pytest

from fulfillment.sdk import Client
from tests.receivers import Receiver, answering
from tests.serving import ServerProcess
from tests.world import a_customer, a_line, an_order

EPA = 77123129891
_DEMO = "import sys; from fulfillment.cli.main import main; sys.exit(main())"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Generator[ServerProcess]:
    """A server with a worker."""
    server = ServerProcess(tmp_path_factory.mktemp("d"), arguments=())
    server.start()
    yield server
    server.stop()


def run(folder: Path) -> "subprocess.CompletedProcess[str]":
    """Run the demo as a stranger does."""
    return subprocess.run(
        [sys.executable, "-c", _DEMO, "demo", "--data-dir", folder], capture_output=True, text=True, timeout=120
    )


def test_the_demo_tells_a_whole_order(running: ServerProcess) -> None:
    """It walks an order from search to delivery, with a verified webhook for each step, and can be run again."""
    first, again = run(running.folder), run(running.folder)
    with running.client() as client:
        statuses = [order["status"] for order in client.get("/v1/orders").json()["orders"]]
        settings = client.get("/v1/partners/settings").json()

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


def test_without_a_server_the_demo_says_so(tmp_path: Path) -> None:
    """A data dir without demo.json is one sentence and an exit status, no trace."""
    told = run(tmp_path)

    assert told.returncode != 0
    assert "demo.json" in told.stderr
    assert "Traceback" not in told.stderr


def test_the_worker_moves_orders(running: ServerProcess) -> None:
    """With auto-advance the worker brings an order from creation to delivery without a further request."""
    with Client.from_file(running.folder / "demo.json") as juniper:
        juniper.set_auto_advance(1)
        order = juniper.create_order(an_order(a_line(EPA), customer=a_customer(sourceId="worker")))
        until = time.monotonic() + 60
        tracking = None
        while tracking != "Delivered" and time.monotonic() < until:
            time.sleep(0.5)
            info = juniper.get_order_by_id(order.id).fulfillment_info
            tracking = info.tracking_status if info else None
        juniper.set_auto_advance(None)
        types = [event.type for event in juniper.iter_events(order_id=order.id)]

    assert tracking == "Delivered"
    assert types == [
        "order.created",
        "order.processing",
        "order.fulfilled",
        "order.awaiting_shipment",
        "order.shipped",
        *["order.tracking_updated"] * 3,
    ]


def test_a_clock_through_the_sdk(running: ServerProcess) -> None:
    """Beside a worker the clock does the same: each event is made and delivered at its moment, and the client renews
    its token by itself.
    """
    with Client.from_file(running.folder / "demo.json") as juniper, Receiver(answering()) as receiver:
        juniper.update_partner_settings({"webhookUrl": receiver.url})
        juniper.set_auto_advance(3600)
        juniper.set_clock("2026-03-02T16:00:00Z")
        order = juniper.create_order(an_order(a_line(EPA), customer=a_customer(sourceId="clock", lastName="Lost")))
        moved = juniper.advance_clock("2026-03-03T16:00:00Z")
        seen = juniper.get_order_by_id(order.id)
        got = [one.headers["x-juniper-sequence"] for one in receiver.requests if order.id.encode() in one.body]
        moments = [event.created_at.strftime("%H:%M") for event in juniper.iter_events(order_id=order.id)]
        juniper.set_clock(None)
        juniper.set_auto_advance(None)
        juniper.update_partner_settings({"webhookUrl": None})

    assert moved["completed"]
    assert seen.fulfillment_info is not None
    assert seen.fulfillment_info.tracking_status == "Expired"
    assert got == ["1", "2", "3", "4", "5", "6", "7", "8"]
    assert moments == ["16:00", "17:00", "18:00", "19:00", "20:00", "21:00", "22:00", "23:00"]
