"""JSON that has one meaning is read; every other text is refused, fast."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fulfillment.infra.jsontext import MalformedJson, read, write

REFUSED = {
    "empty": b"",
    "blank": b"  ",
    "cut": b'{"a":',
    "trailing comma": b"[1,]",
    "two values": b"1 2",
    "single quotes": b"{'a':1}",
    "comment": b"[1] // x",
    "duplicate key": b'{"a":1,"a":1}',
    "duplicate key inside": b'[{"b":{"a":1,"a":2}}]',
    "duplicate key by escape": b'{"a":1,"\\u0061":2}',
    "NaN": b"[NaN]",
    "Infinity": b"[Infinity]",
    "minus Infinity": b"[-Infinity]",
    "leading zero": b"[01]",
    "plus": b"[+1]",
    "5,000 digits": b"[" + b"9" * 5000 + b"]",
    "BOM": b"\xef\xbb\xbf{}",
    "UTF-16": '{"a":1}'.encode("utf-16"),
    "UTF-16 without BOM": '{"a":1}'.encode("utf-16-le"),
    "UTF-32": '{"a":1}'.encode("utf-32"),
    "bad UTF-8": b'["\xff"]',
    "overlong UTF-8": b'["\xc0\xaf"]',
    "surrogate in UTF-8": b'["\xed\xa0\x80"]',
    "lone surrogate": b'["\\ud800"]',
    "lone low surrogate": b'["\\udc00"]',
    "lone surrogate in a key": b'{"\\ud800":1}',
    "NUL": b'["\\u0000"]',
    "NUL in a key": b'{"a\\u0000":1}',
    "raw control character": b'["a\x01"]',
    "raw newline": b'["a\nb"]',
    "gzip": b"\x1f\x8b\x08\x00",
    "deep arrays": b"[" * 1_000_000,
    "deep closed arrays": b"[" * 100_000 + b"]" * 100_000,
    "deep objects": b'{"a":' * 200_000,
}


@pytest.mark.parametrize("body", REFUSED.values(), ids=REFUSED.keys())
def test_what_has_no_one_meaning_is_refused(body: bytes) -> None:
    """The refusal comes within 200 ms."""
    began = time.monotonic()

    with pytest.raises(MalformedJson):
        read(body)

    assert time.monotonic() - began < 0.2


def test_the_place_of_the_fault_is_told() -> None:
    """Line and column help to find it; the text itself is not repeated."""
    with pytest.raises(MalformedJson, match=r"line 2, column 9") as caught:
        read(b'{"name":\n "John" x}')

    assert "John" not in caught.value.detail


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'"\\ud83d\\ude00"', "\U0001f600"),
        (b'"\\\\u0000"', "\\u0000"),
        (b' {"a" : [1.50, -2e3, true, null]} ', {"a": [1.5, -2000.0, True, None]}),
        (b"[" * 100 + b"]" * 100, None),
        (b"123456789012345678901234567890", 123456789012345678901234567890),
    ],
)
def test_what_has_one_meaning_is_read(body: bytes, value: object) -> None:
    """Pairs of surrogates, escaped backslashes, white space, reasonable depth and large numbers are JSON."""
    found = read(body)

    assert found == value or value is None


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"])), inner)
    ),
    max_leaves=20,
)


@given(JSON)
def test_what_is_written_is_read_again(value: object) -> None:
    """Writing and reading give the same value."""
    assert read(write(value)) == value


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    """No input raises anything but the refusal."""
    try:
        read(body)
    except MalformedJson:
        return


@pytest.mark.parametrize(
    ("text", "value"), [(b"2.0", 2), (b"-2.0", -2), (b"2e2", 200), (b"9007199254740993", 2**53 + 1)]
)
def test_a_whole_number_is_an_integer_however_it_is_written(text: bytes, value: int) -> None:
    """JSON has one kind of number: 2.0 and 2 are the same."""
    found = read(text)

    assert (found, type(found)) == (value, int)


def test_a_fraction_stays_one() -> None:
    """2.5 is no whole number, and one beyond 64 bits is not made one."""
    assert [type(read(text)) for text in (b"2.5", b"1e300")] == [float, float]
