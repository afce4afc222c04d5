"""The type the documents are set in: fonts, what of a text can be printed, its width, its lines."""

import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import as_file, files
from itertools import groupby

from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont

from fulfillment.documents.branding import INK, Colour

_FILES = {"Text": "DejaVuSansCondensed.ttf", "Text-Bold": "DejaVuSansCondensed-Bold.ttf"}
_REPLACEMENT = "□"
_ELLIPSIS = "…"


@dataclass(frozen=True, slots=True)
class Style:
    """How a piece of text looks."""

    size: float  # points
    bold: bool = False
    colour: Colour = INK

    @property
    def font(self) -> str:
        """Return the name of the font, registered."""
        _fonts()
        return "Text-Bold" if self.bold else "Text"

    @property
    def leading(self) -> float:
        """Return the distance of two lines, in points."""
        return self.size * 1.28

    def sized(self, size: float) -> "Style":
        """Return the same style at another size."""
        return Style(size, self.bold, self.colour)


@lru_cache(maxsize=4096)
def printable(text: str) -> str:
    """Return *text* on one line with every character that has no glyph replaced by a visible box."""
    composed = unicodedata.normalize("NFC", " ".join(text.split()))
    return "".join(_glyph(char) for char in composed)


@lru_cache(maxsize=4096)
def visual(text: str) -> str:
    """Return *text* from left to right as it is drawn: runs of Hebrew or Arabic letters are turned round.

    Arabic letters keep their isolated forms.
    """
    if not any(_right_to_left(char) for char in text):
        return text
    words = (list(group) for _, group in groupby(text.split(" "), key=lambda word: any(map(_right_to_left, word))))
    return " ".join(_turned(run) for run in words)


@lru_cache(maxsize=16384)
def width(text: str, style: Style) -> float:
    """Return how wide *text* is, in points."""
    return _advance(printable(text), style)


def wrap(text: str, style: Style, room: float, most: int = 3) -> list[str]:
    """Return *text* in at most *most* lines of *room* points; an ellipsis says that some is left out."""
    lines: list[str] = []
    rest = printable(text)
    while rest and len(lines) < most - 1:
        line, rest = _first_line(rest, style, room)
        lines.append(line)
    return [*lines, cut(rest, style, room)] if rest else lines


def cut(text: str, style: Style, room: float) -> str:
    """Return *text*, or as much of its start as fits into *room* points with an ellipsis."""
    whole = printable(text)
    # A hair of slack: a style shrunk to the room is as wide as the room, up to the last bit of a float.
    if width(whole, style) <= room + 0.01:
        return whole
    kept = _fitting(whole, style, room - width(_ELLIPSIS, style))
    return whole[:kept].rstrip() + _ELLIPSIS


def shrunk(text: str, style: Style, room: float, smallest: float) -> Style:
    """Return *style* at the largest size, not below *smallest* points, at which *text* fits into *room*."""
    needed = width(text, style)
    return style if needed <= room else style.sized(max(smallest, style.size * room / needed))


def _first_line(text: str, style: Style, room: float) -> tuple[str, str]:
    if width(text, style) <= room:
        return text, ""
    kept = max(1, _fitting(text, style, room))
    space = text.rfind(" ", 0, kept + 1)
    end = space if space > 0 else kept
    return text[:end].rstrip(), text[end:].lstrip()


def _fitting(text: str, style: Style, room: float) -> int:
    """Return how many characters of *text* fit."""
    used = 0.0
    for position, char in enumerate(text):
        used += _advance(char, style)
        if used > room:
            return position
    return len(text)


@lru_cache(maxsize=4096)
def _advance(text: str, style: Style) -> float:
    return float(pdfmetrics.stringWidth(text, style.font, style.size))


def _glyph(char: str) -> str:
    if ord(char) in _fonts():
        return char
    # Marks, joiners, variation selectors and controls have no shape of their own: nothing is lost.
    return "" if unicodedata.category(char) in ("Cc", "Cf", "Mn", "Me") else _REPLACEMENT


def _right_to_left(char: str) -> bool:
    return unicodedata.bidirectional(char) in ("R", "AL")


def _turned(words: list[str]) -> str:
    if not any(map(_right_to_left, words[0])):
        return " ".join(words)
    return " ".join(word[::-1] for word in reversed(words))


@lru_cache(maxsize=1)
def _fonts() -> frozenset[int]:
    """Register both fonts and return the characters that both can draw."""
    covered: list[set[int]] = []
    for name, file in _FILES.items():
        with as_file(files("fulfillment.documents") / "fonts" / file) as path:
            font = TTFont(name, str(path))
        pdfmetrics.registerFont(font)  # pyright: ignore[reportUnknownMemberType]
        covered.append(set(font.face.charToGlyph))
    # Format characters may have a glyph, but U+202E and its like would be drawn as nothing or as a mark.
    return frozenset(code for code in covered[0] & covered[1] if unicodedata.category(chr(code)) not in ("Cc", "Cf"))
