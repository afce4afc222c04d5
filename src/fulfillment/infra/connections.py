"""Where connections to receivers begin and rest: names with checked addresses, and what is kept for the next post."""

import asyncio
from collections.abc import Sequence
from time import monotonic
from typing import Final

from fulfillment.infra.addresses import AddressPolicy, AddressRefused, Lookup, is_allowed
from fulfillment.infra.http1 import Connection, Fault

Key = tuple[bool, str, int]  # TLS, host, port: what a connection may be used for again

_KEEP_ALIVE_SECONDS: Final = 15
_SWEEP_SECONDS: Final = 5.0
_DNS_SECONDS: Final = 5
_KNOWN_NAMES: Final = 1024


class Names:
    """The resolver: it refuses a name as a whole when any one of its addresses is refused."""

    def __init__(self, lookup: Lookup, policy: AddressPolicy) -> None:
        self._lookup = lookup
        self._policy = policy
        self._known: dict[str, tuple[float, Sequence[str]]] = {}
        self._asking: dict[str, asyncio.Task[Sequence[str]]] = {}
        self._turn = 0

    async def addresses(self, host: str) -> Sequence[str]:
        """Return the name's addresses, each time another one first; who asks at the same time shares a look-up.

        Raises:
            AddressRefused: One of them is refused.
            OSError: There is none.
        """
        until, found = self._known.get(host, (0.0, ()))
        if monotonic() >= until:
            if host not in self._asking:
                asking = self._asking[host] = asyncio.create_task(self._ask(host))
                asking.add_done_callback(lambda asked: asked.cancelled() or asked.exception())
            found = await asyncio.shield(self._asking[host])
        self._turn += 1
        first = self._turn % len(found)
        return (*found[first:], *found[:first])

    async def _ask(self, host: str) -> Sequence[str]:
        try:
            addresses = await self._lookup(host)
            if not all(is_allowed(address, self._policy) for address in addresses):
                raise AddressRefused("not a public address")
            found = tuple(addresses)
            if not found:
                raise OSError("the name has no address")
        finally:
            del self._asking[host]
        if len(self._known) >= _KNOWN_NAMES:
            self._known.clear()
        self._known[host] = (monotonic() + _DNS_SECONDS, found)
        return found


class Kept:
    """Connections that stand: those that wait for their next exchange, by place, and all others."""

    def __init__(self) -> None:
        self._all: set[Connection] = set()
        self._idle: dict[Key, dict[Connection, None]] = {}  # each in the order in which they became idle
        self._sweeping: asyncio.TimerHandle | None = None
        self._closed = False

    def watch(self, connection: Connection) -> None:
        """Note that a connection was made; behind the end it is closed again."""
        if self._closed:
            connection.give_up(None)
        elif not connection.closed:  # lost as soon as it stood: nobody will say so again
            self._all.add(connection)

    def forget(self, key: Key, connection: Connection) -> None:
        """Note that a connection of *key* was closed."""
        self._all.discard(connection)
        idle = self._idle.get(key)
        if idle is not None:
            idle.pop(connection, None)
            if not idle:
                del self._idle[key]

    def take(self, key: Key) -> Connection | None:
        """Return the connection of *key* that was used last, if one is left that may be used again."""
        idle = self._idle.get(key)
        now = monotonic()
        while idle:
            connection, _ = idle.popitem()
            if not connection.closed and now < connection.ends_at:
                return connection
            connection.give_up(None)
        return None

    def keep(self, key: Key, connection: Connection) -> None:
        """Keep a connection for the next exchange, unless it is closed."""
        if connection.closed:
            return
        connection.idle_since = monotonic()
        self._idle.setdefault(key, {})[connection] = None
        if self._sweeping is None:
            self._sweeping = asyncio.get_running_loop().call_later(_KEEP_ALIVE_SECONDS, self._sweep)

    def close(self) -> None:
        """Close them all, and those to come."""
        self._closed = True
        if self._sweeping is not None:
            self._sweeping.cancel()
        for connection in tuple(self._all):
            connection.give_up(Fault.RESET)
        self._idle.clear()

    def _sweep(self) -> None:
        """Close what has been idle for too long."""
        now = monotonic()
        rested = [
            connection
            for idle in self._idle.values()
            for connection in idle
            if now >= min(connection.idle_since + _KEEP_ALIVE_SECONDS, connection.ends_at)
        ]
        for connection in rested:
            connection.give_up(None)
        waiting = any(self._idle.values())
        self._sweeping = asyncio.get_running_loop().call_later(_SWEEP_SECONDS, self._sweep) if waiting else None
