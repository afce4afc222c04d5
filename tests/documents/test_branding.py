"""Colours: WCAG contrast, and how far a partner's colour is moved for a reader."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fulfillment.documents.branding import (
    BLACK,
    WHITE,
    Colour,
    contrast,
    ink_on,
    luminance,
    palette,
    parse,
    readable,
)
from tests.documents.examples import brand

colours = st.builds(Colour, st.integers(0, 255), st.integers(0, 255), st.integers(0, 255))


def wcag(one: Colour, other: Colour) -> float:
    """Return the contrast ratio as the WCAG text spells it, with its own threshold of 0.03928."""

    def relative(colour: Colour) -> float:
        weights = (0.2126, 0.7152, 0.0722)
        parts = [part / 255 for part in (colour.red, colour.green, colour.blue)]
        linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return sum(weight * part for weight, part in zip(weights, linear, strict=True))

    light, dark = max(relative(one), relative(other)), min(relative(one), relative(other))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (BLACK, WHITE, 21.0),
        (WHITE, WHITE, 1.0),
        (Colour(255, 0, 0), WHITE, 4.00),  # 1.05 / (0.2126 + 0.05)
        (Colour(0, 0, 255), WHITE, 8.59),  # 1.05 / (0.0722 + 0.05)
        (Colour(0, 255, 0), BLACK, 15.30),  # (0.7152 + 0.05) / 0.05
        (Colour(0x76, 0x76, 0x76), WHITE, 4.54),  # the lightest grey that passes on white
        (Colour(0x77, 0x77, 0x77), WHITE, 4.48),  # the next one does not
    ],
)
def test_contrast_is_the_ratio_of_wcag(one: Colour, other: Colour, expected: float) -> None:
    """The contrast of two colours is the ratio that WCAG 2 defines, in either order."""
    assert round(contrast(one, other), 2) == expected
    assert contrast(one, other) == contrast(other, one)


def test_luminance_of_a_dark_grey_is_on_the_straight_part() -> None:
    """Below 0.04045 the curve of sRGB is a line: 10/255 has 10/255/12.92."""
    assert luminance(Colour(10, 10, 10)) == pytest.approx(0.0030353, rel=1e-4)


@given(colours)
def test_text_on_any_band_reads(band: Colour) -> None:
    """Black or white text reaches 4.5 to 1 on every colour there is."""
    assert wcag(ink_on(band), band) >= 4.5


@given(colours)
def test_brand_text_reads_on_paper_and_on_the_wash(primary: Colour) -> None:
    """Text in a partner's colour reaches 4.5 to 1 on white and on the shaded rows, whatever the colour."""
    drawn = palette(brand(primary_color=f"#{primary.red:02x}{primary.green:02x}{primary.blue:02x}"))

    assert drawn.band == primary
    assert wcag(drawn.accent, WHITE) >= 4.5
    assert wcag(drawn.accent, drawn.wash) >= 4.5


def test_white_is_preferred_where_it_reads() -> None:
    """On a blue where both would do, the text is white; on yellow it is black."""
    assert ink_on(Colour(0x1A, 0x73, 0xE8)) == WHITE
    assert ink_on(Colour(0xFF, 0xEE, 0x55)) == BLACK


def test_a_colour_that_reads_is_left_alone() -> None:
    """A dark green is used for text exactly as the partner gave it."""
    assert readable(Colour(0x1F, 0x4E, 0x45)) == Colour(0x1F, 0x4E, 0x45)


def test_a_pale_colour_keeps_its_hue() -> None:
    """Yellow text becomes a darker yellow, not black: red and green stay well above blue."""
    moved = readable(Colour(255, 238, 85))

    assert moved.red > moved.green > 2 * moved.blue
    assert moved.red > 100


@pytest.mark.parametrize("text", [None, "", "red", "#12345", "#1234567", "1a73e8", "#1a73eg", "url(http://x)"])
def test_an_unreadable_colour_counts_as_not_set(text: str | None) -> None:
    """Anything but # and six hexadecimal digits gives the default."""
    assert parse(text, Colour(1, 2, 3)) == Colour(1, 2, 3)


def test_hex_digits_are_read_in_either_case() -> None:
    """#1A73e8 is red 26, green 115, blue 232."""
    assert parse("#1A73e8", BLACK) == Colour(26, 115, 232)
