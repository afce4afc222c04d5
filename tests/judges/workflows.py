"""Judges of conversations: Redocly Respect walks our workflows, Prism stands between a client and the server."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import httpx2

from tests.judges import node
from tests.judges import prism as prism_proxy
from tests.judges.proxy import free_port
from tests.judges.verdict import Judged, Skipped
from tests.serving import ServerProcess
from tests.world import a_line, an_order

_REDOCLY: Final = ("@redocly/cli@2.77.0",)
_WORKFLOWS: Final = Path(__file__).with_name("orders.arazzo.yaml")
_ROOT: Final = Path(__file__).parents[2]
# Every folder of tests that ask the application over HTTP; in parts, so that each is a few minutes at most.
_PARTS: Final = (
    ("catalog", "partners", "protocols", "shipping", "oauth", "inventory"),
    ("orders", "warehouse", "sandbox", "documents", "privacy"),
    ("webhooks", "journeys"),
    ("contract/test_operations.py", "contract/test_tenants.py", "contract/test_superset.py"),
)
_PART_SECONDS: Final = 1200
_PRODUCT: Final = 77123129891


def respect(server: ServerProcess, folder: Path) -> Judged:
    """Let Respect walk the workflows: its checks of status, content type and schema, and their own criteria."""
    passed, failed = _walk(server, folder, _WORKFLOWS.read_text())
    found = [f"{len(failed)} checks failed: {', '.join(failed)}"] if failed else []
    wrong = _WORKFLOWS.read_text().replace(
        "$response.body#/status == 'CANCELLED'", "$response.body#/status == 'SHIPPED'"
    )
    if not _walk(server, folder, wrong)[1]:
        found.append("it does not see that a cancelled order was not shipped")
    return Judged(f"{passed} checks of 3 workflows passed", found)


def _walk(server: ServerProcess, folder: Path, workflows: str) -> tuple[int, list[str]]:
    place = folder / "respect"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    (place / "openapi.json").write_bytes(httpx2.get(server.url + "/openapi.json").content)
    (place / "orders.arazzo.yaml").write_text(workflows)
    with server.client() as client:
        auth = client.headers["Authorization"]
    program = node.folder_of("redocly", _REDOCLY)
    arguments = ("respect", "orders.arazzo.yaml", "--input", f"auth={auth}", "--json-output", "report.json")
    done = node.run_program(program, "redocly", *arguments, cwd=place)
    if not (place / "report.json").exists():
        raise Skipped(f"it gave no verdict: {done.stderr.strip()[-300:]}")
    report: dict[str, Any] = json.loads((place / "report.json").read_text())
    checks = [
        (f"{step['stepId']}: {check['name']}", check["status"])
        for file in report["files"].values()
        for workflow in file["executedWorkflows"]
        for step in workflow["executedSteps"]
        for check in step.get("checks", ())
    ]
    failed = [name for name, status in checks if status != "success"]
    if done.returncode != 0 and not failed:
        failed.append(done.stdout[-300:])
    return len(checks) - len(failed), failed


def prism(server: ServerProcess, folder: Path) -> Judged:
    """Let Prism judge each request and answer of a client's day; an answer that is not as promised it reports."""
    document: dict[str, Any] = httpx2.get(server.url + "/openapi.json").json()
    violations, asked = _through_prism(server, document, folder)
    found = [f"{place}: {said}" for place, said in violations]
    document["components"]["schemas"]["OrderStatus"]["enum"] = ["LOST"]
    if not _through_prism(server, document, folder)[0]:
        found.append("it does not see a status that is not in the document")
    return Judged(f"{asked} requests and answers, {len(violations)} violations", found)


def _through_prism(server: ServerProcess, document: dict[str, Any], folder: Path) -> tuple[list[tuple[str, str]], int]:
    judged_by = document | {"servers": [{"url": server.url + "/v1"}]}
    with prism_proxy.running(judged_by, server.url + "/v1", folder, free_port()) as url:
        with server.client() as known:
            headers = {"Authorization": known.headers["Authorization"]}
        with httpx2.Client(base_url=url, headers=headers, timeout=30) as client:
            return _a_day(client)


def _a_day(client: httpx2.Client) -> tuple[list[tuple[str, str]], int]:
    """Do what a partner does, and return what Prism found wrong with it."""
    answers: list[httpx2.Response] = []

    def ask(method: str, path: str, body: object = None) -> dict[str, Any]:
        answers.append(client.request(method, path, json=body))
        return answers[-1].json() if answers[-1].content and isinstance(answers[-1].json(), dict) else {}

    draft = an_order(a_line(_PRODUCT))
    order, protocol = ask("POST", "/orders", draft)["id"], ask("POST", "/protocols", draft)["id"]
    for path in ("/orders", "/products", "/protocols", "/shipping-methods", "/partners/settings", "/events"):
        ask("GET", path)
    for path in (f"/orders/{order}", f"/orders/{order}/facts", f"/protocols/{protocol}", f"/products/{_PRODUCT}"):
        ask("GET", path)
    ask("POST", "/orders/preview", draft)
    ask("POST", "/orders/bulk", {"orders": [draft]})
    ask("PATCH", f"/protocols/{protocol}", {"daysSupply": 60})
    ask("POST", f"/protocols/{protocol}/orders", {})
    ask("PATCH", "/partners/settings", {"phone": "555-123-4567"})
    ask("POST", f"/orders/{order}/hold", {"note": "Wait"})
    ask("POST", f"/orders/{order}/cancel")
    ask("GET", f"/orders/{'0' * 27}")
    found = [
        (f"{answer.request.method} {answer.request.url.path}", answer.headers[prism_proxy.VIOLATIONS][:300])
        for answer in answers
        if prism_proxy.VIOLATIONS in answer.headers
    ]
    return found, len(answers)


def prism_suite(folder: Path) -> Judged:
    """Let Prism judge every request and answer of the project's own tests; it must see a status that is none."""
    prism_proxy.program()  # not here: not asked; what breaks from here on has failed
    found: list[str] = []
    judged = 0
    said: list[str] = []
    for part in _PARTS:
        report = _suite(folder, part)
        judged += report["judged"]
        said.append(f"{', '.join(part)}: {report['summary']}")
        found += report["found"]
    if not _suite(folder, ("orders/test_list_orders.py",), "--prism-seeded")["found"]:
        found.append("it does not see a status that is not in the document")
    return Judged(f"{judged} requests with their answers ({'; '.join(said)})", found)


def _suite(folder: Path, places: tuple[str, ...], *options: str) -> dict[str, Any]:
    path = folder / "prism-suite.json"
    path.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-p", "tests.through_prism", "--prism-report", str(path), *options]
    done = subprocess.run(
        [*command, *(f"tests/{place}" for place in places)],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        timeout=_PART_SECONDS,
        check=False,
    )
    if not path.exists():
        raise RuntimeError(f"it gave no verdict: {done.stdout[-500:]}{done.stderr[-500:]}")
    report: dict[str, Any] = json.loads(path.read_text())
    if done.returncode != 0 and not report["found"]:
        report["found"] = [f"tests fail: {done.stdout[-1000:]}"]
    return report
