"""Ids: KSUIDs that sort by the moment of their making."""

import os
import time
from datetime import UTC as _UTC
from datetime import datetime, timedelta
from typing import Final

_EPOCH: Final = 1_400_000_000  # the KSUID epoch, seconds after 1970
_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_PAIRS: Final = tuple(a + b for a in _ALPHABET for b in _ALPHABET)
_FIVE: Final = 62**5
_LENGTH: Final = 27
_TICK_MASK: Final = 2**48 - 1
_last_tick = 0
_randomness = b""


def encode(seconds: int, payload: int) -> str:
    """Return the KSUID of *seconds* after the KSUID epoch and a 128-bit *payload*: 27 characters of base 62."""
    # Five divisions of the large number; the rest are of numbers that fit a machine word.
    number, f = divmod((seconds << 128) | payload, _FIVE)
    number, e = divmod(number, _FIVE)
    number, d = divmod(number, _FIVE)
    number, c = divmod(number, _FIVE)
    a, b = divmod(number, _FIVE)
    return "".join(
        (
            _PAIRS[a],
            *(_PAIRS[b // 238_328], _PAIRS[b // 62 % 3844], _ALPHABET[b % 62]),
            *(_PAIRS[c // 238_328], _PAIRS[c // 62 % 3844], _ALPHABET[c % 62]),
            *(_PAIRS[d // 238_328], _PAIRS[d // 62 % 3844], _ALPHABET[d % 62]),
            *(_PAIRS[e // 238_328], _PAIRS[e // 62 % 3844], _ALPHABET[e % 62]),
            *(_PAIRS[f // 238_328], _PAIRS[f // 62 % 3844], _ALPHABET[f % 62]),
        )
    )


def _random_60_bits() -> int:
    # The operating system's randomness, fetched for some hundred ids at once: a system call for each costs 1 us.
    global _randomness
    if len(_randomness) < 8:
        _randomness = os.urandom(1024)
    taken, _randomness = _randomness[:8], _randomness[8:]
    return int.from_bytes(taken) >> 4


def new_id(at: datetime) -> str:
    """Return a new KSUID for the moment *at*.

    Its 128 payload bits are: 20 of the microsecond, so that ids sort (in collation "C") by time and not only by
    second; 48 of the real time in units of 64 ns, never twice the same in one process, so that ids of one moment (a
    standing test clock, two events of one change) sort as they were made; 60 random ones.
    """
    global _last_tick
    tick = time.time_ns() >> 6
    if tick <= _last_tick:
        tick = _last_tick + 1
    _last_tick = tick
    payload = (at.microsecond << 108) | ((tick & _TICK_MASK) << 60) | _random_60_bits()
    return encode(int(at.timestamp()) - _EPOCH, payload)


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
