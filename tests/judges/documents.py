"""Judges of the OpenAPI document: Redocly's strictest rules, Spectral's own and OWASP's."""

import copy
import json
from pathlib import Path
from typing import Any, Final

from tests.judges import node
from tests.judges.verdict import Judged, Skipped

Document = dict[str, Any]

_REDOCLY: Final = ("@redocly/cli@2.77.0",)
_SPECTRAL: Final = ("@stoplight/spectral-cli@6.16.3", "@stoplight/spectral-owasp-ruleset@2.0.1")
_SPECTRAL_RULES: Final = {"extends": ["spectral:oas", "@stoplight/spectral-owasp-ruleset"]}
# What OWASP's rules ask for and we can't do, each with its reason. Redocly's are all kept.
_WAIVED: Final = {
    "owasp:api1:2023-no-numeric-ids": "the contract's productId is an integer; a catalogue is no secret",
    "owasp:api2:2023-short-lived-access-tokens": "asks for a refresh URL; RFC 6749 4.4.3 does without refresh tokens",
}


def redocly(served: Document, folder: Path) -> Judged:
    """Let Redocly judge the served document, and one with an error in it."""
    errors = _ask_redocly(served, folder)
    broken = copy.deepcopy(served)
    del broken["paths"]["/orders"]["get"]["summary"]
    unseen = [] if _ask_redocly(broken, folder) else ["it does not see that an operation has no summary"]
    return Judged(f"{len(errors)} errors of recommended-strict, no rule waived", errors + unseen)


def spectral(served: Document, folder: Path) -> Judged:
    """Let Spectral judge the served document, and one with an error in it."""
    errors = _ask_spectral(served, folder)
    broken = copy.deepcopy(served)
    del broken["components"]["schemas"]["Customer"]["properties"]["phone"]["maxLength"]
    unseen = [] if _ask_spectral(broken, folder) else ["it does not see a text without an end"]
    return Judged(f"{len(errors)} errors, {len(_WAIVED)} rules waived: {', '.join(_WAIVED)}", errors + unseen)


def _ask_redocly(served: Document, folder: Path) -> list[str]:
    (folder / "openapi.json").write_text(json.dumps(served))
    (folder / "redocly.yaml").write_text("extends: [recommended-strict]\n")
    program = node.folder_of("redocly", _REDOCLY)
    options = ("--format", "json", "--max-problems", "1000")
    done = node.run_program(program, "redocly", "lint", "openapi.json", *options, cwd=folder)
    report: dict[str, Any] = json.loads(_from(done.stdout, "{") or _unheard(done.stderr))
    errors = [problem for problem in report["problems"] if problem["severity"] == "error"]
    return [f"{one['ruleId']}: {one['message']} at {_pointer(one)}" for one in errors]


def _ask_spectral(served: Document, folder: Path) -> list[str]:
    program = node.folder_of("spectral", _SPECTRAL)
    (folder / "openapi.json").write_text(json.dumps(served))
    rules = program / ".spectral.json"
    rules.write_text(json.dumps(_SPECTRAL_RULES | {"rules": dict.fromkeys(_WAIVED, "off")}))
    arguments = ("lint", folder / "openapi.json", "-r", rules, "-f", "json", "-q")
    done = node.run_program(program, "spectral", *arguments, cwd=program)
    findings: list[dict[str, Any]] = json.loads(_from(done.stdout, "[") or _unheard(done.stderr))
    return sorted({f"{one['code']}: {'/'.join(map(str, one['path']))}" for one in findings if one["severity"] == 0})


def _from(text: str, first: str) -> str:
    return text[text.index(first) :] if first in text else ""


def _unheard(said: str) -> str:
    raise Skipped(f"it gave no verdict: {said.strip()[:200]}")


def _pointer(problem: dict[str, Any]) -> str:
    places = problem.get("location") or [{}]
    return str(places[0].get("pointer", "?"))
