"""The way out: signed bytes to a partner's receiver, never to a private address."""

import asyncio
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache, partial
from pathlib import Path
from socket import AF_INET, AF_INET6, IPPROTO_TCP, SOCK_STREAM, TCP_NODELAY, AddressFamily, socket
from time import monotonic
from types import TracebackType
from typing import Final, Self
from weakref import WeakValueDictionary

from aiohappyeyeballs import start_connection

from fulfillment.infra.addresses import (
    AddressPolicy,
    AddressRefused,
    CheckedUrl,
    ForbiddenUrl,
    Lookup,
    check_url,
    is_allowed,
    system_lookup,
)
from fulfillment.infra.http1 import EXCERPT_LIMIT, READ_LIMIT, Connection, Exchange, Fault

__all__ = ["EXCERPT_LIMIT", "LONGEST_RETRY_AFTER", "READ_LIMIT", "Answer", "Fault", "Poster", "retry_after_seconds"]

LONGEST_RETRY_AFTER: Final = 3600  # seconds

_KEEP_ALIVE_SECONDS: Final = 15
_POOL_SECONDS: Final = 60  # busy connections too: a name that points elsewhere is followed after that
_DNS_SECONDS: Final = 5
_NEXT_ADDRESS_SECONDS: Final = 0.25  # until a name's next address is tried as well
_STALE_SECONDS: Final = 1.0
_SWEEP_SECONDS: Final = 5.0
_KNOWN_URLS: Final = 4096
_KNOWN_NAMES: Final = 1024

_Address = tuple[str, int] | tuple[str, int, int, int]
_AddrInfo = tuple[int | AddressFamily, int, int, str, _Address]
_Key = tuple[bool, str, int]  # TLS, host, port: what a connection may be used for again


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Answer:
    """What one attempt came to."""

    status: int | None  # None: no status line was received
    error_class: str | None  # a `Fault`; None: the answer was received, whatever its status
    duration_ms: int
    excerpt: bytes  # the first bytes of the body as sent: not decompressed, at most `EXCERPT_LIMIT`
    retry_after_seconds: int | None  # what Retry-After asks for, 0 to `LONGEST_RETRY_AFTER`

    @property
    def ok(self) -> bool:
        """Whether the receiver took it: a 2xx that arrived whole."""
        return self.error_class is None and self.status is not None and 200 <= self.status < 300


