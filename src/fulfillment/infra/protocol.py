"""HTTP/1.1 at the socket: uvicorn's protocol with the deadlines and limits that it lacks (docs/decisions/0009).

What is refused here never reaches the application: a head that is too slow or too large, and whatever two parsers could
read in two ways. Connections keep the moment at which they end instead of a timer each; one sweep looks at all of them
twice a second, so a request costs no timer and ten thousand idle connections cost a millisecond.
"""

import asyncio
import logging
import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from fulfillment.infra import jsontext
from fulfillment.kernel.ids import new_id

HEAD_SECONDS: Final = 9.5  # for a whole head; with the sweep's half second: ten
WRITE_SECONDS: Final = 30.0  # for a client to take what its buffers hold
MAX_HEAD_BYTES: Final = 32 * 1024
MAX_HEADERS: Final = 100
MAX_TARGET_BYTES: Final = 8 * 1024
CLOSE_SECONDS: Final = 5.0  # for a client to take its last answer
SWEEP_SECONDS: Final = 0.5
WHOLE: Final = "fulfillment.whole"  # in a scope: the body is here, to its end
_LOOKED_AT: Final = 64  # connections looked at for an idle one that makes room
_NEVER: Final = math.inf
_log = logging.getLogger(__name__)

_TITLES: Final = {
    400: ("malformed_request", "The request is not valid HTTP", "Bad Request"),
    408: ("head_too_slow", "The request's head did not arrive in time", "Request Timeout"),
    414: ("target_too_long", "The URL is too long", "URI Too Long"),
    431: ("headers_too_large", "The headers are too large", "Request Header Fields Too Large"),
    503: ("overloaded", "Too many connections", "Service Unavailable"),
}


class _Refused(Exception):
    """A head that is refused, with its status."""

    def __init__(self, status: int) -> None:
        self.status = status


