"""Clients that others wrote or generated, each through a whole order against a real server."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from authlib.integrations.requests_client import OAuth2Session

from tests.serving import ServerProcess
from tests.world import a_line, an_order

TYPESCRIPT = Path(__file__).parents[2] / "examples" / "typescript"
GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "typescript.md"
EPA = 77123129891
OFFLINE = ("ENOTFOUND", "ECONNREFUSED", "EAI_AGAIN", "ETIMEDOUT", "ENETUNREACH", "ECONNRESET", "E403", "E404")


def test_authlib_completes_an_order(server: ServerProcess):
    """authlib gets a token, makes an order, sees it move to its shipment, and finds it in the list."""
    demo = server.demo
    with OAuth2Session(demo["client_id"], demo["client_secret"]) as session:
        session.fetch_token(demo["token_url"], grant_type="client_credentials")
        made = session.post(
            f"{demo['api_url']}/orders", json=an_order(a_line(EPA)), headers={"Idempotency-Key": "authlib-1"}
        )
        order_id = made.json()["id"]
        moved = session.post(f"{demo['api_url']}/sandbox/orders/{order_id}/advance", json={"to": "SHIPPED"})
        read = session.get(f"{demo['api_url']}/orders/{order_id}").json()
        listed = session.get(f"{demo['api_url']}/orders", params={"status": "SHIPPED", "limit": 100}).json()

    assert made.status_code == 201
    assert moved.status_code == 200
    assert read["status"] == "SHIPPED"
    assert read["fulfillmentInfo"]["trackingNumber"]
    assert order_id in [order["id"] for order in listed["orders"]]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The TypeScript example with its packages installed; skipped where there is no npm or no registry."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        pytest.skip("node and npm are not installed")
    if int(_run(["node", "--version"], Path.cwd()).stdout.lstrip("v").split(".")[0]) < 20:
        pytest.skip("node is older than 20")
    folder = tmp_path_factory.mktemp("typescript") / "project"
    shutil.copytree(TYPESCRIPT, folder, ignore=shutil.ignore_patterns("node_modules", "dist", "juniper.ts"))
    done = _run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"], folder)
    if done.returncode != 0 and any(word in done.stderr for word in OFFLINE):
        pytest.skip("npm reaches no registry")
    assert done.returncode == 0, done.stderr
    return folder


def _run(command: list[str], folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=folder, env=os.environ | variables, capture_output=True, text=True, timeout=240, check=False
    )


def test_a_generated_typescript_client_completes_an_order(server: ServerProcess, project: Path):
    """The client generated from the served document passes the type check and makes an order."""
    generated = _run(["npm", "run", "generate"], project, OPENAPI=server.url + "/openapi.json")
    assert generated.returncode == 0, generated.stderr
    built = _run(["npm", "run", "build"], project)
    assert built.returncode == 0, built.stdout
    (project / "demo.json").write_text(json.dumps(server.demo))

    ran = _run(["node", "dist/order.js", "demo.json"], project)

    assert ran.returncode == 0, ran.stderr
    order = json.loads(ran.stdout)
    with server.client() as api:
        read = api.get(f"/v1/orders/{order['id']}").json()
    assert order == {"id": read["id"], "status": "CREATED", "total": read["total"]}


def test_the_type_check_finds_a_misspelt_field(server: ServerProcess, project: Path):
    """A field that the API does not have is an error of compilation."""
    assert _run(["npm", "run", "generate"], project, OPENAPI=server.url + "/openapi.json").returncode == 0
    source = project / "src" / "order.ts"
    text = source.read_text()
    source.write_text(text.replace("daysSupply: 30", "daySupply: 30"))

    checked = _run(["npm", "run", "check"], project)

    source.write_text(text)
    assert checked.returncode != 0
    assert "daySupply" in checked.stdout


def test_the_guide_shows_the_tested_typescript():
    """What the guide shows is the example's text."""
    guide = GUIDE.read_text()

    for name in ("client.ts", "order.ts"):
        assert (TYPESCRIPT / "src" / name).read_text().strip() in guide, name


def test_the_lock_names_no_registry():
    """The lock file pins every package by its hash and names no host to fetch it from."""
    lock = json.loads((TYPESCRIPT / "package-lock.json").read_text())

    packages = {name: package for name, package in lock["packages"].items() if name}
    assert all("integrity" in package and "resolved" not in package for package in packages.values())
