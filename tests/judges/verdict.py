"""What a judge says."""

from dataclasses import dataclass


class Skipped(Exception):
    """The judge is not to be had here; the text says why."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What was looked at, and what was found."""

    looked_at: str
    found: list[str]
