"""Bytes that two parsers could read in two ways, floods, and clients that take their time."""

import asyncio
import contextlib
import json
import logging
import socket
import time
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from fulfillment.infra import protocol, web
from tests.security.wires import Wire, module_env, serving, statuses
from tests.world import World

pytestmark = pytest.mark.anyio

GET = b"GET /livez HTTP/1.1\r\nHost: x\r\n"
POST = b"POST /v1/orders HTTP/1.1\r\nHost: x\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"

# What two parsers in a row may read in two ways: then what one takes for a body is a request to the other.
AMBIGUOUS = {
    "content-length and transfer-encoding": POST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "transfer-encoding and content-length": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
    "two lengths": POST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "two equal lengths": POST + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    "a list of lengths": POST + b"Content-Length: 3, 3\r\n\r\nabc",
    "a signed length": POST + b"Content-Length: +3\r\n\r\nabc",
    "a negative length": POST + b"Content-Length: -1\r\n\r\nabc",
    "a length with an underscore": POST + b"Content-Length: 3_0\r\n\r\nabc",
    "a hexadecimal length": POST + b"Content-Length: 0x3\r\n\r\nabc",
    "a huge length": POST + b"Content-Length: 99999999999999999999999\r\n\r\nabc",
    "transfer-encoding in HTTP/1.0": b"POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "an unknown coding": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked is not the last": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "a control character in the coding": POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "two codings": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "a space before the colon": POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "a folded header": GET + b"X-A: 1\r\n 2\r\n\r\n",
    "a bare line feed": b"GET /livez HTTP/1.1\nHost: x\n\n",
    "a bare carriage return": GET + b"X-A: 1\rX-B: 2\r\n\r\n",
    "a NUL in a header": GET + b"X-A: a\x00b\r\n\r\n",
    "a header without a name": GET + b": value\r\n\r\n",
    "two hosts": GET + b"Host: y\r\n\r\n",
    "two equal hosts": GET + b"Host: x\r\n\r\n",
    "no host": b"GET /livez HTTP/1.1\r\n\r\n",
    "a chunk size with 0x": POST + b"Transfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n",
    "chunks ended by line feeds": POST + b"Transfer-Encoding: chunked\r\n\r\n3\nabc\n0\n\n",
    "a chunk longer than it says": POST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabcdef\r\n0\r\n\r\n",
    "a chunk size out of range": POST + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff1\r\nabc\r\n0\r\n\r\n",
    "an unknown method": b"G\x01T /livez HTTP/1.1\r\nHost: x\r\n\r\n",
    "an unknown version": b"GET /livez HTTP/9.9\r\nHost: x\r\n\r\n",
    "HTTP/0.9": b"GET /livez\r\n\r\n",
    "HTTP/2 in clear": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a tunnel": b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com\r\n\r\n",
    "a space in the target": b"GET /livez x HTTP/1.1\r\nHost: x\r\n\r\n",
}


@pytest.fixture(scope="module")
async def wire(dsns: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Wire]:
    """A server on a socket."""
    async with module_env(dsns[0], tmp_path_factory.mktemp("wire")) as env, serving(env) as served:
        yield served


@pytest.mark.parametrize("request_bytes", AMBIGUOUS.values(), ids=AMBIGUOUS.keys())
async def test_ambiguous_requests(wire: Wire, request_bytes: bytes) -> None:
    """What can be read in two ways is refused with 4xx, the connection ends, and nothing behind it is served."""
    before = wire.served

    received, closed = await wire.send(request_bytes + SMUGGLED, seconds=3)

    assert closed
    assert len(statuses(received)) <= 1
    assert all(400 <= status < 500 for status in statuses(received))
    assert "/smuggled" not in {template for template, _, _ in _served(wire)}
    assert wire.served - before <= 1


def _served(wire: Wire) -> list[tuple[str, str, int]]:
    from fulfillment.infra.metrics import metrics_of

    return list(metrics_of(wire.env).requests)


