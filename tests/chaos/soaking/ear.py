"""A receiver that costs little: reads deliveries by hand, verifies each, and writes down which event arrived."""

import asyncio
import hmac
import re
import time
from dataclasses import dataclass, field
from typing import Final, TextIO, cast

_ON_THE_WIRE: Final = 1.0  # seconds: a delivery that was signed before the end of its secret may take so long
_WELL: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
_ORDER: Final = re.compile(rb'"orderId":\s*"([0-9A-Za-z]{27})"')
_KEPT: Final = 5


@dataclass(slots=True)
class Signing:
    """The secrets of one partner: the one in force, and the one before it."""

    secret: str
    previous: str = ""
    ended_at: float = 0.0  # the previous one
    rotating: bool = False
    early: list[tuple[bytes, bytes]] = field(default_factory=list[tuple[bytes, bytes]])  # by a secret not known yet


@dataclass(slots=True)
class Heard:
    """What came, counted."""

    deliveries: int = 0
    latest_old: float = 0.0  # seconds after the end of its secret
    wrong: int = 0
    examples: list[str] = field(default_factory=list[str])

    def blame(self, what: str) -> None:
        """Count a fault and keep the first few."""
        self.wrong += 1
        if len(self.examples) < _KEPT:
            self.examples.append(what)


class Ear:
    """All partners' receiver."""

    def __init__(self, record: TextIO) -> None:
        self.heard = Heard()
        self._record = record
        self._signings: dict[str, Signing] = {}  # by path

    def expect(self, path: str, secret: str) -> None:
        """Take deliveries at *path*, signed with *secret*."""
        self._signings[path] = Signing(secret)

    def rotating(self, path: str) -> None:
        """Know that another secret is being asked for."""
        self._signings[path].rotating = True

    def rotated(self, path: str, secret: str) -> None:
        """Take the new secret, and the old one no longer."""
        signing = self._signings[path]
        signing.previous, signing.ended_at = signing.secret, time.monotonic()
        signing.secret, signing.rotating = secret, False
        for header, body in signing.early:
            if not _fits(secret, header, body):
                self.heard.blame("a delivery bore neither the old secret nor the new one")
        signing.early.clear()

    def take(self, path: str, headers: dict[bytes, bytes], body: bytes) -> None:
        """Take one delivery."""
        self.heard.deliveries += 1
        signing = self._signings.get(path)
        order = _ORDER.search(body)
        if signing is None or order is None:
            self.heard.blame(f"a delivery that nobody waits for came to {path}")
            return
        self._verify(signing, headers.get(b"x-juniper-signature", b""), body)
        self._record.write(f"{order[1].decode()}\t{int(headers.get(b'x-juniper-sequence', b'0'))}\n")

    def _verify(self, signing: Signing, header: bytes, body: bytes) -> None:
        if _fits(signing.secret, header, body):
            return
        if signing.previous and _fits(signing.previous, header, body):
            late = time.monotonic() - signing.ended_at
            self.heard.latest_old = max(self.heard.latest_old, late)
            if late > _ON_THE_WIRE:
                self.heard.blame(f"an old secret arrived {late:.2f} s after its end")
        elif signing.rotating:
            signing.early.append((header, body))
        else:
            self.heard.blame("a delivery bore a signature that does not fit")

    def connection(self) -> asyncio.Protocol:
        """Return what serves one more connection."""
        return _Connection(self)


def _fits(secret: str, header: bytes, body: bytes) -> bool:
    moment, _, digest = header.partition(b",v1=")
    made = hmac.digest(secret.encode(), moment.removeprefix(b"t=") + b"." + body, "sha256")
    return hmac.compare_digest(made.hex().encode(), digest)


class _Connection(asyncio.Protocol):
    def __init__(self, ear: Ear) -> None:
        self._ear = ear
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by name

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while self._take_one():
            pass

    def _take_one(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0 or self._transport is None:
            return False
        first, *lines = bytes(self._buffer[:end]).split(b"\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
        whole = end + 4 + int(headers.get(b"content-length", b"0"))
        if len(self._buffer) < whole:
            return False
        body = bytes(self._buffer[end + 4 : whole])
        del self._buffer[:whole]
        self._ear.take(first.split(b" ")[1].decode(), headers, body)
        self._transport.write(_WELL)
        return True
