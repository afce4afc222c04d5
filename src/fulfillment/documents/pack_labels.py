"""Pack labels: one of 70 by 100 mm for each pouch, in the order of the roll."""

from fulfillment.documents.barcodes import data_matrix
from fulfillment.documents.branding import GREY, Palette, ink_on, palette
from fulfillment.documents.layout import Paper, Progress
from fulfillment.documents.letter import draw_mark
from fulfillment.documents.model import Brand, PackItem, PackLabel, PackRoll
from fulfillment.documents.typography import Style, cut, shrunk, wrap
from fulfillment.documents.wording import count, short_name, slot_name, us_date

_MM = 72 / 25.4
WIDTH, HEIGHT = 70 * _MM, 100 * _MM
_MARGIN = 4 * _MM
_ROOM = WIDTH - 2 * _MARGIN
_MATRIX = 19 * _MM
_BAND_TOP = 42.0
_BAND = 34.0
_LIST_TOP = 128.0
_LIST_END = HEIGHT - _MATRIX - _MARGIN - 10
_LARGEST, _SMALLEST = 9.5, 5.5  # points, of the contents


def render(roll: PackRoll, progress: Progress | None = None) -> bytes:
    """Return all labels of *roll*, one a page; *progress* hears (done, total) after each.

    Raises:
        BarcodeNotPossible: A pack's id is empty or too long for a barcode.
    """
    paper = Paper("Pack labels")
    draw(paper, roll, progress)
    return paper.finish()


def draw(paper: Paper, roll: PackRoll, progress: Progress | None = None) -> None:
    """Draw the labels of *roll*."""
    colours = palette(roll.brand)
    for done, label in enumerate(roll.labels, start=1):
        paper.begin(WIDTH, HEIGHT)
        _draw_brand(paper, roll.brand)
        _draw_time(paper, label, colours)
        _draw_owner(paper, label, colours)
        _draw_contents(paper, label.items)
        _draw_end(paper, label, roll.brand)
        paper.end()
        if progress:
            progress(done, len(roll.labels))


def _draw_brand(paper: Paper, brand: Brand) -> None:
    draw_mark(paper, _MARGIN, 9, brand, (_ROOM, 26), 15)


def _draw_time(paper: Paper, label: PackLabel, colours: Palette) -> None:
    """Draw the band with the time of day; the day stands on the secondary colour at its end."""
    day_width = 58.0
    paper.box(0, _BAND_TOP, WIDTH, _BAND, fill=colours.band)
    paper.box(WIDTH - day_width, _BAND_TOP, day_width, _BAND, fill=colours.stripe)
    slot = slot_name(label.slot).upper()
    room = WIDTH - day_width - _MARGIN - 6
    style = shrunk(slot, Style(19, bold=True, colour=colours.band_ink), room, 8)
    paper.text(_MARGIN, _BAND_TOP + 17 + style.size * 0.36, slot, style)
    ink = ink_on(colours.stripe)
    middle = WIDTH - day_width / 2
    day = f"Day {label.day}"
    paper.text(middle, _BAND_TOP + 16, day, shrunk(day, Style(12, bold=True, colour=ink), day_width - 8, 6), "center")
    paper.text(middle, _BAND_TOP + 27, f"of {label.days}", Style(8, colour=ink), "center")


def _draw_owner(paper: Paper, label: PackLabel, colours: Palette) -> None:
    y = _BAND_TOP + _BAND + 18
    name = Style(13, bold=True)
    paper.text(_MARGIN, y, cut(short_name(label.recipient), name, _ROOM), name)
    if label.description:
        description = Style(8.5, colour=colours.accent)
        paper.text(_MARGIN, y + 14, cut(label.description, description, _ROOM), description)
    paper.rule(_MARGIN, _LIST_TOP - 10, _ROOM, 0.6)


def _draw_contents(paper: Paper, items: tuple[PackItem, ...]) -> None:
    """Draw the contents as large as fits; what does not fit at the smallest size is counted, not hidden."""
    style, lines = _set_contents(items)
    most = int((_LIST_END - _LIST_TOP) / style.leading)
    if len(lines) > most:
        named = sum(1 for _, first in lines[: most - 1] if first)
        left = len(items) - named
        lines = [*lines[: most - 1], (f"and {left} more: see the packing slip", False)]
    y = _LIST_TOP + style.size * 0.5
    for words, first in lines:
        paper.text(_MARGIN if first else _MARGIN + style.size, y, words, style)
        y += style.leading


def _set_contents(items: tuple[PackItem, ...]) -> tuple[Style, list[tuple[str, bool]]]:
    """Return the largest style in which all lines fit, and the lines with whether each starts an item."""
    style, lines = Style(_LARGEST), list[tuple[str, bool]]()
    size = _LARGEST
    while size >= _SMALLEST:
        style = Style(size)
        lines = [line for item in items for line in _item_lines(item, style)]
        if len(lines) * style.leading <= _LIST_END - _LIST_TOP:
            break
        size -= 0.5
    return style, lines


def _item_lines(item: PackItem, style: Style) -> list[tuple[str, bool]]:
    words = wrap(f"{item.pills} × {item.product_name}", style, _ROOM - style.size, most=2)
    return [(line, index == 0) for index, line in enumerate(words)]


def _draw_end(paper: Paper, label: PackLabel, brand: Brand) -> None:
    top = HEIGHT - _MARGIN - _MATRIX
    paper.rule(_MARGIN, top - 5, _ROOM, 0.6)
    side = paper.matrix(_MARGIN - 4, top, data_matrix(label.pack_id), _MATRIX)
    left = _MARGIN + side + 4
    room = WIDTH - _MARGIN - left
    small = Style(6.4, colour=GREY)
    total = sum(item.pills for item in label.items)
    paper.text(left, top + 8, count(total, "pills"), Style(9, bold=True))
    paper.text(left, top + 20, "Use by", small)
    paper.text(left, top + 31, us_date(label.use_by), Style(10, bold=True))
    paper.text(left, top + 42, label.pack_id, shrunk(label.pack_id, small, room, 4.2))
    if brand.phone:
        paper.text(left, top + 51, cut(brand.phone, small, room), small)
