"""What an order costs: tables calculated by hand."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fulfillment.orders.pricing import price, volume_fraction
from tests.orders.builders import a_line_of, a_product, terms

# (list price, partner's discount, quantity a day, days) -> (discounted price, the line's total), by hand:
# 0.53 less 10 % = 0.477; 2 x 30 x 0.477 = 28.62
LINES = [
    ("0.53", "0.10", 2, 30, "0.4770", "28.62"),
    ("0.37", "0", 1, 30, "0.3700", "11.10"),
    ("0.1234", "0.05", 1, 30, "0.1172", "3.52"),  # 0.11723 -> 0.1172; x30 = 3.516 -> 3.52
    ("0.0333", "0.5", 1, 30, "0.0167", "0.50"),  # 0.01665 is half: up to 0.0167; x30 = 0.501 -> 0.50
    ("0.0111", "0.5", 1, 30, "0.0056", "0.17"),  # 0.00555 is half: up to 0.0056; x30 = 0.168 -> 0.17
    ("0.0335", "0", 1, 30, "0.0335", "1.01"),  # 1.005 is half: up, where half to even would give 1.00
    ("0.0005", "0", 1, 30, "0.0005", "0.02"),  # 0.015 -> 0.02
    ("0.53", "1", 2, 90, "0.0000", "0.00"),
    ("0", "0.1", 100, 90, "0.0000", "0.00"),
    ("0.53", "0.3333", 3, 90, "0.3534", "95.42"),  # 0.353351 -> 0.3534; x270 = 95.418
    ("99999999.9999", "0", 100, 90, "99999999.9999", "899999999999.10"),
]


@pytest.mark.parametrize(("listed", "discount", "quantity", "days", "unit", "total"), LINES)
def test_a_line(listed: str, discount: str, quantity: int, days: int, unit: str, total: str) -> None:
    """A pill's price is rounded half up to four places, the line's total half up to cents."""
    (line,), _ = price([a_line_of(a_product(price=listed), quantity)], days, terms(discount))

    assert str(line.discounted_price) == unit
    assert str(line.total) == total
    assert line.price == Decimal(listed)


# One pack line of 1 pill a day at 1.00 and one external of 2 units at 10.00, no partner's discount, shipping 5.99:
TOTALS = [
    # days, subtotal, volume discount (packs only), handling, shipping, total
    (30, "50.00", "0.00", "5.00", "5.99", "60.99"),
    (60, "80.00", "3.00", "5.00", "5.99", "87.99"),  # 60 + 20; 5 % of 60
    (90, "110.00", "9.00", "5.00", "5.99", "111.99"),  # 90 + 20; 10 % of 90
]


@pytest.mark.parametrize(("days", "subtotal", "volume", "fee", "shipping", "total"), TOTALS)
def test_totals(days: int, subtotal: str, volume: str, fee: str, shipping: str, total: str) -> None:
    """Externals cost their units whatever the days, pay the handling fee, and get no volume discount."""
    lines = [a_line_of(a_product(1, price="1"), 1), a_line_of(a_product(2, price="10", external=True), 2)]

    _, totals = price(lines, days, terms(shipping="5.99"))

    assert [str(part) for part in (totals.subtotal, totals.volume_discount, totals.handling_fee)] == [
        subtotal,
        volume,
        fee,
    ]
    assert (str(totals.shipping_cost), str(totals.total)) == (shipping, total)


def test_each_external_line_pays_the_fee() -> None:
    """Three lines of externals pay 15.00, two of them being of the same product."""
    powder = a_product(1, price="20", external=True)
    oil = a_product(2, price="30", external=True)

    _, totals = price([a_line_of(powder, 1), a_line_of(powder, 4), a_line_of(oil, 1)], 30, terms())

    assert str(totals.handling_fee) == "15.00"
    assert str(totals.subtotal) == "130.00"


def test_the_volume_discount_is_rounded_once_half_up() -> None:
    """5 % of 0.10 is half a cent: it is rounded up, on the sum of the pack lines and not on each."""
    line = a_line_of(a_product(price="0.0017"), 1)  # x60 = 0.102 -> 0.10

    _, one = price([line], 60, terms())
    _, two = price([line, line], 60, terms())

    assert str(one.volume_discount) == "0.01"  # 0.005
    assert str(two.volume_discount) == "0.01"  # 0.010, where two roundings would give 0.02


@pytest.mark.parametrize(
    ("days", "steps", "fraction"),
    [
        (30, {60: "0.05", 90: "0.10"}, "0"),
        (60, {60: "0.05", 90: "0.10"}, "0.05"),
        (90, {60: "0.05", 90: "0.10"}, "0.10"),
        (90, {60: "0.05"}, "0.05"),
        (30, {}, "0"),
        (30, {30: "0.02"}, "0.02"),
    ],
)
def test_the_highest_step_reached_counts(days: int, steps: dict[int, str], fraction: str) -> None:
    """A partner's own steps replace the default; the highest that the supply reaches counts."""
    assert volume_fraction({step: Decimal(part) for step, part in steps.items()}, days) == Decimal(fraction)


@given(
    lines=st.lists(
        st.tuples(st.decimals(0, 500, places=4), st.integers(1, 100), st.booleans()), min_size=1, max_size=50
    ),
    discount=st.decimals(0, 1, places=4),
    days=st.sampled_from([30, 60, 90]),
    shipping=st.decimals(0, 100, places=2),
)
def test_the_total_is_what_its_parts_say(
    lines: list[tuple[Decimal, int, bool]], discount: Decimal, days: int, shipping: Decimal
) -> None:
    """Whole cents everywhere: total = subtotal - volume discount + handling + shipping, never under the last two."""
    asked = [
        a_line_of(a_product(place, price=str(listed), external=external), quantity)
        for place, (listed, quantity, external) in enumerate(lines, 1)
    ]

    priced, totals = price(asked, days, terms(str(discount), shipping=str(shipping)))

    parts = (totals.subtotal, totals.volume_discount, totals.handling_fee, totals.shipping_cost, totals.total)
    assert all(part == part.quantize(Decimal("0.01")) for part in parts)
    assert totals.subtotal == sum(line.total for line in priced)
    assert totals.total == totals.subtotal - totals.volume_discount + totals.handling_fee + totals.shipping_cost
    assert totals.total >= totals.handling_fee + totals.shipping_cost
