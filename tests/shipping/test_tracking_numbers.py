"""Whose a tracking number is and whether it can be right."""

from random import Random

import pytest

from fulfillment.kernel.errors import Kind
from fulfillment.shipping.tracking_numbers import (
    CarrierName,
    TrackingNumberInvalid,
    carrier_named,
    check,
    generate,
    identify,
    tracking_url,
)

# Numbers that carriers and the Universal Postal Union publish as samples.
SAMPLES = [
    ("1Z5R89390357567127", "UPS"),
    ("1Z999AA10123456784", "UPS"),
    ("9400111206206406260787", "USPS"),
    ("03071790000523483741", "USPS"),
    ("986578788855", "FedEx"),
    ("041441760228964", "FedEx"),
    ("9611020987654312345672", "FedEx"),
    ("000123450000000027", "FedEx"),
    ("C11031500001879", "OnTrac"),
    ("3318810025", "DHL"),
    ("RB123456785US", "USPS"),
]


def with_another_check_digit(number):
    """Return *number* with the digit at its check position raised by one."""
    at = 10 if number[0].isalpha() and number[-1].isalpha() else len(number) - 1
    return number[:at] + str((int(number[at]) + 1) % 10) + number[at + 1 :]


@pytest.mark.parametrize(("number", "carrier"), SAMPLES)
def test_a_published_sample_is_recognised(number, carrier):
    """Carrier and check digit of each sample are seen."""
    found = identify(number)

    assert (found.number, found.carrier, found.check_digit) == (number, carrier, "valid")


@pytest.mark.parametrize(("number", "carrier"), SAMPLES)
def test_a_mistyped_check_digit_is_refused_for_its_carrier(number, carrier):
    """The operator who names the carrier is told at once."""
    with pytest.raises(TrackingNumberInvalid, match="check digit is wrong") as refused:
        check(carrier, with_another_check_digit(number))

    assert (refused.value.kind, refused.value.code) == (Kind.INVALID, "tracking_number_invalid")


@pytest.mark.parametrize("number", ["1Z5R89390357567127", "9400111206206406260787", "C11031500001879"])
def test_two_swapped_digits_are_noticed(number):
    """Two neighbours swapped, the commonest slip, are refused where the check digit can see it."""
    at = next(i for i in range(8, len(number)) if (int(number[i]) - int(number[i + 1])) % 5)
    swapped = number[:at] + number[at + 1] + number[at] + number[at + 2 :]

    with pytest.raises(TrackingNumberInvalid):
        check(None, swapped)


@pytest.mark.parametrize(
    "number", ["986578788856", "041441760228965", "3318810026", "03071790000523483742", "000123450000000028"]
)
def test_plain_digits_without_a_carrier_are_unknown_when_wrong(number):
    """Twelve digits may be anybody's number: a wrong check digit proves nothing, so it is stored."""
    assert check(None, number).check_digit == "unknown"


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        ("1z 5r89 3903 5756 7127", "1Z5R89390357567127"),
        (" 9400-1112-0620-6406-2607-87\n", "9400111206206406260787"),
        ("420787459400111206206406260787", "9400111206206406260787"),
        ("4207874501239400111206206406260787", "9400111206206406260787"),
        ("420 22153 9101 1234 5678 9000 0000 13", "9101123456789000000013"),
    ],
)
def test_spaces_hyphens_and_the_routing_prefix_are_stripped(typed, stored):
    """A number is stored as the carrier's site takes it, without the 420 and the ZIP or ZIP+4 before it."""
    found = identify(typed)

    assert (found.number, found.check_digit) == (stored, "valid")


def test_a_legacy_postal_number_counts_an_unprinted_prefix():
    """The USPS's sample 9101 1234 5678 9000 0000 13 is also written without its 91, and still right."""
    assert identify("01123456789000000013").check_digit == "valid"


def test_an_unknown_shape_is_stored_unchecked():
    """A number of no known shape is never refused, whoever carries it."""
    for carrier in (None, "UPS", "FedEx", "Pony Express"):
        found = check(carrier, "tba-123 456 789")

        assert (found.number, found.check_digit) == ("TBA123456789", "unknown")


def test_shape_and_check_digit_go_together():
    """With 2Z for 1Z it has no UPS shape, though its check digit still fits: it is unknown."""
    assert identify("2Z5R89390357567127").check_digit == "unknown"


