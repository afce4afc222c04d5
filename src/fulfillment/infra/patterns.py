"""Patterns that texts of requests are held to, in the validator's own (Rust's) syntax, and what to tell who breaks one.

A pattern is checked where the rest of a body is, at a tenth of the cost of a function of ours for each text.
"""

from collections.abc import Mapping
from typing import Final

_SEEN: Final = r"[^\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]"
_INK: Final = r"[^\x00-\x20\x7f-\xa0\u2000-\u200a\u2028\u2029\u202a-\u202e\u2066-\u2069\u3000]"

# Names and addresses go onto labels and slips: control and text-direction characters would change what is read.
PRINTABLE: Final = f"^({_SEEN}*{_INK}{_SEEN}*)?$"

EXPLAINED: Final[Mapping[str, str]] = {
    PRINTABLE: "It holds control characters, or nothing but spaces",
}
