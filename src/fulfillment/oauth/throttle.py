"""Slows the guessing of secrets: so many failures a minute of one client or address, then everybody waits.

Counts are those of this process. What is asked of them are the three methods of `Throttle`, none of which
waits, so that counts kept for all processes can take their place.
"""

import ipaddress
import math
from collections import OrderedDict
from typing import Final, TypeVar

T = TypeVar("T")

WINDOW_SECONDS: Final = 60.0
TRUST_SECONDS: Final = 3600.0  # how long an address that proved itself is told apart from the others
_CAPACITY: Final = 20_000  # keys remembered; the longest unused are forgotten first


class Throttle:
    """Failures by client id and by address.

    A pair of client and address that succeeded within the hour is counted by itself. So nobody locks a
    partner out by guessing at its client id, or by sharing its way to the internet; and still no pair has
    more tries than the limit.
    """

    def __init__(self, per_minute: int) -> None:
        self._limit: int = per_minute
        self._failures: OrderedDict[str, tuple[float, int]] = OrderedDict()  # since when, and how many
        self._trusted: OrderedDict[str, float] = OrderedDict()  # since when

    def wait_seconds(self, client_id: str, address: str, at: float) -> int:
        """Return how long this attempt has to wait; 0 when it may be made.

        Args:
            client_id: As claimed.
            address: The caller's; IPv6 counts by its /64.
            at: Unix seconds.
        """
        if not self._failures:
            return 0
        pair, keys = _keys(client_id, address)
        if self._is_trusted(pair, at):
            keys = (pair,)
        return max(self._wait(key, at) for key in keys)

    def failed(self, client_id: str, address: str, at: float) -> None:
        """Count one wrong secret."""
        pair, keys = _keys(client_id, address)
        if self._is_trusted(pair, at):
            keys = (pair,)
        for key in keys:
            since, count = self._failures.get(key, (at, 0))
            if not since <= at < since + WINDOW_SECONDS:
                since, count = at, 0
            _remember(self._failures, key, (since, count + 1))

    def succeeded(self, client_id: str, address: str, at: float) -> None:
        """Note that the pair knows the secret."""
        _remember(self._trusted, _keys(client_id, address)[0], at)

    def _is_trusted(self, pair: str, at: float) -> bool:
        since = self._trusted.get(pair)
        return since is not None and since <= at < since + TRUST_SECONDS

    def _wait(self, key: str, at: float) -> int:
        since, count = self._failures.get(key, (at, 0))
        # A window that begins later than now was left by a clock that has since been set back.
        if count < self._limit or not since <= at < since + WINDOW_SECONDS:
            return 0
        return math.ceil(since + WINDOW_SECONDS - at)


def _keys(client_id: str, address: str) -> tuple[str, tuple[str, ...]]:
    client_id = client_id[:100]
    return f"{client_id} {address}", (f"client {client_id}", f"address {_network(address)}")


def _network(address: str) -> str:
    if ":" not in address:
        return address
    try:
        return str(ipaddress.IPv6Network((address.partition("%")[0], 64), strict=False))
    except ValueError:
        return address


def _remember(known: OrderedDict[str, T], key: str, value: T) -> None:
    known[key] = value
    known.move_to_end(key)
    if len(known) > _CAPACITY:
        known.popitem(last=False)
