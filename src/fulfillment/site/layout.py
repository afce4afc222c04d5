"""The pages' frame: head, bar, sidebar, contents and footer."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from fulfillment.site.markdown import Heading, Rendered
from fulfillment.site.pages import CHAPTERS, Page

_LEAF: Final = (
    '<svg class="leaf" viewBox="0 0 32 32" aria-hidden="true"><path d="M16 3c5 5 8 9 8 14a8 8 0 0 1-7 8v5h-2v-5a8 8 0 '
    '0 1-7-8c0-5 3-9 8-14Z" fill="currentColor"/><path d="M16 11v14M16 16l4-3M16 20l4-3M16 16l-4-3M16 20l-4-3" '
    'stroke="var(--paper)" stroke-width="1.4" stroke-linecap="round" fill="none"/></svg>'
)
_GLASS: Final = (
    '<svg viewBox="0 0 16 16" aria-hidden="true"><circle cx="7" cy="7" r="4.5" fill="none" stroke="currentColor" '
    'stroke-width="1.5"/><path d="m10.5 10.5 3.5 3.5" stroke="currentColor" stroke-width="1.5" '
    'stroke-linecap="round"/></svg>'
)
_HALF_MOON: Final = (
    '<svg viewBox="0 0 16 16" aria-hidden="true"><circle cx="8" cy="8" r="6" fill="none" stroke="currentColor" '
    'stroke-width="1.5"/><path d="M8 2a6 6 0 0 1 0 12Z" fill="currentColor"/></svg>'
)


@dataclass(frozen=True, slots=True)
class Frame:
    """What every page of one server has in common."""

    assets: Mapping[str, str]  # name of an asset: its address, which changes with its content
    titles: Mapping[str, str]  # slug of a guide: its title
    sandbox: bool
    version: str


def guide(frame: Frame, page: Page, rendered: Rendered) -> str:
    """Return the page of a guide."""
    body = (
        f'<div class="columns">{_sidebar(frame, page.slug)}<main id="content">'
        f'<p class="crumb">{escape(page.chapter)}</p><article>{rendered.html}</article>'
        f"{_neighbours(frame, page.slug)}</main>{_contents(rendered.headings, page.path)}</div>"
    )
    return _whole(frame, f"{rendered.title} · Juniper", rendered.summary, body, markdown=f"{page.path}.md")


def changelog(frame: Frame, rendered: Rendered) -> str:
    """Return the page of the changelog."""
    body = (
        f'<div class="columns">{_sidebar(frame, "changelog")}<main id="content"><p class="crumb">News</p>'
        f'<article>{rendered.html}<p><a href="/changelog.atom">Subscribe to the Atom feed</a></p></article></main>'
        f"{_contents(rendered.headings, '/changelog')}</div>"
    )
    feed = '<link rel="alternate" type="application/atom+xml" title="Changes" href="/changelog.atom">'
    return _whole(frame, "Changelog · Juniper", rendered.summary, body, markdown="/changelog.md", head=feed)


def home(frame: Frame, summaries: Mapping[str, str]) -> str:
    """Return the first page: where to begin, and everything there is."""
    groups = "".join(
        _group(frame, chapter.title, [place.slug for place in chapter.places], summaries) for chapter in CHAPTERS
    )
    where = "sandbox" if frame.sandbox else "production"
    body = f"""<div class="columns">{_sidebar(frame, "")}<main id="content" class="home">
<section class="hero"><p class="crumb">Order Fulfillment API {escape(frame.version)} · {where}</p>
<h1>Personalised supplement packs, ordered by API</h1>
<p class="lead">Send us a customer and what they take. We sort the pills into morning, afternoon, evening and sleep
packs, ship them under your brand, and tell your system at every step.</p>
<p class="actions"><a class="button" href="/docs/quickstart">Start in ten minutes</a>
<a class="button quiet" href="/docs/reference">API reference</a></p></section>
{groups}
<section class="group"><h2>Take away</h2><ul class="cards">
{_card("/openapi.json", "OpenAPI", "The whole API, machine-readable. Also as YAML: /openapi.yaml.")}
{_card("/postman.json", "Postman collection", "Every operation with an example; set two variables and send.")}
{_card("/llms.txt", "llms.txt", "These pages for language models; all in one: /llms-full.txt.")}
{_card("/changelog", "Changelog", "What changed, newest first, with a feed.")}
</ul></section></main></div>"""
    summary = "Guides and reference of the Juniper Health Order Fulfillment API."
    return _whole(frame, "Juniper Order Fulfillment API", summary, body, markdown="/llms.txt")


def reference(frame: Frame, script: str) -> str:
    """Return the page that shows the OpenAPI document. *script* is the address of the vendored viewer."""
    body = (
        '<main id="content" class="reference"><div id="reference"></div><noscript><p class="plain">This page needs '
        'JavaScript; the same is in <a href="/docs/reference.md">reference.md</a>.</p></noscript></main>'
        f'<script src="{script}" defer></script><script src="{frame.assets["reference.js"]}" defer></script>'
    )
    summary = "Every operation of the Order Fulfillment API."
    return _whole(frame, "API reference · Juniper", summary, body, markdown="/docs/reference.md")


def missing(frame: Frame) -> str:
    """Return the page for an address where nothing is."""
    body = (
        f'<div class="columns">{_sidebar(frame, "")}<main id="content"><article><h1>Nothing is here</h1>'
        "<p>The page may have moved. Search (press <kbd>/</kbd>), or begin at "
        '<a href="/docs">the first page</a>.</p></article></main></div>'
    )
    return _whole(frame, "Nothing is here · Juniper", "", body)


def _whole(frame: Frame, title: str, summary: str, body: str, *, markdown: str = "", head: str = "") -> str:
    source = f'<link rel="alternate" type="text/markdown" href="{markdown}">' if markdown else ""
    footer = f' · <a href="{markdown}">This page as Markdown</a>' if markdown.startswith(("/docs/", "/change")) else ""
    return f"""<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title><meta name="description" content="{escape(summary)}">