def test_a_country_that_does_not_exist_is_no_postal_number():
    """XX is nobody's country code, so the right check digit says nothing."""
    assert identify("RB123456785GB").check_digit == "valid"
    assert identify("RB123456785XX").check_digit == "unknown"


@pytest.mark.parametrize("number", ["RB700000000US", "RB000000005US"])
def test_the_postal_check_digit_has_two_exceptions(number):
    """By hand: 7 x 8 leaves 1, so 10, written 0; nothing leaves 0, so 11, written 5."""
    assert identify(number).check_digit == "valid"


def test_another_carrier_s_number_is_refused():
    """A UPS number can't be a FedEx parcel's: the packer took the wrong label."""
    with pytest.raises(TrackingNumberInvalid, match="number of UPS, not of FedEx"):
        check("FedEx", "1Z5R89390357567127")


def test_the_post_s_numbers_may_be_another_carrier_s():
    """Carriers hand parcels to the post for the last mile; the number is the post's, and still checked."""
    assert check("FedEx", "9400111206206406260787").check_digit == "valid"
    with pytest.raises(TrackingNumberInvalid):
        check("FedEx", "9400111206206406260788")


def test_a_carrier_we_do_not_know_is_left_alone():
    """We can't check the numbers of a carrier whose rule we don't know, so none is refused."""
    assert check("Pony Express", "1Z5R89390357567128").check_digit == "unknown"


def test_the_contract_s_example_can_be_used():
    """The contract shows 1Z9999999999999999, whose check digit would be 2: it is stored, unchecked."""
    for carrier in (None, "UPS"):
        found = check(carrier, "1Z9999999999999999")

        assert (found.carrier, found.check_digit) == (CarrierName.UPS, "unknown")
    with pytest.raises(TrackingNumberInvalid):
        check("UPS", "1Z9999999999999998")


@pytest.mark.parametrize("text", ["", "  - ", "9" * 65])
def test_nothing_and_too_much_are_refused(text):
    """An empty number, and one longer than any carrier's, are no numbers."""
    with pytest.raises(TrackingNumberInvalid, match="1 to 64"):
        check("UPS", text)


@pytest.mark.parametrize(
    ("carrier", "number", "url"),
    [
        ("ups", "1Z5R89390357567127", "https://www.ups.com/track?tracknum=1Z5R89390357567127"),
        (
            None,
            "9400111206206406260787",
            "https://tools.usps.com/go/TrackConfirmAction?tLabels=9400111206206406260787",
        ),
        ("FedEx", "986578788855", "https://www.fedex.com/fedextrack/?trknbr=986578788855"),
        ("UPS", "A&B=C", "https://www.ups.com/track?tracknum=A%26B%3DC"),
        ("Pony Express", "1", None),
        (None, "1", None),
    ],
)
def test_the_link_is_the_carrier_s(carrier, number, url):
    """Known carriers have a page for the number; anything odd in it is escaped."""
    assert tracking_url(carrier, number) == url


@pytest.mark.parametrize(
    ("text", "carrier"),
    [
        ("fedex", "FedEx"),
        ("Fed Ex", "FedEx"),
        ("DHLExpress", "DHL"),
        ("U.S.P.S.", "USPS"),
        ("on-trac", "OnTrac"),
    ],
)
def test_carriers_are_known_by_their_spellings(text, carrier):
    """AfterShip's, EasyPost's and people's spellings mean the same carrier."""
    assert carrier_named(text) == carrier


@pytest.mark.parametrize("carrier", list(CarrierName))
def test_generated_numbers_are_recognised(carrier):
    """A thousand generated numbers have the right shape and check digit, and hardly ever repeat."""
    random = Random(7)
    numbers = [generate(carrier, random) for _ in range(1000)]

    assert {(check(carrier, each).carrier, check(carrier, each).check_digit) for each in numbers} == {
        (carrier, "valid")
    }
    assert len(set(numbers)) >= 999


def test_generation_follows_the_seed():
    """The same seed makes the same number, so a sandbox scenario can be repeated."""
    assert generate(CarrierName.UPS, Random(1)) == generate(CarrierName.UPS, Random(1))
    assert generate(CarrierName.UPS, Random(1)) != generate(CarrierName.UPS, Random(2))