async def test_pipelined_requests_are_answered_in_order(wire: Wire) -> None:
    """Three requests in one piece get three answers in their order, and the connection stays open."""
    reader, writer = await wire.open()
    writer.write(GET + b"\r\n" + b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n" + GET + b"\r\n")
    received = b""
    async with asyncio.timeout(10):
        while len(statuses(received)) < 3:
            received += await reader.read(65536)
    await asyncio.sleep(0.2)

    assert statuses(received) == [200, 404, 200]
    assert not reader.at_eof()
    writer.close()


async def test_a_good_request_before_a_bad_one_is_answered(wire: Wire) -> None:
    """Rubbish behind a good request ends the connection after the good one's answer, and gets none itself."""
    received, closed = await wire.send(GET + b"\r\n" + b"\x01\x02 rubbish\r\n\r\n")

    assert closed
    assert statuses(received) in ([200], [200, 400])


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (GET + b"X-Big: " + b"a" * 40_000 + b"\r\n\r\n", 431),
        (GET + b"".join(b"X-%d: 1\r\n" % number for number in range(150)) + b"\r\n", 431),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        (GET + b"X-Big: " + b"a" * 2**20, 431),
    ],
    ids=["one large header", "many headers", "a long target", "a megabyte without an end"],
)
async def test_large_heads(wire: Wire, request_bytes: bytes, status: int, caplog: pytest.LogCaptureFixture) -> None:
    """A head over the limits is a whole problem document before the application hears of it; the log has its line."""
    caplog.set_level(logging.INFO, logger="fulfillment.infra.protocol")
    before = wire.served

    received, closed = await wire.send(request_bytes)

    assert statuses(received) == [status]
    assert closed
    assert wire.served == before
    head, _, body = received.partition(b"\r\n\r\n")
    fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
    problem = json.loads(body)
    assert fields[b"content-type"] == b"application/problem+json"
    assert (fields[b"x-frame-options"], fields[b"referrer-policy"]) == (b"DENY", b"no-referrer")
    assert problem["status"] == status
    assert problem["requestId"] == fields[b"x-request-id"].decode()
    assert len(problem["requestId"]) == 27
    assert [record.request_id for record in caplog.records] == [problem["requestId"]]  # pyright: ignore


async def test_headers_can_not_be_added_behind_the_body(wire: Wire) -> None:
    """A trailer is no header: credentials in it are none."""
    world = World(wire.env)
    token = await world.token(await world.partner())
    trailer = f"Authorization: Bearer {token}".encode()
    body = (
        b"Transfer-Encoding: chunked\r\nContent-Type: application/json\r\n\r\n2\r\n{}\r\n0\r\n" + trailer + b"\r\n\r\n"
    )

    received, _ = await wire.send(POST + body)

    assert statuses(received) == [401]


async def test_headers_can_not_be_injected_into_answers(wire: Wire) -> None:
    """Line ends in what is echoed (a path, a parameter, an id) never become a header."""
    for target in (b"/v1/orders/%0d%0aX-Evil:1", b"/%0d%0aX-Evil:1", b"/docs%0d%0aX-Evil:1?a=%0d%0aX-Evil:1"):
        received, _ = await wire.send(b"GET " + target + b" HTTP/1.1\r\nHost: x\r\n\r\n", seconds=0.3)
        assert b"\r\nx-evil" not in received.lower()
        assert 400 <= statuses(received)[0] < 500


