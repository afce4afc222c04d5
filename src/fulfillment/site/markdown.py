"""Markdown to HTML: headings with anchors, highlighted code, tables that scroll, links between guides."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import Any, Final

from markdown_it import MarkdownIt
from markdown_it.token import Token
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

_CODE: Final = re.compile(r"^`([a-z][a-z0-9_]*)`$")  # a heading or first cell that is an error's code
_GUIDE_LINK: Final = re.compile(r"^(?:\.\./)*(?:docs/)?(?:guides/)?([a-z0-9-]+|CHANGELOG)\.md(#.*)?$")
_FORMATTER: Final = HtmlFormatter[str](nowrap=True, classprefix="t-")
_LANGUAGE_NAMES: Final = {"sh": "Shell", "json": "JSON", "js": "JavaScript", "php": "PHP", "http": "HTTP", "csv": "CSV"}


@dataclass(frozen=True, slots=True)
class Heading:
    """One heading of a page."""

    level: int
    anchor: str
    text: str


@dataclass(frozen=True, slots=True)
class Section:
    """What a search finds: the text under one heading."""

    anchor: str  # empty: above the first subheading
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Rendered:
    """A page of Markdown as HTML."""

    title: str
    summary: str  # the first paragraph, plain
    html: str
    headings: tuple[Heading, ...]
    sections: tuple[Section, ...]


def render(source: str, operations: Mapping[str, str] | None = None) -> Rendered:
    """Return *source* as HTML.

    Headings and table rows that begin with a bare code such as `insufficient_stock` get it as their anchor, which is
    where the problem documents' `type` points.

    Args:
        source: Markdown.
        operations: Where the reference shows each operation; its name in the text becomes a link.
    """
    tokens = _PARSER.parse(source)
    headings = _name_headings(tokens)
    _name_rows(tokens)
    _point_links(tokens)
    _align_cells(tokens)
    _draw_boxes(tokens)
    html = _link_operations(_PARSER.renderer.render(tokens, _PARSER.options, {}), operations or {})
    title = next((heading.text for heading in headings if heading.level == 1), "")
    return Rendered(title, _summary(tokens), html, headings, _sections(tokens, title))


def guide_path(href: str) -> str | None:
    """Return where a link to another Markdown file leads on the site, or None when it is no such link."""
    found = _GUIDE_LINK.match(href)
    if found is None:
        return None
    name, fragment = found.group(1), found.group(2) or ""
    return ("/changelog" if name == "CHANGELOG" else f"/docs/{name}") + fragment


def slug(text: str) -> str:
    """Return the anchor of a heading."""
    code = _CODE.match(text.strip())
    if code:
        return code.group(1)
    return re.sub(r"[^a-z0-9]+", "-", text.lower().replace("`", "")).strip("-") or "section"


def _name_headings(tokens: Sequence[Token]) -> tuple[Heading, ...]:
    found: list[Heading] = []
    taken: set[str] = set()
    for token, inline in pairwise(tokens):
        if token.type != "heading_open":
            continue
        anchor = base = slug(inline.content)
        number = 1
        while anchor in taken:
            number += 1
            anchor = f"{base}-{number}"
        taken.add(anchor)
        token.attrSet("id", anchor)
        found.append(Heading(int(token.tag[1]), anchor, _plain(inline)))
    return tuple(found)


def _name_rows(tokens: Sequence[Token]) -> None:
    taken = {token.attrs.get("id") for token in tokens}
    for row, cell, inline in zip(tokens, tokens[1:], tokens[2:], strict=False):
        code = _CODE.match(inline.content.strip()) if row.type == "tr_open" and cell.type == "td_open" else None
        if code is not None and code.group(1) not in taken:
            row.attrSet("id", code.group(1))
            taken.add(code.group(1))


def _align_cells(tokens: Sequence[Token]) -> None:
    """Say it by a class: the pages allow no style attributes."""
    for token in tokens:
        if token.type in {"th_open", "td_open"} and "style" in token.attrs:
            token.attrs = {"class": str(token.attrs["style"]).replace("text-align:", "")}


def _draw_boxes(tokens: Sequence[Token]) -> None:
    """Show `- [ ] text` as a box to be ticked."""
    for item, _, inline in zip(tokens, tokens[1:], tokens[2:], strict=False):
        if item.type == "list_item_open" and inline.type == "inline" and inline.content.startswith("[ ] "):
            item.attrSet("class", "task")
            first = (inline.children or [])[0]
            first.content = "\u2610 " + first.content.removeprefix("[ ] ")


def _point_links(tokens: Sequence[Token]) -> None:
    for token in tokens:
        for child in token.children or ():
            if child.type == "link_open" and (place := guide_path(str(child.attrs["href"]))):
                child.attrSet("href", place)


def _link_operations(html: str, operations: Mapping[str, str]) -> str:
    def linked(found: re.Match[str]) -> str:
        place = operations.get(found.group(1))
        return f'<a class="operation" href="{place}">{found.group(0)}</a>' if place else found.group(0)

    return re.sub(r"<code>([a-z]+[A-Z][A-Za-z]+)</code>(?!</a>)", linked, html)


def _summary(tokens: Sequence[Token]) -> str:
    for token, inline in pairwise(tokens):
        if token.type == "paragraph_open" and token.level == 0:
            return _plain(inline)
    return ""


def _sections(tokens: Sequence[Token], title: str) -> tuple[Section, ...]:
    found: list[Section] = []
    anchor, heading, words = "", title, list[str]()
    for token, before in zip(tokens, [None, *tokens], strict=False):
        if token.type == "heading_open" and token.tag != "h1":
            found.append(Section(anchor, heading, " ".join(words)))
            anchor, words = str(token.attrs["id"]), []
        elif token.type == "inline" and before is not None and before.type == "heading_open":
            heading = _plain(token)
        elif token.type == "inline":
            words.append(_plain(token))
        elif token.type == "fence":
            words.append(token.content)
    return (*found, Section(anchor, heading, " ".join(words)))


def _plain(inline: Token) -> str:
    parts = (
        child.content if child.type in {"text", "code_inline"} else " " if child.type.endswith("break") else ""
        for child in inline.children or ()
    )
    return "".join(parts).strip()


def _highlight(code: str, language: str, attributes: str) -> str:
    del attributes
    try:
        lexer = get_lexer_by_name(language)
    except ClassNotFound:
        return escape(code)
    return highlight(code, lexer, _FORMATTER)


def _render_heading(renderer: Any, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    token = tokens[index]
    if token.nesting == 1 or token.tag == "h1":
        return renderer.renderToken(tokens, index, options, env)
    anchor = tokens[index - 2].attrs["id"]
    link = f'<a class="anchor" href="#{escape(str(anchor))}" aria-label="Link to this section">#</a>'
    return link + renderer.renderToken(tokens, index, options, env)


def _render_fence(renderer: Any, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    del renderer, options, env
    token = tokens[index]
    language, _, _ = token.info.strip().partition(" ")
    name = _LANGUAGE_NAMES.get(language, language.capitalize() if language else "")
    label = f'<span class="language">{escape(name)}</span>' if name else ""
    code = _highlight(token.content, language, "") if language else escape(token.content)
    return (
        f'<div class="code"><div class="code-bar">{label}<button type="button" class="copy">Copy</button></div>'
        f'<pre tabindex="0"><code>{code}</code></pre></div>\n'
    )


def _render_table(renderer: Any, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    del renderer, options, env
    return '<div class="table" tabindex="0"><table>\n' if tokens[index].nesting == 1 else "</table></div>\n"


def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "typographer": False}).enable("table")
    parser.add_render_rule("heading_close", _render_heading)
    parser.add_render_rule("fence", _render_fence)
    parser.add_render_rule("table_open", _render_table)
    parser.add_render_rule("table_close", _render_table)
    return parser


_PARSER: Final = _parser()
