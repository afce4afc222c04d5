"""The Supplement Facts panel: on a sheet of its own, and as blocks that other documents take in."""

from dataclasses import dataclass, replace

from fulfillment.documents.branding import BLACK, Colour
from fulfillment.documents.layout import Block, Paper, paragraph, space
from fulfillment.documents.letter import HEIGHT, MARGIN, ROOM, Letterhead, print_pages
from fulfillment.documents.model import FactsCell, FactsRow, FactsSheet, FactsTable
from fulfillment.documents.typography import Style, cut, shrunk, wrap
from fulfillment.documents.wording import number, percent

_EDGE = 0.8  # the line of the box
_PAD = 5.0
_BODY = Style(7.4, colour=BLACK)
_BOLD = Style(7.4, bold=True, colour=BLACK)
_SMALL = Style(6.4, colour=BLACK)
_HAIR = Colour(0x8A, 0x8A, 0x8A)
_CLASSIC = 290.0  # the width of a panel with one column
_MOST_IN_ONE_PIECE = HEIGHT - 180
_NOT_ESTABLISHED = "**"
_DIET = "* Percent Daily Values are based on a 2,000 calorie diet."
_NO_VALUE = "** Daily Value not established."


@dataclass(frozen=True, slots=True)
class _Frame:
    """Where the panel and its columns are."""

    x: float
    width: float
    columns: int

    @property
    def names(self) -> float:
        """The room of the ingredients' names."""
        return self.width * (0.56 if self.columns == 1 else max(0.26, 0.5 - 0.07 * self.columns))

    @property
    def column(self) -> float:
        return (self.width - self.names - _PAD) / self.columns

    def left(self, index: int) -> float:
        return self.x + self.names + index * self.column

    def amount_right(self, index: int) -> float:
        return self.left(index) + self.column * 0.6

    def percent_right(self, index: int) -> float:
        return self.left(index) + self.column


def render(sheet: FactsSheet) -> bytes:
    """Return a PDF with the panels of *sheet* below each other.

    Source:
        21 CFR 101.36.
    """
    paper = Paper(f"Supplement Facts {sheet.order_id}")
    draw(paper, sheet)
    return paper.finish()


def draw(paper: Paper, sheet: FactsSheet) -> None:
    """Draw the pages of *sheet*."""
    body: list[Block] = []
    for table in sheet.tables:
        body += [*blocks(table, MARGIN, ROOM if len(table.columns) > 1 else _CLASSIC), space(16)]
    head = Letterhead(
        sheet.brand,
        "Supplement Facts",
        f"Order {sheet.order_id}",
        f"Packed for {sheet.brand.name} by Juniper Health",
    )
    print_pages(paper, head, body)


def blocks(table: FactsTable, x: float, panel_width: float) -> list[Block]:
    """Return the panel and the lines below it: in one piece where a page has room for it."""
    frame = _Frame(x, panel_width, len(table.columns))
    box = [
        _title(frame),
        _serving(frame, table),
        _columns(frame, table),
        *_rows(frame, table),
        _notes(frame, table),
    ]
    panel = [*box, space(4), *_below(frame, table)]
    if sum(block.height for block in panel) > _MOST_IN_ONE_PIECE:
        return panel
    return [*(replace(block, keep=True) for block in panel[:-1]), panel[-1]]


def _title(frame: _Frame) -> Block:
    largest = Style(30 if frame.columns == 1 else 19, bold=True, colour=BLACK)
    style = shrunk("Supplement Facts", largest, frame.width - 2 * _PAD, 12)

    def draw_title(paper: Paper, y: float) -> None:
        paper.rule(frame.x, y, frame.width, _EDGE, BLACK)
        _sides(paper, frame, y, style.size * 1.16)
        paper.text(frame.x + _PAD, y + style.size * 0.98, "Supplement Facts", style)

    return Block(style.size * 1.16, draw_title, keep=True)


def _serving(frame: _Frame, table: FactsTable) -> Block:
    lines = [line for line in (table.serving, table.servings) if line]
    height = len(lines) * _BODY.leading + 3

    def draw_serving(paper: Paper, y: float) -> None:
        _sides(paper, frame, y, height)
        shown = [cut(line, _BODY, frame.width - 2 * _PAD) for line in lines]
        paper.lines(frame.x + _PAD, y + _BODY.size, shown, _BODY)

    return Block(height, draw_serving, keep=True)


def _columns(frame: _Frame, table: FactsTable) -> Block:
    if frame.columns == 1:
        return _classic_columns(frame)
    height = 2 * _BOLD.leading + 8

    def draw_columns(paper: Paper, y: float) -> None:
        _sides(paper, frame, y, height)
        _bar(paper, frame, y, 4)
        paper.text(frame.x + _PAD, y + 5 + 2 * _BOLD.size, "Amount Per Serving", _BOLD)
        for index, column in enumerate(table.columns):
            paper.fitted(frame.percent_right(index), y + 5 + _BOLD.size, column, _BOLD, frame.column - 8, "right")
            paper.text(frame.amount_right(index), y + 5.6 + 2 * _BOLD.size, "Amount", _SMALL, "right")
            paper.text(frame.percent_right(index), y + 5.6 + 2 * _BOLD.size, "% DV", _SMALL, "right")
        _bar(paper, frame, y + height - 1, 1)

    return Block(height, draw_columns, keep=True)


