"""A partner at the command line: its deliveries over the public API, a laptop that listens, a receiver examined."""

import json
import threading
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from fulfillment.cli.main import main
from fulfillment.sdk import webhooks as partner_side
from tests.receivers import Connection, Receiver, answering, head
from tests.serving import ServerProcess, serving
from tests.world import a_line, an_order

SECRET = "5f" * 32


@pytest.fixture(scope="module")
def live() -> Generator[ServerProcess]:
    """A server with its worker."""
    with serving() as process:
        yield process


@pytest.fixture(autouse=True)
def nobody_logged_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No login of this machine's user gets in."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))


def run(*arguments: str | Path) -> int:
    """Run the command line in this process; return its exit status."""
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return int(ended.value.code or 0)


def order(live: ServerProcess) -> str:
    """Create an order over the API."""
    with live.client() as client:
        answer = client.post("/v1/orders", json=an_order(a_line(77123129891)))
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def webhook_url(live: ServerProcess, url: str | None) -> None:
    """Set the demo partner's webhookUrl."""
    with live.client() as client:
        assert client.patch("/v1/partners/settings", json={"webhookUrl": url}).status_code == 200


def until(met: Any, seconds: float = 15) -> None:
    """Wait until *met* is true."""
    ends = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < ends
        time.sleep(0.05)


def test_list_show_redeliver_replay_and_test(live: ServerProcess, capsys: pytest.CaptureFixture[str]):
    """An order's delivery is listed and shown; it comes again by redelivery and by replay; a test shows the answer."""

    def cli(*arguments: str) -> Any:
        status = run("webhooks", *arguments, "--json", "--data-dir", live.folder)
        assert status == 0
        return json.loads(capsys.readouterr().out)

    with Receiver(answering(200, b"thanks")) as receiver:
        webhook_url(live, receiver.url)
        order_id = order(live)
        until(lambda: len(receiver.requests) == 1)
        until(lambda: cli("list", "--order", order_id, "--status", "DELIVERED"))
        (listed,) = cli("list", "--order", order_id)
        shown = cli("show", listed["id"])
        cli("redeliver", listed["id"])
        until(lambda: len(receiver.requests) == 2)
        until(lambda: cli("show", listed["id"])["status"] == "DELIVERED")
        job = cli("replay", "--since", "2020-01-01T00:00:00Z", "--wait")
        tested = cli("test")

    assert listed["type"] == "order.created"
    assert [one["answer"] for one in shown["attempts"]] == ["thanks"]
    assert shown["event"]["data"]["order"]["orderId"] == order_id
    assert (job["status"], job["total"], job["done"]) == ("DONE", 1, 1)
    assert (tested["delivered"], tested["answer"]) == (True, "thanks")
    assert [one.headers["x-juniper-event-type"] for one in receiver.requests] == ["order.created"] * 3 + ["test"]


def test_listen_forwards_new_events_signed(live: ServerProcess, capsys: pytest.CaptureFixture[str]):
    """What happens while a laptop listens arrives there, signed with the secret, and each answer is printed."""
    webhook_url(live, None)
    old = order(live)
    made: list[str] = []

    with Receiver(answering(204, b"")) as laptop:
        later = threading.Timer(1.5, lambda: made.extend((order(live), order(live))))
        later.start()
        listening = ("webhooks", "listen", "--forward-to", laptop.url, "--secret", SECRET, "--events", "2")
        assert run(*listening, "--data-dir", live.folder) == 0
        later.join()

    printed = capsys.readouterr().out
    events = [partner_side.verify(one.body, one.headers["x-juniper-signature"], SECRET) for one in laptop.requests]
    assert [event.order_id for event in events] == made
    assert old not in printed
    assert [line.split("->")[1].split("(")[0].strip() for line in printed.splitlines() if "->" in line] == [
        "204 Whatever",
        "204 Whatever",
    ]


def verifying(connection: Connection) -> None:
    """A receiver as it should be."""
    while (got := connection.request()) is not None:
        try:
            partner_side.verify(got.body, got.headers.get("x-juniper-signature", ""), SECRET)
        except partner_side.SignatureInvalid:
            connection.send(head(401, Content_Length=0))
        except partner_side.MalformedEvent:
            connection.send(head(200, Content_Length=0))
        else:
            connection.send(head(200, Content_Length=0))


def test_the_doctor_finds_a_good_receiver_healthy(capsys: pytest.CaptureFixture[str]):
    """A receiver that verifies, and takes what it does not know, has every point and exit status 0."""
    with Receiver(verifying) as receiver:
        status = run("webhooks", "doctor", "--url", receiver.url, "--secret", SECRET, "--json")

    report = json.loads(capsys.readouterr().out)
    assert status == 0
    assert len(report["checks"]) == 18
    assert [one["check"] for one in report["checks"] if not one["passed"]] == []
    assert report["score"] == report["best"]


def test_the_doctor_finds_a_credulous_receiver(capsys: pytest.CaptureFixture[str]):
    """A receiver that takes everything fails exactly the refusals, and the report says what to do."""
    with Receiver(answering()) as receiver:
        status = run("webhooks", "doctor", "--url", receiver.url, "--secret", SECRET)

    printed = capsys.readouterr().out
    assert status == 1
    assert printed.count("FAIL") == 7
    assert "compare the signature" in " ".join(printed.split())


def test_the_doctor_finds_nobody_at_home(capsys: pytest.CaptureFixture[str]):
    """A receiver that is not there has no point at all."""
    with Receiver(answering()) as receiver:
        url = receiver.url

    status = run("webhooks", "doctor", "--url", url, "--secret", SECRET, "--json")

    report = json.loads(capsys.readouterr().out)
    assert status == 1
    assert report["score"] == 0


def test_without_credentials_the_command_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """No login, no demo.json: exit status 3 and a sentence."""
    status = run("webhooks", "list", "--data-dir", tmp_path)

    assert status == 3
    assert "login" in capsys.readouterr().err
