"""Slows the guessing of secrets: so many failures a minute of one client or address, then everybody waits.

`Throttle` counts in memory; `SharedThrottle` adds what other processes have counted. A failure is written before it is
answered, and brings back the count of all processes; so a process learns of a closed door with the first failure it
sees itself, and all of them together let through the limit and one more for each further process. Who knows the secret
costs no round trip.
"""

import asyncio
import hmac
import ipaddress
import logging
import math
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, Final, LiteralString, TypeVar

from fulfillment.infra.env import Env
from fulfillment.infra.metrics import metrics_of
from fulfillment.kernel.errors import FulfillmentError

T = TypeVar("T")

WINDOW_SECONDS: Final = 60.0
TRUST_SECONDS: Final = 3600.0  # how long an address that proved itself is told apart from the others
_CAPACITY: Final = 20_000  # keys remembered; the longest unused are forgotten first
_OTHERS_SECONDS: Final = 1.0  # how old what others trust may be
_RENEW_SECONDS: Final = 900.0  # how often a pair that goes on proving itself is told to the others
_log = logging.getLogger(__name__)

ADD_FAILURES: Final[LiteralString] = """
INSERT INTO token_failures AS known (key, since, failures)
SELECT key, %(at)s, 1 FROM unnest(%(keys)s::text[]) AS key ORDER BY key
    ON CONFLICT (key) DO UPDATE
       SET since = CASE WHEN known.since > excluded.since - %(window)s AND known.since <= excluded.since + %(window)s
                        THEN known.since ELSE excluded.since END,
           failures = CASE WHEN known.since > excluded.since - %(window)s AND known.since <= excluded.since + %(window)s
                           THEN known.failures + 1 ELSE 1 END
RETURNING key, since, failures
"""
ADD_TRUST: Final[LiteralString] = """
INSERT INTO token_trust AS known (key, since) VALUES (%(key)s, %(at)s)
    ON CONFLICT (key) DO UPDATE SET since = greatest(known.since, excluded.since)
"""
SELECT_TRUST: Final[LiteralString] = """
SELECT key, since FROM token_trust WHERE since > %(after)s ORDER BY since DESC LIMIT %(most)s
"""
DELETE_OLD_FAILURES: Final[LiteralString] = """
DELETE FROM token_failures WHERE key = ANY (ARRAY(
  SELECT key FROM token_failures WHERE since < %(before)s ORDER BY since LIMIT 100 FOR UPDATE SKIP LOCKED))
"""
DELETE_OLD_TRUST: Final[LiteralString] = """
DELETE FROM token_trust WHERE key = ANY (ARRAY(
  SELECT key FROM token_trust WHERE since < %(before)s ORDER BY since LIMIT 100 FOR UPDATE SKIP LOCKED))
"""


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

    def cleared(self, client_id: str, address: str, at: float) -> None:
        """Take back one failure."""
        for key in self.keys(client_id, address, at):
            since, count = self._failures.get(key, (at, 0))
            if count:
                self._failures[key] = (since, count - 1)

    def keys(self, client_id: str, address: str, at: float) -> Sequence[str]:
        """Return what a failure of this pair counts for."""
        pair, keys = _keys(client_id, address)
        return (pair,) if self._is_trusted(pair, at) else keys

    def learn(self, key: str, since: float, failures: int) -> None:
        """Take over a count that is further than ours."""
        known = self._failures.get(key)
        if known is None or known[0] != since or known[1] < failures:
            _remember(self._failures, key, (since, failures))

    def trusts(self, client_id: str, address: str, at: float) -> bool:
        """Return whether the pair knew the secret within the hour."""
        return self._is_trusted(_keys(client_id, address)[0], at)

    def _is_trusted(self, pair: str, at: float) -> bool:
        since = self._trusted.get(pair)
        return since is not None and since <= at < since + TRUST_SECONDS

    def _wait(self, key: str, at: float) -> int:
        since, count = self._failures.get(key, (at, 0))
        # A window that begins later than now was left by a clock that has since been set back.
        if count < self._limit or not since <= at < since + WINDOW_SECONDS:
            return 0
        return math.ceil(since + WINDOW_SECONDS - at)


