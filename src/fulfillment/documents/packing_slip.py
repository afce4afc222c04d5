"""The packing slip: what lies in the parcel, in the partner's brand, with the facts of the whole day."""

from fulfillment.documents import facts_panel
from fulfillment.documents.barcodes import Barcode, data_matrix
from fulfillment.documents.branding import GREY, Palette, palette
from fulfillment.documents.layout import Block, Paper, paragraph, space
from fulfillment.documents.letter import MARGIN, ROOM, WIDTH, Letterhead, print_pages
from fulfillment.documents.model import SLOTS, LotUse, PackingSlip, SlipLine
from fulfillment.documents.typography import Style, cut, width, wrap
from fulfillment.documents.wording import address_lines, count, number, slot_name, us_date

_LABEL = Style(7, bold=True, colour=GREY)
_TEXT = Style(9)
_NAME = Style(9, bold=True)
_LOT = Style(7.4, colour=GREY)
_MATRIX = 62.0
_SLOT = 50.0
_DAYS = 38.0
_TOTAL = 62.0
_PAD = 8.0


def render(slip: PackingSlip) -> bytes:
    """Return the packing slip of one order.

    Raises:
        BarcodeNotPossible: The order's id is empty or too long for a barcode.
    """
    paper = Paper(f"Packing slip {slip.order_id}")
    draw(paper, slip)
    return paper.finish()


def draw(paper: Paper, slip: PackingSlip) -> None:
    """Draw the pages of *slip*."""
    about = f"Order {slip.order_id}  ·  {us_date(slip.ordered_on)}"
    print_pages(paper, Letterhead(slip.brand, "Packing slip", about, _foot(slip)), _body(slip))


def _foot(slip: PackingSlip) -> str:
    packed = f"Packed for {slip.brand.name} by Juniper Health."
    # The phone comes first, so that a long name can't push it off the page: 21 U.S.C. 343(y) asks for it.
    return f"Questions, or a reaction to a product? Call {slip.brand.phone}. {packed}" if slip.brand.phone else packed


def _body(slip: PackingSlip) -> list[Block]:
    colours = palette(slip.brand)
    slots = tuple(slot for slot in SLOTS if any(dose.slot == slot for line in slip.lines for dose in line.doses))
    heading = _table_heading(slots, colours)
    items = [
        block for index, line in enumerate(slip.lines) for block in _item(line, slots, colours, heading, index % 2 == 1)
    ]
    return [
        _parties(slip, data_matrix(slip.order_id)),
        space(6),
        heading,
        *items,
        _totals(slip, colours),
        space(9),
        *_storage(slip),
        *(facts_panel.blocks(slip.facts, MARGIN, ROOM) if slip.facts else []),
    ]


def _parties(slip: PackingSlip, barcode: Barcode) -> Block:
    facts = [
        ("Order", slip.order_id),
        *([("Reference", slip.reference)] if slip.reference else []),
        ("Date", us_date(slip.ordered_on)),
        ("Shipping", slip.shipping_method),
        ("Supply", _supply(slip)),
    ]
    names = wrap(slip.ship_to.name, _NAME, 195, 2)
    lines = [part for line in address_lines(slip.ship_to) for part in wrap(line, _TEXT, 195, 2)]
    middle = MARGIN + 210.0
    matrix_left = WIDTH - MARGIN - _MATRIX

    def draw_parties(paper: Paper, y: float) -> None:
        paper.text(MARGIN, y + 7, "SHIP TO", _LABEL)
        below = paper.lines(MARGIN, y + 21, names, _NAME)
        paper.lines(MARGIN, below, lines, _TEXT)
        paper.text(middle, y + 7, "ORDER", _LABEL)
        for index, (label, value) in enumerate(facts):
            row = y + 21 + index * _TEXT.leading
            paper.text(middle, row, label, Style(9, colour=GREY))
            paper.fitted(middle + 52, row, value, _TEXT, matrix_left - middle - 60)
        paper.matrix(matrix_left, y + 2, barcode, _MATRIX)

    return Block(max(74.0, 24 + (len(names) + len(lines)) * _TEXT.leading), draw_parties)


def _supply(slip: PackingSlip) -> str:
    days = sorted({line.days_supply for line in slip.lines if line.days_supply})
    return " / ".join(count(day, "days") for day in days) or "–"


