"""Whether an address can be delivered to, and what looks wrong with it."""

import pytest

from fulfillment.shipping.addresses import (
    check_address,
    normalised_zip,
    po_box_line,
    valid_email,
    valid_phone,
    zip_place,
)


def findings(line1="437 Lytton", line2=None, city="Palo Alto", state="CA", zip_code="94301", method="STANDARD"):
    """Return the verdict and its (code, suggestion, blocking)."""
    verdict = check_address(line1, line2, city, state, zip_code, method)
    return verdict.verdict, [(each.code, each.suggestion, each.blocking) for each in verdict.findings]


@pytest.mark.parametrize("method", ["STANDARD", "EXPRESS", "OVERNIGHT"])
def test_the_contract_s_address_is_verified(method):
    """437 Lytton, Palo Alto, CA 94301 is fine with every method."""
    assert findings(line2="Suite 100", method=method) == ("verified", [])


@pytest.mark.parametrize(
    ("city", "state", "zip_code"),
    [
        ("PALO ALTO", "CA", "94301-1234"),
        ("St. Louis", "MO", "63101"),
        ("Saint Louis", "MO", "63101"),
        ("San José", "CA", "95112"),
        ("Coeur D'Alene", "ID", "83814"),
        ("O'Fallon", "MO", "63366"),
        ("Mayagüez", "PR", "00680"),
        ("San Juan", "PR", "00901"),
        ("Viejo San Juan", "PR", "00901"),
        ("Hagatna", "GU", "96910"),
        ("Pago Pago", "AS", "96799"),
        ("Saipan", "MP", "96950"),
        ("Majuro", "MH", "96960"),
        ("Alta", "WY", "83414"),
        ("Fishers Island", "NY", "06390"),
    ],
)
def test_a_city_may_be_written_in_any_accepted_way(city, state, zip_code):
    """Case, accents, dots, Saint or St. and the names that the USPS accepts make no warning."""
    assert findings(city=city, state=state, zip_code=zip_code) == ("verified", [])


def test_another_city_is_a_warning_with_the_usps_s_name():
    """90210 is Beverly Hills to the USPS; Los Angeles arrives all the same."""
    assert findings(city="Los Angeles", zip_code="90210") == (
        "warning",
        [("city_zip_mismatch", "Beverly Hills", False)],
    )


@pytest.mark.parametrize("city", ["New York", "Manhattan"])
def test_a_wrong_state_beside_city_and_zip_that_agree_is_a_warning(city):
    """New York, ID 10001: two of three agree and carriers go by the ZIP, so it arrives; NY is suggested."""
    assert findings(city=city, state="ID", zip_code="10001") == (
        "warning",
        [("zip_state_mismatch", "NY", False)],
    )


def test_a_zip_against_city_and_state_can_t_be_delivered():
    """Boise, ID 10001 would go to Manhattan."""
    assert findings(city="Boise", state="ID", zip_code="10001") == (
        "undeliverable",
        [("zip_state_mismatch", "NY", True)],
    )


def test_a_zip_across_the_border_is_a_warning():
    """06390 begins like Connecticut but is New York's: nothing to stop an order for."""
    assert findings(city="Stonington", state="CT", zip_code="06390")[0] == "warning"


def test_an_unknown_zip_of_the_right_state_is_a_warning():
    """94399 is in no directory, but 943 is Californian: it may be new."""
    assert findings(zip_code="94399") == ("warning", [("unknown_zip", None, False)])


@pytest.mark.parametrize("zip_code", ["00000", "10050"])
def test_an_unknown_zip_that_does_not_begin_like_the_state_can_t_be_delivered(zip_code):
    """Nobody uses 000, and 100 is New York's, not California's."""
    assert findings(zip_code=zip_code) == ("undeliverable", [("unknown_zip", None, True)])


def test_an_unknown_state_can_t_be_delivered():
    """XX is no code; the ZIP tells which may be meant."""
    assert findings(state="XX") == ("undeliverable", [("unknown_state", "CA", True)])


PO_BOXES = [
    "P.O. Box 12",
    "PO BOX 12",
    "POB 12",
    "Post Office Box 12",
    "p o box #12",
    "PO Box A",
    "P.O.Box12",
    "PO Drawer 7",
    "Box 12",
    "Caller 12",
    "Apartado 12",
]


@pytest.mark.parametrize("line", PO_BOXES)
def test_a_po_box_is_seen_in_any_spelling(line):
    """Each of these is a box at the post office."""
    assert po_box_line(line, None) == "/customer/address/line1"


@pytest.mark.parametrize(
    "line",
    [
        "12 Box Elder Rd",
        "PO Boxwood Ln",
        "9 PO Box Canyon Rd",
        "5 Post Office Rd",
        "RR 2 Box 12",
        "4 Pobox Way",
    ],
)
def test_a_street_is_no_po_box(line):
    """Streets with Box or Post Office in their name, and rural routes, are streets."""
    assert po_box_line(line, None) is None


def test_a_box_in_the_second_line_counts_only_when_it_is_the_post_s():
    """ "PO Box 12" below the street is a PO box; "Box 12" is a mailbox in the building."""
    assert po_box_line("1 College Ave", "PO Box 12") == "/customer/address/line2"
    assert po_box_line("1 College Ave", "Box 12") is None