class GuardedProtocol(HttpToolsProtocol):
    """One connection."""

    max_connections: int = 12_000  # of this process
    on_lost: Callable[[], object] | None = None  # told when it has ended

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.parser: Any  # the super class forgets it when the connection is lost
        self.cycle: RequestResponseCycle | None  # the newest request's  # pyright: ignore[reportIncompatibleVariableOverride]
        self.deadline = _NEVER  # on the loop's clock: when the connection ends
        self.unread: float | None = None  # when it ends because the client does not take what is written; None: it does
        self._in_head = True  # waiting for, or inside, a request's head
        self._begun = False  # at least a byte of it is here
        self._fresh = False  # and that byte came with the last piece
        self._unfinished = 0  # bytes of it in pieces that did not complete it
        self._head_bytes = 0
        self._refused: int | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Begin; without room, at the cost of a connection that is idle, or not at all."""
        super().connection_made(transport)
        self.deadline = self.loop.time() + HEAD_SECONDS
        if len(self.connections) > self.max_connections and not self._make_room():
            self._refuse(503)

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        super().connection_lost(exc)
        if self.on_lost is not None:
            self.on_lost()

    def data_received(self, data: bytes) -> None:
        """Read on."""
        if self._refused is not None or self.transport.is_closing():
            return
        self._fresh = False
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # Nothing here is served by another protocol: the request is answered as it is, then the connection ends.
            if self.cycle is not None:
                self.cycle.keep_alive = False
            self._refused = 0
            return
        except httptools.HttpParserError as error:
            cause = error.__context__
            self._refuse(cause.status if isinstance(cause, _Refused) else 400)
            return
        if self._in_head and self._begun:
            self._wait_for_head(0 if self._fresh else len(data))

    def _wait_for_head(self, more: int) -> None:
        # The piece in which the head began may hold the end of another request and is not counted; the kernel gives
        # at most a quarter of a megabyte at once.
        self._unfinished += more
        if self._unfinished > MAX_HEAD_BYTES:
            self._refuse(431)
        elif self._unanswered() == 0:
            self.deadline = min(self.deadline, self.loop.time() + HEAD_SECONDS)

    def on_message_begin(self) -> None:
        """Note that a head has begun."""
        super().on_message_begin()
        self._in_head = self._begun = self._fresh = True
        self._unfinished = self._head_bytes = 0

    def on_url(self, url: bytes) -> None:
        """Collect the target, within its limit."""
        super().on_url(url)
        if len(self.url) > MAX_TARGET_BYTES:
            raise _Refused(414)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Collect a header, within the limits. Trailers count and are dropped: nobody may add a header afterwards."""
        if self._in_head:
            super().on_header(name, value)
        self._head_bytes += len(name) + len(value)
        if self._head_bytes > MAX_HEAD_BYTES or len(self.headers) > MAX_HEADERS:
            raise _Refused(431)

    def on_headers_complete(self) -> None:
        """Serve the request, unless its head can be read in two ways."""
        version = self.parser.get_http_version()
        if version != "1.1":
            self._check_old(version)
        hosts = 0
        for name, _ in self.headers:
            if name == b"host":
                hosts += 1
        if hosts != 1:
            raise _Refused(400)
        self._in_head = self._begun = False
        self.deadline = _NEVER
        super().on_headers_complete()

    def _check_old(self, version: str) -> None:
        # Transfer codings came with 1.1: a proxy of 1.0 forwards them unread and takes the body for a next request.
        if version != "1.0" or any(name == b"transfer-encoding" for name, _ in self.headers):
            raise _Refused(400)

    def on_message_complete(self) -> None:
        """Note the end of a request; what follows is another's head."""
        super().on_message_complete()
        self._in_head = True
        if self.cycle is not None:
            self.cycle.scope[WHOLE] = True  # pyright: ignore[reportGeneralTypeIssues]
        if self.cycle is not None and self.cycle.response_complete:  # it was answered before its body had come
            self._rest()

    def on_response_complete(self) -> None:
        """Go on with the next request, or wait for it."""
        # The super class would set a timer for each response.
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        if self.unread is None:  # else when the answer has left
            self._go_on()

    def _go_on(self) -> None:
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self._in_head:
            self._rest()
        else:
            # Answered while its body is on its way: the rest may take as long as a head, not for ever.
            self.deadline = self.loop.time() + HEAD_SECONDS

    def _rest(self) -> None:
        seconds = HEAD_SECONDS if self._begun else self.timeout_keep_alive
        self.deadline = self.loop.time() + seconds

    def pause_writing(self) -> None:
        """Give the client a while to take what is there. Until then nothing more is read: it can ask for no more."""
        super().pause_writing()
        self.unread = self.loop.time() + WRITE_SECONDS
        self.flow.pause_reading()

    def resume_writing(self) -> None:
        """Go on."""
        super().resume_writing()
        self.unread = None
        if self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete:
            self._go_on()
        elif not self.pipeline:
            self.flow.resume_reading()

    def is_over(self, now: float) -> bool:
        """Return whether its time is over, on the loop's clock."""
        return (self.deadline if self.unread is None else self.unread) <= now

    def expire(self) -> None:
        """End the connection: its time is over."""
        self.deadline = self.loop.time() + CLOSE_SECONDS  # and then without waiting
        if self.transport.is_closing() or self._unanswered() or self.unread is not None:
            self.transport.abort()  # the client does not take what we wrote: a close would wait for it
        elif self._in_head and self._begun:
            self._refuse(408)
        else:
            self.transport.close()

    def _unanswered(self) -> int:
        running = self.cycle is not None and not self.cycle.response_complete
        return len(self.pipeline) + (1 if running else 0)

    @property
    def idle(self) -> bool:
        """Whether nothing is under way."""
        under_way = self._begun or not self._in_head or self._unanswered() or self.unread is not None
        return not under_way and not self.transport.is_closing()

    def _make_room(self) -> bool:
        for other, _ in zip(self.connections, range(_LOOKED_AT), strict=False):
            if other is not self and isinstance(other, GuardedProtocol) and other.idle and other.deadline < _NEVER:
                other.transport.close()
                return True
        return False

    def _refuse(self, status: int) -> None:
        """Answer *status* and end the connection; where others wait for their answers, only end it after those."""
        self._refused = status
        self.deadline = self.loop.time() + CLOSE_SECONDS
        if self.unread is not None:
            self.unread = min(self.unread, self.deadline)
        cycle = self.cycle
        if self._unanswered() and not self._in_head:
            # It is a request's body that can't be read: its operation is told that nobody is there any more.
            if cycle is not None and not self.pipeline and not cycle.response_started:
                cycle.disconnected = True
                cycle.message_event.set()
                self.transport.write(_answer(status))
            self.transport.close()
        elif self._unanswered() and cycle is not None:
            cycle.keep_alive = False
            self.deadline = _NEVER
        else:
            self.transport.write(_answer(status))
            self.transport.close()

    def timeout_keep_alive_handler(self) -> None:
        """Do nothing: the sweep ends idle connections."""