class Poster:
    """Sends POST requests to places that we do not trust. One for each process; an async context manager.

    Every new connection is checked at the moment it is made, so that neither a re-pointed name nor a literal
    leads inside. Redirects are not followed, proxies of the environment not used, cookies not kept, answers
    not decompressed.

    Args:
        policy: What may be reached.
        total_seconds: The time a receiver has, from the look-up of its name to the end of its answer.
        connect_seconds: The part of it that connecting may take, TLS included.
        ca_file: PEM file of certificate authorities trusted beside the system's.
        group_limit: Posts of one group under way at once; further ones wait, and their time does not count.
        lookup: Replaces the system's resolver.
        now: The clock that dates in Retry-After are compared with.
    """

    def __init__(
        self,
        policy: AddressPolicy,
        *,
        total_seconds: float = 15.0,
        connect_seconds: float = 5.0,
        ca_file: Path | None = None,
        group_limit: int = 32,
        lookup: Lookup = system_lookup,
        now: Callable[[], datetime] = _utc_now,
    ) -> None:
        self._policy = policy
        self._total_seconds = total_seconds
        self._connect_seconds = connect_seconds
        self._group_limit = group_limit
        self._names = _Names(lookup, policy)
        self._now = now
        self._tls = ssl.create_default_context()
        self._tls.set_alpn_protocols(["http/1.1"])
        if ca_file is not None:
            self._tls.load_verify_locations(ca_file)
        self._place_of = lru_cache(_KNOWN_URLS)(self._check)
        self._groups: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._kept = _Kept()

    async def __aenter__(self) -> Self:
        """Return the poster; connections are made when they are needed."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close every connection."""
        self._kept.close()
        await asyncio.sleep(0)  # transports close in the loop's next round

    async def post(self, url: str, body: bytes, headers: Mapping[str, str], *, group: str) -> Answer:
        """Send *body* to *url* and return what came of it. No fault of a receiver is raised.

        Args:
            headers: Sent as they are, beside Host and Content-Length only.
            group: Whose post it is, such as the partner's id; see ``group_limit``.

        Raises:
            ValueError: A header holds a line's end or a null.
        """
        try:
            place = self._place_of(url)
        except ForbiddenUrl:
            return Answer(None, Fault.FORBIDDEN_ADDRESS, 0, b"", None)
        request = _request(place.start, headers, body)
        slots = self._groups.get(group)
        if slots is None:
            slots = self._groups[group] = asyncio.Semaphore(self._group_limit)
        async with slots:
            started = monotonic()
            exchange = await self._exchange(place, request, started + self._total_seconds)
            retry_after = None if exchange.retry_after is None else retry_after_seconds(exchange.retry_after, self._now)
            duration_ms = round((monotonic() - started) * 1000)
            return Answer(exchange.status, exchange.fault, duration_ms, exchange.excerpt, retry_after)

    def _check(self, url: str) -> "_Place":
        return _Place.of(check_url(url, self._policy))

    async def _exchange(self, place: "_Place", request: bytes, deadline: float) -> Exchange:
        connection = self._kept.take(place.key)
        if connection is not None:
            sent_at = monotonic()
            exchange = await self._send(place, request, deadline, connection)
            broke = exchange.fault is Fault.RESET and not exchange.heard
            if not broke or monotonic() - sent_at >= _STALE_SECONDS:
                return exchange
            # The receiver closed the idle connection as we took it: that says nothing about the receiver.
        try:
            connection = await self._connect(place, deadline)
        except _NotConnected as failure:
            exchange = Exchange(deadline, asyncio.get_running_loop().create_future())
            exchange.fault = failure.fault
            return exchange
        return await self._send(place, request, deadline, connection)

    async def _send(self, place: "_Place", request: bytes, deadline: float, connection: Connection) -> Exchange:
        exchange = Exchange(deadline, asyncio.get_running_loop().create_future())
        connection.send(request, exchange)
        timer = asyncio.get_running_loop().call_later(deadline - monotonic(), exchange.expire)
        try:
            await exchange.ended
        finally:
            timer.cancel()
            if exchange.connection is not None:  # cancelled
                connection.give_up(None)
            self._kept.keep(place.key, connection)
        return exchange

    async def _connect(self, place: "_Place", deadline: float) -> Connection:
        """Return a new connection to a place that may be reached.

        Raises:
            _NotConnected: With the fault.
        """
        addresses = await self._addresses(place, deadline)
        refused = False

        def open_socket(info: _AddrInfo) -> socket:
            """Return a socket for an address just about to be connected to, if it may be: names and literals."""
            nonlocal refused
            family, kind, protocol, _, address = info
            if not is_allowed(address[0], self._policy) or (len(address) == 4 and address[3] != 0):
                refused = True
                raise AddressRefused("not a public address")
            opened = socket(family, kind, protocol)
            opened.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
            return opened

        connection = Connection(monotonic() + _POOL_SECONDS, partial(self._kept.forget, place.key))
        until = min(deadline, monotonic() + self._connect_seconds)
        try:
            async with asyncio.timeout(until - monotonic()):
                found = [_info(address, place.key[2]) for address in addresses]
                opened = await start_connection(
                    found, happy_eyeballs_delay=_NEXT_ADDRESS_SECONDS, socket_factory=open_socket
                )
                await self._adopt(opened, connection, place)
        except (OSError, RuntimeError) as error:  # uvloop raises RuntimeError for sockets that went away
            fault = Fault.FORBIDDEN_ADDRESS if refused else _connect_fault(error)
            raise _NotConnected(fault) from error
        self._kept.watch(connection)
        return connection

    async def _adopt(self, opened: socket, connection: Connection, place: "_Place") -> None:
        with_tls, host, _ = place.key
        loop = asyncio.get_running_loop()
        try:
            if with_tls:
                await loop.create_connection(lambda: connection, sock=opened, ssl=self._tls, server_hostname=host)
            else:
                await loop.create_connection(lambda: connection, sock=opened)
        except BaseException:
            opened.close()  # a loop that failed before it took the socket leaves it open
            raise

    async def _addresses(self, place: "_Place", deadline: float) -> Sequence[str]:
        if place.address is not None:
            return (place.address,)
        try:
            async with asyncio.timeout(deadline - monotonic()):
                return await self._names.addresses(place.key[1])
        except TimeoutError as error:
            raise _NotConnected(Fault.TIMEOUT) from error
        except AddressRefused as error:
            raise _NotConnected(Fault.FORBIDDEN_ADDRESS) from error
        except OSError as error:
            raise _NotConnected(Fault.DNS) from error