def _classic_columns(frame: _Frame) -> Block:
    height = _BOLD.leading + 8

    def draw_columns(paper: Paper, y: float) -> None:
        _sides(paper, frame, y, height)
        _bar(paper, frame, y, 4)
        paper.text(frame.x + _PAD, y + 6 + _BOLD.size, "Amount Per Serving", _BOLD)
        paper.text(frame.percent_right(0), y + 6 + _BOLD.size, "% Daily Value", _BOLD, "right")
        _bar(paper, frame, y + height - 1, 1)

    return Block(height, draw_columns, keep=True)


def _rows(frame: _Frame, table: FactsTable) -> list[Block]:
    again = _continued(frame, table)
    groups = (
        [row for row in table.rows if row.established],
        [row for row in table.rows if not row.established],
    )
    body = [_row(frame, row, again, first=index == 0) for group in groups for index, row in enumerate(group)]
    heavy = _heavy(frame, again)
    between = [heavy] if all(groups) else []
    rows = [*body[: len(groups[0])], *between, *body[len(groups[0]) :]]
    # The last row stays with the end of the box: no page shall start with an empty panel.
    return [*rows[:-1], *(replace(row, keep=True) for row in rows[-1:]), heavy]


def _row(frame: _Frame, row: FactsRow, again: Block, *, first: bool) -> Block:
    left = frame.x + _PAD + 8 * row.indent
    room = frame.names - _PAD - 8 * row.indent - 4
    names = wrap(row.name, _BODY, room, most=3)
    members = wrap(", ".join(row.members), _SMALL, frame.width - 2 * _PAD - 12, most=12)
    height = len(names) * _BODY.leading + len(members) * _SMALL.leading + 1.9

    def draw_row(paper: Paper, y: float) -> None:
        _sides(paper, frame, y, height)
        if not first:
            paper.rule(frame.x + _PAD, y, frame.width - 2 * _PAD, 0.4, _HAIR)
        base = y + _BODY.size + 1.4
        below = paper.lines(left, base, names, _BODY)
        paper.lines(left + 12, below - 1, members, _SMALL)
        for index, cell in enumerate(row.cells):
            _draw_cell(paper, frame, index, base, cell, row)

    return Block(height, draw_row, heading=again)


def _draw_cell(paper: Paper, frame: _Frame, index: int, y: float, cell: FactsCell | None, row: FactsRow) -> None:
    if cell is None:
        paper.text(frame.amount_right(index), y, "–", _BODY, "right")
        return
    if cell.amount is not None:
        amount = f"{number(cell.amount)} {cell.unit}".rstrip()
        room = frame.column * (0.56 if frame.columns > 1 else 0.6)
        paper.fitted(frame.amount_right(index), y, amount, _BODY, room, "right", smallest=5.5)
    paper.text(frame.percent_right(index), y, _percent(cell, row), _BODY, "right")


def _percent(cell: FactsCell, row: FactsRow) -> str:
    if not row.has_value:
        return ""
    if cell.percent is None:
        return _NOT_ESTABLISHED
    return percent(cell.percent) + ("*" if row.diet_based else "")


def _heavy(frame: _Frame, again: Block) -> Block:
    def draw_heavy(paper: Paper, y: float) -> None:
        _sides(paper, frame, y, 4.5)
        _bar(paper, frame, y + 1, 2.5)

    return Block(4.5, draw_heavy, keep=True, heading=again)


def _continued(frame: _Frame, table: FactsTable) -> Block:
    """Return what a page starts with when the panel came from the page before."""
    columns = _columns(frame, table)
    height = _BOLD.leading + 4

    def draw_continued(paper: Paper, y: float) -> None:
        paper.rule(frame.x, y, frame.width, _EDGE, BLACK)
        _sides(paper, frame, y, height)
        paper.text(frame.x + _PAD, y + _BOLD.size + 2, "Supplement Facts (continued)", _BOLD)
        columns.draw(paper, y + height)

    return Block(height + columns.height, draw_continued)


def _notes(frame: _Frame, table: FactsTable) -> Block:
    cells = [(row, cell) for row in table.rows if row.has_value for cell in row.cells if cell]
    notes = [
        *([_DIET] if any(row.diet_based and cell.percent is not None for row, cell in cells) else []),
        *([_NO_VALUE] if any(cell.percent is None for _, cell in cells) else []),
    ]
    height = len(notes) * _SMALL.leading + 3

    def draw_notes(paper: Paper, y: float) -> None:
        _sides(paper, frame, y, height)
        paper.lines(frame.x + _PAD, y + _SMALL.size, notes, _SMALL)
        paper.rule(frame.x, y + height - _EDGE, frame.width, _EDGE, BLACK)

    return Block(height, draw_notes)


def _below(frame: _Frame, table: FactsTable) -> list[Block]:
    """Return what 21 CFR 101.4 and the allergen law put outside the box."""
    lines: list[Block] = []
    if table.other_ingredients:
        lines += paragraph(frame.x, frame.width, f"Other ingredients: {', '.join(table.other_ingredients)}", _BODY)
    if table.contains:
        lines += [
            space(2),
            *paragraph(frame.x, frame.width, f"Contains: {', '.join(table.contains)}.", _BOLD),
        ]
    return lines


def _sides(paper: Paper, frame: _Frame, y: float, height: float) -> None:
    for x in (frame.x, frame.x + frame.width - _EDGE):
        paper.box(x, y, _EDGE, height, fill=BLACK)


def _bar(paper: Paper, frame: _Frame, y: float, thickness: float) -> None:
    paper.rule(frame.x + _PAD, y, frame.width - 2 * _PAD, thickness, BLACK)
