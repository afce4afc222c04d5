"""Barcodes: what can be one, and how large its parts are."""

import pytest

from fulfillment.documents import shipping_label
from fulfillment.documents.barcodes import DOT, Bar, BarcodeNotPossible, code_128, data_matrix, module_width
from fulfillment.kernel.errors import Kind
from tests.documents import examples, pages


def test_code_128_has_the_width_of_the_standard() -> None:
    """Three letters in set B take start, three symbols and a check of 11 modules each, and a stop of 13."""
    assert code_128("ABC").columns == 5 * 11 + 13


def test_code_128_starts_with_start_b() -> None:
    """The first symbol is Start B: bars and spaces of 2 1 1 2 1 4 modules."""
    assert code_128("ABC").bars[:4] == (Bar(0, 0, 2, 1), Bar(3, 0, 1, 1), Bar(6, 0, 1, 1), Bar(11, 0, 1, 1))


def test_data_matrix_is_square_with_a_solid_left_and_bottom_edge() -> None:
    """The finder of a Data Matrix is an L: every row begins dark, and the last row is dark throughout."""
    matrix = data_matrix("Zoë Łukasz")

    assert matrix.columns == matrix.rows
    assert {bar.y for bar in matrix.bars if bar.x == 0} == set(range(matrix.rows))
    assert [bar for bar in matrix.bars if bar.y == matrix.rows - 1] == [Bar(0, matrix.rows - 1, matrix.columns, 1)]


@pytest.mark.parametrize("text", ["", "x" * 300, "李小龍"])
def test_what_code_128_cant_say_is_a_named_problem(text: str) -> None:
    """Nothing, too much, and letters outside Latin-1 are refused as invalid, without the text itself."""
    with pytest.raises(BarcodeNotPossible) as refused:
        code_128(text)

    assert (refused.value.kind, refused.value.code) == (Kind.INVALID, "barcode_not_possible")
    assert refused.value.context == {"symbology": "Code128", "length": len(text)}


@pytest.mark.parametrize("text", ["", "x" * 3000])
def test_what_a_data_matrix_cant_say_is_a_named_problem(text: str) -> None:
    """Nothing and too much are refused as invalid."""
    with pytest.raises(BarcodeNotPossible):
        data_matrix(text)


def test_modules_are_whole_dots_of_the_printer() -> None:
    """At 203 dpi, 100 modules in 100 points are two dots wide each, not 2.8."""
    assert module_width(100, 100.0) == pytest.approx(2 * 72 / 203)


def test_a_barcode_too_fine_to_read_is_refused() -> None:
    """Modules narrower than two dots are refused rather than printed."""
    assert module_width(100, 200 * DOT + 0.001) == pytest.approx(2 * DOT)
    with pytest.raises(BarcodeNotPossible):
        module_width(100, 199 * DOT)


@pytest.mark.parametrize(
    "number",
    ["1Z12345E0205271688", "9405511899223197428490", "794644790138", "C11031500001879", "SIM-0001-AB", "JD0146"],
)
def test_tracking_numbers_of_every_shape_are_read_back(number: str) -> None:
    """The shipping label's Code 128 reads back as the tracking number, in the shapes of all carriers."""
    label = examples.shipping_label(tracking_number=number, routing=f"94103|{number}")

    found = pages.barcodes(shipping_label.render(label))

    assert found == {("Code128", number), ("DataMatrix", f"94103|{number}")}
