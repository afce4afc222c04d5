"""Ids: KSUIDs that sort by the moment of their making."""

import secrets
from datetime import datetime, timedelta
from datetime import UTC as _UTC
from typing import Final

_EPOCH: Final = 1_400_000_000  # the KSUID epoch, seconds after 1970
_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_PAIRS: Final = tuple(a + b for a in _ALPHABET for b in _ALPHABET)
_LENGTH: Final = 27


def encode(seconds: int, payload: int) -> str:
    """Return the KSUID of *seconds* after the KSUID epoch and a 128-bit *payload*: 27 characters of base 62."""
    number = (seconds << 128) | payload
    parts: list[str] = []
    for _ in range(13):
        number, pair = divmod(number, 3844)
        parts.append(_PAIRS[pair])
    parts.append(_ALPHABET[number])
    parts.reverse()
    return "".join(parts)


def new_id(at: datetime) -> str:
    """Return a new KSUID for the moment *at*.

    The first 32 of its 128 payload bits are the fraction of the second, so that ids sort (in collation "C") by
    microsecond, not only by second; the other 96 are random.
    """
    seconds = int(at.timestamp())
    fraction = (at.microsecond << 32) // 1_000_000
    return encode(seconds - _EPOCH, (fraction << 96) | secrets.randbits(96))


def moment_of(id_: str) -> datetime:
    """Return the second in which the KSUID was made, UTC.

    Raises:
        ValueError: It is not a KSUID.
    """
    if len(id_) != _LENGTH:
        raise ValueError("a KSUID has 27 characters")
    number = 0
    for character in id_:
        number = number * 62 + _ALPHABET.index(character)
    return datetime.fromtimestamp(0, _UTC) + timedelta(seconds=(number >> 128) + _EPOCH)
