"""What every document is drawn with: a paper measured from its top, and blocks that flow over pages."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from reportlab.pdfgen.canvas import Canvas

from fulfillment.documents.barcodes import QUIET_LINEAR, QUIET_MATRIX, Barcode, module_width
from fulfillment.documents.branding import BLACK, RULE, WHITE, Colour
from fulfillment.documents.logo import Logo
from fulfillment.documents.typography import Style, cut, printable, shrunk, visual, wrap

Align = Literal["left", "right", "center"]
Progress = Callable[[int, int], None]  # done, total


class Paper:
    """A PDF under the pen. Points, y from the top of the page down, the baseline for text.

    Nothing drawn is read as markup, and nothing drawn is fetched.
    """

    def __init__(self, title: str) -> None:
        self._bytes = io.BytesIO()
        self._canvas = Canvas(self._bytes, invariant=1, pageCompression=1, lang="en-US")
        self._canvas.setTitle(title)
        self._canvas.setAuthor("Juniper Health")
        self._canvas.setCreator("Juniper Health Order Fulfillment")
        self._height = 0.0

    def begin(self, page_width: float, page_height: float) -> None:
        """Start a page of the given size."""
        self._canvas.setPageSize((page_width, page_height))
        self._height = page_height

    def end(self) -> None:
        """Close the page."""
        self._canvas.showPage()

    def finish(self) -> bytes:
        """Return the PDF; at least one page must have been drawn."""
        self._canvas.save()
        return self._bytes.getvalue()

    def text(self, x: float, y: float, words: str, style: Style, align: Align = "left") -> None:
        """Draw one line of text."""
        shown = visual(printable(words))
        canvas = self._canvas
        canvas.setFont(style.font, style.size)
        canvas.setFillColorRGB(*_parts(style.colour))
        draw = {
            "left": canvas.drawString,
            "right": canvas.drawRightString,
            "center": canvas.drawCentredString,
        }
        draw[align](x, self._height - y, shown)

    def fitted(
        self, x: float, y: float, words: str, style: Style, room: float, align: Align = "left", smallest: float = 5
    ) -> None:
        """Draw one line of text in at most *room* points: smaller if need be, and then cut."""
        sized = shrunk(words, style, room, smallest)
        self.text(x, y, cut(words, sized, room), sized, align)

    def lines(self, x: float, y: float, lines: Sequence[str], style: Style, align: Align = "left") -> float:
        """Draw lines below each other and return the baseline of the next."""
        for line in lines:
            self.text(x, y, line, style, align)
            y += style.leading
        return y

    def box(
        self,
        x: float,
        y: float,
        box_width: float,
        box_height: float,
        *,
        fill: Colour | None = None,
        stroke: Colour | None = None,
        line: float = 0.6,
        radius: float = 0.0,
    ) -> None:
        """Draw a rectangle whose top left corner is at x, y."""
        canvas = self._canvas
        if fill:
            canvas.setFillColorRGB(*_parts(fill))
        if stroke:
            canvas.setStrokeColorRGB(*_parts(stroke))
            canvas.setLineWidth(line)
        bottom = self._height - y - box_height
        args = {"stroke": int(stroke is not None), "fill": int(fill is not None)}
        if radius:
            canvas.roundRect(x, bottom, box_width, box_height, radius, **args)
        else:
            canvas.rect(x, bottom, box_width, box_height, **args)

    def rule(self, x: float, y: float, length: float, thickness: float = 0.5, colour: Colour = RULE) -> None:
        """Draw a horizontal line whose upper edge is at y."""
        self.box(x, y, length, thickness, fill=colour)

    def matrix(self, x: float, y: float, barcode: Barcode, room: float) -> float:
        """Draw a Data Matrix on white with its quiet zone, into at most *room* points; return its side."""
        columns = barcode.columns + 2 * QUIET_MATRIX
        module = module_width(columns, room)
        side = columns * module
        self.box(x, y, side, side, fill=WHITE)
        self._bars(x + QUIET_MATRIX * module, y + QUIET_MATRIX * module, barcode, module, module)
        return side

    def linear(self, x: float, y: float, barcode: Barcode, room: float, bar_height: float) -> float:
        """Draw a Code 128 on white with its quiet zones, centred in *room* points; return its module."""
        columns = barcode.columns + 2 * QUIET_LINEAR
        module = module_width(columns, room)
        left = x + (room - columns * module) / 2
        self.box(left, y, columns * module, bar_height, fill=WHITE)
        self._bars(left + QUIET_LINEAR * module, y, barcode, module, bar_height)
        return module

    def logo(self, x: float, y: float, logo: Logo, room: tuple[float, float], align: Align = "left") -> None:
        """Draw a logo as large as fits into *room* (width, height), in the middle of its height."""
        scale = min(room[0] / logo.width, room[1] / logo.height)
        wide, high = logo.width * scale, logo.height * scale
        left = {"left": x, "right": x + room[0] - wide, "center": x + (room[0] - wide) / 2}[align]
        bottom = self._height - y - (room[1] + high) / 2
        self._canvas.drawImage(logo.reader, left, bottom, wide, high)  # pyright: ignore[reportUnknownMemberType]

    def watermark(self, x: float, y: float, words: str, style: Style, angle: float) -> None:
        """Draw text centred on x, y and turned by *angle* degrees."""
        canvas = self._canvas
        canvas.saveState()
        canvas.translate(x, self._height - y)
        canvas.rotate(angle)
        canvas.setFont(style.font, style.size)
        canvas.setFillColorRGB(*_parts(style.colour))
        canvas.drawCentredString(0, -style.size / 3, visual(printable(words)))
        canvas.restoreState()

    def _bars(self, x: float, y: float, barcode: Barcode, wide: float, high: float) -> None:
        path = self._canvas.beginPath()
        for bar in barcode.bars:
            bottom = self._height - y - (bar.y + bar.height) * high
            path.rect(x + bar.x * wide, bottom, bar.width * wide, bar.height * high)  # pyright: ignore[reportUnknownMemberType]
        self._canvas.setFillColorRGB(*_parts(BLACK))
        self._canvas.drawPath(path, stroke=0, fill=1)  # pyright: ignore[reportUnknownMemberType]


@dataclass(frozen=True, slots=True)
class Block:
    """A strip of a page: how high it is, and how it is drawn when its top edge is known."""

    height: float  # points
    draw: Callable[[Paper, float], None]
    keep: bool = False  # on one page with the next block
    heading: "Block | None" = None  # drawn again when a page starts with this block
    blank: bool = False  # nothing to see: never starts a page


def paginate(blocks: Sequence[Block], first: float, other: float) -> list[list[Block]]:
    """Return the blocks of each page, given the room on the first and on the others in points."""
    pages: list[list[Block]] = [[]]
    left = first
    for group in _groups(blocks):
        needed = sum(block.height for block in group)
        if needed > left and all(block.blank for block in group):
            continue
        if needed > left and pages[-1]:
            pages.append([])
            left = other
            if heading := group[0].heading:
                pages[-1].append(heading)
                left -= heading.height
        pages[-1].extend(group)
        left -= needed
    return pages


def space(height: float) -> Block:
    """Return an empty strip."""
    return Block(height, lambda _paper, _y: None, blank=True)


def paragraph(x: float, room: float, words: str, style: Style, *, most: int = 40) -> list[Block]:
    """Return a text as one block for each of its lines, so that a page can end between them."""

    def line(words: str) -> Block:
        return Block(style.leading, lambda paper, y: paper.text(x, y + style.size, words, style))

    return [line(words) for words in wrap(words, style, room, most)]


def _groups(blocks: Sequence[Block]) -> list[list[Block]]:
    groups: list[list[Block]] = [[]]
    for block in blocks:
        groups[-1].append(block)
        if not block.keep:
            groups.append([])
    return [group for group in groups if group]


def _parts(colour: Colour) -> tuple[float, float, float]:
    return colour.red / 255, colour.green / 255, colour.blue / 255
