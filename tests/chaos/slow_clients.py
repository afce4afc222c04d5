"""Clients that take their time: half a head, a body by the byte, silence, and ten thousand that idle.

Each is ended when it should be, others are served as before, and afterwards nothing of them is left.
"""

import asyncio
import os
import random
import shutil
import tempfile
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, cast

from tests.chaos.checker import Verdict
from tests.chaos.sockets import Traffic, a_request, allow_many_files, open_lines, slower
from tests.chaos.stage import Stage, memory_megabytes

SECONDS: Final = 40.0  # of slow clients
_OF_EACH: Final = 500
_IDLE: Final = 10_000
_IDLE_SECONDS: Final = 15.0
_USUAL_SECONDS: Final = 15.0
_PRODUCT: Final = 88_200_000_000
_MOST_SECONDS: Final = {"head": 10.5, "body": 30.0, "silent": 10.5}  # half a second for the driver
_MOST_KILOBYTES: Final = 20.0  # of each
_TURNS: Final = 20  # of a second
_LEFT: Final = 20  # descriptors that may be open for other reasons


@dataclass(slots=True)
class Ends:
    """How the slow connections ended, by kind."""

    seconds: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict[str, list[float]](list))
    answers: "Counter[str]" = field(default_factory=Counter[str])


class Slow(asyncio.Protocol):
    """One slow client: says its first words, then a byte whenever told."""

    def __init__(self, kind: str, words: bytes, ends: Ends, open_: "set[Slow]") -> None:
        self._kind, self._words, self._ends, self._open = kind, words, ends, open_
        self.turn = random.randrange(_TURNS)  # when in a second it speaks
        self._began = 0.0
        self._answer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)
        self._began = time.monotonic()
        self._open.add(self)
        if self._words:
            self._transport.write(self._words)

    def data_received(self, data: bytes) -> None:
        """Note the answer."""
        self._answer = self._answer or data[9:12]

    def connection_lost(self, exc: Exception | None) -> None:
        """Note when."""
        self._open.discard(self)
        self._ends.seconds[self._kind].append(time.monotonic() - self._began)
        self._ends.answers[f"{self._kind} {self._answer.decode() or 'closed'}"] += 1

    def trickle(self) -> None:
        """Send one byte more."""
        if self._words and not self._transport.is_closing():
            self._transport.write(b" " if self._kind == "body" else b"a")

    def hang_up(self) -> None:
        """End it from this side."""
        self._transport.abort()


def play(seed: int, seconds: float = SECONDS) -> list[Verdict]:
    """Measure without them, with them, with the idle ones, and return the verdicts."""
    allow_many_files()
    folder = Path(tempfile.mkdtemp(prefix="slow-"))
    folder.chmod(0o711)
    stage = Stage(folder, seed=seed, share=0.0, processes=2, workers=1)
    try:
        stage.start(partner_count=1)
        stage.sql("UPDATE partners SET webhook_url = NULL")  # the API alone is measured
        stage.office.product(_PRODUCT, [2_000_000_000])
        partner = stage.partners[0]
        with Traffic(stage, partner, _PRODUCT, 3):
            pass
        with Traffic(stage, partner, _PRODUCT, _USUAL_SECONDS) as usual:
            pass
        pids = stage.server.pids("fulfillment.app")
        files, memory = _files(pids), memory_megabytes(pids)
        with Traffic(stage, partner, _PRODUCT, seconds) as beside_slow:
            ends = asyncio.run(_slow(stage, seconds))
        beside_idle = Traffic(stage, partner, _PRODUCT, _IDLE_SECONDS)
        cut, grown = asyncio.run(_idle(stage, beside_idle, pids, memory))
        time.sleep(2)
        left = _files(pids) - files
        same = pids == stage.server.pids("fulfillment.app")
    finally:
        stage.stop()
    shutil.rmtree(folder, ignore_errors=True)
    return [
        _ended(ends),
        _beside("slow", usual, beside_slow, f"beside {3 * _OF_EACH} slow clients others are served as before"),
        _beside("idle", usual, beside_idle, f"beside {_IDLE} idle connections others are served as before"),
        Verdict(
            "idle",
            f"idle connections are kept, and cost at most {_MOST_KILOBYTES:.0f} KB each",
            f"{_IDLE} connections, {grown:.0f} MB more, {cut} cut",
            ([f"{cut} were cut"] if cut else [])
            + ([f"{grown:.0f} MB"] if grown * 1024 > _MOST_KILOBYTES * _IDLE else []),
        ),
        Verdict(
            "after",
            "afterwards nothing is left of them",
            f"{left} descriptors more",
            ([f"{left} descriptors"] if left > _LEFT else []) + ([] if same else ["a process was replaced"]),
        ),
    ]


