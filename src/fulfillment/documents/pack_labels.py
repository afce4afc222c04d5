"""Pack labels: one of 70 by 100 mm for each pouch, in the order of the roll."""

from fulfillment.documents.barcodes import data_matrix
from fulfillment.documents.branding import GREY, Palette, ink_on, palette
from fulfillment.documents.layout import Paper, Progress
from fulfillment.documents.letter import draw_mark
from fulfillment.documents.model import Brand, PackItem, PackLabel, PackRoll
from fulfillment.documents.typography import Style, cut, wrap
from fulfillment.documents.wording import count, short_name, slot_name, us_date

_MM = 72 / 25.4
WIDTH, HEIGHT = 70 * _MM, 100 * _MM
_MARGIN = 4 * _MM
_ROOM = WIDTH - 2 * _MARGIN
_MATRIX = 18.5 * _MM
_BAND_TOP = 38.0
_BAND = 34.0
_LIST_TOP = 121.0
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
    draw_mark(paper, _MARGIN, 7, brand, (_ROOM, 26), 15)


def _draw_time(paper: Paper, label: PackLabel, colours: Palette) -> None:
    """Draw the band with the time of day; the day stands on the secondary colour at its end."""
    day_width = 58.0
    paper.box(0, _BAND_TOP, WIDTH, _BAND, fill=colours.band)
    paper.box(WIDTH - day_width, _BAND_TOP, day_width, _BAND, fill=colours.stripe)
    slot = slot_name(label.slot).upper()
    room = WIDTH - day_width - _MARGIN - 6
    paper.fitted(_MARGIN, _BAND_TOP + 24, slot, Style(19, bold=True, colour=colours.band_ink), room)
    ink = ink_on(colours.stripe)
    middle = WIDTH - day_width / 2
    day = f"Day {label.day}"
    paper.fitted(middle, _BAND_TOP + 16, day, Style(12, bold=True, colour=ink), day_width - 8, "center")
    paper.text(middle, _BAND_TOP + 27, f"of {label.days}", Style(8, colour=ink), "center")


def _draw_owner(paper: Paper, label: PackLabel, colours: Palette) -> None:
    y = _BAND_TOP + _BAND + 16
    name = Style(13, bold=True)
    paper.text(_MARGIN, y, cut(short_name(label.recipient), name, _ROOM), name)
    if label.description:
        description = Style(8.5, colour=colours.accent)
        paper.text(_MARGIN, y + 13, cut(label.description, description, _ROOM), description)
    paper.rule(_MARGIN, _LIST_TOP - 10, _ROOM, 0.6)


def _draw_contents(paper: Paper, items: tuple[PackItem, ...]) -> None:
    """Draw the contents as large as fits; what does not fit at the smallest size is counted, not hidden."""
    style, entries = _set_contents(items)
    shown = _fitting(entries, style)
    y = _LIST_TOP + style.size * 0.5
    for first, *more in entries[:shown]:
        paper.text(_MARGIN, y, first, style)
        y = paper.lines(_MARGIN + style.size, y + style.leading, more, style)
    if shown < len(entries):
        paper.text(_MARGIN, y, f"and {len(entries) - shown} more: see the packing slip", style)


def _set_contents(items: tuple[PackItem, ...]) -> tuple[Style, list[list[str]]]:
    """Return the largest style in which all items fit, else the smallest, and each item's lines."""
    style = Style(_LARGEST)
    entries = [_item_lines(item, style) for item in items]
    while _lines(entries) > _most(style) and style.size > _SMALLEST:
        style = style.sized(style.size - 0.5)
        entries = [_item_lines(item, style) for item in items]
    return style, entries


def _fitting(entries: list[list[str]], style: Style) -> int:
    """Return how many items can be named in full, leaving a line to count the others."""
    if _lines(entries) <= _most(style):
        return len(entries)
    return max(named for named in range(len(entries)) if _lines(entries[:named]) < _most(style))


def _lines(entries: list[list[str]]) -> int:
    return sum(map(len, entries))


def _most(style: Style) -> int:
    return int((_LIST_END - _LIST_TOP) / style.leading)


def _item_lines(item: PackItem, style: Style) -> list[str]:
    return wrap(f"{item.pills} × {item.product_name}", style, _ROOM - style.size, most=2)


def _draw_end(paper: Paper, label: PackLabel, brand: Brand) -> None:
    top = HEIGHT - _MARGIN - _MATRIX
    paper.rule(_MARGIN, top - 5, _ROOM, 0.6)
    side = paper.matrix(_MARGIN - 2.8, top, data_matrix(label.pack_id), _MATRIX)
    left = _MARGIN + side + 4
    room = WIDTH - _MARGIN - left
    small = Style(6.4, colour=GREY)
    total = sum(item.pills for item in label.items)
    paper.text(left, top + 8, count(total, "pills"), Style(9, bold=True))
    paper.text(left, top + 20, "Use by", small)
    paper.text(left, top + 31, us_date(label.use_by), Style(10, bold=True))
    paper.fitted(left, top + 42, label.pack_id, small, room, smallest=4)
    if brand.phone:
        paper.text(left, top + 51, cut(brand.phone, small, room), small)
