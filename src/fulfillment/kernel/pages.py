"""Pages: what a list asks for and gives back."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

T = TypeVar("T")

MAX_LIMIT = 100
DEFAULT_LIMIT = 10


class Direction(StrEnum):
    """Which way a page lies from its cursor."""

    NEXT = "next"  # older
    PREVIOUS = "previous"  # newer


@dataclass(frozen=True, slots=True)
class PageRequest:
    """A page of a list."""

    limit: int = DEFAULT_LIMIT
    direction: Direction = Direction.NEXT
    after: tuple[str, ...] | None = None  # the sort key the page begins behind; None: the list's beginning


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Items in the list's order, newest first, and the keys its neighbours begin behind."""

    items: Sequence[T]
    next: tuple[str, ...] | None  # None: this is the end
    previous: tuple[str, ...] | None  # None: this is the beginning