async def sweep(connections: "set[Any]") -> None:
    """End the connections whose time is over, until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        now = loop.time()
        for connection in [each for each in connections if each.is_over(now)]:
            connection.expire()


def write_whole(send: Any, status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> bool:
    """Write a whole answer at once where *send* is a connection's own; return False where it is not, or can't now.

    What `RequestResponseCycle.send` does for the two messages of an answer, in one write and without looking at each
    header for what none of ours can hold: some 15 us of a request (docs/decisions/0015).

    Args:
        send: What the server gave the application; a middleware's function is no connection.
        headers: Lower-case names, content-length among them.

    Raises:
        ValueError: A header's value holds a line's end.
    """
    cycle = getattr(send, "__self__", None)
    if not isinstance(cycle, RequestResponseCycle) or cycle.flow.write_paused or cycle.response_started:
        return False
    if cycle.disconnected:
        return True
    parts = [STATUS_LINE[status]]
    keep_alive = cycle.keep_alive
    for name, value in (*cycle.default_headers, *headers):
        if b"\n" in value or b"\r" in value:
            raise ValueError("a header's value holds a line's end")
        if name == b"connection":
            keep_alive = False  # there is one value that we send
        else:
            parts += (name, b": ", value, b"\r\n")
    parts.append(b"\r\n" if keep_alive else b"connection: close\r\n\r\n")
    if cycle.scope["method"] != "HEAD":
        parts.append(body)
    cycle.waiting_for_100_continue = False
    cycle.response_started = cycle.response_complete = True
    cycle.keep_alive = keep_alive
    cycle.transport.write(b"".join(parts))
    cycle.message_event.set()
    if not keep_alive:
        cycle.transport.close()
    cycle.on_response()
    return True


def _answer(status: int) -> bytes:
    code, title, phrase = _TITLES[status]
    request_id = new_id(datetime.now(UTC))  # whatever the business clock says: it is for the log
    _log.info("connection.refused", extra={"request_id": request_id, "status": status, "code": code})
    problem = {"type": f"/docs/errors#{code}", "title": title, "status": status, "code": code, "detail": f"{title}."}
    body = jsontext.write(problem | {"requestId": request_id})
    retry = "retry-after: 1\r\n" if status == 503 else ""
    head = (
        f"HTTP/1.1 {status} {phrase}\r\ncontent-type: application/problem+json\r\ncontent-length: {len(body)}\r\n"
        f"cache-control: no-store\r\nx-content-type-options: nosniff\r\nx-frame-options: DENY\r\n"
        f"referrer-policy: no-referrer\r\nx-request-id: {request_id}\r\n{retry}connection: close\r\n\r\n"
    )
    return head.encode() + body
