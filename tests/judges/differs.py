"""Judges of change: two differs, and a rule of ours for what both miss, compare the contract with what is served."""

import copy
import json
import re
import subprocess
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any, Final

import yaml

from tests.judges import node, pypi
from tests.judges.verdict import Judged, Skipped

Spec = dict[str, Any]

_SMART: Final = ("api-smart-diff@1.0.6",)
_SCHEMA: Final = ("api-schema-diff==1.0.4",)
_METHODS: Final = ("get", "post", "put", "patch", "delete")
# What is served besides the contract and is no break of it, each with its reason.
_ALLOWED: Final = {
    # The contract leaves lengths, ranges and patterns open: the server has always held to these.
    "bounds where the contract has none": re.compile(
        r"add .*/(minLength|maxLength|pattern|minimum|maximum|maxItems|format|address/properties/state/enum/\d+)"
    ),
    # The judge does not look into the anyOf that lets this member be null besides.
    "a member that may be null too": re.compile(r"removed_field .*\.lineItems\.items\.properties\.administration\..*"),
}


def no_breaking_change(served: Spec, folder: Path) -> Judged:
    """Compare the contract with what is served; each of the seeded edits has to be seen, and nothing in itself."""
    contract: Spec = yaml.safe_load((resources.files("fulfillment.contract") / "openapi.yaml").read_text())
    judges = Differs(folder)
    unseen = [name for name, edit in EDITS.items() if not judges.breaking(contract, _edited(contract, edit))]
    changes = judges.breaking(contract, served | {"servers": contract["servers"], "info": contract["info"]})
    found = [change for change in changes if not any(rule.fullmatch(change) for rule in _ALLOWED.values())]
    found += [f"it does not see: {name}" for name in unseen]
    found += [f"the contract against itself: {change}" for change in judges.breaking(contract, contract)]
    allowed = ", ".join(f"{sum(map(bool, map(rule.fullmatch, changes)))} {name}" for name, rule in _ALLOWED.items())
    return Judged(f"{len(EDITS) - len(unseen)} of {len(EDITS)} seeded edits seen; allowed: {allowed}", found)


class Differs:
    """The two differs and the rule."""

    def __init__(self, folder: Path) -> None:
        self._smart = node.folder_of("smart-diff", _SMART)
        self._schema = pypi.folder_of("schema-diff", _SCHEMA)
        self._before, self._after = folder / "before.json", folder / "after.json"

    def breaking(self, before: Spec, after: Spec) -> list[str]:
        """Return every change that one of them calls breaking."""
        self._before.write_text(json.dumps(before))
        self._after.write_text(json.dumps(after))
        return [*self._ask_smart(), *self._ask_schema(), *tightened(before, after)]

    def _ask_smart(self) -> list[str]:
        done = node.run_script(self._smart, _DIFF, str(self._before), str(self._after))
        if done.returncode != 0:
            raise Skipped(done.stderr.strip()[-300:])
        return [f"{one['action']} {'/'.join(map(str, one['path']))}" for one in json.loads(done.stdout)]

    def _ask_schema(self) -> list[str]:
        command = [self._schema / "api-schema-diff", "--format", "json", self._before, self._after]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        if "{" not in done.stdout:
            raise Skipped(done.stderr.strip()[-300:])
        return [f"{one['type']} {one['path']}" for one in json.loads(done.stdout)["breaking"]]


_DIFF: Final = """
import { readFileSync } from "node:fs"
import { apiDiff } from "api-smart-diff"
const [before, after] = process.argv.slice(2).map((name) => JSON.parse(readFileSync(name, "utf8")))
console.log(JSON.stringify(apiDiff(before, after).filter((change) => change.type === "breaking")))
"""


def tightened(before: Spec, after: Spec) -> Iterator[str]:
    """Yield what both differs miss: an operation that asks for other credentials, or for one more header."""
    for path, item in before["paths"].items():
        for method in (method for method in _METHODS if method in item and method in after["paths"].get(path, {})):
            old, new = item[method], after["paths"][path][method]
            if old.get("security", before.get("security")) != new.get("security", after.get("security")):
                yield f"security {method} {path}"
            for name in _required_headers(after, new) - _required_headers(before, old):
                yield f"required header {name} {method} {path}"


def _required_headers(spec: Spec, operation: dict[str, Any]) -> set[str]:
    parameters = [_followed(spec, one) for one in operation.get("parameters", ())]
    return {one["name"].lower() for one in parameters if one["in"] == "header" and one.get("required")}


def _followed(spec: Spec, parameter: dict[str, Any]) -> dict[str, Any]:
    return spec["components"]["parameters"][parameter["$ref"].split("/")[-1]] if "$ref" in parameter else parameter


def _edited(contract: Spec, edit: Callable[[Spec], object]) -> Spec:
    edited = copy.deepcopy(contract)
    edit(edited)
    return edited


def _schema(spec: Spec, name: str) -> dict[str, Any]:
    return spec["components"]["schemas"][name]


def _require(spec: Spec, place: str) -> None:
    parameter = {"name": "X-Since", "in": place, "required": True, "schema": {"type": "string"}}
    spec["paths"]["/orders"]["get"]["parameters"].append(parameter)


EDITS: Final[dict[str, Callable[[Spec], object]]] = {
    "operation removed": lambda spec: spec["paths"].pop("/orders/{orderId}/cancel"),
    "response member removed": lambda spec: _schema(spec, "Order")["properties"].pop("status"),
    "request member required": lambda spec: _schema(spec, "OrderCreate").setdefault("required", []).append("orderType"),
    "type changed": lambda spec: _schema(spec, "Order")["properties"].update(daysSupply={"type": "string"}),
    "enum value removed": lambda spec: _schema(spec, "ShippingMethodName")["enum"].pop(),
    "enum value added to answers": lambda spec: _schema(spec, "OrderStatus")["enum"].append("LOST"),
    "parameter required": lambda spec: _require(spec, "query"),
    "header required": lambda spec: _require(spec, "header"),
    "status removed": lambda spec: spec["paths"]["/orders"]["post"]["responses"].pop("201"),
    "maximum tightened": lambda spec: _schema(spec, "LineItemInput")["properties"]["quantity"].update(maximum=1),
    "pattern added": lambda spec: _schema(spec, "Customer")["properties"]["firstName"].update(pattern="^[A-Z]+$"),
    "security added": lambda spec: spec["paths"]["/products"]["get"].update(security=[{"other": []}]),
}
