"""The directory of ZIP codes as a file: it says what its source says, and is searched rightly."""

from zoneinfo import ZoneInfo

import pytest
import zipcodes

from fulfillment.shipping import zip_codes


@pytest.fixture(scope="module")
def places() -> dict[str, zip_codes.Row]:
    """Return what the package says of each code."""
    return dict(zip_codes.source_rows())


def test_the_file_is_what_the_package_says():
    """The file is what the installed package gives, and its codes are sorted."""
    lines = zip_codes.FILE.read_text().splitlines()
    assert lines == list(zip_codes.written_lines())
    codes = [code for line in lines[lines.index("") + 1 :] for code in line.split("\t")[0].split("-")]
    assert codes == sorted(set(codes))


def test_every_code_finds_its_own_place(places: dict[str, zip_codes.Row]):
    """The search finds what the package says of each of its codes, on a line of its own or with its neighbours."""
    assert len(places) > 42_000
    assert {code: zip_codes.find_row(code) for code in places} == places


def test_what_is_no_code_finds_nothing(places: dict[str, zip_codes.Row]):
    """Codes between, before and behind those of the package find nothing, nor does what is no code."""
    absent = [code for code in (f"{number:05}" for number in range(0, 100_000, 7)) if code not in places]
    no_codes = ("00000", "99999", "", "9430", "abcde", "94301 ", "0070\u0661", "00613-", "00613-00614")
    assert [code for code in (*absent, *no_codes) if zip_codes.find_row(code)] == []


def test_every_zone_is_one(places: dict[str, zip_codes.Row]):
    """Each place's time zone is in the tz database; only military places have none."""
    assert {row.state for row in places.values() if not row.zone} == {"AA", "AE", "AP"}
    assert all(ZoneInfo(zone) for zone in {row.zone for row in places.values()} if zone)


def test_a_known_place():
    """94301 is Palo Alto in California, on Pacific time."""
    assert zipcodes.matching("94301")[0]["city"] == "Palo Alto"
    assert zip_codes.find_row("94301") == ("Palo Alto", "CA", "America/Los_Angeles", "", "")
