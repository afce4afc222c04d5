"""A production server, as it starts: with its own secrets, for its own host, and empty."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx2
import psycopg

from fulfillment.infra import secrets
from fulfillment.infra.postgres import EmbeddedPostgres

SERVE = "import sys; from fulfillment.cli.main import main; sys.exit(main())"


def serve(folder: Path, **variables: str) -> "subprocess.Popen[bytes]":
    """Start `fulfillment serve` in production."""
    with (folder / "log.txt").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-c", SERVE, "serve", "--port", "0", "--data-dir", folder, "--no-worker"],
            stdout=log,
            stderr=log,
            env=os.environ | {"FULFILLMENT_ENVIRONMENT": "production"} | variables,
            start_new_session=True,
        )


def test_without_its_secrets_it_does_not_start(tmp_path: Path) -> None:
    """The start ends with one sentence that names what is missing, before a database is made."""
    process = serve(tmp_path)

    assert process.wait(30) == 1
    said = (tmp_path / "log.txt").read_text()
    assert "FULFILLMENT_TOKEN_KEYS" in said
    assert "Traceback" not in said
    assert not (tmp_path / "postgres").exists()


def test_it_seeds_nothing_and_answers_for_its_host_only() -> None:
    """No partner, no client, no product, no demo.json; another Host is refused."""
    folder = Path(tempfile.mkdtemp(prefix="jp-"))
    folder.chmod(0o711)
    given = {f"FULFILLMENT_{name.upper()}": value for name, value in secrets.generate().items()}
    process = serve(folder, FULFILLMENT_PUBLIC_URL="https://api.example.com", **given)
    try:
        url = _listening(folder, process)
        ours = httpx2.get(url + "/readyz", headers={"Host": "api.example.com"})
        other = httpx2.get(url + "/readyz", headers={"Host": "evil.example"})
        with psycopg.connect(EmbeddedPostgres(folder).owner_dsn) as conn:
            conn.execute("SET fulfillment.tenant = '*'")
            counts = conn.execute(
                "SELECT (SELECT count(*) FROM partners), (SELECT count(*) FROM oauth_clients),"
                " (SELECT count(*) FROM products)"
            ).fetchone()
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        written = {path.name for path in folder.iterdir()}
        shutil.rmtree(folder, ignore_errors=True)

    assert (ours.status_code, other.status_code) == (200, 400)
    assert other.json()["code"] == "host_unknown"
    assert counts == (0, 0, 0)
    assert not written & {"demo.json", "secrets.json"}


def _listening(folder: Path, process: "subprocess.Popen[bytes]") -> str:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        said = (folder / "log.txt").read_text()
        assert process.poll() is None, said
        for line in said.splitlines():
            if line.startswith("Listening on "):
                return line.removeprefix("Listening on ").strip()
        time.sleep(0.1)
    raise TimeoutError
