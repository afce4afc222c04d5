"""The way out, against receivers that misbehave: each a real server on a real socket."""

import asyncio
import random
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import overload

import pytest

from fulfillment.infra.addresses import AddressPolicy, Lookup
from fulfillment.infra.http import EXCERPT_LIMIT, Answer, Poster
from tests import receivers
from tests.receivers import Authority, Behaviour, FastReceiver, Receiver, answering, head, saying

pytestmark = pytest.mark.anyio

SANDBOX = AddressPolicy.of(sandbox=True)
STRICT = AddressPolicy(allow_http=True, allowed_ports=None)  # every port, but no loopback
ONE_ADDRESS = AddressPolicy.of(sandbox=False, allow_http=True, networks=("127.0.0.1/32",))
ANY_PORT = AddressPolicy(True, ONE_ADDRESS.allowed_networks, None)
BODY = '{"order":{"name":"Zoë"}}'.encode()
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def a_poster(
    policy: AddressPolicy = SANDBOX,
    *,
    total_seconds: float = 5.0,
    connect_seconds: float = 2.0,
    ca_file: Path | None = None,
    lookup: Lookup | None = None,
    group_limit: int = 32,
) -> Poster:
    """A poster with short time-outs that resolves every name to this machine, unless told otherwise."""
    return Poster(
        policy,
        total_seconds=total_seconds,
        connect_seconds=connect_seconds,
        ca_file=ca_file,
        lookup=lookup or resolving("127.0.0.1")[0],
        group_limit=group_limit,
        now=lambda: NOW,
    )


def resolving(*turns: str | Sequence[str]) -> tuple[Lookup, list[str]]:
    """A resolver that gives one answer after the other, the last one for ever; and the names it was asked."""
    asked: list[str] = []

    async def lookup(name: str) -> Sequence[str]:
        asked.append(name)
        turn = turns[min(len(asked), len(turns)) - 1]
        return (turn,) if isinstance(turn, str) else turn

    return lookup, asked


async def sent_to(behave: Behaviour, **options: float) -> Answer:
    """What comes of one post to a receiver that behaves so."""
    with Receiver(behave) as receiver:
        async with a_poster(**options) as poster:  # pyright: ignore[reportArgumentType]
            return await poster.post(receiver.url, BODY, {}, group="a")


async def test_a_good_receiver_gets_exactly_what_was_sent() -> None:
    """Body and headers arrive byte for byte, with Host and Content-Length and nothing else."""
    with Receiver(answering(204, b"", X_Other="x")) as receiver:
        async with a_poster() as poster:
            answer = await poster.post(
                receiver.url,
                BODY,
                {"Content-Type": "application/json", "X-Juniper-Signature": "t=1,v1=é"},
                group="a",
            )

    assert (answer.status, answer.error_class, answer.excerpt, answer.ok) == (204, None, b"", True)
    assert receiver.requests[0].body == BODY
    assert receiver.requests[0].path == "/hook"
    assert receiver.requests[0].headers == {
        "host": f"127.0.0.1:{receiver.port}",
        "content-type": "application/json",
        "x-juniper-signature": "t=1,v1=é",
        "content-length": str(len(BODY)),
    }


async def test_connections_are_kept() -> None:
    """One connection carries many posts."""
    with Receiver(answering()) as receiver:
        async with a_poster() as poster:
            for _ in range(5):
                assert (await poster.post(receiver.url, BODY, {}, group="a")).excerpt == b"ok"

    assert receiver.connections == 1


@pytest.mark.parametrize("status", [400, 404, 410, 429, 500, 502, 503])
async def test_a_refusal_is_an_answer(status: int) -> None:
    """Any status is reported with what the receiver said, and only 2xx counts as taken."""
    answer = await sent_to(answering(status, b"no!"))

    assert (answer.status, answer.error_class, answer.excerpt, answer.ok) == (status, None, b"no!", False)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120),
        ("0", 0),
        ("3600", 3600),
        ("86400", 3600),
        ("9" * 5000, 3600),
        (format_datetime(NOW.replace(minute=2), usegmt=True), 120),
        (format_datetime(NOW.replace(year=2025), usegmt=True), 0),
        (format_datetime(NOW.replace(year=2027), usegmt=True), 3600),
        ("Mon, 23 Nov 2026 12:01:00 -0000", 60),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("٣", None),
        ("", None),
        ("Mon, 99 Nov 99999 12:00:00 GMT", None),
    ],
)
async def test_retry_after(value: str, seconds: int | None) -> None:
    """Retry-After is read as seconds or as a date, never beyond an hour, and nonsense is no wish."""
    answer = await sent_to(answering(429, b"", Retry_After=value))

    assert (answer.status, answer.retry_after_seconds) == (429, seconds)


