"""Load in an open loop: requests leave when they are due, however slow the answers are. A process of its own."""

import argparse
import asyncio
import json
import time
import uuid
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import cast

_LATEST_SECONDS = 15.0


@dataclass(slots=True)
class Result:
    """What came of a stretch of load."""

    seconds: dict[str, list[float]] = field(default_factory=dict[str, list[float]])  # by status
    statuses: "Counter[str]" = field(default_factory=Counter[str])

    def note(self, status: str, seconds: float) -> None:
        """Count an answer."""
        self.statuses[status] += 1
        self.seconds.setdefault(status, []).append(seconds)

    def summary(self, length: float) -> dict[str, object]:
        """Return counts, and the latencies by status in milliseconds."""
        shown: dict[str, object] = {"statuses": dict(self.statuses)}
        for status, seconds in self.seconds.items():
            seconds.sort()
            shown[f"p50 {status}"] = round(1000 * seconds[len(seconds) // 2], 1)
            shown[f"p99 {status}"] = round(1000 * seconds[int(len(seconds) * 0.99)], 1)
        shown["per_second"] = round(self.statuses["201"] / length, 1)
        return shown


class Connection(asyncio.Protocol):
    """One connection: a request at a time."""

    def __init__(self, load: "Load") -> None:
        self._load = load
        self._buffer = b""
        self._left: int | None = None
        self._began = 0.0
        self._status = ""
        self.transport: asyncio.Transport | None = None
        self.busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Be ready."""
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is none by name

    def send(self, request: bytes, began: float) -> None:
        """Send one request that was due at *began*."""
        assert self.transport is not None
        self.busy, self._began, self._buffer, self._left = True, began, b"", None
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Read until the answer is whole."""
        self._buffer += data
        if self._left is None:
            head, found, rest = self._buffer.partition(b"\r\n\r\n")
            if not found:
                return
            self._status = head[9:12].decode()
            lengths = [line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
            self._left = int(lengths[0].split(b":")[1]) - len(rest)
            self._buffer = b""
        else:
            self._left -= len(data)
        if self._left <= 0 and self.busy:
            self.busy = False
            self._load.note(self._status, self._began)
            self._load.freed(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Count what was under way."""
        if self.busy:
            self.busy = False
            self._load.note("cut", self._began)
        self._load.lost(self)


class Load:
    """Sends so many requests a second, on as many connections as that takes."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.result = Result()
        self._arguments = arguments
        self._free: deque[Connection] = deque()
        self._waiting: deque[tuple[bytes, float]] = deque()
        self._open = 0
        self._settled = 0.0
        self._closed_until = 0.0  # until then an answer is followed by the next request
        self._head = (
            f"POST /v1/orders HTTP/1.1\r\nHost: {arguments.host}\r\nAuthorization: Bearer {arguments.token}\r\n"
            "Content-Type: application/json\r\n"
        )
        self._body = arguments.body.encode()

    async def run(self) -> dict[str, object]:
        """Send for as long as asked, wait for the last answers, and return the summary."""
        arguments = self._arguments
        if arguments.rate:
            await self._open_all()
        began = time.perf_counter()
        self._settled = began + arguments.settle
        sent = 0
        if arguments.rate:
            while (now := time.perf_counter() - began) < arguments.seconds:
                while sent < now * arguments.rate:
                    self._send(began + sent / arguments.rate)
                    sent += 1
                await asyncio.sleep(0.002)
        else:
            self._closed_until = began + arguments.seconds
            for _ in range(arguments.connections):
                self._open += 1
                asyncio.get_running_loop().create_task(self._connect())
            await asyncio.sleep(arguments.seconds)
        until = time.perf_counter() + _LATEST_SECONDS
        while self._open > len(self._free) and time.perf_counter() < until:
            await asyncio.sleep(0.05)
        return self.result.summary(arguments.seconds - arguments.settle)

    def note(self, status: str, due: float) -> None:
        """Count an answer, unless its request was due before the load had settled."""
        if due >= self._settled:
            self.result.note(status, time.perf_counter() - due)

    async def _open_all(self) -> None:
        """Open the connections before the load begins: it is requests that are measured, not handshakes."""
        for _ in range(0, self._arguments.connections, 20):
            for _ in range(20):
                self._open += 1
                asyncio.get_running_loop().create_task(self._connect())
            await asyncio.sleep(0.02)
        await asyncio.sleep(1)

    def _send(self, due: float) -> None:
        request = self._request()
        if self._free:
            self._free.popleft().send(request, due)
            return
        self._waiting.append((request, due))

    def _request(self) -> bytes:
        key = f"Idempotency-Key: {uuid.uuid4()}\r\nContent-Length: {len(self._body)}\r\n\r\n"
        return (self._head + key).encode() + self._body

    async def _connect(self) -> None:
        try:
            loop = asyncio.get_running_loop()
            _, made = await loop.create_connection(lambda: Connection(self), self._arguments.host, self._arguments.port)
        except OSError:
            self._open -= 1
            self.result.note("refused", 0.0)
            return
        self.freed(made)

    def freed(self, connection: Connection) -> None:
        """Give a connection its next request."""
        if time.perf_counter() < self._closed_until:
            connection.send(self._request(), time.perf_counter())
        elif self._waiting:
            connection.send(*self._waiting.popleft())
        else:
            self._free.append(connection)

    def lost(self, connection: Connection) -> None:
        """Forget a connection."""
        self._open -= 1
        if connection in self._free:
            self._free.remove(connection)


def main() -> None:
    """Load one operation and print the summary as JSON."""
    import uvloop

    parser = argparse.ArgumentParser()
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--token", required=True)
    parser.add_argument("--body", required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--rate", type=float, default=0.0, help="requests a second; 0: as fast as answers come")
    parser.add_argument("--settle", type=float, default=0.0, help="seconds at the begin that do not count")
    parser.add_argument("--connections", type=int, default=16)
    arguments = parser.parse_args()

    async def whole() -> dict[str, object]:
        return await Load(arguments).run()

    print(json.dumps(uvloop.run(whole())))


if __name__ == "__main__":
    main()
