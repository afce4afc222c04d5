"""The bytes of HTTP/1.1 towards receivers that are careless or worse, on the loop of the worker and the plain one."""

import asyncio
import gc
import os
import ssl
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from socket import socket
from typing import Any

import pytest
from aiohappyeyeballs import start_connection

from fulfillment.infra.addresses import AddressPolicy
from fulfillment.infra.http import Answer, Poster
from fulfillment.infra.http1 import Connection as ConnectionOfOurs
from tests.receivers import Authority, Behaviour, Connection, Receiver, answering, head, saying

pytestmark = pytest.mark.anyio

SANDBOX = AddressPolicy.of(sandbox=True)
BODY = b'{"a":1}'
OK = head(200, Content_Length=2) + b"ok"


@pytest.fixture(params=[True, False], ids=["uvloop", "asyncio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """Both loops."""
    return ("asyncio", {"use_uvloop": request.param})


async def home(name: str) -> Sequence[str]:
    """Resolve every name to this machine."""
    del name
    return ("127.0.0.1",)


def a_poster(**options: Any) -> Poster:
    """A poster that resolves every name to this machine."""
    return Poster(SANDBOX, **{"total_seconds": 10.0, "connect_seconds": 5.0, "lookup": home} | options)


async def posts(receiver: Receiver, count: int, *, pause: float = 0.0, body: bytes = BODY) -> list[Answer]:
    """So many posts, one after the other, by one poster."""
    answers: list[Answer] = []
    async with a_poster() as poster:
        for _ in range(count):
            answers.append(await poster.post(receiver.url, body, {}, group="a"))
            await asyncio.sleep(pause)
    return answers


def in_turn(*parts: bytes, seconds: float = 0.02) -> Behaviour:
    """Answer each request with these parts, a moment between them."""

    def behave(connection: Connection) -> None:
        while connection.request():
            for part in parts:
                connection.send(part)
                time.sleep(seconds)

    return behave


@pytest.mark.parametrize("bad", ["a\r\nX: b", "a\nX: b", "a\rX: b", "a\0"])
@pytest.mark.parametrize("headers", [lambda bad: {"X-Id": bad}, lambda bad: {bad: "1"}], ids=["value", "name"])
async def test_a_header_cannot_hold_another(bad: str, headers: Callable[[str], dict[str, str]]):
    """A line's end or a null in a header is refused before anything is sent."""
    with Receiver(answering()) as receiver:
        async with a_poster() as poster:
            with pytest.raises(ValueError, match="line's end"):
                await poster.post(receiver.url, BODY, headers(bad), group="a")

    assert receiver.connections == 0


@pytest.mark.parametrize("path", ["/a%0d%0aX:%20b", "/a?b=%0A", "/é?ü=ß", "/a%20b"])
async def test_a_path_stays_one_line(path: str):
    """Whatever a URL's path holds, the receiver reads one request line and the headers that were sent."""
    with Receiver(answering()) as receiver:
        async with a_poster() as poster:
            answer = await poster.post(receiver.url.removesuffix("/hook") + path, BODY, {"X-Id": "1"}, group="a")

    assert answer.ok
    assert set(receiver.requests[0].headers) == {"host", "x-id", "content-length"}
    assert " " not in receiver.requests[0].path


async def test_an_answer_in_chunks():
    """Chunks, however they are cut, are one body; the connection is kept, and a trailer is no header."""
    chunked = head(429, Transfer_Encoding="chunked") + b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nRetry-After: 7\r\n\r\n"
    with Receiver(in_turn(chunked[:45], chunked[45:60], chunked[60:])) as receiver:
        answers = await posts(receiver, 2)

    assert [(one.status, one.excerpt, one.error_class) for one in answers] == [(429, b"abcde", None)] * 2
    assert [one.retry_after_seconds for one in answers] == [None, None]
    assert receiver.connections == 1


async def test_interim_answers_are_passed_over():
    """A 100 and a 103 are not the answer; what follows is, without their headers."""
    interim = head(100) + head(103, Retry_After=9, Content_Length=5)
    with Receiver(in_turn(interim, head(503, Content_Length=2) + b"no")) as receiver:
        answers = await posts(receiver, 2)

    assert [(one.status, one.excerpt, one.retry_after_seconds) for one in answers] == [(503, b"no", None)] * 2
    assert receiver.connections == 1


@pytest.mark.parametrize(
    "start", [b"HTTP/1.0 200 OK\r\n\r\n", head(200), head(200, Connection="close"), b"HTTP/1.0 200 OK\r\nX: y\r\n\r\n"]
)
async def test_an_answer_that_lasts_as_long_as_its_connection(start: bytes):
    """Without a length the orderly end of the connection is the end of the answer."""
    with Receiver(saying(start + b"hello")) as receiver:
        (answer,) = await posts(receiver, 1)

    assert (answer.status, answer.excerpt, answer.error_class) == (200, b"hello", None)


async def test_such_an_answer_that_breaks_is_not_whole():
    """Without a length a reset connection is a fault, whatever came before."""

    def behave(connection: Connection) -> None:
        connection.request()
        connection.send(head(200) + b"hel")
        time.sleep(0.1)
        connection.reset()

    with Receiver(behave) as receiver:
        (answer,) = await posts(receiver, 1)

    assert (answer.status, answer.error_class, answer.ok) == (200, "reset", False)


@pytest.mark.parametrize("seconds", [0.0, 0.05], ids=["at once", "later"])
async def test_an_answer_that_nobody_asked_for_answers_nothing(seconds: float):
    """What a receiver sends behind its answer is not taken for the answer to the next post."""
    seen = 0

    def behave(connection: Connection) -> None:
        nonlocal seen
        while connection.request():
            seen += 1
            surplus = head(200, Content_Length=6) + b"forged"
            connection.send(head(500, Content_Length=2) + b"no" + (surplus if not seconds else b""))
            if seconds:
                time.sleep(seconds)
                connection.send(surplus)

    with Receiver(behave) as receiver:
        answers = await posts(receiver, 3, pause=0.1)

    assert [(one.status, one.excerpt) for one in answers] == [(500, b"no")] * 3
    assert (receiver.connections, seen) == (3, 3)


async def test_a_kept_connection_that_began_to_answer_is_not_tried_again():
    """When a kept connection breaks in the middle of the head, the post may have been taken: it goes out once."""

    def behave(connection: Connection) -> None:
        connection.request()
        connection.send(OK)
        connection.request()
        connection.send(b"HTTP/1.1 2")
        connection.reset()

    with Receiver(behave) as receiver:
        answers = await posts(receiver, 2)

    assert [(one.status, one.error_class) for one in answers] == [(200, None), (None, "reset")]
    assert len(receiver.requests) == 2


async def test_a_connection_that_the_receiver_closed_while_it_rested_is_not_used():
    """A receiver that closes after each answer without saying so gets every post once, on its own connection."""

    def behave(connection: Connection) -> None:
        connection.request()
        connection.send(OK)

    with Receiver(behave) as receiver:
        answers = await posts(receiver, 3, pause=0.05)

    assert [one.ok for one in answers] == [True] * 3
    assert (receiver.connections, len(receiver.requests)) == (3, 3)


async def test_an_answer_before_the_request_has_left():
    """A receiver that answers without reading is believed, and the rest of the request is in nobody's way."""

    def behave(connection: Connection) -> None:
        connection.sock.recv(100)
        connection.send(head(413, Content_Length=0))
        connection.wait_for_close()

    with Receiver(behave) as receiver:
        answers = await posts(receiver, 2, body=bytes(20_000_000))

    assert [(one.status, one.error_class) for one in answers] == [(413, None)] * 2
    assert receiver.connections == 2


@pytest.mark.parametrize(
    ("start", "again"),
    [
        (head(200, Transfer_Encoding="chunked") + b"1;", b"a" * 65536),
        (head(200, Transfer_Encoding="chunked"), b"1;" + b"a" * 4000 + b"\r\nx\r\n"),
        (head(200, Transfer_Encoding="chunked") + b"0\r\n", b"X: " + b"a" * 1000 + b"\r\n"),
        (b"HTTP/1.1 200 ", b"a" * 65536),
        (b"HTTP/1.1 200 OK\r\nX: ", b"a" * 65536),
        (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 1000),
        (b"", head(100) * 1000),
    ],
    ids=["one extension", "extensions", "trailers", "reason", "header", "headers", "interim"],
)
async def test_what_is_no_body_has_a_limit_too(start: bytes, again: bytes):
    """An endless head, interim answer, chunk extension or trailer is cut off long before the time is over."""

    def behave(connection: Connection) -> None:
        connection.request()
        connection.send(start)
        for _ in range(100_000_000 // len(again)):
            connection.send(again)

    began = time.monotonic()
    with Receiver(behave) as receiver:
        (answer,) = await posts(receiver, 1)

    assert (answer.error_class, answer.ok) == ("protocol", False)
    assert time.monotonic() - began < 5
    assert receiver.sent_bytes < 20_000_000  # what the kernel's buffers took in


async def test_connections_are_kept_for_their_name_alone():
    """Another name or port gets a connection of its own, even where both lead to the same address."""
    with Receiver(answering(), name="one.example") as receiver, Receiver(answering()) as other:
        async with a_poster() as poster:
            for url in (receiver.url, receiver.url.replace("one", "two"), other.url, receiver.url):
                assert (await poster.post(url, BODY, {}, group="a")).ok

    assert (receiver.connections, other.connections) == (2, 1)
    assert [one.headers["host"].partition(":")[0] for one in receiver.requests] == [
        "one.example",
        "two.example",
        "one.example",
    ]


async def test_a_name_with_a_dead_address_is_reached_by_the_other():
    """Of a name's addresses one that answers is enough, wherever the look-ups begin."""

    async def both(name: str) -> Sequence[str]:
        del name
        return ("127.0.0.3", "127.0.0.1")

    with Receiver(answering(Connection="close"), name="one.example") as receiver:
        async with a_poster(lookup=both) as poster:
            answers = [await poster.post(receiver.url, BODY, {}, group="a") for _ in range(4)]

    assert [one.error_class for one in answers] == [None] * 4
    assert receiver.connections == 4


async def test_a_connection_that_rests_is_closed_in_the_end(monkeypatch: pytest.MonkeyPatch):
    """A kept connection that nobody uses is closed after its time."""
    monkeypatch.setattr("fulfillment.infra.connections._KEEP_ALIVE_SECONDS", 0.1)
    monkeypatch.setattr("fulfillment.infra.connections._SWEEP_SECONDS", 0.05)
    closed: list[float] = []

    def behave(connection: Connection) -> None:
        connection.request()
        connection.send(OK)
        connection.wait_for_close()
        closed.append(time.monotonic())

    with Receiver(behave) as receiver:
        async with a_poster() as poster:
            await poster.post(receiver.url, BODY, {}, group="a")
            began = time.monotonic()
            await asyncio.sleep(0.4)

    assert 0.05 < closed[0] - began < 0.35


async def test_what_is_under_way_ends_when_the_poster_closes():
    """Closing the poster ends a post that waits for an answer."""

    def hanging(connection: Connection) -> None:
        connection.request()
        connection.wait_for_close()

    with Receiver(hanging) as receiver:
        async with a_poster(total_seconds=30) as poster:
            waiting = asyncio.create_task(poster.post(receiver.url, BODY, {}, group="a"))
            while not receiver.requests:
                await asyncio.sleep(0.01)
        answer = await waiting

    assert (answer.status, answer.error_class) == (None, "reset")


async def test_a_connection_that_is_closed_before_its_first_post_is_sent():
    """Where the other side hangs up as soon as it is connected, the post ends at once, with a fault."""

    async with a_poster(total_seconds=30) as poster:

        class Broken(ConnectionOfOurs):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                super().connection_made(transport)
                self.connection_lost(None)
                transport.abort()  # pyright: ignore[reportAttributeAccessIssue]

        with Receiver(answering()) as receiver, pytest.MonkeyPatch.context() as patch:
            patch.setattr("fulfillment.infra.http.Connection", Broken)
            answer = await asyncio.wait_for(poster.post(receiver.url, BODY, {}, group="a"), 5)

    assert (answer.status, answer.error_class) == (None, "reset")
    assert receiver.requests == []


@pytest.mark.parametrize(("scheme", "fault"), [("http", "reset"), ("https", "tls")])
async def test_a_connection_that_is_lost_at_once_is_closed_once(scheme: str, fault: str):
    """The descriptor of a connection that is lost while it is made is not closed again: by then it is another's."""
    sockets: list[socket] = []

    async def connecting(*args: Any, **options: Any) -> socket:
        sockets.append(await start_connection(*args, **options))
        while not receiver.connections:  # its side has a number of its own
            await asyncio.sleep(0.001)
        return sockets[-1]

    class Lost(ConnectionOfOurs):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            transport.abort()  # pyright: ignore[reportAttributeAccessIssue]

    class Refusing(ssl.SSLContext):
        def wrap_bio(self, *_: Any, **options: Any) -> Any:
            raise ssl.SSLError(f"no handshake with {options['server_hostname']}")

    with Receiver(answering()) as receiver, pytest.MonkeyPatch.context() as patch:
        patch.setattr("fulfillment.infra.http.start_connection", connecting)
        patch.setattr("fulfillment.infra.http.Connection", Lost)
        patch.setattr(ssl, "create_default_context", lambda: Refusing(ssl.PROTOCOL_TLS_CLIENT))
        async with a_poster() as poster:
            answer = await poster.post(f"{scheme}://one.example:{receiver.port}", BODY, {}, group="a")
        opened = [os.open(os.devnull, os.O_RDONLY) for _ in range(3)]  # the number that was freed, too
        del poster
        sockets.clear()
        gc.collect()

    assert answer.error_class == fault
    for descriptor in opened:
        assert os.path.samestat(os.fstat(descriptor), os.stat(os.devnull))
        os.close(descriptor)


@pytest.mark.parametrize(("name", "error"), [("one.example", None), ("two.example", "tls"), ("127.0.0.1", "tls")])
async def test_a_certificate_holds_for_its_name(tmp_path: Path, name: str, error: str | None):
    """A certificate that is good for one name is good for no other, nor for the address, of the same receiver."""
    authority = Authority(tmp_path)
    with Receiver(answering(), tls=authority.context("one.example"), name=name) as receiver:
        async with a_poster(ca_file=authority.ca_file) as poster:
            answer = await poster.post(receiver.url, BODY, {}, group="a")

    assert answer.error_class == error
    assert len(receiver.requests) == (0 if error else 1)


async def test_a_cancelled_post_leaves_no_answer_behind():
    """The connection of a post that was cancelled is closed: its late answer is nobody's."""
    seen = 0

    def behave(connection: Connection) -> None:
        nonlocal seen
        while connection.request():
            seen += 1
            late = seen == 1
            time.sleep(0.2 if late else 0)
            connection.send(head(500 if late else 200, Content_Length=0))

    with Receiver(behave) as receiver:
        async with a_poster() as poster:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await poster.post(receiver.url, BODY, {}, group="a")
            answer = await poster.post(receiver.url, BODY, {}, group="a")

    assert (answer.status, answer.error_class) == (200, None)
    assert receiver.connections == 2
