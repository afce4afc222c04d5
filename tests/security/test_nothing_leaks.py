"""A whole journey with marked values, faults included; afterwards nothing that was written holds a mark."""

import os
import signal
import socket
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import httpx2
import psycopg
import pytest

from fulfillment.infra.postgres import EmbeddedPostgres
from tests.receivers import Receiver, answering
from tests.serving import ServerProcess, serving
from tests.world import a_customer, a_line, an_order

EPA = 77123129891

MARKS = {
    "first name": "Zyxwophelia",
    "last name": "Quorbenstein",
    "mail": "zyxwophelia.q@example.com",
    "phone": "6505550188",
    "street": "77 Mirabel Canary Ct",
    "second line": "Annex Vermilion",
    "city": "Tumbleweed",
    "customer": "cust-canary-4711",
    "key": "key-canary-0815",
    "query": "querycanary",
    "path": "pathcanary",
    "guess": "guess-canary-secret",
    "receiver": "receiver-canary-answer",
    "hook": "hookcanary",
    "support": "supportcanary@example.com",
}


def customer(**changes: Any) -> dict[str, Any]:
    """Return the marked customer."""
    address = {
        "line1": MARKS["street"],
        "line2": MARKS["second line"],
        "city": MARKS["city"],
        "state": "CA",
        "zipCode": "94301",
    }
    return (
        a_customer(
            sourceId=MARKS["customer"],
            firstName=MARKS["first name"],
            lastName=MARKS["last name"],
            email=MARKS["mail"],
            phone=MARKS["phone"],
            address=address,
        )
        | changes
    )


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@pytest.fixture(scope="module")
def metrics_port() -> int:
    """Where this server shows its metrics."""
    return free_port()


@pytest.fixture(scope="module")
def own_server(metrics_port: int) -> Generator[ServerProcess]:
    """A server of this module's own, with worker, metrics and the most talkative log."""
    settings = {
        "FULFILLMENT_LOG_LEVEL": "debug",
        "FULFILLMENT_METRICS_PORT": str(metrics_port),
        "FULFILLMENT_WEBHOOK_RETRY_SECONDS": "0,1,1",
    }
    with serving("--processes", "2", **settings) as process:
        yield process


def walk(server: ServerProcess, receiver_url: str) -> list[str]:
    """Go through everything that takes personal data or a secret, right and wrong; return the secrets met."""
    secrets: list[str] = [server.demo["client_secret"], server.demo["operator_client_secret"]]
    with server.client() as client:
        secrets.append(client.headers["authorization"].removeprefix("Bearer "))
        hook = f"{receiver_url}/{MARKS['hook']}?token={MARKS['query']}"
        settings = client.patch("/v1/partners/settings", json={"webhookUrl": hook, "supportEmail": MARKS["support"]})
        assert settings.status_code == 200
        secrets.append(client.get("/v1/partners/settings/webhook-secret").json()["webhookSecret"])

        body = an_order(a_line(EPA), customer=customer())
        made = client.post("/v1/orders", json=body, headers={"Idempotency-Key": MARKS["key"]})
        assert made.status_code == 201
        order = made.json()["id"]
        assert client.post("/v1/orders", json=body, headers={"Idempotency-Key": MARKS["key"]}).content == made.content
        kept = client.post("/v1/protocols", json=body)
        assert kept.status_code == 201
        assert client.get("/v1/protocols", params={"search": MARKS["last name"]}).status_code == 200

        refused: list[httpx2.Response] = [
            client.post("/v1/orders", json=an_order(a_line(EPA), customer=customer(phone="1" + MARKS["phone"] * 9))),
            client.post("/v1/orders", json=an_order(a_line(1), customer=customer())),
            client.post("/v1/orders", json=body | {"daysSupply": MARKS["first name"]}),
            client.post("/v1/orders", json=body | {MARKS["first name"]: 1}),
            client.post("/v1/orders", content=f'{{"customer": "{MARKS["first name"]}'),
            client.post("/v1/orders", json=body | {"daysSupply": 31}, headers={"Idempotency-Key": MARKS["key"]}),
            client.get(f"/v1/orders/{MARKS['path']}"),
            client.get("/v1/orders", params={"cursor": MARKS["query"]}),
            client.get("/v1/orders", params={MARKS["query"]: MARKS["query"]}),
            client.get(f"/{MARKS['path']}/{MARKS['mail']}"),
            client.get("/v1/orders", headers={"Authorization": "Bearer " + MARKS["guess"]}),
            client.get("/v1/orders", headers={"Authorization": "Bearer " + secrets[2] + "x"}),
            client.post(
                "/oauth2/token",
                data={"grant_type": "client_credentials", "client_id": MARKS["guess"], "client_secret": MARKS["guess"]},
            ),
        ]
        assert all(400 <= answer.status_code < 500 for answer in refused)
        assert client.post(f"/v1/orders/{order}/cancel").status_code in {
            200,
            409,
        }  # the second time it is cancelled already
    return secrets


