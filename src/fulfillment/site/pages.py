"""Which pages there are, in the order a reader meets them, and where each one's Markdown is."""

import re
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Final

_WRITTEN_ADDRESS: Final = "http://127.0.0.1:8000"  # as the guides have it; readers see the address of their server


@dataclass(frozen=True, slots=True)
class Place:
    """A page's name in addresses, and its source below content/."""

    slug: str
    source: str


@dataclass(frozen=True, slots=True)
class Chapter:
    """A group of pages in the sidebar."""

    title: str
    places: tuple[Place, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """One page as Markdown."""

    slug: str
    chapter: str
    markdown: str

    @property
    def path(self) -> str:
        """Return where the page is served."""
        return f"/docs/{self.slug}"


def _guides(*slugs: str) -> tuple[Place, ...]:
    return tuple(Place(slug, f"guides/{slug}.md") for slug in slugs)


CHAPTERS: Final = (
    Chapter("Start", _guides("quickstart", "authentication")),
    Chapter("Order", _guides("orders", "protocols", "products", "pricing")),
    Chapter("Listen", _guides("webhooks", "verifying-signatures")),
    Chapter(
        "Get it right",
        (Place("errors", "errors.md"), *_guides("idempotency", "pagination")),
    ),
    Chapter("Test", _guides("sandbox", "testing-in-ci")),
    Chapter("Tools", _guides("cli", "python-sdk", "typescript")),
    Chapter("Run", _guides("going-live", "operating", "operating-warehouse", "backup")),
)
# Reached from the operator's guides; too long for a partner's sidebar.
MORE: Final = (
    Place("settings", "settings.md"),
    Place("runbook", "runbook.md"),
    Place("database-upgrade", "database-upgrade.md"),
)


@lru_cache(maxsize=8)
def read_pages(base_url: str) -> tuple[Page, ...]:
    """Return every page, with the server's own address in the examples."""
    listed = [(chapter.title, place) for chapter in CHAPTERS for place in chapter.places]
    listed += [("Run", place) for place in MORE]
    return tuple(
        Page(place.slug, chapter, read(place.source, base_url)) for chapter, place in listed if _file(place.source)
    )


def read(source: str, base_url: str) -> str:
    """Return a file of content/ with the server's address, and links that hold beside the page's own address."""
    text = (resources.files("fulfillment.site") / "content" / source).read_text(encoding="utf-8")
    text = re.sub(r"\]\((?:\.\./)*(?:guides/)?([a-z-]+\.md)", r"](\1", text)
    return text.replace(_WRITTEN_ADDRESS, base_url)


def _file(source: str) -> bool:
    return (resources.files("fulfillment.site") / "content" / source).is_file()