async def test_a_receiver_that_hangs() -> None:
    """No answer in time is a time-out, and it takes no longer than it may."""
    started = time.monotonic()
    answer = await sent_to(receivers.hanging, total_seconds=0.3)

    assert (answer.status, answer.error_class) == (None, "timeout")
    assert 250 <= answer.duration_ms < 1000
    assert time.monotonic() - started < 1.5


@pytest.mark.parametrize(
    ("before", "status", "error"),
    [(b"HTTP/1.1 200 OK\r\nX: ", None, "timeout"), (head(200, Content_Length=10_000), 200, "too_slow")],
)
async def test_a_byte_at_a_time(before: bytes, status: int | None, error: str) -> None:
    """An answer that trickles in is cut off at the end of the time, whatever came of it."""
    answer = await sent_to(receivers.dripping(before, 0.05), total_seconds=0.4)

    assert (answer.status, answer.error_class, answer.ok) == (status, error, False)
    assert answer.duration_ms < 1200


@pytest.mark.parametrize(
    ("behave", "status"),
    [(receivers.cut_short, 200), (receivers.closing, None), (receivers.resetting, None)],
)
async def test_a_receiver_that_breaks_off(behave: Behaviour, status: int | None) -> None:
    """An answer that does not end is no success, even if it began with 200."""
    answer = await sent_to(behave)

    assert (answer.status, answer.error_class, answer.ok) == (status, "reset", False)


def resident_bytes() -> int:
    """The memory that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


async def test_a_hundred_megabytes() -> None:
    """Of a huge answer little is read, less is kept, and the connection is closed."""
    with Receiver(receivers.flooding(100_000_000)) as receiver:
        async with a_poster() as poster:
            before = resident_bytes()
            answers = [await poster.post(receiver.url, BODY, {}, group="a") for _ in range(5)]

    assert [(answer.status, answer.error_class, len(answer.excerpt)) for answer in answers] == [(200, None, 4096)] * 5
    assert receiver.connections == 5
    assert receiver.sent_bytes < 5 * 8_000_000  # what the kernel's buffers took in
    assert resident_bytes() - before < 20_000_000


async def test_a_gzip_bomb_is_not_unpacked() -> None:
    """A compressed answer is kept as it came."""
    before = resident_bytes()
    answer = await sent_to(receivers.gzip_bomb)

    assert (answer.status, answer.excerpt[:2], len(answer.excerpt)) == (200, b"\x1f\x8b", EXCERPT_LIMIT)
    assert resident_bytes() - before < 70_000_000  # making the bomb takes 50 MB


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(status: int) -> None:
    """A redirect is an answer like any other; where it points, nobody connects."""
    with Receiver(answering()) as inside, Receiver(answering(status, b"", Location=inside.url)) as receiver:
        async with a_poster() as poster:
            answer = await poster.post(receiver.url, BODY, {}, group="a")

    assert (answer.status, answer.ok) == (status, False)
    assert (receiver.connections, inside.connections) == (1, 0)


async def test_cookies_are_not_kept() -> None:
    """What a receiver sets is not sent back."""
    with Receiver(answering(Set_Cookie="a=b")) as receiver:
        async with a_poster() as poster:
            for _ in range(2):
                await poster.post(receiver.url, BODY, {}, group="a")

    assert "cookie" not in receiver.requests[1].headers


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy variable, which would undo every check, has no effect."""
    with Receiver(answering(502)) as proxy, Receiver(answering()) as receiver:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("ALL_PROXY", proxy.url)
        async with a_poster() as poster:
            assert (await poster.post(receiver.url, BODY, {}, group="a")).ok

    assert proxy.connections == 0


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/9.9 200 OK\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nab\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000,
        b"HTTP/1.1 200 OK\r\n" + b"X: a\r\n" * 10_000 + b"\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 1000,
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n\x81\x05hello",
        bytes(range(256)) * 10,
    ],
)
async def test_what_is_not_http(garbage: bytes) -> None:
    """An answer that is not HTTP is a fault of the receiver, never an exception of ours."""
    answer = await sent_to(saying(garbage), total_seconds=1)

    assert not answer.ok
    assert answer.error_class in {"protocol", "reset", None if answer.status == 101 else "protocol"}