@dataclass(frozen=True, slots=True)
class _Place:
    """A checked URL as requests are made with it."""

    key: _Key
    start: str  # request line and Host, without the last line's end
    address: str | None  # where the host is one

    @classmethod
    def of(cls, checked: CheckedUrl) -> Self:
        """Return the place of *checked*; no second parser reads the URL."""
        url = checked.url
        start = f"POST {url.raw_path_qs} HTTP/1.1\r\nHost: {url.host_port_subcomponent}"
        if not start.isascii() or start.count(" ") != 3:
            raise ForbiddenUrl("The URL can't be read.")
        address = None if checked.address is None else str(checked.address)
        return cls((url.scheme == "https", checked.host, checked.port), start, address)


class _NotConnected(Exception):
    """No connection was made."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault


class _Names:
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


class _Kept:
    """Connections that stand: those that wait for their next exchange, by place, and all others."""

    def __init__(self) -> None:
        self._all: set[Connection] = set()
        self._idle: dict[_Key, dict[Connection, None]] = {}  # each in the order in which they became idle
        self._sweeping: asyncio.TimerHandle | None = None
        self._closed = False

    def watch(self, connection: Connection) -> None:
        """Note that a connection was made; behind the end it is closed again."""
        if self._closed:
            connection.give_up(None)
        else:
            self._all.add(connection)

    def forget(self, key: _Key, connection: Connection) -> None:
        """Note that a connection of *key* was closed."""
        self._all.discard(connection)
        idle = self._idle.get(key)
        if idle is not None:
            idle.pop(connection, None)
            if not idle:
                del self._idle[key]

    def take(self, key: _Key) -> Connection | None:
        """Return the connection of *key* that was used last, if one is left that may be used again."""
        idle = self._idle.get(key)
        now = monotonic()
        while idle:
            connection, _ = idle.popitem()
            if not connection.closed and now < connection.ends_at:
                return connection
            connection.give_up(None)
        return None

    def keep(self, key: _Key, connection: Connection) -> None:
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


def _request(start: str, headers: Mapping[str, str], body: bytes) -> bytes:
    """Return the bytes of a request.

    Raises:
        ValueError: A header holds a line's end or a null: it would be read as something else than a header.
    """
    lines = [f"{name}: {value}" for name, value in headers.items()]
    head = "\r\n".join((start, *lines, f"Content-Length: {len(body)}", "", "")).encode()
    ends = len(lines) + 4
    if head.count(b"\r") != ends or head.count(b"\n") != ends or b"\0" in head:
        raise ValueError("a header holds a line's end or a null")
    return head + body


def _info(address: str, port: int) -> _AddrInfo:
    if ":" in address:
        return (AF_INET6, SOCK_STREAM, IPPROTO_TCP, "", (address, port, 0, 0))
    return (AF_INET, SOCK_STREAM, IPPROTO_TCP, "", (address, port))


def _connect_fault(error: Exception) -> Fault:
    return next((fault for kinds, fault in _CONNECT_FAULTS if isinstance(error, kinds)), Fault.UNREACHABLE)


# In this order: the classes overlap.
_CONNECT_FAULTS: Final = (
    (ssl.SSLError, Fault.TLS),
    (ConnectionRefusedError, Fault.CONNECT_REFUSED),
    (TimeoutError, Fault.CONNECT_TIMEOUT),
    (ConnectionError, Fault.RESET),
)


def retry_after_seconds(value: str, now: Callable[[], datetime]) -> int | None:
    """Return the wait a Retry-After header asks for (seconds or an HTTP date), or None if it is neither."""
    value = value.strip()
    if value.isascii() and value.isdigit():
        return min(int(value[:12]), LONGEST_RETRY_AFTER)
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    aware = date if date.tzinfo is not None else date.replace(tzinfo=UTC)
    return max(0, min(round((aware - now()).total_seconds()), LONGEST_RETRY_AFTER))