async def _slow(stage: Stage, seconds: float) -> Ends:
    loop, port = asyncio.get_running_loop(), stage.server.port
    token = stage.token(stage.partners[0])
    post = a_request("POST", "/v1/orders", token=token, headers={"Content-Length": "90000"}, body=b" ")
    words = {"head": b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: ", "body": post, "silent": b""}
    ends = Ends()
    open_: dict[str, set[Slow]] = {kind: set() for kind in words}
    began = time.monotonic()
    # Each says a byte a second, but not all at the same moment: clients do not know of each other.
    for turn in range(round(seconds * _TURNS)):
        for kind, first in words.items():
            for _ in range(min(100 // _TURNS, _OF_EACH - len(open_[kind]))):  # and again when they were ended
                await loop.create_connection(
                    lambda kind=kind, first=first: Slow(kind, first, ends, open_[kind]), "127.0.0.1", port
                )
            for one in list(open_[kind]):
                if one.turn == turn % _TURNS:
                    one.trickle()
        await asyncio.sleep(max(0.0, began + (turn + 1) / _TURNS - time.monotonic()))
    measured = Ends(defaultdict(list, {kind: list(each) for kind, each in ends.seconds.items()}), ends.answers.copy())
    for each in open_.values():
        for one in list(each):
            one.hang_up()
    await asyncio.sleep(0.5)
    return measured


async def _idle(stage: Stage, beside: Traffic, pids: list[int], before: float) -> tuple[int, float]:
    """Hold connections that have asked once, and measure; return how many were cut, and the memory they cost."""
    lines = await open_lines(stage.server.port, _IDLE)
    asked = a_request("GET", "/livez")
    cut = 0
    for begin in range(0, _IDLE, 200):
        answers = await asyncio.gather(*(line.ask(asked) for line in lines[begin : begin + 200]))
        cut += sum(answer is None or answer.status != 200 for answer in answers)
    await asyncio.to_thread(_while_they_idle, beside)
    grown = memory_megabytes(pids) - before
    for begin in range(0, _IDLE, 200):
        answers = await asyncio.gather(*(line.ask(asked) for line in lines[begin : begin + 200]))
        cut += sum(answer is None or answer.status != 200 for answer in answers)
    for line in lines:
        line.close()
    return cut, grown


def _while_they_idle(beside: Traffic) -> None:
    with beside:
        pass


def _ended(ends: Ends) -> Verdict:
    longest = {kind: max(seconds, default=0.0) for kind, seconds in ends.seconds.items()}
    wrong = [
        f"{kind}: {longest.get(kind, 0):.1f} s" for kind, most in _MOST_SECONDS.items() if longest.get(kind, 0) > most
    ]
    wrong += [f"{kind}: none was ended" for kind in _MOST_SECONDS if not ends.seconds[kind]]
    shown = ", ".join(f"{kind} {seconds:.1f} s" for kind, seconds in longest.items())
    return Verdict(
        "S-28", "a slow head or silence ends in 10 s, a slow body in 30 s", f"{shown}; {dict(ends.answers)}", wrong
    )


def _beside(name: str, usual: Traffic, beside: Traffic, promise: str) -> Verdict:
    wrong = slower(f"{name} clients", usual.p99, beside.p99)
    wrong += [f"{status} x {count}" for status, count in beside.refused.items()]
    shown = f"p50 {usual.summary['p50 201']} and {beside.summary['p50 201']} ms, p99 {usual.p99} and {beside.p99} ms"
    return Verdict("S-28", promise, f"{shown}; {beside.summary['statuses']}", wrong)


def _files(pids: list[int]) -> int:
    return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in pids)
