"""The sandbox guide's tables are those of the code."""

import re
from pathlib import Path

from fulfillment.sandbox.domain import MAGIC_VALUES, STORIES

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "sandbox.md"


def table(heading: str) -> list[list[str]]:
    """Return the cells of the first table under a heading, without its head."""
    section = GUIDE.read_text().split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip().strip("`") for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines[2:]]


def test_the_magic_values_are_those_of_the_code() -> None:
    """Every magic value is in the guide's table, in the code's order, and no other."""
    assert table("Magic values") == [
        [magic.field, magic.value, magic.scenario.value, magic.effect] for magic in MAGIC_VALUES
    ]


def test_the_scenarios_are_those_of_the_code() -> None:
    """Every scenario is in the guide's table with its description, and no other."""
    assert table("Scenarios") == [[scenario.value, story.description] for scenario, story in STORIES.items()]
