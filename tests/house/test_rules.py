"""Rules about the code and its pages: errors are documented, settings are, rooms are, nobody commits by hand."""

import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

import fulfillment
from fulfillment.infra.settings_document import as_markdown
from fulfillment.infra.web import STATUS_OF, InternalError
from fulfillment.kernel.errors import FulfillmentError

ROOT: Final = Path(__file__).parents[2]
SOURCE: Final = ROOT / "src" / "fulfillment"
# Answered before there is a request, by the protocol.
OF_THE_DOOR: Final = {"malformed_request": 400, "head_too_slow": 408, "target_too_long": 414}


def modules() -> list[str]:
    """Return every module's name, the SDK's and the programs' aside."""
    names = [module.name for module in pkgutil.walk_packages(fulfillment.__path__, "fulfillment.")]
    return [name for name in names if ".sdk" not in name and not name.endswith("__main__")]


def errors() -> Iterator[type[FulfillmentError]]:
    """Return every class of expected failure."""
    for name in modules():
        importlib.import_module(name)
    waiting = list(FulfillmentError.__subclasses__())
    while waiting:
        found = waiting.pop()
        waiting.extend(found.__subclasses__())
        if found.__module__.startswith("fulfillment."):
            yield found


ERRORS: Final = sorted(set(errors()), key=lambda error: (error.code, error.__module__))


def status_of(error: type[FulfillmentError]) -> int:
    """Return an error's status: a fault of ours is a bare 500."""
    return 500 if error is InternalError else STATUS_OF[error.kind]


def test_a_code_is_one_thing() -> None:
    """A program can tell errors apart by their codes: each is one class's, and has one status."""
    statuses: dict[str, set[int]] = {}
    classes: dict[str, int] = {}
    for error in ERRORS:
        statuses.setdefault(error.code, set()).add(status_of(error))
        classes[error.code] = classes.get(error.code, 0) + 1

    assert {code: found for code, found in statuses.items() if len(found) > 1} == {}
    assert {code for code, count in classes.items() if count > 1} == {"rate_limited"}  # requests', and tokens'
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", error.code) for error in ERRORS)
    assert all(error.__doc__ and error.title for error in ERRORS)


def test_every_error_is_documented() -> None:
    """docs/errors.md has each code with its status, what it means and what to do, and no other."""
    page = (ROOT / "docs" / "errors.md").read_text()
    rows = re.findall(r"^\| `([a-z_0-9]+)` \| (\d{3}) \| ([^|]+) \| ([^|]+) \|$", page, re.MULTILINE)

    assert {code: int(status) for code, status, _, _ in rows} == OF_THE_DOOR | {
        error.code: status_of(error) for error in ERRORS
    }
    assert len(rows) == len({code for code, _, _, _ in rows})
    assert all(meaning.strip().endswith((".", ".)")) and advice.strip() for _, _, meaning, advice in rows)


def test_every_setting_is_documented() -> None:
    """docs/settings.md is what the settings say."""
    page = (ROOT / "docs" / "settings.md").read_text()

    assert page == as_markdown(), "run: python -m fulfillment.infra.settings_document > docs/settings.md"


def test_every_room_is_described() -> None:
    """ARCHITECTURE.md names each folder of the package, and no other."""
    rooms = {path.name for path in SOURCE.iterdir() if path.is_dir() and any(path.glob("*.*")) and path.name[0] != "_"}
    described = re.findall(r"^\| `([a-z_]+)` \|", (ROOT / "ARCHITECTURE.md").read_text(), re.MULTILINE)

    assert set(described) == rooms
    assert len(described) == len(set(described))


def test_every_module_says_what_it_is() -> None:
    """Each begins with a sentence."""
    silent = [name for name in modules() if not (importlib.import_module(name).__doc__ or "").strip()]

    assert silent == []


@pytest.mark.parametrize(
    ("pattern", "message", "allowed"),
    [
        (r"\.(commit|rollback)\(\)", "nobody commits by hand: open env.db.transaction()", ()),
        (
            r"datetime\.(now|utcnow)\(|time\.time\(\)",
            "the time is env.now()",
            ("kernel", "infra", "cli", "sdk", "worker"),
        ),
        (r"^\s*print\(", "only the command line prints", ("cli", "sdk")),
        (r"follow_redirects=True|verify=False|trust_env=True", "no such client", ()),
        (r"float\([a-z_.]*(price|total|discounted|fee)", "money is decimal", ()),
        (r"\bTODO\b|\bFIXME\b|\bXXX\b", "finished means finished", ()),
    ],
)
def test_what_is_not_written(pattern: str, message: str, allowed: tuple[str, ...]) -> None:
    """Some things are written nowhere, or in the named rooms only."""
    found = [
        f"{path.relative_to(SOURCE)}:{number}: {line.strip()}"
        for path in sorted(SOURCE.rglob("*.py"))
        if path.relative_to(SOURCE).parts[0] not in allowed
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(pattern, line)
    ]

    assert found == [], message
