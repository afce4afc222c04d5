"""Asks the outside judges: `python -m tests.judges [--quick] [--only NAME ...]`; status 1 on any finding."""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx2
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tests.contract.test_schemathesis import CONFIG, ELSEWHERE, spec
from tests.fuzz.__main__ import fuzz
from tests.fuzz.targets import TARGETS
from tests.judges import clients, differs, documents, generators, links, pooler, proxy, static, timing, workflows
from tests.judges.node import NodeMissing
from tests.judges.verdict import Judged, Skipped
from tests.serving import ServerProcess

_PRODUCTION = "https://api.fulfillment.juniperhealth.com"
_SEEDS = (1, 2, 3)
_EXAMPLES = 200
# Each has its own time, or the first would leave none to the second.
_PHASES = ("coverage,fuzzing", "stateful")


class Court:
    """One server for all judges, started when the first asks for it."""

    def __init__(self, fuzz_seconds: float, schemathesis_seconds: int, seeds: Sequence[int]) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="judges-"))
        self.folder.chmod(0o711)
        self.fuzz_seconds = fuzz_seconds
        self.schemathesis_seconds = schemathesis_seconds
        self.seeds = seeds
        self._server: ServerProcess | None = None

    def server(self) -> ServerProcess:
        """Return the server."""
        if self._server is None:
            served = self.folder / "served"
            served.mkdir()
            served.chmod(0o711)
            self._server = ServerProcess(served)
            self._server.start()
        return self._server

    def document(self) -> dict[str, Any]:
        """Return the served OpenAPI document, at an address as in production."""
        url = self.server().url
        return json.loads(httpx2.get(url + "/openapi.json").text.replace(url, _PRODUCTION))

    def close(self) -> None:
        """Stop the server."""
        if self._server is not None:
            self._server.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def _fuzzing(court: Court) -> Judged:
    found: list[str] = []
    total = 0
    for target in TARGETS:
        tried, findings = fuzz(target, court.fuzz_seconds, seed=7)
        total += tried
        found += [f"{one.target}: {one.said}: {one.data[:80]!r}" for one in findings]
    return Judged(f"{total} inputs for {len(TARGETS)} parsers", found)


def _schemathesis(court: Court) -> Judged:
    server = court.server()
    (court.folder / "spec.json").write_text(json.dumps(spec(server)))
    (court.folder / "schemathesis.toml").write_text(CONFIG)
    found: list[str] = []
    cases: list[str] = []
    for seed in court.seeds:
        for who, paths in (("partner", "^(?!/operator)"), ("operator", "^/operator")):
            for phases in _PHASES:
                said, faults = _schemathesis_run(court, server, who, paths, seed, phases)
                cases.append(f"seed {seed}, {who}, {phases}: {said}")
                found += faults
    return Judged("; ".join(cases), found)


def _schemathesis_run(
    court: Court, server: ServerProcess, who: str, paths: str, seed: int, phases: str
) -> tuple[str, list[str]]:
    """Return how many cases were made, and what was found."""
    client = "" if who == "partner" else f"{who}_"
    with server.client_of(server.demo[f"{client}client_id"], server.demo[f"{client}client_secret"]) as signed_in:
        token = signed_in.headers["Authorization"]
    command = [
        *(Path(sys.executable).parent / "schemathesis", "--config-file", "schemathesis.toml", "run", "spec.json"),
        *("--url", server.url + "/v1", "--header", f"Authorization: {token}"),
        *("--checks", "all", "--phases", phases, "--mode", "all"),
        *("--max-examples", str(_EXAMPLES), "--max-time", str(court.schemathesis_seconds), "--seed", str(seed)),
        # A list of events that waits for one takes up to 30 seconds, which is no slow answer.
        *(
            "--request-timeout",
            "45",
            "--max-response-time",
            "40",
            "--workers",
            "1",
            "--generation-allow-x00",
            "false",
            "--generation-database",
            "none",
            "--no-color",
        ),
        *("--include-path-regex", paths, "--exclude-path-regex", ELSEWHERE),
    ]
    seconds = court.schemathesis_seconds + 300
    done = subprocess.run(command, cwd=court.folder, capture_output=True, text=True, timeout=seconds, check=False)
    generated = re.search(r"([\d,]+) generated", done.stdout)
    links = re.search(r"API Links: +(\d+) covered / (\d+) selected", done.stdout)
    said = f"{generated[1] if generated else 'no'} cases" + (f", {links[1]} of {links[2]} links" if links else "")
    return said, [] if done.returncode == 0 else [f"seed {seed}, {who}: {done.stdout[-3000:]}"]


JUDGES: dict[str, Callable[[Court], Judged]] = {
    "redocly": lambda court: documents.redocly(court.document(), court.folder),
    "spectral": lambda court: documents.spectral(court.document(), court.folder),
    "differ": lambda court: differs.no_breaking_change(court.document(), court.folder),
    "oauth": lambda court: clients.oauth_clients(court.server()),
    "stripe": lambda _: clients.stripe(),
    "respect": lambda court: workflows.respect(court.server(), court.folder),
    "semgrep": lambda court: static.semgrep(court.folder),
    "pip-audit": lambda _: static.pip_audit(),
    "prism": lambda court: workflows.prism(court.server(), court.folder),
    "prism-suite": lambda court: workflows.prism_suite(court.folder),
    "timing": lambda court: timing.foreign_like_missing(court.server(), court.document()),
    "generators": lambda court: generators.generated_clients(court.server(), court.document(), court.folder),
    "framing": lambda _: proxy.framing_behind_a_proxy(),
    "proxy": lambda _: proxy.killed_behind_a_proxy(),
    "pooler": lambda _: pooler.behind_a_pooler(),
    "pooled-suite": lambda court: pooler.suite_behind_a_pooler(court.folder),
    "fuzzing": _fuzzing,
    "schemathesis": _schemathesis,
    "links": lambda _: links.every_link(),
}
# Under a minute in all, once their programs are there.
QUICK = ("redocly", "spectral", "differ", "oauth", "stripe", "respect")


def main() -> int:
    """Ask, print the verdicts, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.judges", description=__doc__)
    parser.add_argument("--only", action="append", choices=list(JUDGES))
    parser.add_argument("--quick", action="store_true", help=f"only {', '.join(QUICK)}")
    parser.add_argument("--fuzz-seconds", type=float, default=60.0, help="for each parser")
    parser.add_argument("--schemathesis-seconds", type=int, default=120, help="for each seed, client and phase")
    parser.add_argument("--seed", action="append", type=int, help="of schemathesis, may be repeated")
    arguments = parser.parse_args()
    console = Console(soft_wrap=True)
    court = Court(arguments.fuzz_seconds, arguments.schemathesis_seconds, arguments.seed or _SEEDS)
    table = Table("judge", "looked at", "found", "seconds", title="Outside judges", title_justify="left")
    broken = 0
    try:
        for name in arguments.only or (QUICK if arguments.quick else JUDGES):
            began = time.monotonic()
            try:
                judged = JUDGES[name](court)
            except (Skipped, NodeMissing) as reason:
                table.add_row(name, escape(f"not asked: {reason}"), "", "")
                continue
            except Exception as error:
                judged = Judged("it broke", [f"{type(error).__name__}: {error}"[:1000]])
            broken += bool(judged.found)
            table.add_row(name, escape(judged.looked_at), str(len(judged.found)), f"{time.monotonic() - began:.0f}")
            for finding in judged.found[:40]:
                console.print(f"{name}: {finding}", markup=False, highlight=False)
    finally:
        court.close()
    console.print(table)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
