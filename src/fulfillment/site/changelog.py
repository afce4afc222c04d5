"""The changelog as an Atom feed: one entry for each release."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Final
from xml.sax.saxutils import escape, quoteattr  # nosec B406  # they write XML, they read none

from fulfillment.site.markdown import render, slug

_RELEASE: Final = re.compile(r"^## +\[?([0-9][^\s\],]*)\]?[,\s]+(?:[-–—(] *)?(\d{4}-\d{2}-\d{2})\)? *$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Release:
    """One release: what partners and operators notice of it."""

    version: str
    on: date
    markdown: str


def releases(changelog: str) -> Iterator[Release]:
    """Return the releases of a changelog whose headings are `## VERSION, YYYY-MM-DD`."""
    heads = list(_RELEASE.finditer(changelog))
    ends = [*(head.start() for head in heads[1:]), len(changelog)][: len(heads)]
    for head, end in zip(heads, ends, strict=True):
        yield Release(head.group(1), date.fromisoformat(head.group(2)), changelog[head.end() : end].strip())


def atom(changelog: str, base_url: str) -> str:
    """Return the feed (RFC 4287)."""
    found = list(releases(changelog))
    updated = max((release.on for release in found), default=date(1970, 1, 1))
    entries = "".join(_entry(release, base_url) for release in found)
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<feed xmlns="http://www.w3.org/2005/Atom">\n'
        "<title>Juniper Order Fulfillment API: changes</title>\n"
        f"<id>{escape(base_url)}/changelog</id>\n<updated>{_instant(updated)}</updated>\n"
        "<author><name>Juniper Health</name></author>\n"
        f'<link rel="self" href={quoteattr(base_url + "/changelog.atom")}/>\n'
        f'<link rel="alternate" href={quoteattr(base_url + "/changelog")}/>\n{entries}</feed>\n'
    )


def _entry(release: Release, base_url: str) -> str:
    place = f"{base_url}/changelog#{slug(f'{release.version}, {release.on}')}"
    return (
        f"<entry>\n<title>{escape(release.version)}</title>\n<id>{escape(place)}</id>\n"
        f"<updated>{_instant(release.on)}</updated>\n<link href={quoteattr(place)}/>\n"
        f'<content type="html">{escape(render(release.markdown).html)}</content>\n</entry>\n'
    )


def _instant(day: date) -> str:
    return f"{day.isoformat()}T00:00:00Z"
