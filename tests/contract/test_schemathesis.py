"""Schemathesis over a real server: every operation, all checks, all phases."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest

from tests.serving import ServerProcess

CONFIG: Final = """
[checks]
# 422 is also for what no schema can say: an unknown product, a foreign cursor, numbers that do not add up.
positive_data_acceptance.expected-statuses = ["2xx", "401", "403", "404", "409", "422", "429"]
# 414 and 431: what is too long for the server's own door.
negative_data_rejection.expected-statuses = [
  "400", "401", "403", "404", "405", "406", "409", "413", "414", "415", "422", "429", "431"
]

# A row that is wrong fails alone: its refusal is in the 207.
[[operations]]
include-name = "POST /orders/bulk"
checks.negative_data_rejection.expected-statuses = ["207", "400", "401", "413", "415", "422", "429"]

# It waits for an event as long as it is asked to, 30 s at most; every other answer keeps the check's own limit.
[[operations]]
include-name = "GET /events"
checks.max_response_time = 35.0
"""
# The documents for machines and the token endpoint, which takes a form and has a suite of its own.
ELSEWHERE: Final = "^/oauth2|^/livez|^/readyz|^/openapi|^/[.]well-known"


def spec(server: ServerProcess) -> dict[str, Any]:
    """Return the served document with a bearer scheme: one check is blind to oauth2 and would pass an open server."""
    document: dict[str, Any] = httpx2.get(server.url + "/openapi.json").json()
    text = json.dumps(document).replace('{"oauth2ClientCredentials": []}', '{"bearer": []}')
    document = json.loads(text)
    document["components"]["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
    return document


@pytest.mark.parametrize(
    ("who", "paths", "seconds"),
    [("", "^(?!/operator)", 20), ("operator_", "^/operator", 10)],
    ids=["partner", "operator"],
)
def test_no_check_fails(server: ServerProcess, tmp_path: Path, who: str, paths: str, seconds: int) -> None:
    """Valid and invalid requests, alone and in sequence: answers are documented, none is a server error."""
    (tmp_path / "spec.json").write_text(json.dumps(spec(server)))
    (tmp_path / "schemathesis.toml").write_text(CONFIG)
    with server.client_of(server.demo[f"{who}client_id"], server.demo[f"{who}client_secret"]) as client:
        token = client.headers["Authorization"]
    command = [
        *(Path(sys.executable).parent / "schemathesis", "--config-file", "schemathesis.toml", "run", "spec.json"),
        *("--url", server.url + "/v1", "--header", f"Authorization: {token}"),
        *("--checks", "all", "--phases", "coverage,fuzzing,stateful", "--mode", "all"),
        *("--max-examples", "10", "--max-time", str(seconds), "--seed", "1", "--workers", "1"),
        *("--request-timeout", "40"),
        *("--generation-allow-x00", "false", "--generation-database", "none", "--no-color"),
        *("--include-path-regex", paths, "--exclude-path-regex", ELSEWHERE),
    ]

    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=seconds + 60, check=False)

    assert done.returncode == 0, done.stdout[-20_000:]
    assert "generated" in done.stdout
    assert "request.failed" not in server.log()
