"""HTTP by hand on many sockets: bursts that leave at one moment, and steady traffic whose latency is measured."""

import asyncio
import json
import resource
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final

from tests.chaos.stage import PartnerAccount, Stage

_ANSWER_SECONDS: Final = 60.0
_OPENED_AT_ONCE: Final = 50


@dataclass(frozen=True, slots=True)
class Got:
    """An answer, as it came."""

    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes
    seconds: float  # from the request's last byte to the answer's

    @property
    def code(self) -> str:
        """Return the code of a problem, or nothing."""
        return json.loads(self.body).get("code", "") if "problem" in self.headers.get("content-type", "") else ""


def a_request(
    method: str, path: str, *, token: str = "", headers: Mapping[str, str] | None = None, body: bytes = b""
) -> bytes:
    """Return the bytes of a request; a body that is a form says so in *headers*."""
    fields = {"Host": "127.0.0.1", "Content-Length": str(len(body))}
    if token:
        fields["Authorization"] = f"Bearer {token}"
    if body:
        fields["Content-Type"] = "application/json"
    lines = "".join(f"{name}: {value}\r\n" for name, value in (fields | dict(headers or {})).items())
    return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + body


def an_order(product: int, customer: str, *, quantity: int = 1) -> bytes:
    """Return the body of an order for one product over thirty days."""
    return orders_body([product], customer, quantity=quantity)


def orders_body(products: Sequence[int], customer: str, *, quantity: int = 1) -> bytes:
    """Return the body of an order, a line for each product, in their order."""
    lines = [
        {
            "productId": product,
            "quantity": quantity,
            "packDescription": "Whole Body Wellness",
            "administration": {"morning": quantity, "afternoon": 0, "evening": 0, "sleep": 0},
        }
        for product in products
    ]
    address = {"line1": "437 Lytton Ave", "city": "Palo Alto", "state": "CA", "zipCode": "94301"}
    person = {"sourceId": customer, "firstName": "John", "lastName": "Doe", "address": address}
    return json.dumps({"customer": person, "daysSupply": 30, "lineItems": lines, "shippingMethod": "STANDARD"}).encode()


class Line:
    """One connection, a request at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, port: int, source: str | None = None) -> "Line":
        """Connect, from the address *source* where one is given."""
        local = (source, 0) if source else None
        return cls(*await asyncio.open_connection("127.0.0.1", port, local_addr=local))

    async def ask(self, request: bytes) -> Got | None:
        """Send a request and return its answer; None when the connection ended before it was whole."""
        began = time.perf_counter()
        try:
            self._writer.write(request)
            async with asyncio.timeout(_ANSWER_SECONDS):
                head = await self._reader.readuntil(b"\r\n\r\n")
                first, *lines = head.decode("latin-1").split("\r\n")
                pairs = (line.split(": ", 1) for line in lines if line)
                headers = {name.lower(): value for name, value in pairs}
                body = await self._reader.readexactly(int(headers.get("content-length", "0")))
        except (OSError, EOFError, TimeoutError):
            return None
        return Got(int(first[9:12]), headers, body, time.perf_counter() - began)

    def close(self) -> None:
        """Hang up."""
        self._writer.close()


async def open_lines(port: int, count: int, source: str | None = None) -> list[Line]:
    """Return so many connections."""
    lines: list[Line] = []
    for begin in range(0, count, _OPENED_AT_ONCE):
        more = min(_OPENED_AT_ONCE, count - begin)
        lines += await asyncio.gather(*(Line.open(port, source) for _ in range(more)))
    return lines


async def burst(port: int, requests: Sequence[bytes]) -> list[Got | None]:
    """Send every request at one moment, each on a connection that is open already."""
    lines = await open_lines(port, len(requests))
    try:
        return list(await asyncio.gather(*(line.ask(one) for line, one in zip(lines, requests, strict=True))))
    finally:
        for line in lines:
            line.close()


class Traffic:
    """A partner that creates orders at a steady rate, from a process of its own, while the block runs.

    After the block `summary` holds the counts by status and the latencies in milliseconds.
    """

    def __init__(
        self, stage: Stage, partner: PartnerAccount, product: int, seconds: float, *, rate: float = 60.0
    ) -> None:
        self._command = [sys.executable, "-m", "tests.chaos.load", "--port", str(stage.server.port)]
        self._command += ["--token", stage.token(partner), "--body", an_order(product, "steady").decode()]
        self._command += ["--seconds", str(seconds), "--rate", str(rate), "--connections", "20"]
        self.summary: dict[str, Any] = {}

    def __enter__(self) -> "Traffic":
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._process.kill()
        said, _ = self._process.communicate()
        if kind is None:
            self.summary = json.loads(said)

    @property
    def p99(self) -> float:
        """Return the milliseconds within which 99 of 100 creates were answered."""
        return self.summary["p99 201"]

    @property
    def refused(self) -> dict[str, int]:
        """Return the answers that were none of 201."""
        return {status: count for status, count in self.summary["statuses"].items() if status != "201"}


def slower(name: str, usual: float, beside: float, *, times: float = 2.0, least_ms: float = 40.0) -> list[str]:
    """Return what is wrong when a p99 is over *times* the usual; below *least_ms* it is the machine's noise."""
    if beside <= max(times * usual, least_ms):
        return []
    return [f"p99 beside {name}: {beside:.0f} ms, usual {usual:.0f} ms"]


def allow_many_files() -> None:
    """Raise the limit of open files as far as it goes."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
