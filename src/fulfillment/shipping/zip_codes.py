"""The directory of ZIP codes: a sorted file, searched where it lies, so that starts are free and processes share it.

The file begins with a table of areas: a state, numbered where it keeps several times, and its time zone. After an empty
line follow the places: ZIP codes, city, area, further names that are accepted, and names that people use all the same,
the names parted by ``|``. Neighbouring codes of one place share a line (``00801-00805``); empty fields at a line's end
are left out. `python -m fulfillment.shipping.zip_codes` writes it again, from the package zipcodes.
"""

import mmap
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple, TypedDict, cast

FILE: Final = Path(__file__).with_name("zip_codes.tsv")

# One place has its own name where its time zone belongs; it keeps the time of Bethel, next to it.
_CORRECTED: Final = {"Napakiak": "America/Anchorage"}


class Row(NamedTuple):
    """What the directory says of a ZIP code."""

    city: str  # the name that the USPS prefers
    state: str
    zone: str  # IANA name; empty for military addresses
    accepted: str  # further names that are accepted, parted by |
    known: str  # names that people use all the same, parted by |


class _Source(TypedDict):
    """What we read of the package's rows."""

    zip_code: str
    zip_code_type: str
    city: str
    state: str
    timezone: str
    acceptable_cities: list[str]
    unacceptable_cities: list[str]


def find_row(zip_code: str) -> Row | None:
    """Return what the directory says of five digits, or None."""
    wanted = zip_code.encode()
    if len(wanted) != 5 or not wanted.isdigit():
        return None
    lines, low, zones = _file()
    high, nearest = len(lines), low  # the first line that begins behind what is wanted begins in [low, high]
    while low < high:
        middle = lines.rfind(b"\n", low, (low + high) // 2) + 1 or low
        if lines[middle : middle + 5] > wanted:
            high = middle
        else:
            nearest, low = middle, lines.find(b"\n", middle) + 1
    codes, city, area, *names = lines[nearest : lines.find(b"\n", nearest)].decode().split("\t")
    if not codes[:5] <= zip_code <= codes[-5:]:
        return None
    accepted, known, *_ = *names, "", ""
    return Row(city, area[:2], zones[area], accepted, known)


@cache
def _file() -> tuple[mmap.mmap, int, dict[str, str]]:
    """Return the file, where its places begin, and the zone of each area."""
    with FILE.open("rb") as file:
        lines = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    end = lines.find(b"\n\n")
    table = (line.split("\t") for line in lines[:end].decode().split("\n"))
    return lines, end + 2, dict(table)


def source_rows() -> Iterator[tuple[str, Row]]:
    """Yield each ZIP code of the package with its row, sorted."""
    import zipcodes

    # By first digits: the package would keep the whole list, once asked for, and it is a hundred times as big.
    for digits in range(100):
        rows = zipcodes.similar_to(f"{digits:02}")  # pyright: ignore[reportUnknownMemberType] - untyped package
        for row in sorted(cast(list[_Source], rows), key=lambda row: row["zip_code"]):
            city = row["city"].upper() if row["zip_code_type"] == "MILITARY" else row["city"]
            accepted, known = "|".join(row["acceptable_cities"]), "|".join(row["unacceptable_cities"])
            zone = _CORRECTED.get(row["timezone"], row["timezone"])
            yield row["zip_code"], Row(city, row["state"], zone, accepted, known)


def written_lines() -> Iterator[str]:
    """Yield the file's lines, from the package."""
    areas: dict[tuple[str, str], str] = {}  # of state and zone
    numbers: dict[str, int] = {}  # of areas in a state
    places: list[tuple[str, str, Row]] = []  # first code, last code
    for code, row in source_rows():
        if (row.state, row.zone) not in areas:
            number = numbers[row.state] = numbers.get(row.state, 0) + 1
            areas[row.state, row.zone] = row.state if number == 1 else f"{row.state}{number}"
        if places and places[-1][2] == row and int(places[-1][1]) + 1 == int(code):
            places[-1] = (places[-1][0], code, row)
        else:
            places.append((code, code, row))
    yield from sorted(f"{area}\t{zone}" for (_, zone), area in areas.items())
    yield ""
    for first, last, row in places:
        codes = first if first == last else f"{first}-{last}"
        fields = (codes, row.city, areas[row.state, row.zone], row.accepted, row.known)
        yield "\t".join(fields).rstrip("\t")


def main() -> None:
    """Write the file."""
    FILE.write_text("".join(f"{line}\n" for line in written_lines()))


if __name__ == "__main__":
    main()