async def test_random_answers_never_raise() -> None:
    """Whatever bytes come back, an answer is returned."""
    chance = random.Random(7)
    start = head(200, Transfer_Encoding="chunked") + b"5\r\nhello\r\n0\r\n\r\n"
    for _ in range(60):
        noise = bytearray(start)
        for _ in range(chance.randint(1, 12)):
            noise[chance.randrange(len(noise))] = chance.randrange(256)
        answer = await sent_to(saying(bytes(noise)), total_seconds=1)
        assert answer.error_class in {None, "protocol", "reset"}


async def test_nobody_listens() -> None:
    """A closed port is a refused connection."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    async with a_poster() as poster:
        answer = await poster.post(f"http://127.0.0.1:{port}/", BODY, {}, group="a")

    assert (answer.status, answer.error_class) == (None, "connect_refused")


async def test_connecting_takes_too_long() -> None:
    """A port whose queue is full is given up after the time for connecting."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        address = full.getsockname()
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(address)
        async with a_poster(connect_seconds=0.3) as poster:
            answer = await poster.post(f"http://127.0.0.1:{address[1]}/", BODY, {}, group="a")
        for one in waiting:
            one.close()

    assert (answer.status, answer.error_class) == (None, "connect_timeout")
    assert answer.duration_ms < 1500


async def test_a_name_that_does_not_resolve() -> None:
    """An unknown name, and one without an address, are faults of their own class."""

    async def unknown(_: str) -> Sequence[str]:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    for lookup in (unknown, resolving(())[0]):
        async with a_poster(lookup=lookup) as poster:
            answer = await poster.post("http://a.example/", BODY, {}, group="a")
        assert (answer.status, answer.error_class) == (None, "dns")


async def test_a_resolver_that_hangs() -> None:
    """A look-up is inside the total time."""

    async def slow(_: str) -> Sequence[str]:
        await asyncio.sleep(60)
        return ()

    async with a_poster(lookup=slow, total_seconds=0.2) as poster:
        answer = await poster.post("http://a.example/", BODY, {}, group="a")

    assert answer.status is None
    assert answer.duration_ms < 1000


@pytest.fixture
def inside() -> Iterator[Receiver]:
    """Something on this machine that no webhook may reach."""
    with Receiver(answering()) as receiver:
        yield receiver
        assert receiver.connections == 0


SPELLINGS: list[Callable[[int], str]] = [
    lambda port: f"http://127.0.0.1:{port}/",
    lambda port: f"http://127.0.0.1.:{port}/",
    lambda port: f"http://127.1:{port}/",
    lambda port: f"http://2130706433:{port}/",
    lambda port: f"http://0x7f.0.0.1:{port}/",
    lambda port: f"http://0177.0.0.1:{port}/",
    lambda port: f"http://0:{port}/",
    lambda port: f"http://１２７.0.0.1:{port}/",
    lambda port: f"http://[::ffff:127.0.0.1]:{port}/",
    lambda port: f"http://[::ffff:7f00:1]:{port}/",
    lambda port: f"http://[::1]:{port}/",
    lambda port: f"http://user:pw@127.0.0.1:{port}/",
    lambda port: f"http://a.example@127.0.0.1:{port}/",
    lambda port: f"http://localhost:{port}/",
]


@pytest.mark.parametrize("spelled", SPELLINGS)
async def test_no_spelling_leads_inside(inside: Receiver, spelled: Callable[[int], str]) -> None:
    """However loopback is written, it is refused before a packet leaves."""
    async with a_poster(STRICT) as poster:
        answer = await poster.post(spelled(inside.port), BODY, {}, group="a")

    assert (answer.status, answer.error_class) == (None, "forbidden_address")


@pytest.mark.parametrize("address", ["127.0.0.1", "::ffff:127.0.0.1", "::1", "127.0.0.1%lo"])
async def test_no_name_leads_inside(inside: Receiver, address: str) -> None:
    """A name of a private address is refused, after one look-up."""
    lookup, asked = resolving(address)
    async with a_poster(STRICT, lookup=lookup) as poster:
        answer = await poster.post(f"http://a.example:{inside.port}/", BODY, {}, group="a")

    assert (answer.status, answer.error_class) == (None, "forbidden_address")
    assert asked == ["a.example"]


