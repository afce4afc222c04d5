"""The directory of ZIP codes as a file: it says what its source says, and is searched rightly."""

import zipcodes

from fulfillment.shipping import zip_codes


def test_the_file_is_what_the_package_says():
    """The file has one line for each ZIP code of the installed package, sorted."""
    lines = zip_codes.FILE.read_text().splitlines()
    assert lines == list(zip_codes.written_lines())
    assert [line[:5] for line in lines] == sorted({line[:5] for line in lines})


def test_every_code_finds_its_own_line():
    """The search finds the first, the last, and all codes between; what is no code finds nothing."""
    lines = zip_codes.FILE.read_text().splitlines()
    for line in (lines[0], lines[-1], *lines[::97]):
        assert "\t".join((line[:5], *(zip_codes.find_row(line[:5]) or ()))) == line
    known = {line[:5] for line in lines}
    absent = [f"{number:05}" for number in range(0, 100_000, 89) if f"{number:05}" not in known]
    assert [code for code in (*absent, "", "9430", "abcde", "94301 ") if zip_codes.find_row(code)] == []


def test_a_known_place():
    """94301 is Palo Alto in California, on Pacific time."""
    assert zipcodes.matching("94301")[0]["city"] == "Palo Alto"
    assert zip_codes.find_row("94301") == ("Palo Alto", "CA", "America/Los_Angeles", "", "")
