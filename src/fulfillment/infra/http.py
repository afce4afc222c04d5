"""The way out: signed bytes to a partner's receiver, never to a private address."""

import asyncio
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache, partial
from os import fstat
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
from fulfillment.infra.connections import Kept, Key, Names
from fulfillment.infra.http1 import EXCERPT_LIMIT, READ_LIMIT, Connection, Exchange, Fault

__all__ = ["EXCERPT_LIMIT", "LONGEST_RETRY_AFTER", "READ_LIMIT", "Answer", "Fault", "Poster", "retry_after_seconds"]

LONGEST_RETRY_AFTER: Final = 3600  # seconds

_POOL_SECONDS: Final = 60  # busy connections too: a name that points elsewhere is followed after that
_NEXT_ADDRESS_SECONDS: Final = 0.25  # until a name's next address is tried as well
_STALE_SECONDS: Final = 1.0
_KNOWN_URLS: Final = 4096

_Address = tuple[str, int] | tuple[str, int, int, int]
_AddrInfo = tuple[int | AddressFamily, int, int, str, _Address]


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
        self._names = Names(lookup, policy)
        self._now = now
        self._tls = ssl.create_default_context()
        self._tls.set_alpn_protocols(["http/1.1"])
        if ca_file is not None:
            self._tls.load_verify_locations(ca_file)
        self._place_of = lru_cache(_KNOWN_URLS)(self._check)
        self._groups: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._kept = Kept()

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
        reached = False
        try:
            async with asyncio.timeout(until - monotonic()):
                found = [_info(address, place.key[2]) for address in addresses]
                opened = await start_connection(
                    found, happy_eyeballs_delay=_NEXT_ADDRESS_SECONDS, socket_factory=open_socket
                )
                reached = True
                await self._adopt(opened, connection, place)
        except (OSError, RuntimeError) as error:  # uvloop raises RuntimeError for sockets that went away
            fault = Fault.FORBIDDEN_ADDRESS if refused else _connect_fault(error)
            if reached and fault is Fault.UNREACHABLE:  # it went away while TLS was agreed on, or before
                fault = Fault.TLS if place.key[0] else Fault.RESET
            raise _NotConnected(fault) from error
        self._kept.watch(connection)
        return connection

    async def _adopt(self, opened: socket, connection: Connection, place: "_Place") -> None:
        with_tls, host, _ = place.key
        loop = asyncio.get_running_loop()
        inode = fstat(opened.fileno()).st_ino
        adopted = False
        try:
            if with_tls:
                await loop.create_connection(lambda: connection, sock=opened, ssl=self._tls, server_hostname=host)
            else:
                await loop.create_connection(lambda: connection, sock=opened)
            adopted = not connection.closed
        finally:
            if not adopted:
                _let_go(opened, inode)

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

    key: Key
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


def _let_go(opened: socket, inode: int) -> None:
    """Close a socket that no transport holds; forget one whose descriptor its transport has closed already.

    uvloop closes the descriptor of a connection that is lost while it is made, and leaves the socket its number.
    Closing that, here or as garbage, would cut off whatever has the number by then: a database connection even.
    """
    try:
        ours = fstat(opened.fileno()).st_ino == inode
    except OSError:
        ours = False
    if ours:
        opened.close()
    else:
        opened.detach()


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
