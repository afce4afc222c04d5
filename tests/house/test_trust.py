"""docs/trust.md: every row is there, and whatever it names exists."""

import re
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = (ROOT / "docs" / "trust.md").read_text()
ROWS: Final = re.findall(r"^\| (S-\d\d(?:, S-\d\d)*)? \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", PAGE, re.MULTILINE)


def keys_of(package: str) -> set[str]:
    """Return what `python -m tests.PACKAGE --only` takes."""
    text = (ROOT / "tests" / package / "__main__.py").read_text()
    found = set(re.findall(r'^    "(\w+)": [\w(]', text, re.MULTILINE))
    assert len(found) > 5
    return found


def test_every_row_is_there() -> None:
    """S-01 to S-48 have one row each, with a promise, what shows it, and what was measured."""
    named = [name for names, _, _, _ in ROWS for name in names.split(", ") if name]

    assert sorted(named) == [f"S-{number:02}" for number in range(1, 49)]
    assert all(text.strip() for row in ROWS for text in row[1:])


@pytest.mark.parametrize(("names", "shown"), [(row[0] or row[1], row[2]) for row in ROWS])
def test_what_a_row_names_exists(names: str, shown: str) -> None:
    """Each path is in the repository, each act is one of the play's, each judge is asked, each make target is there."""
    quoted = re.findall(r"`([^`]+)`", shown)
    paths = [text for text in quoted if "/" in text and " " not in text]
    targets = [text.removeprefix("make ") for text in quoted if text.startswith("make ")]
    # Read, not imported: importing all that plays and judges takes seconds.
    acts = set(re.findall(r"\bchaos (\w+)", shown))
    asked = set(re.findall(r"\bjudge (\w+)", shown))
    makefile = (ROOT / "Makefile").read_text()

    assert paths or targets or acts or asked, names
    assert [path for path in paths if not (ROOT / path).exists()] == []
    assert [target for target in targets if f"\n{target}:" not in makefile] == []
    assert acts <= keys_of("chaos")
    assert asked <= keys_of("judges")


def test_nothing_is_left_to_fill_in() -> None:
    """No figure is a blank."""
    assert re.findall(r"@\w*@|\bTBD\b|\?\?", PAGE) == []
