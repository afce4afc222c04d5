"""PgBouncer in transaction mode before the database: a server behind it, and the project's own tests."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

import httpx2

from fulfillment import seeding
from fulfillment.infra import migrate
from fulfillment.infra import settings as settings_module
from fulfillment.infra.postgres import EmbeddedPostgres
from tests import pooled
from tests.judges.verdict import Judged, Skipped
from tests.serving import ServerProcess
from tests.world import a_line, an_order

_PRODUCT: Final = 77123129891
_ORDERS: Final = 60
_ROOT: Final = Path(__file__).parents[2]
# Pages, generated clients, other programs and parsers: they meet the database, if at all, over ways that others take.
_LEFT_OUT: Final = ("browser", "site", "judges", "fuzz", "contract/test_schemathesis.py")
_SECONDS: Final = 3600


def behind_a_pooler() -> Judged:
    """Serve behind a pooler with two server connections: orders, replays, lists, cancellations, settings."""
    _ask_for_the_program()
    folder = Path(tempfile.mkdtemp(prefix="pooled-"))
    folder.chmod(0o711)
    database = EmbeddedPostgres(folder / "database", echo=lambda _: None)
    try:
        database.start(60)
        migrate.up(database.owner_dsn)
        with pooled.pooler(database) as through:
            found = _serve(folder / "served", through, database.owner_dsn)
    finally:
        database.stop(hurry=lambda: True)
        shutil.rmtree(folder, ignore_errors=True)
    return Judged(f"{_ORDERS} orders, their lists, replays and cancellations, 2 API processes, a worker", found)


def suite_behind_a_pooler(folder: Path) -> Judged:
    """Run the project's own tests with every connection of the application through the pooler."""
    _ask_for_the_program()
    report = folder / "pooled.xml"
    command = [sys.executable, "-m", "pytest", "-n", "2", "--dist", "loadfile", "--junitxml", str(report), "tests"]
    command += [f"--ignore=tests/{path}" for path in _LEFT_OUT]
    environment = os.environ | {"TESTS_POOLED": "1"}
    done = subprocess.run(
        command, cwd=_ROOT, env=environment, capture_output=True, text=True, timeout=_SECONDS, check=False
    )
    if not report.exists():
        return Judged("it did not run", [done.stdout[-3000:] + done.stderr[-3000:]])
    said, found = told(report)
    if done.returncode != 0 and not found:
        found.append(done.stdout[-3000:])
    return Judged(said, found)


def told(report: Path) -> tuple[str, list[str]]:
    """Return how the tests of a JUnit report went, and what is wrong with that."""
    found: list[str] = []
    skipped: dict[str, str] = {}
    cases = list(ElementTree.parse(report).iter("testcase"))
    for case in cases:
        name = f"{case.get('classname', '').replace('.', '/')}.py::{case.get('name')}"
        for fault in (*case.findall("failure"), *case.findall("error")):
            found.append(f"{name}: {fault.get('message', '')[:300]}")
        for skip in case.findall("skipped"):
            skipped[name] = skip.get("message", "")
    failed = len(found)
    found += [
        f"{beginning} is left out behind a pooler, and is no test"
        for beginning in pooled.UNPOOLED
        if not any(name.startswith(beginning) for name in skipped)
    ]
    reasons = "; ".join(f"{name.rpartition('::')[2]}: {reason}" for name, reason in sorted(skipped.items()))
    passed = len(cases) - failed - len(skipped)
    return f"{passed} passed, {failed} failed, {len(skipped)} skipped ({reasons})", found


def _ask_for_the_program() -> None:
    try:
        pooled.find()
    except pooled.PoolerMissing as missing:
        raise Skipped(str(missing)) from missing


def _serve(folder: Path, through: str, owner_dsn: str) -> list[str]:
    folder.mkdir()
    # The migrations are applied already: the demo data, which a server makes after its first ones, is made here.
    seeding.first_start(settings_module.load(data_dir=folder, prepared_statements=False), through)
    environment = {
        "FULFILLMENT_DATABASE_URL": through,
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
