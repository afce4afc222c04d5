"""Stoplight Prism: a proxy that says in a header where a request or an answer is not as the document promises."""

import json
import signal
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx2

from fulfillment.infra.processes import tied_to_parent
from tests.judges import node
from tests.judges.verdict import Skipped

VIOLATIONS: Final = "sl-violations"
_PACKAGES: Final = ("@stoplight/prism-cli@5.16.0",)
_PATIENCE_SECONDS: Final = 60


def program() -> Path:
    """Return Prism's program.

    Raises:
        NodeMissing: It can't be installed.
    """
    return node.folder_of("prism", _PACKAGES) / "node_modules" / "@stoplight" / "prism-cli" / "dist" / "index.js"


@contextmanager
def running(document: dict[str, Any], upstream: str, folder: Path, port: int) -> Generator[str]:
    """Give the address of a Prism before *upstream* that judges by *document*; it ends behind the block.

    Args:
        folder: Where the document is laid.
        port: A free one.

    Raises:
        NodeMissing: It can't be installed.
        Skipped: It does not serve.
    """
    path = folder / "prism.json"
    path.write_text(json.dumps(document))
    # node itself, no wrapper: what is started here is what is ended here.
    command = ["node", str(program()), "proxy", str(path), upstream, "--port", str(port), "--host", "127.0.0.1"]
    process = subprocess.Popen(
        [*command, "--multiprocess", "false", "--verboseLevel", "silent"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=tied_to_parent(signal.SIGKILL),
    )
    try:
        _wait(f"http://127.0.0.1:{port}")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def _wait(url: str) -> None:
    until = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            httpx2.get(url + "/shipping-methods", timeout=5)
        except httpx2.TransportError as error:
            if time.monotonic() > until:
                raise Skipped("prism does not serve") from error
            time.sleep(0.3)
        else:
            return