def _columns(slots: tuple[str, ...]) -> tuple[float, list[float]]:
    """Return the room of the product's name and the right edges of the columns behind it."""
    widths = [*(_SLOT for _ in slots), _DAYS, _TOTAL]
    name = ROOM - sum(widths) - 2 * _PAD
    edges = [MARGIN + _PAD + name + sum(widths[: index + 1]) for index in range(len(widths))]
    return name, edges


def _table_heading(slots: tuple[str, ...], colours: Palette) -> Block:
    name, edges = _columns(slots)
    style = Style(7.6, bold=True, colour=colours.accent)
    titles = [*(slot_name(slot) for slot in slots), "Days", "Total"]

    def draw_heading(paper: Paper, y: float) -> None:
        paper.text(MARGIN + _PAD, y + 10, cut("Product", style, name), style)
        for edge, title in zip(edges, titles, strict=True):
            paper.text(edge, y + 10, title, style, "right")
        paper.rule(MARGIN, y + 15, ROOM, 1, colours.accent)

    return Block(16, draw_heading, keep=True)


def _item(line: SlipLine, slots: tuple[str, ...], colours: Palette, heading: Block, shaded: bool) -> list[Block]:
    """Return the line, and below it its lots: they stay with the line, and may go on on the next page."""
    name, edges = _columns(slots)
    names = wrap(line.product_name, _NAME, name - 6, most=4)
    about = line.pack_description or ""
    behind = MARGIN + _PAD + width(names[-1] if names else "", _NAME) + 8
    beside = behind + width(about, _LOT) <= MARGIN + _PAD + name
    height = len(names) * _NAME.leading + (0 if beside else _LOT.leading) + 6
    values = [
        *(_dose(line, slot) for slot in slots),
        str(line.days_supply or "–"),
        count(line.total, line.unit),
    ]

    def draw_item(paper: Paper, y: float) -> None:
        _shade(paper, y, height, colours, shaded)
        below = paper.lines(MARGIN + _PAD, y + 4 + _NAME.size, names, _NAME)
        if beside:
            paper.text(behind, below - _NAME.leading, about, _LOT)
        else:
            paper.text(MARGIN + _PAD, below - 1, cut(about, _LOT, name), _LOT)
        for edge, value in zip(edges, values, strict=True):
            paper.fitted(edge, y + 4 + _NAME.size, value, _TEXT, _TOTAL - 6, "right")

    lots = [_lot(lot, line.unit, colours, heading, shaded) for lot in line.lots]
    return [Block(height, draw_item, keep=bool(lots), heading=heading), *lots]


def _dose(line: SlipLine, slot: str) -> str:
    quantity = sum(dose.quantity for dose in line.doses if dose.slot == slot)
    return number(quantity) if quantity else "–"


def _lot(lot: LotUse, unit: str, colours: Palette, heading: Block, shaded: bool) -> Block:
    words = f"Lot {lot.lot_number}  ·  use by {us_date(lot.expires_on)}  ·  {count(lot.quantity, unit)}"
    height = _LOT.leading + 2.5

    def draw_lot(paper: Paper, y: float) -> None:
        _shade(paper, y, height, colours, shaded)
        paper.text(MARGIN + _PAD, y + _LOT.size, cut(words, _LOT, ROOM - 2 * _PAD), _LOT)

    return Block(height, draw_lot, heading=heading)


def _shade(paper: Paper, y: float, height: float, colours: Palette, shaded: bool) -> None:
    if shaded:
        paper.box(MARGIN, y, ROOM, height, fill=colours.wash)


def _totals(slip: PackingSlip, colours: Palette) -> Block:
    units = sorted({line.unit for line in slip.lines})
    sums = [count(sum(line.total for line in slip.lines if line.unit == unit), unit) for unit in units]
    words = " + ".join(sums)

    def draw_totals(paper: Paper, y: float) -> None:
        paper.rule(MARGIN, y, ROOM, 1, colours.accent)
        paper.text(MARGIN + _PAD, y + 13, f"Total of {count(len(slip.lines), 'products')}", _NAME)
        paper.text(WIDTH - MARGIN - _PAD, y + 13, words, _NAME, "right")

    return Block(18, draw_totals)


def _storage(slip: PackingSlip) -> list[Block]:
    if not slip.storage.strip():
        return []
    return [*paragraph(MARGIN, ROOM, slip.storage, Style(8, colour=GREY), most=6), space(7)]