@pytest.mark.parametrize("addresses", [("127.0.0.1", "127.0.0.2"), ("127.0.0.2", "127.0.0.1")])
async def test_one_bad_answer_spoils_all(addresses: Sequence[str]) -> None:
    """A name with an allowed and a refused address is refused as a whole: nobody connects to either."""
    with (
        Receiver(answering()) as allowed,
        Receiver(answering(), host="127.0.0.2", port=allowed.port) as inside,
    ):
        async with a_poster(ANY_PORT, lookup=resolving(addresses)[0]) as poster:
            answer = await poster.post(f"http://a.example:{allowed.port}/", BODY, {}, group="a")

    assert (answer.status, answer.error_class) == (None, "forbidden_address")
    assert (allowed.connections, inside.connections) == (0, 0)


class TwoFaced(Sequence[str]):
    """Addresses that are allowed when they are looked at first, and others when they are used."""

    def __init__(self) -> None:
        self._looks = 0

    def __len__(self) -> int:
        return 1

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...
    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        raise AssertionError("iterated only")

    def __iter__(self) -> Iterator[str]:
        self._looks += 1
        return iter(["127.0.0.1" if self._looks == 1 else "127.0.0.2"])


async def test_the_connection_itself_is_checked() -> None:
    """An address that slips past the check of the look-up is stopped where the socket is made."""

    async def lookup(_: str) -> Sequence[str]:
        return TwoFaced()

    with Receiver(answering(), host="127.0.0.2") as inside:
        async with a_poster(ANY_PORT, lookup=lookup) as poster:
            answer = await poster.post(f"http://a.example:{inside.port}/", BODY, {}, group="a")

    assert (answer.status, answer.error_class) == (None, "forbidden_address")
    assert inside.connections == 0


async def test_a_name_that_is_re_pointed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that now leads elsewhere than before is checked anew at the next connection."""
    monkeypatch.setattr("fulfillment.infra.connections._DNS_SECONDS", 0)
    lookup, asked = resolving("127.0.0.1", "127.0.0.2")
    with (
        Receiver(answering(Connection="close")) as allowed,
        Receiver(answering(), host="127.0.0.2", port=allowed.port) as inside,
    ):
        async with a_poster(ANY_PORT, lookup=lookup) as poster:
            answers = [await poster.post(f"http://a.example:{allowed.port}/", BODY, {}, group="a") for _ in range(2)]

    assert [(answer.status, answer.error_class) for answer in answers] == [
        (200, None),
        (None, "forbidden_address"),
    ]
    assert (len(asked), allowed.connections, inside.connections) == (2, 1, 0)


async def test_a_busy_connection_does_not_live_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection is given up after its time even if it never rests, so a re-pointed name is noticed."""
    monkeypatch.setattr("fulfillment.infra.http._POOL_SECONDS", 0.2)
    with Receiver(answering()) as receiver:
        async with a_poster() as poster:
            for _ in range(6):
                assert (await poster.post(receiver.url, BODY, {}, group="a")).ok
                await asyncio.sleep(0.1)

    assert 2 <= receiver.connections <= 4


