"""Text of any script: what is printed, how wide it is, where its lines break."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fulfillment.documents.typography import Style, cut, printable, shrunk, visual, width, wrap

STYLE = Style(9)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Zoë Łukasz", "Zoë Łukasz"),
        ("Zoe\u0308", "Zoë"),  # composed, so that the font's own glyph is used
        ("Ωμέγα Дмитрий", "Ωμέγα Дмитрий"),
        ("李小龍", "□□□"),
        ("🧬 DNA", "□ DNA"),
        ("👩\u200d🔬", "□□"),  # the joiner goes, both halves are seen to be missing
        ("a\nb\tc  d", "a b c d"),
        ("evil\u202egnp.exe", "evilgnp.exe"),  # no turning of what follows
        ("nul\x00l", "null"),
        ("\ud800", "□"),  # half a surrogate pair, as JSON can carry it
        ("<b>&amp;</b>", "<b>&amp;</b>"),
    ],
)
def test_printable_replaces_what_has_no_glyph(text: str, expected: str) -> None:
    """Every character is drawn, visibly replaced, or one that never had a shape."""
    assert printable(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Omega-3", "Omega-3"),
        ("שלום", "םולש"),
        ("Mr שלום עולם Cohen", "Mr םלוע םולש Cohen"),
    ],
)
def test_hebrew_is_drawn_from_the_right(text: str, expected: str) -> None:
    """A run of Hebrew words is turned round as a whole, the words around it are not."""
    assert visual(text) == expected


@given(st.text(max_size=120), st.floats(min_value=20, max_value=300), st.integers(1, 4))
def test_wrapped_lines_fit(text: str, room: float, most: int) -> None:
    """No text makes more lines than allowed, and no line is wider than its room."""
    lines = wrap(text, STYLE, room, most)

    assert len(lines) <= most
    assert all(width(line, STYLE) <= room + 0.01 for line in lines)


@given(st.lists(st.text(alphabet="abcdefg", min_size=1, max_size=8), max_size=12))
def test_wrapping_loses_no_word(words: list[str]) -> None:
    """With lines enough, the words come out as they went in."""
    assert " ".join(wrap(" ".join(words), STYLE, 60, 99)).split() == words


def test_a_word_wider_than_the_room_is_broken() -> None:
    """A word without a space is continued on the next line, whole letters only."""
    lines = wrap("W" * 30, STYLE, 100, 9)

    assert len(lines) > 1
    assert "".join(lines) == "W" * 30


def test_what_does_not_fit_ends_in_an_ellipsis() -> None:
    """A cut text says that it was cut; one that fits is left alone."""
    assert cut("Magnesium Glycinate", STYLE, 500) == "Magnesium Glycinate"
    assert cut("Magnesium Glycinate", STYLE, 50).endswith("…")


def test_text_shrinks_before_it_is_cut() -> None:
    """A text somewhat too wide is set smaller, exactly into its room, and not below the smallest size."""
    wide = width("Afternoon", STYLE)

    assert shrunk("Afternoon", STYLE, wide / 2, 1).size == pytest.approx(4.5)
    assert shrunk("Afternoon", STYLE, wide / 2, 6).size == 6
    assert shrunk("Afternoon", STYLE, wide, 6).size == 9