<meta name="color-scheme" content="light dark">
<link rel="icon" type="image/svg+xml" href="{frame.assets["favicon.svg"]}">
<link rel="stylesheet" href="{frame.assets["site.css"]}">{source}{head}
<script src="{frame.assets["theme.js"]}"></script><script src="{frame.assets["site.js"]}" defer></script></head>
<body><a class="skip" href="#content">Skip to the content</a>
{_bar(frame)}
{body}
<footer class="foot"><p>Juniper Order Fulfillment API {escape(frame.version)}{footer}</p></footer>
{_search_dialog()}
</body></html>
"""


def _bar(frame: Frame) -> str:
    badge = '<span class="badge">Sandbox</span>' if frame.sandbox else ""
    return f"""<header class="bar">
<a class="brand" href="/docs">{_LEAF}<b>Juniper</b><span>Fulfillment API</span></a>{badge}
<button type="button" class="find" data-search aria-haspopup="dialog">{_GLASS}<span>Search</span><kbd>/</kbd></button>
<nav aria-label="Main"><a href="/docs">Guides</a><a href="/docs/reference">Reference</a>
<a href="/changelog">Changelog</a></nav>
<button type="button" class="theme" data-theme-toggle aria-label="Switch between dark and light">
{_HALF_MOON}</button></header>"""


def _sidebar(frame: Frame, current: str) -> str:
    groups = ""
    for chapter in CHAPTERS:
        entries = [_entry(frame, place.slug, current) for place in chapter.places if place.slug in frame.titles]
        if entries:
            groups += f"<h2>{escape(chapter.title)}</h2><ul>{''.join(entries)}</ul>"
    chosen = ' aria-current="page"' if current == "changelog" else ""
    more = (
        '<h2>Reference</h2><ul><li><a href="/docs/reference">API reference</a></li>'
        f'<li><a href="/changelog"{chosen}>Changelog</a></li></ul>'
    )
    return f'<details class="side"><summary>All pages</summary><nav aria-label="Pages">{groups}{more}</nav></details>'


def _entry(frame: Frame, slug: str, current: str) -> str:
    chosen = ' aria-current="page"' if slug == current else ""
    return f'<li><a href="/docs/{slug}"{chosen}>{escape(frame.titles[slug])}</a></li>'


def _contents(headings: Sequence[Heading], path: str) -> str:
    rows = [heading for heading in headings if heading.level == 2]
    if len(rows) < 2:
        return '<div class="contents"></div>'
    links = "".join(f'<li><a href="{path}#{escape(row.anchor)}">{escape(row.text)}</a></li>' for row in rows)
    return f'<nav class="contents" aria-label="On this page"><h2>On this page</h2><ul>{links}</ul></nav>'


def _neighbours(frame: Frame, slug: str) -> str:
    order = [place.slug for chapter in CHAPTERS for place in chapter.places if place.slug in frame.titles]
    if slug not in order:
        return ""
    here = order.index(slug)
    before = _neighbour(frame, order[here - 1], "Before", "before") if here > 0 else "<span></span>"
    after = _neighbour(frame, order[here + 1], "Next", "after") if here + 1 < len(order) else ""
    return f'<nav class="neighbours" aria-label="Neighbouring pages">{before}{after}</nav>'


def _neighbour(frame: Frame, slug: str, word: str, kind: str) -> str:
    return f'<a class="{kind}" href="/docs/{slug}"><small>{word}</small>{escape(frame.titles[slug])}</a>'


def _group(frame: Frame, title: str, slugs: Iterable[str], summaries: Mapping[str, str]) -> str:
    cards = "".join(
        _card(f"/docs/{slug}", frame.titles[slug], summaries[slug]) for slug in slugs if slug in frame.titles
    )
    return f'<section class="group"><h2>{escape(title)}</h2><ul class="cards">{cards}</ul></section>' if cards else ""


def _card(href: str, title: str, text: str) -> str:
    return f'<li><a href="{href}"><b>{escape(title)}</b><span>{escape(text)}</span></a></li>'


def _search_dialog() -> str:
    return """<dialog id="search" aria-label="Search"><form method="dialog" role="search">
<input type="search" id="search-words" placeholder="Search guides and operations"
 aria-label="Search guides and operations" autocomplete="off" spellcheck="false"
 role="combobox" aria-expanded="true" aria-controls="search-results">
<button type="submit" class="close">Esc</button></form>
<ul id="search-results" role="listbox" aria-label="Results"></ul><p id="search-state" role="status"></p></dialog>"""
