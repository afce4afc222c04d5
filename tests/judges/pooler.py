"""PgBouncer in transaction mode between the server and its database, without prepared statements."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx2
import psycopg
from psycopg.conninfo import conninfo_to_dict

from fulfillment import seeding
from fulfillment.infra import migrate
from fulfillment.infra import settings as settings_module
from fulfillment.infra.postgres import EmbeddedPostgres
from tests.judges.verdict import Judged, Skipped
from tests.serving import ServerProcess
from tests.world import a_line, an_order

_PRODUCT: Final = 77123129891
_ORDERS: Final = 60


def behind_a_pooler() -> Judged:
    """Serve behind a pooler with two server connections: orders, replays, lists, cancellations, settings."""
    program = shutil.which("pgbouncer")
    if program is None:
        raise Skipped("pgbouncer is not installed")
    folder = Path(tempfile.mkdtemp(prefix="pooled-"))
    folder.chmod(0o711)
    database = EmbeddedPostgres(folder / "database", echo=lambda _: None)
    try:
        database.start(60)
        migrate.up(database.owner_dsn)
        with _pooler(program, folder, database) as pooled:
            found = _serve(folder / "served", pooled, database.owner_dsn)
    finally:
        database.stop(hurry=lambda: True)
        shutil.rmtree(folder, ignore_errors=True)
    return Judged(f"{_ORDERS} orders, their lists, replays and cancellations, 2 API processes, a worker", found)


def _serve(folder: Path, pooled: str, owner_dsn: str) -> list[str]:
    folder.mkdir()
    # The migrations are applied already: the demo data, which a server makes after its first ones, is made here.
    seeding.first_start(settings_module.load(data_dir=folder, prepared_statements=False), pooled)
    environment = {
        "FULFILLMENT_DATABASE_URL": pooled,
        "FULFILLMENT_MIGRATION_DATABASE_URL": owner_dsn,
        "FULFILLMENT_PREPARED_STATEMENTS": "false",
    }
    server = ServerProcess(folder, ("--processes", "2"), environment)
    try:
        server.start()
        found = _use(server)
        said = server.log()
    finally:
        server.stop()
    return found + [line[:300] for line in said.splitlines() if "request.failed" in line or "job.failed" in line][:5]


@contextmanager
def _pooler(program: str, folder: Path, database: EmbeddedPostgres) -> Generator[str]:
    own = folder / "pooler"
    own.mkdir(mode=0o755)
    users = own / "users.txt"
    users.write_text('"fulfillment" ""\n')
    place = conninfo_to_dict(database.app_dsn)["host"]
    configuration = own / "pgbouncer.ini"
    configuration.write_text(
        f"[databases]\nfulfillment = host={place} dbname=fulfillment user=fulfillment\n"
        f"[pgbouncer]\npool_mode = transaction\nauth_type = any\nauth_file = {users}\nunix_socket_dir = {own}\n"
        "listen_port = 6543\ndefault_pool_size = 2\nmax_client_conn = 100\n"
        "ignore_startup_parameters = extra_float_digits\n"
    )
    identity: dict[str, Any] = {}
    if os.geteuid() == 0:  # it refuses to run as root; the cluster's owner may use the socket
        owner = database.cluster_dir.owner()
        identity = {"user": owner, "group": owner}
        for path in (own, users, configuration):
            shutil.chown(path, owner)
    process = subprocess.Popen(
        [program, "-q", configuration], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **identity
    )
    pooled = f"postgresql://fulfillment@/fulfillment?host={own}&port=6543"
    try:
        _wait(pooled)
        yield pooled
    finally:
        process.terminate()
        process.wait(10)


def _wait(dsn: str) -> None:
    until = time.monotonic() + 10
    while True:
        try:
            psycopg.connect(dsn, connect_timeout=2).close()
        except psycopg.OperationalError as error:
            if time.monotonic() > until:
                raise Skipped(f"pgbouncer does not serve: {error}") from error
            time.sleep(0.2)
        else:
            return


def _use(server: ServerProcess) -> list[str]:
    found: list[str] = []
    with server.client() as client:
        made = [_create(client, number) for number in range(_ORDERS)]
        found += [f"create: {one.status_code} {one.text[:200]}" for one in made if one.status_code != 201]
        again = [_create(client, number) for number in range(_ORDERS)]
        found += [
            "a replay is another order" for one, two in zip(made, again, strict=True) if one.content != two.content
        ]
        listed = client.get(f"/v1/orders?limit={_ORDERS}").json().get("orders", [])
        if [order["id"] for order in listed] != [one.json().get("id") for one in reversed(made)]:
            found.append("the list is not what was made")
        asked = [("POST", f"/v1/orders/{one.json().get('id')}/cancel", None) for one in made[:5]]
        asked += [("PATCH", "/v1/partners/settings", {"phone": "555-123-4567"})]
        asked += [("GET", path, None) for path in ("/v1/products?search=omega", "/v1/events", "/v1/shipping-methods")]
        for method, path, body in asked:
            answer = client.request(method, path, json=body)
            if answer.status_code != 200:
                found.append(f"{path}: {answer.status_code} {answer.text[:200]}")
    return found


def _create(client: httpx2.Client, number: int) -> httpx2.Response:
    body = an_order(a_line(_PRODUCT)) | {"shippingMethod": ("STANDARD", "EXPRESS", "OVERNIGHT")[number % 3]}
    return client.post("/v1/orders", json=body, headers={"Idempotency-Key": f"pooled-{number}"})
