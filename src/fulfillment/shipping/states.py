"""The 62 two-letter codes of the USPS, and which ZIP codes begin where. Pure.

Source:
    USPS Publication 28, section 225; the prefixes are those of the ZIP code directory.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class StateKind(StrEnum):
    """What a code stands for."""

    STATE = "state"  # the fifty and the District of Columbia
    TERRITORY = "territory"
    FREELY_ASSOCIATED = "freely associated"  # sovereign, but served by the USPS as domestic
    MILITARY = "military"


@dataclass(frozen=True, slots=True)
class State:
    """One of the 62."""

    code: str
    name: str
    kind: StateKind
    zone: str | None = None  # IANA name, where all of it keeps one time

    @property
    def contiguous(self) -> bool:
        """Whether it can be reached over land from the warehouse's side: the 48 and DC."""
        return self.kind is StateKind.STATE and self.code not in {"AK", "HI"}


_STATE = StateKind.STATE
_TERRITORY = StateKind.TERRITORY
_FREELY_ASSOCIATED = StateKind.FREELY_ASSOCIATED
_MILITARY = StateKind.MILITARY

_ALL: Final = (
    State("AL", "Alabama", _STATE, "America/Chicago"),
    State("AK", "Alaska", _STATE),
    State("AZ", "Arizona", _STATE),
    State("AR", "Arkansas", _STATE, "America/Chicago"),
    State("CA", "California", _STATE, "America/Los_Angeles"),
    State("CO", "Colorado", _STATE, "America/Denver"),
    State("CT", "Connecticut", _STATE, "America/New_York"),
    State("DE", "Delaware", _STATE, "America/New_York"),
    State("DC", "District of Columbia", _STATE, "America/New_York"),
    State("FL", "Florida", _STATE),
    State("GA", "Georgia", _STATE, "America/New_York"),
    State("HI", "Hawaii", _STATE, "Pacific/Honolulu"),
    State("ID", "Idaho", _STATE),
    State("IL", "Illinois", _STATE, "America/Chicago"),
    State("IN", "Indiana", _STATE),
    State("IA", "Iowa", _STATE, "America/Chicago"),
    State("KS", "Kansas", _STATE),
    State("KY", "Kentucky", _STATE),
    State("LA", "Louisiana", _STATE, "America/Chicago"),
    State("ME", "Maine", _STATE, "America/New_York"),
    State("MD", "Maryland", _STATE, "America/New_York"),
    State("MA", "Massachusetts", _STATE, "America/New_York"),
    State("MI", "Michigan", _STATE),
    State("MN", "Minnesota", _STATE, "America/Chicago"),
    State("MS", "Mississippi", _STATE, "America/Chicago"),
    State("MO", "Missouri", _STATE, "America/Chicago"),
    State("MT", "Montana", _STATE, "America/Denver"),
    State("NE", "Nebraska", _STATE),
    State("NV", "Nevada", _STATE, "America/Los_Angeles"),
    State("NH", "New Hampshire", _STATE, "America/New_York"),
    State("NJ", "New Jersey", _STATE, "America/New_York"),
    State("NM", "New Mexico", _STATE, "America/Denver"),
    State("NY", "New York", _STATE, "America/New_York"),
    State("NC", "North Carolina", _STATE, "America/New_York"),
    State("ND", "North Dakota", _STATE),
    State("OH", "Ohio", _STATE, "America/New_York"),
    State("OK", "Oklahoma", _STATE, "America/Chicago"),
    State("OR", "Oregon", _STATE),
    State("PA", "Pennsylvania", _STATE, "America/New_York"),
    State("RI", "Rhode Island", _STATE, "America/New_York"),
    State("SC", "South Carolina", _STATE, "America/New_York"),
    State("SD", "South Dakota", _STATE),
    State("TN", "Tennessee", _STATE),
    State("TX", "Texas", _STATE),
    State("UT", "Utah", _STATE, "America/Denver"),
    State("VT", "Vermont", _STATE, "America/New_York"),
    State("VA", "Virginia", _STATE, "America/New_York"),
    State("WA", "Washington", _STATE, "America/Los_Angeles"),
    State("WV", "West Virginia", _STATE, "America/New_York"),
    State("WI", "Wisconsin", _STATE, "America/Chicago"),
    State("WY", "Wyoming", _STATE, "America/Denver"),
    State("AS", "American Samoa", _TERRITORY, "Pacific/Pago_Pago"),
    State("GU", "Guam", _TERRITORY, "Pacific/Guam"),
    State("MP", "Northern Mariana Islands", _TERRITORY, "Pacific/Saipan"),
    State("PR", "Puerto Rico", _TERRITORY, "America/Puerto_Rico"),
    State("VI", "U.S. Virgin Islands", _TERRITORY, "America/St_Thomas"),
    State("FM", "Federated States of Micronesia", _FREELY_ASSOCIATED),
    State("MH", "Marshall Islands", _FREELY_ASSOCIATED, "Pacific/Majuro"),
    State("PW", "Palau", _FREELY_ASSOCIATED, "Pacific/Palau"),
    State("AA", "Armed Forces Americas", _MILITARY),
    State("AE", "Armed Forces Europe", _MILITARY),
    State("AP", "Armed Forces Pacific", _MILITARY),
)
STATES: Final[Mapping[str, State]] = {state.code: state for state in _ALL}

