"""The way out: signed bytes to a partner's receiver, never to a private address."""

import asyncio
import ssl
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from functools import lru_cache, partial
from pathlib import Path
from socket import AF_INET, AF_INET6, AI_NUMERICHOST, AddressFamily, socket
from time import monotonic
from types import TracebackType
from typing import Final, Self
from weakref import WeakValueDictionary

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from fulfillment.infra.addresses import (
    AddressPolicy,
    AddressRefused,
    ForbiddenUrl,
    Lookup,
    check_url,
    is_allowed,
    system_lookup,
)

READ_LIMIT: Final = 64 * 1024  # bytes of an answer that are read
EXCERPT_LIMIT: Final = 4 * 1024  # bytes of an answer that are kept
LONGEST_RETRY_AFTER: Final = 3600  # seconds

_KEEP_ALIVE_SECONDS: Final = 15
_POOL_SECONDS: Final = 60  # busy connections too: a name that points elsewhere is followed after that
_DNS_SECONDS: Final = 5
_STALE_SECONDS: Final = 1.0
_KNOWN_URLS: Final = 4096

_AddrInfo = tuple[int | AddressFamily, int, int, str, tuple[str, int] | tuple[str, int, int, int]]


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Fault(StrEnum):
    """Why there is no whole answer. Shown to partners in the delivery log."""

    FORBIDDEN_ADDRESS = "forbidden_address"  # the URL, or an address of its name, is not one we send to
    DNS = "dns"  # the name does not resolve
    CONNECT_REFUSED = "connect_refused"
    CONNECT_TIMEOUT = "connect_timeout"
    UNREACHABLE = "unreachable"  # no route, network down
    TLS = "tls"  # handshake or certificate
    TIMEOUT = "timeout"  # connected, but no status line in time
    TOO_SLOW = "too_slow"  # a status line, but the answer did not end in time
    RESET = "reset"  # closed before the answer was whole
    PROTOCOL = "protocol"  # not HTTP


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
        self._timeout = aiohttp.ClientTimeout(total=total_seconds, sock_connect=connect_seconds, ceil_threshold=60)
        self._group_limit = group_limit
        self._resolver = _CheckingResolver(lookup, policy)
        self._now = now
        self._tls = ssl.create_default_context()
        self._tls.set_alpn_protocols(["http/1.1"])
        if ca_file is not None:
            self._tls.load_verify_locations(ca_file)
        self._check = lru_cache(_KNOWN_URLS)(partial(check_url, policy=policy))
        self._groups: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._pools: list[_Pool] = []  # the last is the current one

    async def __aenter__(self) -> Self:
        """Open the connection pool."""
        self._pools.append(self._new_pool())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close every connection."""
        for pool in self._pools:
            await pool.session.close()
        self._pools.clear()

    async def post(self, url: str, body: bytes, headers: Mapping[str, str], *, group: str) -> Answer:
        """Send *body* to *url* and return what came of it. No fault of a receiver is raised.

        Args:
            headers: Sent as they are, beside Host and Content-Length only.
            group: Whose post it is, such as the partner's id; see ``group_limit``.
        """
        try:
            checked = self._check(url)
        except ForbiddenUrl:
            return Answer(None, Fault.FORBIDDEN_ADDRESS, 0, b"", None)
        slots = self._groups.get(group)
        if slots is None:
            slots = self._groups[group] = asyncio.Semaphore(self._group_limit)
        async with slots:
            started = monotonic()
            sent = _Try()
            await self._attempt(checked.url, body, headers, sent)
            if sent.on_stale_connection(monotonic() - started):
                # The receiver closed the idle connection as we took it: that says nothing about the receiver.
                sent = _Try()
                await self._attempt(checked.url, body, headers, sent)
            return sent.answer(round((monotonic() - started) * 1000), self._now)

    async def _attempt(self, url: URL, body: bytes, headers: Mapping[str, str], sent: "_Try") -> None:
        _current_try.set(sent)
        pool = self._pools[-1] if monotonic() < self._pools[-1].ends_at else await self._renew_pool()
        pool.in_flight += 1
        try:
            response = await pool.session.post(
                url, data=aiohttp.BytesPayload(body), headers=headers, allow_redirects=False
            )
            sent.status = response.status
            sent.retry_after = response.headers.get("Retry-After")
            try:
                await _read_start(response, sent)
            finally:
                response.close()  # a whole answer has given its connection back already; any other is closed
        except (aiohttp.ClientError, HttpProcessingError, OSError) as error:
            sent.fault = _fault_of(error, sent)
        finally:
            pool.in_flight -= 1
            if pool is not self._pools[-1]:
                await self._close_idle_pools()

    def _new_pool(self) -> "_Pool":
        connector = aiohttp.TCPConnector(
            socket_factory=self._open_socket,
            resolver=self._resolver,
            ttl_dns_cache=_DNS_SECONDS,
            ssl=self._tls,
            keepalive_timeout=_KEEP_ALIVE_SECONDS,
            limit=0,  # bounded by the groups: a shared limit would let one partner take all of it
        )
        session = aiohttp.ClientSession(
            connector=connector,
            timeout=self._timeout,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
            read_bufsize=16 * 1024,
        )
        return _Pool(session, monotonic() + _POOL_SECONDS)

    async def _renew_pool(self) -> "_Pool":
        pool = self._new_pool()
        self._pools.append(pool)
        await self._close_idle_pools()
        return pool

    async def _close_idle_pools(self) -> None:
        idle = [pool for pool in self._pools[:-1] if pool.in_flight == 0]
        self._pools = [pool for pool in self._pools if pool not in idle]
        for pool in idle:
            await pool.session.close()

    def _open_socket(self, info: _AddrInfo) -> socket:
        """Return a socket for an address just about to be connected to, if it may be: names and literals."""
        family, kind, protocol, _, address = info
        sent = _current_try.get()
        sent.fresh = True
        if not is_allowed(address[0], self._policy) or (len(address) == 4 and address[3] != 0):
            sent.forbidden = True
            raise AddressRefused("not a public address")
        return socket(family, kind, protocol)


@dataclass(slots=True, eq=False)
class _Pool:
    """Connections that live for a bounded time, however busy they are."""

    session: aiohttp.ClientSession
    ends_at: float  # monotonic seconds
    in_flight: int = 0


@dataclass(slots=True)
class _Try:
    """What is known of one request while it is under way."""

    fresh: bool = False  # a connection was opened for it
    forbidden: bool = False  # an address was refused
    status: int | None = None
    retry_after: str | None = None
    excerpt: bytes = b""
    fault: Fault | None = None

    def on_stale_connection(self, seconds: float) -> bool:
        """Return whether a kept connection broke at once, before any answer."""
        return self.fault is Fault.RESET and self.status is None and not self.fresh and seconds < _STALE_SECONDS

    def answer(self, duration_ms: int, now: Callable[[], datetime]) -> Answer:
        retry_after = None if self.retry_after is None else retry_after_seconds(self.retry_after, now)
        return Answer(self.status, self.fault, duration_ms, self.excerpt, retry_after)


_current_try: ContextVar[_Try] = ContextVar("_current_try")


class _CheckingResolver(AbstractResolver):
    """Refuses a name as a whole when any one of its addresses is refused."""

    def __init__(self, lookup: Lookup, policy: AddressPolicy) -> None:
        self._lookup = lookup
        self._policy = policy

    async def resolve(self, host: str, port: int = 0, family: AddressFamily = AF_INET) -> list[ResolveResult]:
        """Return the name's addresses."""
        addresses = await self._lookup(host.removesuffix("."))
        if not all(is_allowed(address, self._policy) for address in addresses):
            raise AddressRefused("not a public address")
        if not addresses:
            raise OSError("the name has no address")
        return [_resolved(host, address, port) for address in addresses]

    async def close(self) -> None:
        """Do nothing: there is nothing open."""


