"""A partner's colours, moved just as far as a reader needs: WCAG 2 contrast of at least 4.5 to 1."""

import re
from dataclasses import dataclass

from fulfillment.documents.model import Brand

MINIMUM_CONTRAST = 4.5  # WCAG 2.2, success criterion 1.4.3, text of normal size
_HEX = re.compile(r"#([0-9A-Fa-f]{2})([0-9A-Fa-f]{2})([0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class Colour:
    """A colour of sRGB, each part 0 to 255."""

    red: int
    green: int
    blue: int


@dataclass(frozen=True, slots=True)
class Palette:
    """The colours one document is drawn with."""

    band: Colour  # the partner's primary colour, as given
    band_ink: Colour  # white, or black where white would not read on the band
    stripe: Colour  # the partner's secondary colour, as given
    accent: Colour  # the primary colour, darkened until it reads on white and on the wash
    wash: Colour  # a hint of the primary colour, behind every other row


BLACK = Colour(0, 0, 0)
WHITE = Colour(255, 255, 255)
INK = Colour(0x1B, 0x21, 0x2A)
GREY = Colour(0x5A, 0x63, 0x70)
RULE = Colour(0xC9, 0xCF, 0xD6)
_DEFAULT = Colour(0x1F, 0x4E, 0x45)


def parse(text: str | None, default: Colour) -> Colour:
    """Return the colour that "#rrggbb" names, or *default* for anything else."""
    match = _HEX.fullmatch(text or "")
    return Colour(*(int(part, 16) for part in match.groups())) if match else default


def luminance(colour: Colour) -> float:
    """Return the relative luminance, 0 for black to 1 for white.

    Source:
        https://www.w3.org/TR/WCAG22/#dfn-relative-luminance
    """
    red, green, blue = (_linear(part / 255) for part in (colour.red, colour.green, colour.blue))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: Colour, other: Colour) -> float:
    """Return the contrast ratio of two colours, 1 to 21, in either order."""
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def ink_on(background: Colour) -> Colour:
    """Return white where it reads on *background*, else black: one of the two always does.

    White comes first: on a middling blue both pass, and white on colour is what a designer expects.
    """
    return WHITE if contrast(WHITE, background) >= MINIMUM_CONTRAST else BLACK


def readable(colour: Colour, background: Colour = WHITE) -> Colour:
    """Return *colour*, mixed with black or white in the smallest share that reads on *background*."""
    towards = ink_on(background)
    steps = (mix(colour, towards, percent / 100) for percent in range(101))
    return next(step for step in steps if contrast(step, background) >= MINIMUM_CONTRAST)


def mix(colour: Colour, other: Colour, share: float) -> Colour:
    """Return *colour* with *share* (0 to 1) of *other* in it."""
    return Colour(
        round(colour.red + (other.red - colour.red) * share),
        round(colour.green + (other.green - colour.green) * share),
        round(colour.blue + (other.blue - colour.blue) * share),
    )


def palette(brand: Brand) -> Palette:
    """Return the colours for the documents of *brand*."""
    primary = parse(brand.primary_color, _DEFAULT)
    wash = mix(primary, WHITE, 0.94)
    return Palette(
        band=primary,
        band_ink=ink_on(primary),
        stripe=parse(brand.secondary_color, mix(primary, WHITE, 0.55)),
        accent=readable(primary, wash),
        wash=wash,
    )


def _linear(part: float) -> float:
    return part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