class SharedThrottle:
    """The failures and the trust of all processes. Without the database, those of this one."""

    def __init__(self, env: Env) -> None:
        self._env = env
        self._own = Throttle(env.settings.token_failures_per_minute)
        self._told: OrderedDict[str, float] = OrderedDict()  # pairs whose trust was written, and when
        self._others: Mapping[str, float] = {}  # hashed pairs that any process trusts, and since when
        self._others_until = -math.inf  # on the monotonic clock: when they have to be read again
        self._reading: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def wait_seconds(self, client_id: str, address: str, at: float) -> int:
        """Return how long this attempt has to wait; 0 when it may be made."""
        wait = self._own.wait_seconds(client_id, address, at)
        if not wait or self._own.trusts(client_id, address, at):
            return wait
        since = (await self._trusted_by_others(at)).get(self._hashed(_keys(client_id, address)[0]))
        if since is None or not since <= at < since + TRUST_SECONDS:
            return wait
        self._own.succeeded(client_id, address, since)
        return self._own.wait_seconds(client_id, address, at)

    def suspect(self, client_id: str, address: str, at: float) -> None:
        """Count what looks like a wrong secret, here and at once.

        Attempts that arrive together must not all pass while the database is asked about the first.
        """
        self._own.failed(client_id, address, at)

    def cleared(self, client_id: str, address: str, at: float) -> None:
        """Take a suspicion back."""
        self._own.cleared(client_id, address, at)

    async def failed(self, client_id: str, address: str, at: float) -> None:
        """Tell all processes of a suspicion that came true, and learn what they know."""
        metrics_of(self._env).count("fulfillment_token_failures_total")
        names = {self._hashed(key): key for key in self._own.keys(client_id, address, at)}
        asked = {"keys": list(names), "at": at, "window": WINDOW_SECONDS}
        try:
            async with self._env.db.connection() as conn:
                rows: list[Any] = await (await conn.execute(ADD_FAILURES, asked)).fetchall()
                await conn.execute(DELETE_OLD_FAILURES, {"before": at - 2 * WINDOW_SECONDS})
        except FulfillmentError as error:
            _log.warning("throttle.not_shared", extra={"code": error.code})
            return
        for key, since, failures in rows:
            self._own.learn(names[key], since, failures)

    def succeeded(self, client_id: str, address: str, at: float) -> None:
        """Note that the pair knows the secret; the others are told, from time to time."""
        self._own.succeeded(client_id, address, at)
        pair = _keys(client_id, address)[0]
        told = self._told.get(pair)
        if told is not None and told <= at < told + _RENEW_SECONDS:
            return
        _remember(self._told, pair, at)
        task = asyncio.create_task(self._tell(pair, at))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def settled(self) -> None:
        """Return when the others have been told all that this process knows."""
        await asyncio.gather(*self._tasks)

    async def _tell(self, pair: str, at: float) -> None:
        try:
            async with self._env.db.connection() as conn:
                await conn.execute(ADD_TRUST, {"key": self._hashed(pair), "at": at})
                await conn.execute(DELETE_OLD_TRUST, {"before": at - TRUST_SECONDS})
        except FulfillmentError as error:
            self._told.pop(pair, None)
            _log.warning("throttle.not_shared", extra={"code": error.code})

    async def _trusted_by_others(self, at: float) -> Mapping[str, float]:
        # Whoever guesses with a new client id each time names a new pair each time. So it is not the pair that is asked
        # for, but all that are trusted, once a second: a closed door costs no round trip, and takes as long for a
        # client that exists as for one that does not.
        if time.monotonic() >= self._others_until:
            if self._reading is None:
                self._reading = asyncio.create_task(self._read_trust(at))
            await asyncio.shield(self._reading)
        return self._others

    async def _read_trust(self, at: float) -> None:
        asked = {"after": at - TRUST_SECONDS, "most": _CAPACITY}
        try:
            async with self._env.db.connection() as conn:
                self._others = dict(await (await conn.execute(SELECT_TRUST, asked)).fetchall())
        except FulfillmentError as error:
            _log.warning("throttle.not_shared", extra={"code": error.code})
        finally:
            self._others_until = time.monotonic() + _OTHERS_SECONDS
            self._reading = None

    def _hashed(self, key: str) -> str:
        # What was claimed can hold anything, and an address is personal data.
        return hmac.digest(self._env.secrets.pepper, key.encode(errors="surrogatepass"), "sha256").hex()[:40]


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
