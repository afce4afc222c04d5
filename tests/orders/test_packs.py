"""What a day's packs hold, and whether a line may be ordered so."""

import pytest

from fulfillment.orders.domain import Administration
from fulfillment.orders.packs import check_lines, demand
from tests.orders.builders import a_product, asked
from tests.world import a_draft, a_line

CATALOG = {
    1: a_product(1, usage=(1, 0, 1, 0)),
    2: a_product(2, external=True, usage=None),
    3: a_product(3, status="BACKORDERED"),
    4: a_product(4, status="DRAFT"),
    5: a_product(5, status="DISCONTINUED"),
    6: a_product(6, usage=None),
}


def test_the_given_numbers_place_the_pills() -> None:
    """Four numbers that add up to the quantity are what the line is made with."""
    (line,), faults = check_lines([(0, asked(1, 3, (1, 1, 0, 1)))], CATALOG)

    assert not faults
    assert line.administration == Administration(1, 1, 0, 1)


def test_the_recommended_usage_stands_in() -> None:
    """Without numbers the product's own usage places the pills, when it adds up to the quantity."""
    (line,), faults = check_lines([(0, asked(1, 2))], CATALOG)

    assert not faults
    assert line.administration == Administration(1, 0, 1, 0)


FAULTS = [
    (asked(1, 3, (1, 1, 0, 0)), "/lineItems/7/administration", None),
    (asked(1, 2, (0, 0, 0, 0)), "/lineItems/7/administration", None),
    (asked(1, 3), "/lineItems/7/administration", None),
    (asked(6, 1), "/lineItems/7/administration", None),
    (asked(1, 2, (1, 0, 1, 0), pack=None), "/lineItems/7/packDescription", None),
    (asked(2, 1, (1, 0, 0, 0)), "/lineItems/7/administration", None),
    (asked(99, 1), "/lineItems/7/productId", "unknown_product"),
    (asked(3, 2), "/lineItems/7/productId", "product_not_orderable"),
    (asked(4, 2), "/lineItems/7/productId", "product_not_orderable"),
    (asked(5, 2), "/lineItems/7/productId", "product_not_orderable"),
]


@pytest.mark.parametrize(("line", "pointer", "code"), FAULTS)
def test_a_line_that_cannot_be_made(line: object, pointer: str, code: str | None) -> None:
    """The fault names the line's place in the request; only the catalogue's faults have codes of their own."""
    made, faults = check_lines([(7, line)], CATALOG)  # pyright: ignore[reportArgumentType]

    assert made == []
    assert [(fault.pointer, fault.code) for fault in faults] == [(pointer, code)]


def test_all_faults_come_at_once() -> None:
    """One line with two faults and one with another give three, in the order of the lines."""
    _, faults = check_lines([(0, asked(1, 3, pack=None)), (1, asked(1, 2)), (2, asked(99, 1))], CATALOG)

    assert [fault.pointer for fault in faults] == [
        "/lineItems/0/packDescription",
        "/lineItems/0/administration",
        "/lineItems/2/productId",
    ]


@pytest.mark.parametrize("given", [None, (0, 0, 0, 0)])
def test_an_external_item_is_not_placed(given: tuple[int, int, int, int] | None) -> None:
    """An external item needs no pack description, and its numbers are absent or all zero."""
    made, faults = check_lines([(0, asked(2, 4, given, pack=None))], CATALOG)

    assert not faults
    assert made[0].amount(90) == 4


def test_several_lines_of_a_product_are_summed() -> None:
    """Two lines of one product, 2 and 1 pills a day for 60 days, take 180 pills; an external its units."""
    made, _ = check_lines([(0, asked(1, 2)), (1, asked(1, 1, (1, 0, 0, 0))), (2, asked(2, 3))], CATALOG)

    assert demand(made, a_draft(a_line(1), daysSupply=60)) == {1: 180, 2: 3}
