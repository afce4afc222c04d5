"""Judges of the code as text: semgrep with the rules of this code base, each shown once to find what it is for."""

import json
import os
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any, Final

from tests.judges import pypi
from tests.judges.verdict import Judged, Skipped
from tests.security import advisories

_ROOT: Final = Path(__file__).parents[2]
_RULES: Final = Path(__file__).with_name("rules.yaml")
_SEMGREP: Final = ("semgrep==1.182.0",)
# One line for each rule that it has to find.
_SEEDED: Final = {
    "built-sql": 'tx.execute(f"SELECT * FROM orders WHERE id = {order_id}")',
    "compared-secret": "given == client_secret",
    "unverified-tls": "httpx2.get(url, verify=False)",
    "unverified-token": 'jwt.decode(token, key, options={"verify_signature": False})',
    "followed-redirect": "httpx2.Client(follow_redirects=True)",
    "trusted-environment": "httpx2.AsyncClient(timeout=5)",
    "logged-exception": 'try:\n    work()\nexcept ValueError as error:\n    _log.warning("failed: %s", error)',
    "sharing-shell": "subprocess.run(command, shell=True)",
}


def semgrep(folder: Path) -> Judged:
    """Let semgrep read the code, and the seeded lines."""
    program = pypi.folder_of("semgrep", _SEMGREP) / "semgrep"
    seeded = folder / "all.seeded.py"
    seeded.write_text("\n".join(_SEEDED.values()) + "\n")
    seen = {_rule(one) for one in _results(program, seeded)}
    unseen = sorted(_SEEDED.keys() - seen)
    results = _results(program, _ROOT / "src")
    found = [f"{_rule(one)}: {one['path']}:{one['start']['line']}" for one in results]
    found += [f"it does not see its seeded line: {name}" for name in unseen]
    return Judged(f"{len(_SEEDED)} rules, {len(_SEEDED) - len(unseen)} seeded lines found, src read", found)


def _results(program: Path, target: Path) -> list[dict[str, Any]]:
    command = [program, "scan", "--metrics=off", "--disable-version-check", "--no-git-ignore", "--json", "--quiet"]
    environment = os.environ | {"PATH": f"{program.parent}:{os.environ.get('PATH', '')}"}
    done = subprocess.run(
        [*command, "--config", _RULES, target],
        capture_output=True,
        text=True,
        env=environment,
        timeout=300,
        check=False,
    )
    if not done.stdout.startswith("{"):
        raise Skipped(f"it gave no verdict: {done.stderr[-300:]}")
    report = json.loads(done.stdout)
    if serious := [one for one in report["errors"] if one.get("level") == "error"]:
        kinds = Counter(str(one.get("message", ""))[:200] for one in serious)
        raise Skipped(f"it could not read everything: {dict(kinds)}")
    return report["results"]


def _rule(result: dict[str, Any]) -> str:
    return str(result["check_id"]).rpartition(".")[2]


def pip_audit() -> Judged:
    """Let pip-audit judge what is pinned; a judge that could ask nobody has not judged."""
    status, sentence = advisories.ask()
    if status == advisories.UNKNOWN:
        raise Skipped(sentence)
    return Judged(sentence.partition("\n")[0], sentence.splitlines()[1:] if status == advisories.FOUND else [])
