"""The letterhead and the pages of documents on US letter paper."""

from collections.abc import Sequence
from dataclasses import dataclass

from fulfillment.documents import logo
from fulfillment.documents.branding import GREY, Palette, palette
from fulfillment.documents.layout import Block, Paper, paginate
from fulfillment.documents.model import Brand
from fulfillment.documents.typography import Style, cut, shrunk, wrap

WIDTH, HEIGHT = 612.0, 792.0
MARGIN = 40.0
ROOM = WIDTH - 2 * MARGIN
_TOP = 34.0
_MARK = (210.0, 44.0)  # the logo's room
_BAND = 26.0
_STRIPE = 3.0
_FOOT = 42.0  # from the bottom edge up
_FIRST_BODY = _TOP + _MARK[1] + 14 + _BAND + _STRIPE + 16
_NEXT_BODY = _TOP + _BAND + _STRIPE + 14


@dataclass(frozen=True, slots=True)
class Letterhead:
    """What stands above and below the pages."""

    brand: Brand
    title: str
    about: str  # on the right of the band, again on every page
    foot: str


def print_pages(paper: Paper, head: Letterhead, blocks: Sequence[Block]) -> None:
    """Draw *blocks* over as many letter pages as they need, each with its "Page 1 of 2"."""
    colours = palette(head.brand)
    pages = paginate(blocks, HEIGHT - _FIRST_BODY - _FOOT, HEIGHT - _NEXT_BODY - _FOOT)
    for number, page in enumerate(pages, start=1):
        paper.begin(WIDTH, HEIGHT)
        y = _draw_head(paper, head, colours, first=number == 1)
        for block in page:
            block.draw(paper, y)
            y += block.height
        _draw_foot(paper, head.foot, f"Page {number} of {len(pages)}")
        paper.end()


def draw_mark(paper: Paper, x: float, y: float, brand: Brand, room: tuple[float, float], size: float) -> None:
    """Draw the logo, or the name as a word-mark when there is no usable logo, into *room* from x, y."""
    colours = palette(brand)
    picture = logo.load(brand.logo_png, colours.band) if brand.logo_png else None
    if picture:
        paper.logo(x, y, picture, room)
        return
    style = shrunk(brand.name, Style(size, bold=True, colour=colours.accent), room[0], size * 0.6)
    lines = wrap(brand.name, style, room[0], most=max(1, int(room[1] / style.leading)))
    top = y + (room[1] - len(lines) * style.leading) / 2
    paper.lines(x, top + style.size, lines, style)


def contact_lines(brand: Brand) -> list[str]:
    """Return how a recipient reaches the partner, one way a line."""
    website = (brand.website or "").removeprefix("https://").removeprefix("http://").rstrip("/")
    return [line for line in (brand.phone, brand.support_email, website) if line]


def _draw_head(paper: Paper, head: Letterhead, colours: Palette, *, first: bool) -> float:
    y = _TOP
    if first:
        draw_mark(paper, MARGIN, y, head.brand, _MARK, 22)
        _draw_contact(paper, head.brand, y)
        y += _MARK[1] + 14
    _draw_band(paper, head, colours, y)
    return _FIRST_BODY if first else _NEXT_BODY


def _draw_contact(paper: Paper, brand: Brand, y: float) -> None:
    style = Style(8, colour=GREY)
    lines = [cut(line, style, ROOM - _MARK[0] - 20) for line in contact_lines(brand)]
    top = y + (_MARK[1] - len(lines) * style.leading) / 2
    paper.lines(WIDTH - MARGIN, top + style.size, lines, style, "right")


def _draw_band(paper: Paper, head: Letterhead, colours: Palette, y: float) -> None:
    paper.box(MARGIN, y, ROOM, _BAND, fill=colours.band)
    paper.rule(MARGIN, y + _BAND, ROOM, _STRIPE, colours.stripe)
    paper.text(MARGIN + 10, y + 17.5, head.title, Style(13, bold=True, colour=colours.band_ink))
    about = Style(8.5, colour=colours.band_ink)
    paper.text(WIDTH - MARGIN - 10, y + 16, cut(head.about, about, ROOM * 0.65), about, "right")


def _draw_foot(paper: Paper, foot: str, page: str) -> None:
    style = Style(7, colour=GREY)
    y = HEIGHT - _FOOT + 10
    paper.rule(MARGIN, y, ROOM)
    paper.text(MARGIN, y + 11, cut(foot, style, ROOM - 70), style)
    paper.text(WIDTH - MARGIN, y + 11, page, style, "right")