def _resolved(host: str, address: str, port: int) -> ResolveResult:
    family = AF_INET6 if ":" in address else AF_INET
    return ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=AI_NUMERICHOST)


async def _read_start(response: aiohttp.ClientResponse, sent: _Try) -> None:
    """Keep the first bytes of the answer, reading to its end or to `READ_LIMIT`, whichever is first."""
    content = response.content
    size = 0
    while size < READ_LIMIT and not content.at_eof():
        chunk = await content.readany()
        size += len(chunk)
        if len(sent.excerpt) < EXCERPT_LIMIT:
            sent.excerpt = (sent.excerpt + chunk)[:EXCERPT_LIMIT]


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


def _fault_of(error: Exception, sent: _Try) -> Fault:
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if sent.forbidden or isinstance(cause, AddressRefused):
        return Fault.FORBIDDEN_ADDRESS
    if isinstance(error, TimeoutError) and sent.status is not None:
        return Fault.TOO_SLOW
    return _first_match(error, _FAULTS) or _first_match(cause, _CONNECT_FAULTS) or Fault.UNREACHABLE


def _first_match(error: BaseException, table: Sequence[tuple[tuple[type[BaseException], ...], Fault]]) -> Fault | None:
    return next((fault for kinds, fault in table if isinstance(error, kinds)), None)


# In this order: aiohttp's classes inherit from one another and from OSError.
_FAULTS: Final = (
    ((aiohttp.ConnectionTimeoutError,), Fault.CONNECT_TIMEOUT),
    ((TimeoutError,), Fault.TIMEOUT),
    ((aiohttp.ClientConnectorDNSError,), Fault.DNS),
    ((aiohttp.ClientSSLError, ssl.SSLError), Fault.TLS),
    ((aiohttp.ClientResponseError, HttpProcessingError), Fault.PROTOCOL),
)
_CONNECT_FAULTS: Final = (
    ((ConnectionRefusedError,), Fault.CONNECT_REFUSED),
    ((TimeoutError,), Fault.CONNECT_TIMEOUT),
    ((aiohttp.ServerDisconnectedError, aiohttp.ClientPayloadError), Fault.RESET),
    ((aiohttp.ClientOSError, ConnectionError), Fault.RESET),
)
