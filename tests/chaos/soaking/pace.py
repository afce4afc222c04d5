"""How fast: as fast as answers come, to find the capacity, or at a steady rate however slow the answers are."""

import asyncio
import time
from collections import deque
from typing import Final, cast

from tests.chaos.soaking.mix import Asked, Mix

_CONNECTIONS: Final = 64
_AT_ONCE: Final = 16  # while the capacity is looked for
_TICK_SECONDS: Final = 0.002
_LATEST_SECONDS: Final = 30.0


class Pace:
    """Sends what a mix draws, on connections that stay."""

    def __init__(self, port: int, mix: Mix) -> None:
        self.mix = mix
        self._port = port
        self._free: deque[_Connection] = deque()
        self._waiting: deque[float] = deque()  # moments that requests are due at
        self._closed_until = 0.0  # until then an answer is followed by the next request
        self._under_way = 0
        self._opening: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Open all connections: it is requests that are measured, not handshakes."""
        for _ in range(_CONNECTIONS):
            await self._open_one()

    async def _open_one(self) -> None:
        loop = asyncio.get_running_loop()
        _, made = await loop.create_connection(lambda: _Connection(self), "127.0.0.1", self._port)
        self.freed(made)

    async def as_fast_as_answered(self, seconds: float) -> float:
        """Send for *seconds* and return how many answers came in a second."""
        before = self.mix.counts.answers.total()
        self._closed_until = time.perf_counter() + seconds
        for _ in range(_AT_ONCE):
            self._send(self._free.popleft(), time.perf_counter())
        await asyncio.sleep(seconds)
        answers = self.mix.counts.answers.total() - before
        await self.quiet()
        return answers / seconds

    async def steadily(self, rate: float, seconds: float) -> None:
        """Send *rate* requests a second for *seconds*; each counts from the moment it was due."""
        began = time.perf_counter()
        sent = 0
        while (now := time.perf_counter() - began) < seconds:
            while sent < now * rate:
                self._waiting.append(began + sent / rate)
                sent += 1
            while self._free and self._waiting:
                self._send(self._free.popleft(), self._waiting.popleft())
            await asyncio.sleep(_TICK_SECONDS)

    async def quiet(self) -> None:
        """Wait for the last answers."""
        until = time.perf_counter() + _LATEST_SECONDS
        while (self._under_way or self._waiting) and time.perf_counter() < until:
            await asyncio.sleep(0.01)

    def _send(self, connection: "_Connection", due: float) -> None:
        request, asked = self.mix.draw()
        self._under_way += 1
        connection.send(request, asked, due)

    def answered(self, asked: Asked, status: str, body: bytes, due: float) -> None:
        """Take an answer."""
        self._under_way -= 1
        self.mix.answered(asked, status, body, time.perf_counter() - due)

    def freed(self, connection: "_Connection") -> None:
        """Give a connection its next request, when there is one."""
        if time.perf_counter() < self._closed_until:
            self._send(connection, time.perf_counter())
        elif self._waiting:
            self._send(connection, self._waiting.popleft())
        else:
            self._free.append(connection)

    def lost(self, connection: "_Connection") -> None:
        """Open another in the place of one that has ended."""
        if connection in self._free:
            self._free.remove(connection)
        task = asyncio.get_running_loop().create_task(self._open_one())
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)


class _Connection(asyncio.Protocol):
    """A request at a time."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._buffer = bytearray()
        self._whole = 0  # the length of the answer once its head has come
        self._begin = 0  # of its body
        self._asked: Asked | None = None
        self._due = 0.0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by name

    def send(self, request: bytes, asked: Asked, due: float) -> None:
        """Send one request that was due at *due*."""
        assert self._transport is not None
        self._asked, self._due, self._whole = asked, due, 0
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._whole:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            length = self._buffer[:end].lower().partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0]
            self._begin = end + 4
            self._whole = self._begin + int(length or b"0")
        if len(self._buffer) < self._whole or self._asked is None:
            return
        asked, self._asked = self._asked, None
        status, body = self._buffer[9:12].decode(), bytes(self._buffer[self._begin : self._whole])
        self._buffer.clear()
        self._pace.answered(asked, status, body, self._due)
        self._pace.freed(self)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._asked is not None:
            self._pace.answered(self._asked, "cut", b"", self._due)
        self._pace.lost(self)