# Three digits are a prefix, five a whole ZIP. Some ZIPs cross a border: a prefix may belong to two codes.
_RANGES: Final = (
    "AL 350-352 354-369",
    "IL 600-620 622-629",
    "MT 590-599",
    "RI 028-029",
    "AK 995-999",
    "IN 460-479",
    "NE 680-681 683-693",
    "SC 290-299",
    "AZ 850-853 855-857 859-860 863-865",
    "IA 500-516 520-528",
    "NV 889-891 893-895 897-898",
    "SD 570-577",
    "AR 716-729",
    "KS 660-662 664-679",
    "NH 030-038",
    "TN 370-385",
    "CA 900-908 910-928 930-961",
    "KY 400-418 420-427",
    "NJ 070-089",
    "TX 733 750-770 772-799 885",
    "CO 800-816",
    "LA 700-701 703-708 710-714",
    "NM 870-871 873-884",
    "UT 840-847",
    "CT 060-069",
    "ME 039-049",
    "NY 005 100-149",
    "VT 050-054 056-059",
    "DE 197-199",
    "MD 206-212 214-219",
    "NC 270-289",
    "VA 201 220-246",
    "DC 200 202-205 569",
    "MA 010-027 055",
    "ND 580-588",
    "WA 980-986 988-994",
    "FL 320-339 341-342 344 346-347 349",
    "MI 480-499",
    "OH 430-459",
    "WV 247-268",
    "GA 300-319 398-399",
    "MN 550-551 553-567",
    "OK 730-731 734-741 743-749",
    "WI 530-532 534-535 537-549",
    "HI 967-968",
    "MS 386-397",
    "OR 970-979",
    "WY 820-831",
    "ID 832-838",
    "MO 630-631 633-641 644-658",
    "PA 150-196",
    "PR 006 007 009",
    "VI 008",
    "GU 96910-96932",
    "AS 96799",
    "MP 96950-96952",
    "PW 96939-96940",
    "FM 96941-96944",
    "MH 96960 96970",
    "AE 090-098",
    "AA 340",
    "AP 962-966",
)


def states_of_zip(zip_code: str) -> tuple[str, ...]:
    """Return the codes whose range *zip_code* falls in, the most exact first; () for digits nobody uses.

    Args:
        zip_code: At least five digits.
    """
    return _BY_ZIP.get(zip_code[:5], ()) + _BY_PREFIX.get(zip_code[:3], ())


def _spread(width: int) -> Mapping[str, tuple[str, ...]]:
    """Return the codes of every prefix of *width* digits."""
    found: dict[str, tuple[str, ...]] = {}
    for code, prefix in _prefixes(width):
        found[prefix] = (*found.get(prefix, ()), code)
    return found


def _prefixes(width: int) -> Iterator[tuple[str, str]]:
    for row in _RANGES:
        code, *spans = row.split()
        for span in spans:
            first, _, last = span.partition("-")
            if len(first) == width:
                for number in range(int(first), int(last or first) + 1):
                    yield code, f"{number:0{width}}"


_BY_PREFIX: Final = _spread(3)
_BY_ZIP: Final = _spread(5)
