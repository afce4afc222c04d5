"""The pick list: what one batch takes from the shelves, by product and, within it, first expiry first."""

from itertools import groupby

from fulfillment.documents.barcodes import code_128, data_matrix
from fulfillment.documents.branding import GREY, INK, Palette, palette
from fulfillment.documents.layout import Block, Paper, space
from fulfillment.documents.letter import MARGIN, ROOM, WIDTH, Letterhead, print_pages
from fulfillment.documents.model import Brand, PickLine, PickList
from fulfillment.documents.typography import Style, wrap
from fulfillment.documents.wording import count, number, us_date

OPERATOR = Brand(name="Juniper Health", primary_color="#1f4e45", secondary_color="#9cc5a1")
_TEXT = Style(9)
_BOLD = Style(9, bold=True)
_SMALL = Style(7.2, colour=GREY)
_HEAD = Style(7.6, bold=True)
_ROW = 38.0
_MATRIX = 34.0
_LOCATION, _PRODUCT, _CODE, _LOT = MARGIN + 26, MARGIN + 92, MARGIN + 252, MARGIN + 290
_EXPIRY, _ORDERS, _PICK = MARGIN + 422, MARGIN + 456, MARGIN + ROOM - 6  # the last two are right edges


def render(picks: PickList) -> bytes:
    """Return the pick list of one batch.

    Raises:
        BarcodeNotPossible: The batch's id or a lot number can't be a barcode.
    """
    paper = Paper(f"Pick list {picks.batch_id}")
    draw(paper, picks)
    return paper.finish()


def draw(paper: Paper, picks: PickList) -> None:
    """Draw the pages of *picks*."""
    head = Letterhead(
        OPERATOR,
        "Pick list",
        f"Batch {picks.batch_id}  ·  {us_date(picks.released_on)}",
        "Take the lots as listed, first to expire first. Is a lot not there? Report it, take no other.",
    )
    print_pages(paper, head, _body(picks))


def in_order(lines: tuple[PickLine, ...]) -> list[PickLine]:
    """Return the lines by product and, within it, first expiry first."""
    return sorted(lines, key=lambda line: (line.product_name, line.sku, line.expires_on, line.lot_number))


def _body(picks: PickList) -> list[Block]:
    colours = palette(OPERATOR)
    heading = _heading(colours)
    groups = groupby(in_order(picks.lines), key=lambda line: (line.product_name, line.sku))
    rows = [block for _, group in groups for block in _product(list(group), heading, colours)]
    return [_summary(picks), space(8), heading, *rows, _totals(picks, colours), _signatures()]


def _summary(picks: PickList) -> Block:
    facts = (
        ("Orders", number(picks.orders)),
        ("Packs", number(picks.packs)),
        ("Lots", number(len(picks.lines))),
    )
    code = code_128(picks.batch_id)

    def draw_summary(paper: Paper, y: float) -> None:
        for index, (label, value) in enumerate(facts):
            x = MARGIN + index * 66
            paper.text(x, y + 9, label, _SMALL)
            paper.fitted(x, y + 27, value, Style(16, bold=True), 58)
        left = MARGIN + 196
        paper.linear(left, y, code, WIDTH - MARGIN - left, 32)
        middle = left + (WIDTH - MARGIN - left) / 2
        paper.text(middle, y + 42, picks.batch_id, Style(8), "center")

    return Block(48, draw_summary)


def _heading(colours: Palette) -> Block:
    style = Style(7.6, bold=True, colour=colours.accent)

    def draw_heading(paper: Paper, y: float) -> None:
        for x, title in ((_LOCATION, "Location"), (_PRODUCT, "Product"), (_LOT, "Lot")):
            paper.text(x, y + 10, title, style)
        for x, title in ((_EXPIRY, "Expires"), (_ORDERS, "Orders"), (_PICK, "Pick")):
            paper.text(x, y + 10, title, style, "right")
        paper.rule(MARGIN, y + 15, ROOM, 1, colours.accent)

    return Block(17, draw_heading, keep=True)


def _product(lines: list[PickLine], heading: Block, colours: Palette) -> list[Block]:
    rows = [_row(line, heading) for line in lines]
    return [*rows, _subtotal(lines, heading, colours)] if len(lines) > 1 else rows


def _row(line: PickLine, heading: Block) -> Block:
    names = wrap(line.product_name, _BOLD, _CODE - _PRODUCT - 8, most=2)
    matrix = data_matrix(line.lot_number)
    height = max(_ROW, 18 + len(names) * _BOLD.leading + 6)
    picked = count(line.quantity, line.unit)

    def draw_row(paper: Paper, y: float) -> None:
        base = y + 16
        paper.box(MARGIN + 4, y + 8, 12, 12, stroke=INK, line=1)
        paper.fitted(_LOCATION, base, line.location or "–", _TEXT, _PRODUCT - _LOCATION - 6)
        below = paper.lines(_PRODUCT, base, names, _BOLD)
        paper.fitted(_PRODUCT, below - 1, line.sku, _SMALL, _CODE - _PRODUCT - 8)
        paper.matrix(_CODE, y + (height - _MATRIX) / 2, matrix, _MATRIX)
        paper.fitted(_LOT, base, line.lot_number, _TEXT, 76, smallest=4.5)
        paper.text(_EXPIRY, base, us_date(line.expires_on), _TEXT, "right")
        paper.text(_ORDERS, base, number(line.orders), _TEXT, "right")
        paper.fitted(_PICK, base, picked, Style(10, bold=True), _PICK - _ORDERS - 4, "right")
        paper.rule(MARGIN, y + height - 0.5, ROOM)

    return Block(height, draw_row, heading=heading)


def _subtotal(lines: list[PickLine], heading: Block, colours: Palette) -> Block:
    words = count(sum(line.quantity for line in lines), lines[0].unit)

    def draw_subtotal(paper: Paper, y: float) -> None:
        paper.box(MARGIN, y, ROOM, 15, fill=colours.wash)
        about = wrap(f"{lines[0].product_name}, {len(lines)} lots", _SMALL, _ORDERS - _PRODUCT, most=1)
        paper.lines(_PRODUCT, y + 10.5, about, _SMALL)
        paper.text(_PICK, y + 10.5, words, _HEAD, "right")

    return Block(15.5, draw_subtotal, heading=heading)


def _totals(picks: PickList, colours: Palette) -> Block:
    units = sorted({line.unit for line in picks.lines})
    sums = [count(sum(line.quantity for line in picks.lines if line.unit == unit), unit) for unit in units]

    def draw_totals(paper: Paper, y: float) -> None:
        paper.rule(MARGIN, y, ROOM, 1, colours.accent)
        paper.text(_LOCATION, y + 15, "Total to pick", Style(10, bold=True))
        paper.text(_PICK, y + 15, " + ".join(sums) or "nothing", Style(10, bold=True), "right")

    return Block(28, draw_totals, keep=True)


def _signatures() -> Block:
    labels = ("Picked by", "Checked by", "Date and time")

    def draw_signatures(paper: Paper, y: float) -> None:
        for index, label in enumerate(labels):
            x = MARGIN + index * (ROOM / 3)
            paper.rule(x, y + 26, ROOM / 3 - 16, 0.6, INK)
            paper.text(x, y + 36, label, _SMALL)

    return Block(40, draw_signatures)