@pytest.mark.parametrize("method", ["EXPRESS", "OVERNIGHT"])
def test_a_po_box_is_not_served_by_the_fast_methods(method):
    """Only the USPS goes to PO boxes, so the fast methods can't; STANDARD is suggested."""
    assert findings("PO Box 12", method=method) == (
        "undeliverable",
        [("po_box_not_served", "STANDARD", True)],
    )


def test_a_po_box_with_standard_is_for_the_usps_alone():
    """STANDARD goes by the USPS there, and the verdict says that no other carrier may be chosen."""
    verdict = check_address("PO Box 12", None, "Palo Alto", "CA", "94301", "STANDARD")

    assert (verdict.verdict, verdict.usps_only) == ("verified", True)


@pytest.mark.parametrize(
    ("line1", "city", "state", "zip_code"),
    [
        ("PSC 3 Box 4120", "APO", "AE", "09021"),
        ("Unit 2050 Box 4190", "APO", "AP", "96278"),
        ("USCGC Hamilton", "FPO", "AP", "96667"),
        ("Unit 8400 Box 100", "DPO", "AE", "09498"),
    ],
)
def test_a_military_address_goes_by_standard_only(line1, city, state, zip_code):
    """Publication 28's own forms are verified for STANDARD and can't go by EXPRESS."""
    assert findings(line1, None, city, state, zip_code) == ("verified", [])
    assert findings(line1, None, city, state, zip_code, "EXPRESS") == (
        "undeliverable",
        [("military_not_served", "STANDARD", True)],
    )


def test_a_military_city_needs_a_military_zip():
    """APO in Palo Alto's ZIP would be delivered in Palo Alto."""
    verdict, found = findings("PSC 3 Box 4120", None, "APO", "CA", "94301")

    assert verdict == "undeliverable"
    assert ("military_zip", None, True) in found


def test_a_foreign_city_with_a_military_zip_is_a_warning():
    """Military mail names no foreign city, but goes by the ZIP; APO is suggested."""
    assert findings("PSC 3 Box 4120", None, "Ramstein", "AE", "09094") == (
        "warning",
        [("city_zip_mismatch", "APO", False)],
    )


def test_a_military_address_without_a_unit_is_a_warning():
    """A street in front of an APO ZIP looks wrong."""
    assert findings("12 Main St", None, "APO", "AE", "09021") == ("warning", [("military_line", None, False)])


@pytest.mark.parametrize(
    ("city", "state", "zip_code"),
    [("Anchorage", "AK", "99501"), ("Honolulu", "HI", "96801"), ("San Juan", "PR", "00901")],
)
def test_overnight_is_not_promised_off_the_mainland(city, state, zip_code):
    """Alaska, Hawaii and the territories get OVERNIGHT with a warning, EXPRESS without."""
    assert findings("1 A St", None, city, state, zip_code, "OVERNIGHT") == (
        "warning",
        [("overnight_not_promised", None, False)],
    )
    assert findings("1 A St", None, city, state, zip_code, "EXPRESS") == ("verified", [])


def test_each_finding_points_at_its_field():
    """Findings carry JSON Pointers into the order."""
    verdict = check_address("1 A St", "P.O. Box 9", "Boise", "ID", "10001", "EXPRESS")

    assert [each.pointer for each in verdict.findings] == [
        "/customer/address/state",
        "/customer/address/line2",
    ]


def test_the_directory_knows_the_time_zone():
    """Palo Alto keeps Pacific time; a ZIP that does not exist has no place."""
    place = zip_place("94301-1234")

    assert place is not None
    assert (place.city, place.state, place.zone) == ("Palo Alto", "CA", "America/Los_Angeles")
    assert zip_place("00000") is None


@pytest.mark.parametrize(
    ("text", "zip_code"),
    [
        ("02108", "02108"),
        ("021081234", "02108-1234"),
        ("02108-1234", "02108-1234"),
        ("2108", None),
        ("02108-12", None),
        ("٠٢١٠٨", None),
    ],
)
def test_a_zip_is_normalised(text, zip_code):
    """Leading zeros stay, the hyphen is put in, anything else is no ZIP."""
    assert normalised_zip(text) == zip_code


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ("1234567890", True),
        ("555-123-4567", True),
        ("+1 (415) 555-0100", True),
        ("1-800-FLOWERS", True),
        ("415-555-0100 x12", True),
        ("+44 20 7946 0958", True),
        ("12345", False),
        ("1234567890123456", False),
        ("call me", False),
        ("", False),
    ],
)
def test_a_phone_number_is_judged_leniently(text, valid):
    """Whatever a person could dial passes, the contract's example included."""
    assert valid_phone(text) is valid


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ("john.doe@example.com", True),
        ("anna@clinic.test", True),
        ("jöhn@exämple.com", True),
        ("john.doe", False),
        ("a@b", False),
        ("a b@example.com", False),
        ("a@example..com", False),
    ],
)
def test_an_email_address_is_judged_by_form(text, valid):
    """Nothing is looked up; a test domain is as good as any."""
    assert valid_email(text) is valid
