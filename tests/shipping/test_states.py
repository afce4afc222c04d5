"""The 62 codes of the USPS."""

from collections import Counter

import pytest

from fulfillment.shipping.states import STATES, StateKind, states_of_zip


def test_there_are_62_codes_of_four_kinds():
    """Fifty states and DC, five territories, three freely associated states, three military codes."""
    assert Counter(state.kind for state in STATES.values()) == {
        StateKind.STATE: 51,
        StateKind.TERRITORY: 5,
        StateKind.FREELY_ASSOCIATED: 3,
        StateKind.MILITARY: 3,
    }


def test_the_contiguous_states_are_the_48_and_dc():
    """Alaska, Hawaii, the territories and all beyond are not reached over land."""
    assert sum(state.contiguous for state in STATES.values()) == 49
    assert not any(STATES[code].contiguous for code in ("AK", "HI", "PR", "FM", "AE"))


@pytest.mark.parametrize(
    ("zip_code", "states"),
    [
        ("94301", ("CA",)),
        ("94301-1234", ("CA",)),
        ("02108", ("MA",)),
        ("00901", ("PR",)),
        ("00802", ("VI",)),
        ("00501", ("NY",)),
        ("96910", ("GU",)),
        ("96799", ("AS", "HI")),
        ("96801", ("HI",)),
        ("96950", ("MP",)),
        ("96939", ("PW",)),
        ("96941", ("FM",)),
        ("96960", ("MH",)),
        ("09001", ("AE",)),
        ("34001", ("AA",)),
        ("34102", ("FL",)),
        ("96201", ("AP",)),
        ("88501", ("TX",)),
        ("00000", ()),
    ],
)
def test_a_zip_begins_like_its_state(zip_code, states):
    """Known ZIPs of each kind, and one that nobody uses."""
    assert states_of_zip(zip_code) == states