def break_the_database(server: ServerProcess) -> None:
    """Make PostgreSQL complain about marked rows, as the application's role, and kill its sessions under load."""
    sockets = next(server.folder.rglob(".s.PGSQL.*[0-9]"), None)
    dsn = _dsn(server)
    assert sockets is not None or dsn
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("SET fulfillment.tenant = '*'")
        for statement in (
            f"INSERT INTO orders (id, partner_id, status, days_supply, shipping_method, customer, document, created_at,"
            f" updated_at) VALUES ('x', 'y', '{MARKS['first name']}', 1, 'z', '{{}}', '{{}}', now(), now())",
            f"SELECT '{MARKS['last name']}'::int",
            f"SELECT {MARKS['query']}",
            f"INSERT INTO cache_versions VALUES ('{MARKS['mail']}')",
        ):
            with pytest.raises(psycopg.Error):
                conn.execute(statement)  # pyright: ignore[reportArgumentType]
        conn.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
            " AND usename = current_user"
        )


def _dsn(server: ServerProcess) -> str:
    return EmbeddedPostgres(server.folder).app_dsn


def api_pids(server: ServerProcess) -> list[int]:
    """Return the API processes of *server*."""
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if (
                    b"fulfillment.app" in (entry / "cmdline").read_bytes()
                    and str(server.folder).encode() in (entry / "environ").read_bytes()
                ):
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def everything_written(folder: Path) -> dict[str, str]:
    """Return what the processes wrote by file: logs, metrics, whatever they left; not the database's own files."""
    return {
        str(path.relative_to(folder)): path.read_text(errors="replace")
        for path in folder.rglob("*")
        if path.is_file()
        and path.relative_to(folder).parts[0] != "postgres"
        and path.name not in {"secrets.json", "demo.json"}
    }


def test_nothing_that_is_written_holds_a_mark(own_server: ServerProcess, metrics_port: int) -> None:
    """Names, addresses, mail, phones, keys, cursors: in no log; secrets, tokens: nowhere, whatever fails."""
    with Receiver(answering(500, MARKS["receiver"].encode())) as receiver:
        secrets = walk(own_server, receiver.url)
        until = time.monotonic() + 20
        while len(receiver.requests) < 2 and time.monotonic() < until:
            time.sleep(0.1)
        break_the_database(own_server)
        for pid in api_pids(own_server)[:1]:
            os.kill(pid, signal.SIGKILL)
        walk(own_server, receiver.url.replace("127.0.0.1", "localhost"))
        shown = httpx2.get(f"http://127.0.0.1:{metrics_port}/metrics").text
        surroundings = [Path(f"/proc/{pid}/environ").read_bytes() for pid in api_pids(own_server)]
        cluster = EmbeddedPostgres(own_server.folder).cluster_dir
        own_server.stop()

    assert len(receiver.requests) >= 2
    written = everything_written(own_server.folder) | {"metrics": shown}
    # What a sandbox prints at its first start shows the demo client's secret on purpose.
    written["log.txt"] = written["log.txt"].partition("Listening on ")[2]
    assert "request.served" in written["log.txt"]
    assert '"route":"/v1/orders/{orderId}/cancel"' in written["log.txt"]
    assert "fulfillment_http_requests_total" in shown
    assert "FATAL" in written["postgres.log"] or "ERROR" in written["postgres.log"]
    found = [
        (name, place) for place, text in written.items() for name, mark in MARKS.items() if mark.lower() in text.lower()
    ]
    assert found == []
    assert [place for place, text in written.items() for secret in secrets if secret in text] == []
    # Neither what lies on the disk, the write-ahead log included, nor what a process is started with.
    stored = [path.read_bytes() for path in cluster.rglob("*") if path.is_file()]
    assert sum(map(len, stored)) > 10_000_000
    assert surroundings
    assert [secret for secret in secrets if any(secret.encode() in text for text in (*stored, *surroundings))] == []
    events = [received.body for received in receiver.requests]
    assert [name for name, mark in MARKS.items() for body in events if mark.encode() in body] == []
