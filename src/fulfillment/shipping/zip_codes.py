"""The directory of ZIP codes: a sorted file, searched where it lies, so that starts are free and processes share it.

`python -m fulfillment.shipping.zip_codes` writes the file again, from the package zipcodes.
"""

import mmap
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final, TypedDict, cast

FILE: Final = Path(__file__).with_name("zip_codes.tsv")


class _Row(TypedDict):
    """What we read of the package's rows."""

    zip_code: str
    zip_code_type: str
    city: str
    state: str
    timezone: str
    acceptable_cities: list[str]
    unacceptable_cities: list[str]


def find_row(zip_code: str) -> tuple[str, str, str, str, str] | None:
    """Return what the directory says of five digits, or None.

    Returns:
        City, state, IANA time zone, further names that are accepted, and names that people use all the same; the names
        parted by ``|``.
    """
    lines = _file()
    wanted = zip_code.encode()
    low, high = 0, len(lines)  # the line begins in [low, high)
    while low < high:
        middle = lines.rfind(b"\n", low, (low + high) // 2) + 1 or low
        end = lines.find(b"\n", middle)
        found = lines[middle : middle + 5]
        if found == wanted:
            _, city, state, zone, accepted, known = lines[middle:end].decode().split("\t")
            return city, state, zone, accepted, known
        if found < wanted:
            low = end + 1
        else:
            high = middle
    return None


@cache
def _file() -> mmap.mmap:
    with FILE.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def written_lines() -> Iterator[str]:
    """Yield the file's lines, from the package."""
    import zipcodes

    # By first digits: the package would keep the whole list, once asked for, and it is a hundred times as big.
    for digits in range(100):
        rows = zipcodes.similar_to(f"{digits:02}")  # pyright: ignore[reportUnknownMemberType] - untyped package
        for row in sorted(cast(list[_Row], rows), key=lambda row: row["zip_code"]):
            city = row["city"].upper() if row["zip_code_type"] == "MILITARY" else row["city"]
            accepted, known = "|".join(row["acceptable_cities"]), "|".join(row["unacceptable_cities"])
            yield "\t".join((row["zip_code"], city, row["state"], row["timezone"], accepted, known))


def main() -> None:
    """Write the file."""
    FILE.write_text("".join(f"{line}\n" for line in written_lines()))


if __name__ == "__main__":
    main()
