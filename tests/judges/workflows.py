"""Judges of conversations: Redocly Respect walks our workflows, Prism stands between a client and the server."""

import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any, Final

import httpx2

from tests.judges import node
from tests.judges.proxy import free_port
from tests.judges.verdict import Judged, Skipped
from tests.serving import ServerProcess
from tests.world import a_line, an_order

_REDOCLY: Final = ("@redocly/cli@2.77.0",)
_PRISM: Final = ("@stoplight/prism-cli@5.16.0",)
_WORKFLOWS: Final = Path(__file__).with_name("orders.arazzo.yaml")
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
    program = node.folder_of("prism", _PRISM)
    path = folder / "prism.json"
    path.write_text(json.dumps(document | {"servers": [{"url": server.url + "/v1"}]}))
    port = free_port()
    # node itself, no wrapper: what is started here is what is ended here.
    prism = program / "node_modules" / "@stoplight" / "prism-cli" / "dist" / "index.js"
    command = ["node", str(prism), "proxy", str(path), server.url + "/v1", "--port", str(port), "--host", "127.0.0.1"]
    process = subprocess.Popen(
        [*command, "--multiprocess", "false"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        with server.client() as known:
            headers = {"Authorization": known.headers["Authorization"]}
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=30) as client:
            _wait(client)
            return _a_day(client)
    finally:
        process.terminate()
        process.wait(10)


def _wait(client: httpx2.Client) -> None:
    until = time.monotonic() + 30
    while True:
        try:
            client.get("/shipping-methods")
        except httpx2.TransportError as error:
            if time.monotonic() > until:
                raise Skipped("prism does not serve") from error
            time.sleep(0.3)
        else:
            return


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
        (f"{answer.request.method} {answer.request.url.path}", answer.headers["sl-violations"][:300])
        for answer in answers
        if "sl-violations" in answer.headers
    ]
    return found, len(answers)