async def test_an_old_pool_waits_for_its_posts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Renewing the connections does not cut off what is under way."""
    monkeypatch.setattr("fulfillment.infra.http._POOL_SECONDS", 0.05)

    def slow(connection: receivers.Connection) -> None:
        while connection.request():
            time.sleep(0.3)
            connection.send(head(Content_Length=2) + b"ok")

    with Receiver(slow) as receiver:
        async with a_poster() as poster:
            first = asyncio.create_task(poster.post(receiver.url, BODY, {}, group="a"))
            await asyncio.sleep(0.1)
            second = await poster.post(receiver.url, BODY, {}, group="a")

    assert (await first).ok
    assert second.ok


async def test_a_kept_connection_that_broke_is_no_failure() -> None:
    """When a kept connection breaks as it is used, the post goes out once more on a new one."""
    with Receiver(receivers.once_per_connection) as receiver:
        async with a_poster() as poster:
            answers = [await poster.post(receiver.url, BODY, {}, group="a") for _ in range(3)]

    assert [answer.status for answer in answers] == [200, 200, 200]
    assert len(receiver.requests) == 3


async def test_a_new_connection_that_breaks_is_a_failure() -> None:
    """A receiver that breaks a new connection gets the post once, not twice."""
    with Receiver(receivers.closing) as receiver:
        async with a_poster() as poster:
            answer = await poster.post(receiver.url, BODY, {}, group="a")

    assert answer.error_class == "reset"
    assert len(receiver.requests) == 1


async def test_a_group_has_its_limit_and_disturbs_no_other() -> None:
    """A group that waits for a hanging receiver holds no more than its slots; another group goes on."""
    with Receiver(receivers.hanging) as hung, Receiver(answering()) as good:
        async with a_poster(total_seconds=0.5, group_limit=3) as poster:
            waiting = [asyncio.create_task(poster.post(hung.url, BODY, {}, group="a")) for _ in range(4)]
            await asyncio.sleep(0.1)
            answer = await poster.post(good.url, BODY, {}, group="b")
            at_once = hung.connections
            hung_answers = await asyncio.gather(*waiting)

    assert answer.ok
    assert answer.duration_ms < 300
    assert at_once == 3
    assert [(one.error_class, one.duration_ms < 900) for one in hung_answers] == [("timeout", True)] * 4


async def test_a_cancelled_post_gives_everything_back() -> None:
    """A post that is cancelled frees its slot and its connection."""
    with Receiver(receivers.hanging) as hung, Receiver(answering()) as good:
        async with a_poster(group_limit=1) as poster:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await poster.post(hung.url, BODY, {}, group="a")
            assert (await poster.post(good.url, BODY, {}, group="a")).ok


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """A certificate authority that the system does not know."""
    return Authority(tmp_path)


async def test_tls_with_the_right_name(authority: Authority) -> None:
    """With the operator's authority and the right name the connection stands."""
    with Receiver(answering(), tls=authority.context("hooks.example"), name="hooks.example") as receiver:
        async with a_poster(ca_file=authority.ca_file) as poster:
            answer = await poster.post(receiver.url, BODY, {}, group="a")

    assert (answer.status, answer.error_class) == (200, None)
    assert receiver.requests[0].headers["host"] == f"hooks.example:{receiver.port}"


@pytest.mark.parametrize("names", [("other.example",), ("127.0.0.1",)])
async def test_tls_with_another_name(authority: Authority, names: Sequence[str]) -> None:
    """A good certificate for another name, or for the address, is refused, and nothing is sent."""
    with Receiver(answering(), tls=authority.context(*names), name="hooks.example") as receiver:
        async with a_poster(ca_file=authority.ca_file) as poster:
            answer = await poster.post(receiver.url, BODY, {}, group="a")

    assert (answer.status, answer.error_class, receiver.requests) == (None, "tls", [])


async def test_tls_of_an_unknown_authority(authority: Authority) -> None:
    """A certificate that nobody vouches for is refused, and nothing is sent."""
    with Receiver(answering(), tls=authority.context("hooks.example"), name="hooks.example") as receiver:
        async with a_poster() as poster:
            answer = await poster.post(receiver.url, BODY, {}, group="a")

    assert (answer.status, answer.error_class, receiver.requests) == (None, "tls", [])


async def test_a_plain_receiver_behind_https() -> None:
    """A receiver that speaks no TLS where TLS is asked for is a fault, not an exception."""
    with Receiver(saying(head(400)), name="hooks.example") as receiver:
        async with a_poster() as poster:
            answer = await poster.post(receiver.url.replace("http:", "https:"), BODY, {}, group="a")

    assert answer.status is None
    assert answer.error_class in {"tls", "reset"}


async def test_tls_handshake_that_hangs() -> None:
    """A handshake that never ends is given up with the connection."""
    with Receiver(receivers.mute, name="hooks.example") as receiver:
        async with a_poster(connect_seconds=0.3) as poster:
            answer = await poster.post(receiver.url.replace("http:", "https:"), BODY, {}, group="a")

    assert (answer.status, answer.error_class) == (None, "connect_timeout")
    assert answer.duration_ms < 1500


async def test_names_are_resolved_once_for_many() -> None:
    """Posts that start together share one look-up."""
    lookup, asked = resolving("127.0.0.1")
    with Receiver(answering(), name="hooks.example") as receiver:
        async with a_poster(lookup=lookup) as poster:
            answers = await asyncio.gather(*(poster.post(receiver.url, BODY, {}, group="a") for _ in range(10)))

    assert all(answer.ok for answer in answers)
    assert asked == ["hooks.example"]


async def test_many_posts_to_a_fast_receiver() -> None:
    """A thousand posts of several groups at once all arrive over the connections that the groups may have."""
    with FastReceiver() as receiver:
        async with a_poster(group_limit=4) as poster:
            answers = await asyncio.gather(
                *(poster.post(receiver.url, BODY, {}, group=str(number % 5)) for number in range(1000))
            )

    assert {(answer.status, answer.excerpt) for answer in answers} == {(200, b"ok")}
