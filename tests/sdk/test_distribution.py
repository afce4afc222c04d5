"""The SDK as partners install it: its own wheel, and the example receivers on top of it."""

import ast
import os
import socket
import sqlite3
import subprocess
import sys
import time
import tomllib
import urllib.error
import urllib.request
import zipfile
from collections.abc import Generator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

import fulfillment.sdk
from tests.sdk.samples import ORDER, ORDER_ID, SECRET
from tests.sdk.server import Play, ScriptedServer
from tests.sdk.test_webhooks import openssl

ROOT = Path(__file__).parents[2]
SDK = ROOT / "src" / "fulfillment" / "sdk"
KEY = SECRET["webhookSecret"]


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with nothing but the installed wheel."""
    built, site = tmp_path_factory.mktemp("dist"), tmp_path_factory.mktemp("site")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(built)],
        cwd=ROOT / "sdk",
        check=True,
        capture_output=True,
    )
    zipfile.ZipFile(next(built.glob("*.whl"))).extractall(site)
    return site


def run(site: Path, code: str, variables: Mapping[str, str] | None = None) -> str:
    """Run code in a process that has the wheel and not the checkout."""
    environ = {**os.environ, "PYTHONPATH": str(site), **(variables or {})}
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=site, env=environ, check=True, capture_output=True, text=True
    )
    return ran.stdout.strip()


def test_the_wheel_is_the_same_code(site: Path):
    """The wheel holds every file of the SDK, byte by byte, and nothing else."""
    ours = {file.relative_to(SDK): file.read_bytes() for file in SDK.rglob("*.py")}
    theirs = {
        file.relative_to(site / "juniper_fulfillment"): file.read_bytes()
        for file in (site / "juniper_fulfillment").rglob("*.py")
    }

    assert theirs == ours
    assert (site / "juniper_fulfillment" / "py.typed").is_file()


def test_the_version_is_said_once_and_again():
    """The distribution's version is the one the code reports."""
    described = tomllib.loads((ROOT / "sdk" / "pyproject.toml").read_text())["project"]

    assert described["version"] == fulfillment.sdk.__version__


def test_it_needs_only_httpx2(site: Path):
    """Both clients are made without any module of the server, and without any package but httpx2's own."""
    code = """
import sys
from juniper_fulfillment import AsyncClient, Client
before = "httpx2" in sys.modules
for kind in (Client, AsyncClient):
    kind("http://a/v1", "http://a/token", "i", "s")
print(before, [name for name in sys.modules if name.split(".")[0] in ("fulfillment", "pydantic", "fastapi")])
"""
    assert run(site, code) == "False []"


def test_only_relative_imports():
    """The code works under any name, because it imports itself relatively."""
    modules = {
        name.split(".")[0]
        for file in SDK.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        for name in _absolute_imports(node)
    }

    assert modules - sys.stdlib_module_names == {"httpx2", "anyio"}


def _absolute_imports(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.level == 0:
        return [node.module or ""]
    return []


def test_the_readmes_example_runs(site: Path, server: ScriptedServer):
    """The first example of the README makes an order with nothing but the wheel and the four variables."""
    example = (ROOT / "sdk" / "README.md").read_text().split("```python\n")[1].split("```")[0]
    server.plays(Play(201, ORDER))
    connection = {
        "JUNIPER_API_URL": f"{server.url}/v1",
        "JUNIPER_TOKEN_URL": f"{server.url}/oauth2/token",
        "JUNIPER_CLIENT_ID": "client-1",
        "JUNIPER_CLIENT_SECRET": "secret-1",
    }

    assert run(site, example, connection) == f"{ORDER_ID} SHIPPED 34.57"


@dataclass
class Receiver:
    """A running example receiver."""

    url: str
    database: Path

    def post(self, body: bytes, *, event: str, sequence: int, secret: str = KEY, **headers: str) -> int:
        """Send an event as Juniper does, and return the status."""
        now = int(time.time())
        sent = {
            "Content-Type": "application/json",
            "X-Juniper-Signature": f"t={now},v1={openssl(body, secret, now)}",
            "X-Juniper-Event-Id": event,
            "X-Juniper-Sequence": str(sequence),
            **headers,
        }
        request = urllib.request.Request(self.url, body, sent)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            error.close()
            return error.code

    def orders(self) -> list[tuple[str, int, str]]:
        """Return what the receiver knows."""
        with closing(sqlite3.connect(self.database)) as db:
            return db.execute("SELECT id, sequence, status FROM orders").fetchall()


@contextmanager
def running(name: str, site: Path, folder: Path) -> Generator[Receiver]:
    """Run an example as its docstring says, until the block ends."""
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    database = folder / "orders.sqlite3"
    environ = {
        **os.environ,
        "PYTHONPATH": str(site),
        "JUNIPER_WEBHOOK_SECRET": KEY,
        "PORT": str(port),
        "DATABASE": str(database),
    }
    example = ROOT / "examples" / "receivers" / f"{name}_receiver.py"
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([sys.executable, example], env=environ, cwd=folder, stdout=log, stderr=log)
        try:
            _await_port(port, process, folder / "log")
            yield Receiver(f"http://127.0.0.1:{port}/webhooks/juniper", database)
        finally:
            process.terminate()
            process.wait(10)


def _await_port(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(400):
        if process.poll() is not None:
            break
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise AssertionError(log.read_text())


def body(status: str) -> bytes:
    """Return an event's body."""
    return (
        f'{{"order": {{"orderId": "{ORDER_ID}", "status": "{status}", '
        '"createdAt": "2023-10-01T12:00:00Z", "updatedAt": "2023-10-05T14:30:00Z"}}'
    ).encode()


@pytest.mark.parametrize("name", ["fastapi", "flask", "django"])
def test_receivers(name: str, site: Path, tmp_path: Path):
    """Each example takes what is signed, refuses what is not, and holds on to order and uniqueness."""
    with running(name, site, tmp_path) as receiver:
        assert receiver.post(body("CREATED"), event="e1", sequence=1) == 204
        assert receiver.orders() == [(ORDER_ID, 1, "CREATED")]

        assert receiver.post(body("SHIPPED"), event="e5", sequence=5, secret="f" * 64) == 400
        assert receiver.post(body("SHIPPED"), event="e5", sequence=5, **{"X-Juniper-Signature": ""}) == 400
        assert receiver.orders() == [(ORDER_ID, 1, "CREATED")]

        assert receiver.post(body("FULFILLED"), event="e3", sequence=3) == 204
        assert receiver.post(body("PROCESSING"), event="e2", sequence=2) == 204
        assert receiver.orders() == [(ORDER_ID, 3, "FULFILLED")]

        assert receiver.post(body("SHIPPED"), event="e3", sequence=9) == 204
        assert receiver.orders() == [(ORDER_ID, 3, "FULFILLED")]

        assert receiver.post(b'{"type": "test", "new": [1]}', event="e9", sequence=0) == 204
        assert receiver.orders() == [(ORDER_ID, 3, "FULFILLED")]