async def test_no_banner(wire: Wire) -> None:
    """No answer names the software that gave it."""
    for request_bytes in (GET + b"\r\n", GET + b"Host: y\r\n\r\n", b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n"):
        received, _ = await wire.send(request_bytes, seconds=0.3)
        head = received.partition(b"\r\n\r\n")[0].lower()
        assert b"\r\nserver:" not in head
        assert b"uvicorn" not in received.lower()


async def test_an_upgrade_is_not_made(wire: Wire) -> None:
    """A request for another protocol is answered as HTTP, and what follows is not read."""
    asked = GET + b"Connection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n"

    before = wire.served

    received, closed = await wire.send(asked, SMUGGLED)

    assert statuses(received) == [200]
    assert closed
    assert wire.served == before + 1


@pytest.mark.parametrize("forwarded", [b"198.51.100.7", b"198.51.100.7, 127.0.0.1"])
async def test_forwarded_addresses_are_not_believed(wire: Wire, forwarded: bytes) -> None:
    """Nobody gets a fresh address to guess from by naming one: X-Forwarded-For counts from named proxies only."""
    limit = wire.env.settings.token_failures_per_minute
    form = b"grant_type=client_credentials&client_id=ghost-%d&client_secret=wrong"
    answers: list[int] = []
    for number in range(limit + 1):
        body = form % number
        received, _ = await wire.send(
            b"POST /oauth2/token HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            b"Content-Type: application/x-www-form-urlencoded\r\nX-Forwarded-For: "
            + forwarded
            + b"%d" % number
            + b"\r\nContent-Length: %d\r\n\r\n" % len(body)
            + body
        )
        answers += statuses(received)
    assert answers[-1] == 429


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second instead of ten for a head."""
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.9)
    monkeypatch.setattr(protocol, "SWEEP_SECONDS", 0.1)


@pytest.mark.usefixtures("hurried")
async def test_slow_heads_are_ended(wire: Wire) -> None:
    """A head that trickles, a silent connection, and a second head that trickles all end within their second."""
    began = time.monotonic()
    trickling = asyncio.create_task(_trickle(wire, GET))
    after_one = asyncio.create_task(_trickle(wire, GET + b"\r\n" + GET))
    received, closed = await wire.send(seconds=5)  # not a byte

    assert closed
    assert received == b""
    assert statuses(await trickling) == [408]
    assert statuses(await after_one) == [200, 408]
    assert time.monotonic() - began < 3


async def _trickle(wire: Wire, first: bytes) -> bytes:
    reader, writer = await wire.open()
    writer.write(first)
    received = bytearray()

    async def read() -> None:
        # In pieces: a byte that is under way when the server closes makes the kernel forget what was not yet read.
        while chunk := await reader.read(65536):
            received.extend(chunk)

    reading = asyncio.create_task(read())
    while not reading.done():
        await asyncio.sleep(0.1)
        try:
            writer.write(b"X")
            await writer.drain()
        except (OSError, RuntimeError):  # closed, in asyncio's words or in uvloop's
            break
    writer.close()
    with contextlib.suppress(OSError):
        await asyncio.wait_for(reading, 5)
    return bytes(received)


@pytest.mark.usefixtures("hurried")
async def test_a_body_after_its_answer_may_not_trickle(wire: Wire) -> None:
    """Who is answered before the body has come can't hold the connection with the rest of it."""
    reader, writer = await wire.open()
    writer.write(POST + b"Content-Type: application/json\r\nContent-Length: 90000\r\n\r\n")
    began = time.monotonic()

    received = b""
    try:
        while time.monotonic() - began < 5:
            writer.write(b" ")
            try:
                async with asyncio.timeout(0.1):
                    chunk = await reader.read(65536)
            except TimeoutError:
                continue
            received += chunk
            if not chunk:
                break
    except (OSError, RuntimeError):
        pass
    writer.close()

    assert statuses(received) == [401]
    assert time.monotonic() - began < 3


async def test_beyond_the_limit_an_idle_connection_makes_room(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """With three places and three idle connections, a fourth is served and one of the three ends."""
    monkeypatch.setattr(protocol.GuardedProtocol, "max_connections", 3)
    idle = [await wire.open() for _ in range(3)]
    for reader, writer in idle:
        writer.write(GET + b"\r\n")
        await reader.readuntil(b"}")

    received, _ = await wire.send(GET + b"Connection: close\r\n\r\n")

    assert statuses(received) == [200]
    await asyncio.sleep(0.1)
    assert sum(reader.at_eof() for reader, _ in idle) == 1
    for _, writer in idle:
        writer.close()


async def test_four_hundred_slow_clients_disturb_nobody(wire: Wire) -> None:
    """While 400 connections hold half a head each, others are served as before."""
    slow = [await wire.open() for _ in range(400)]
    for _, writer in slow:
        writer.write(GET)

    began = time.monotonic()
    for _ in range(50):
        received, _ = await wire.send(GET + b"Connection: close\r\n\r\n")
        assert statuses(received) == [200]
    assert time.monotonic() - began < 5

    for _, writer in slow:
        writer.close()


async def test_bodies_that_do_not_come_hold_no_place(
    dsns: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Strangers that send a token request by the byte take all places; whoever comes is served, and they are ended."""
    monkeypatch.setattr(web, "_PATIENT_SECONDS", 0.2)
    form = b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 900\r\n\r\ngrant_type="
    async with module_env(dsns[0], tmp_path, max_in_flight=4) as env, serving(env) as wire:
        slow = [await wire.open() for _ in range(5)]
        for _, writer in slow:
            writer.write(b"POST /oauth2/token HTTP/1.1\r\nHost: x\r\n" + form)
        await asyncio.sleep(0.4)
        answers = [
            await wire.send(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n") for _ in range(5)
        ]
        ended = [await asyncio.wait_for(reader.read(12), 2) for reader, _ in slow[:1]]
        for _, writer in slow:
            writer.close()

    assert [statuses(received) for received, _ in answers] == [[200]] * 5
    assert ended == [b"HTTP/1.1 400"]


DOCUMENT = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"  # some hundred thousand bytes, for everybody


async def _deaf(wire: Wire) -> socket.socket:
    """Connect with the smallest buffer for answers that the kernel gives."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", wire.port))
    return sock


async def test_who_reads_nothing_is_ended_and_keeps_nobody_out(
    dsns: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Strangers that ask again and again and read nothing take no places, and end when their time to read is over."""
    monkeypatch.setattr(protocol, "WRITE_SECONDS", 1.5)
    monkeypatch.setattr(protocol, "SWEEP_SECONDS", 0.1)
    loop = asyncio.get_running_loop()
    async with module_env(dsns[0], tmp_path, max_in_flight=3) as env, serving(env) as wire:
        deaf = [await _deaf(wire) for _ in range(6)]
        began, asked, answers, ended = (
            time.monotonic(),
            dict.fromkeys(deaf, 0),
            list[bytes](),
            dict[socket.socket, float](),
        )
        while len(ended) < len(deaf) and time.monotonic() - began < 10:
            for sock in deaf:
                if sock not in ended:
                    try:
                        await asyncio.wait_for(loop.sock_sendall(sock, DOCUMENT), 0.05)
                        asked[sock] += 1
                    except TimeoutError:
                        pass
                    except OSError:
                        ended[sock] = time.monotonic() - began
            answers.append((await wire.send(GET + b"Connection: close\r\n\r\n"))[0])
            answers.append((await wire.send(DOCUMENT[:-2] + b"Connection: close\r\n\r\n"))[0])
            await asyncio.sleep(0.05)
        for sock in deaf:
            sock.close()

    assert min(asked.values()) > 5
    # At first the strangers are really served, six at once where three have places; then each has an answer to read.
    settled = answers[len(answers) * 2 // 3 :]
    assert len(settled) > 3
    assert [answer for answer in settled if set(statuses(answer)) != {200}] == []
    assert len(ended) == 6
    assert max(ended.values()) < 5


async def test_who_reads_slowly_gets_every_answer(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that asks three times at once and takes its time, but reads, gets three whole answers in order."""
    monkeypatch.setattr(protocol, "WRITE_SECONDS", 0.6)
    monkeypatch.setattr(protocol, "SWEEP_SECONDS", 0.1)
    loop = asyncio.get_running_loop()
    whole = (await wire.send(DOCUMENT[:-2] + b"Connection: close\r\n\r\n"))[0].partition(b"\r\n\r\n")[2]
    sock = await _deaf(wire)
    await loop.sock_sendall(sock, DOCUMENT + GET + b"\r\n" + DOCUMENT[:-2] + b"Connection: close\r\n\r\n")

    received, began = b"", time.monotonic()
    while chunk := await asyncio.wait_for(loop.sock_recv(sock, 16384), 5):
        received += chunk
        await asyncio.sleep(len(chunk) / 250_000)  # a quarter of a megabyte a second
    sock.close()

    assert statuses(received) == [200, 200, 200]
    assert received.count(whole) == 2
    assert received.endswith(whole)
    assert time.monotonic() - began > 1.2


async def test_connections_that_are_closing_make_no_room(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody is idle, who can't be sent an answer is not taken for idle: the limit holds for all who come."""

    class Narrow(protocol.GuardedProtocol):
        """With a small buffer in the kernel."""

        max_connections = 4

        def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            super().connection_made(transport)

    monkeypatch.setattr("fulfillment.app.GuardedProtocol", Narrow)
    deaf = await _deaf(wire)
    await asyncio.get_running_loop().sock_sendall(deaf, DOCUMENT)
    begun = [await wire.open() for _ in range(3)]
    for _, writer in begun:
        writer.write(GET)
    await asyncio.sleep(0.1)

    answers = [(await wire.send(GET + b"\r\n", seconds=0.3))[0] for _ in range(10)]

    assert [statuses(answer) for answer in answers] == [[503]] * 10
    deaf.close()
    for _, writer in begun:
        writer.close()
