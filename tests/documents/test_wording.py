"""How dates, names, numbers and addresses are written."""

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from fulfillment.documents.wording import address_lines, count, number, percent, short_name, slot_name, us_date
from tests.documents.examples import address


@pytest.mark.parametrize(
    ("full", "expected"),
    [
        ("Zoë Łukasz", "Zoë Ł."),
        ("Mary Ann van der Berg", "Mary B."),
        ("Madonna", "Madonna"),
        ("  Ada   Lovelace ", "Ada L."),
        ("", ""),
    ],
)
def test_a_pouch_shows_the_first_name_and_one_initial(full: str, expected: str) -> None:
    """The last name stays private; a single name is all there is."""
    assert short_name(full) == expected


@pytest.mark.parametrize(
    ("share", "expected"),
    [("0", "0%"), ("0.4", "<1%"), ("0.99", "<1%"), ("1", "1%"), ("47.5", "48%"), ("1111.4", "1,111%")],
)
def test_percents_are_whole_and_small_ones_are_below_one(share: str, expected: str) -> None:
    """Percents of the Daily Value are whole, halves go up, and less than one is "<1%" (21 CFR 101.36)."""
    assert percent(Decimal(share)) == expected


@pytest.mark.parametrize(
    ("amount", "expected"),
    [("1000", "1,000"), ("2.40", "2.4"), ("1E+3", "1,000"), ("0.50", "0.5"), ("100", "100"), ("0", "0")],
)
def test_amounts_have_no_idle_zeros(amount: str, expected: str) -> None:
    """Thousands are set apart and zeros behind the point that say nothing are left out."""
    assert number(Decimal(amount)) == expected


def test_dates_are_american() -> None:
    """The month comes first, in letters, so that no day is taken for a month."""
    assert us_date(date(2027, 3, 4)) == "Mar 4, 2027"


def test_sleep_is_bedtime() -> None:
    """The contract's "sleep" is a time of day that people call bedtime; the others keep their names."""
    assert [slot_name(slot) for slot in ("morning", "sleep")] == ["Morning", "Bedtime"]


def test_one_pill_is_singular() -> None:
    """One pill, two pills."""
    assert (count(1, "pills"), count(1200, "pills")) == ("1 pill", "1,200 pills")


def test_addresses_leave_out_empty_lines_and_the_country_at_home() -> None:
    """A missing second line leaves no gap, and the United States are not named."""
    lines = address_lines(replace(address(), line2=" "))

    assert lines == ("350 Rhode Island St", "San Francisco, CA 94103")
