"""The quickstart, as a reader follows it: its commands, from an empty folder, against a new server."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serving import ServerProcess

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "quickstart.md"
_BLOCK = re.compile(r"^```(\w+)( server)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
pytestmark = [
    pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed"),
]


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, ServerProcess]]:
    """An empty folder in which `make run` has just been typed: only var/ is there."""
    folder = tmp_path_factory.mktemp("quickstart")
    server = ServerProcess(folder / "var", arguments=())
    server.folder.mkdir()
    server.start()
    yield folder, server
    server.stop()


def _blocks(language: str, url: str) -> list[str]:
    found = [match.groups() for match in _BLOCK.finditer(GUIDE.read_text())]
    return [
        text.replace("http://127.0.0.1:8000", url) for kind, server, text in found if kind == language and not server
    ]


def _environment(home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("FULFILLMENT_", "JUNIPER_"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return kept | {"HOME": str(home), "XDG_CONFIG_HOME": str(home / ".config"), "PATH": path, "COLUMNS": "120"}


def test_the_quickstarts_commands_work(clean: tuple[Path, ServerProcess]):
    """Every command of the quickstart succeeds, and at the end the order is delivered."""
    folder, server = clean
    script = "set -euo pipefail\n" + "\n".join(_blocks("sh", server.url))

    done = subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env=_environment(folder),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, done.stderr + done.stdout
    made = json.loads((folder / "created.json").read_text())
    with server.client() as api:
        order = api.get(f"/v1/orders/{made['id']}").json()
        settings = api.get("/v1/partners/settings").json()
    assert (order["status"], order["fulfillmentInfo"]["trackingStatus"]) == ("SHIPPED", "Delivered")
    assert order["customer"]["firstName"] == "John"
    assert settings["webhookUrl"] == "http://127.0.0.1:9000/hooks"
    assert "You are Acme Health" in done.stdout
    assert "It can be made." in done.stdout
    assert "Elite EPA" in done.stdout
    assert "carrier_exception" in done.stdout
    assert "order.shipped" in done.stdout
    assert (folder / ".config/juniper/default.json").stat().st_mode & 0o777 == 0o600


def test_the_quickstarts_python_works(clean: tuple[Path, ServerProcess]):
    """The quickstart's program finds a product and lists orders."""
    folder, server = clean

    for program in _blocks("python", server.url):
        done = subprocess.run(
            [sys.executable, "-c", program],
            cwd=folder,
            env=_environment(folder),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

        assert done.returncode == 0, done.stderr
        assert "Fish Oil" in done.stdout


def test_the_quickstart_is_a_few_commands():
    """The quickstart has its one start and its eleven blocks of commands, so that nothing is left out by mistake."""
    found = [match.groups()[:2] for match in _BLOCK.finditer(GUIDE.read_text())]

    assert found.count(("sh", " server")) == 1
    assert len([kind for kind, server in found if kind == "sh" and not server]) == 11
