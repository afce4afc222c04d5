"""What the package imports is what it declares: nobody's tests bring along what a stranger lacks."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any, Final

import fulfillment

ROOT: Final = Path(__file__).parents[2]
PACKAGE: Final = Path(fulfillment.__file__).parent
# The maker of the ZIP code directory is run by whoever changes that, from a checkout.
FOR_DEVELOPERS: Final = {"zipcodes"}


def named(requirements: list[str]) -> set[str]:
    """Return the names of distributions, as they are compared."""
    names = (re.split(r"[\[<>=!~; ]", requirement, maxsplit=1)[0] for requirement in requirements)
    return {name.lower().replace("_", "-") for name in names}


def imported() -> dict[str, set[str]]:
    """Return the top-level modules of others that the package imports, wherever in a file, and the files."""
    found: dict[str, set[str]] = {}
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            modules: list[str] = []
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                modules = [node.module]
            for module in modules:
                found.setdefault(module.partition(".")[0], set()).add(str(file.relative_to(PACKAGE)))
    return {name: files for name, files in found.items() if name not in {*sys.stdlib_module_names, "fulfillment"}}


def test_what_is_imported_is_declared():
    """Each module of others that the package imports belongs to a distribution that it requires, or an extra does."""
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = named(project["dependencies"]) | named(project["optional-dependencies"]["otel"]) | FOR_DEVELOPERS
    owners = packages_distributions()
    missing = {
        module: sorted(files)
        for module, files in imported().items()
        if declared.isdisjoint(name.lower().replace("_", "-") for name in owners.get(module, [module]))
    }

    assert missing == {}


def test_what_is_declared_is_pinned():
    """Each distribution that the package requires is in the lock that a stranger installs."""
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lock = (ROOT / "requirements.lock").read_text()
    pinned = set(re.findall(r"^([a-z0-9-]+)(?:\[[^\]]*\])?==", lock, re.MULTILINE))

    assert named(project["dependencies"]) - pinned == set()
