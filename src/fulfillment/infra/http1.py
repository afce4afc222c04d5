"""One connection to a receiver that we do not trust: HTTP/1.1, one POST at a time, the start of each answer read."""

import asyncio
import ssl
from collections.abc import Callable
from enum import StrEnum
from typing import Final, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

READ_LIMIT: Final = 64 * 1024  # bytes of an answer's body that are read
EXCERPT_LIMIT: Final = 4 * 1024  # bytes of it that are kept
_HEAD_LIMIT: Final = 32 * 1024  # bytes of status line and headers
_WIRE_LIMIT: Final = 8 * READ_LIMIT  # bytes in all: chunk extensions, trailers and interim answers are no body
_SWITCHING_PROTOCOLS: Final = 101


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


class Exchange:
    """One post and what is known of its answer."""

    __slots__ = ("connection", "deadline", "ended", "excerpt", "fault", "heard", "read", "retry_after", "status")

    def __init__(self, deadline: float, ended: asyncio.Future[None]) -> None:
        self.deadline = deadline  # monotonic seconds
        self.ended = ended
        self.connection: Connection | None = None  # while it is under way
        self.status: int | None = None  # None: no whole head was received
        self.retry_after: str | None = None
        self.excerpt = b""
        self.fault: Fault | None = None
        self.read = 0  # bytes of the body
        self.heard = 0  # bytes in all

    def end(self, fault: Fault | None) -> None:
        """Let the sender go on."""
        self.connection = None
        self.fault = fault
        if not self.ended.done():
            self.ended.set_result(None)

    def expire(self) -> None:
        """End it for taking too long, if it is under way."""
        if self.connection is not None:
            self.connection.give_up(Fault.TIMEOUT if self.status is None else Fault.TOO_SLOW)


class Connection(asyncio.Protocol):
    """A connection that stands. Whatever its other side does, an exchange on it ends, with a fault or without.

    Args:
        ends_at: When it is too old to carry another exchange, in monotonic seconds.
        on_lost: Called once, when it is closed.
    """

    __slots__ = (
        "_exchange",
        "_framed",
        "_head",
        "_keep",
        "_on_lost",
        "_parser",
        "_surplus",
        "_transport",
        "_whole",
        "closed",
        "ends_at",
        "idle_since",
    )

    def __init__(self, ends_at: float, on_lost: Callable[["Connection"], None]) -> None:
        self.ends_at = ends_at
        self.idle_since = 0.0
        self.closed = False
        self._on_lost = on_lost
        self._parser = HttpResponseParser(self)
        self._exchange: Exchange | None = None
        self._begin()

    def send(self, request: bytes, exchange: Exchange) -> None:
        """Begin an exchange; it ends by itself."""
        if self.closed:  # by its other side, as soon as it stood
            exchange.end(Fault.RESET)
            return
        exchange.connection = self
        self._exchange = exchange
        self._begin()
        self._transport.write(request)

    def give_up(self, fault: Fault | None) -> None:
        """Close at once; what is under way ends with *fault*."""
        self.closed = True
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.end(fault)
        self._transport.abort()

    # What the transport says.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's inherits from nothing

    def data_received(self, data: bytes) -> None:
        """Read a part of the answer."""
        exchange = self._exchange
        if exchange is None:  # nobody asked: it must not be taken for the next one's answer
            self.give_up(None)
            return
        exchange.heard += len(data)
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade:  # what follows a 101 is none of ours
            self._whole, self._keep = exchange.status is not None, False
        except HttpParserError:
            self._keep = False
            if not self._whole:
                self.give_up(Fault.PROTOCOL)
                return
        if self._head > _HEAD_LIMIT:
            self.give_up(Fault.PROTOCOL)
        elif self._whole:
            self._end(exchange)
        elif exchange.read >= READ_LIMIT:
            self.give_up(None)  # more than anybody wants to see: taken for whole
        elif exchange.heard > (_HEAD_LIMIT if exchange.status is None else _WIRE_LIMIT):
            self.give_up(Fault.PROTOCOL)

    def connection_lost(self, exc: Exception | None) -> None:
        """End what was under way: well, where an answer lasts as long as its connection."""
        self.closed = True
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            until_close = exchange.status is not None and not self._framed and exc is None
            broken = Fault.TLS if isinstance(exc, ssl.SSLError) else Fault.RESET
            exchange.end(None if until_close else broken)
        self._on_lost(self)

    # What the parser says.

    def on_message_begin(self) -> None:
        """Notice an answer behind the answer."""
        self._surplus = self._whole

    def on_header(self, name: bytes, value: bytes) -> None:
        """Note what matters of a header; a trailer does not."""
        exchange = self._exchange
        self._head += len(name) + len(value) + 4  # a colon, a blank, a line's end
        if self._whole or exchange is None or exchange.status is not None:
            return
        name = name.lower()
        if name == b"content-length" or (name == b"transfer-encoding" and b"chunked" in value.lower()):
            self._framed = True
        elif name == b"retry-after" and exchange.retry_after is None:
            exchange.retry_after = value.decode("utf-8", "replace")

    def on_headers_complete(self) -> None:
        """Note the status, unless more is to come."""
        status = self._parser.get_status_code()
        if self._whole or self._exchange is None or (status < 200 and status != _SWITCHING_PROTOCOLS):
            return
        self._exchange.status = status
        self._keep = self._parser.should_keep_alive() and status != _SWITCHING_PROTOCOLS

    def on_body(self, body: bytes) -> None:
        """Keep the start."""
        exchange = self._exchange
        if self._whole or exchange is None:
            return
        exchange.read += len(body)
        if len(exchange.excerpt) < EXCERPT_LIMIT:
            exchange.excerpt = (exchange.excerpt + body)[:EXCERPT_LIMIT]

    def on_message_complete(self) -> None:
        """Note the end, unless it was an interim answer's."""
        if self._exchange is not None and self._exchange.status is not None:
            self._whole = True
        else:  # 1xx: its headers say nothing about what follows
            self._framed = False
            if self._exchange is not None:
                self._exchange.retry_after = None

    def _begin(self) -> None:
        self._head = 0  # bytes of headers so far
        self._framed = False  # the answer says where it ends
        self._keep = False
        self._whole = False
        self._surplus = False

    def _end(self, exchange: Exchange) -> None:
        # An answer that came before the request had left leaves the rest of it in the way of the next one.
        if not self._keep or self._surplus or self._transport.get_write_buffer_size():
            self.give_up(None)
        else:
            self._exchange = None
            exchange.end(None)
