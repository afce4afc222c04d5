"""A thousand wrong secrets a second, of one client and of many; a partner that floods; and what the clock tells.

The guessers come from another address than the partner, as they would. The partner beside them notices nothing.
"""

import asyncio
import math
import random
import statistics
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from tests.chaos.checker import Verdict
from tests.chaos.sockets import Got, Line, Traffic, a_request, allow_many_files, open_lines, slower
from tests.chaos.stage import Stage, folder_for, staged, token_of

SECONDS: Final = 60.0  # of guessing at one id, and again at many
SAMPLES: Final = 10_000  # of each kind
_RATE: Final = 1000
_LIMIT: Final = 30  # failures a minute of one client or address: the default
_PROCESSES: Final = 2
_GUESSERS: Final = "127.0.0.66"
_CROWD: Final = tuple(f"127.0.1.{number}" for number in range(1, 9))
_WRITES: Final = 6000  # a minute of one partner, in the flood
_PRODUCT: Final = 88_300_000_000
_USUAL_SECONDS: Final = 12.0
_OUTLIERS: Final = 0.1  # of the slowest samples: the machine's, not the secret's
_SIGNIFICANT: Final = 3.29  # t at p = 0.001, two-sided, for so many samples


@dataclass(slots=True)
class Guessed:
    """What came of a stretch of guessing."""

    statuses: "Counter[str]" = field(default_factory=Counter[str])
    wrong: list[str] = field(default_factory=list[str])
    seconds: list[float] = field(default_factory=list[float])

    def note(self, got: Got | None) -> None:
        """Count an answer."""
        self.statuses["cut" if got is None else str(got.status)] += 1
        if got is None:
            return
        self.seconds.append(got.seconds)
        if got.status == 429 and not got.headers.get("retry-after", "").isdigit():
            self.wrong.append("429 without Retry-After")
        if got.status not in (401, 429):
            self.wrong.append(f"a guess was answered {got.status}")


def play(seed: int, seconds: float = SECONDS) -> list[Verdict]:
    """Guess, flood, and return the verdicts."""
    allow_many_files()
    limits = {"FULFILLMENT_RATE_LIMIT_WRITES_PER_MINUTE": str(_WRITES), "FULFILLMENT_LOG_LEVEL": "error"}
    stage = Stage(folder_for("guess"), seed=seed, share=0.0, processes=_PROCESSES, workers=1, environment=limits)
    with staged(stage):
        stage.start(partner_count=2)
        stage.sql("UPDATE partners SET webhook_url = NULL")
        stage.office.product(_PRODUCT, [2_000_000_000])
        good = stage.partners[0]
        with Traffic(stage, good, _PRODUCT, 3):
            pass
        with Traffic(stage, good, _PRODUCT, _USUAL_SECONDS) as usual:
            pass
        token_of(stage.server.url, good.client_id, good.client_secret)
        verdicts = [
            _guess(stage, usual, seconds, "one id", lambda _: good.client_id, (_GUESSERS,), 1),
            _guess(stage, usual, seconds, "many ids", lambda n: f"jun_ci_{n:024}", _CROWD, len(_CROWD)),
            _flood(stage, usual),
        ]
        stage.clean = True
    return verdicts


def _guess(
    stage: Stage,
    usual: Traffic,
    seconds: float,
    name: str,
    client_id: Callable[[int], str],
    sources: Sequence[str],
    doors: int,  # counts that may each be filled
) -> Verdict:
    """Guess at a steady rate; the partner orders beside it, and gets a token at its own address."""
    good = stage.partners[0]
    with Traffic(stage, good, _PRODUCT, seconds) as beside:
        guessed = asyncio.run(_guesses(stage.server.port, seconds, client_id, sources))
        try:
            token_of(stage.server.url, good.client_id, good.client_secret)
        except Exception as error:
            guessed.wrong.append(f"the partner got no token: {type(error).__name__}")
    made = sum(guessed.statuses.values())
    windows = math.floor(seconds / 60) + 2  # the stretch may begin within one window and end in another
    most = doors * (_LIMIT + _PROCESSES) * windows
    wrong = sorted(set(guessed.wrong)) + slower(f"guesses at {name}", usual.p99, beside.p99)
    wrong += [f"{guessed.statuses['401']} were checked, {most} at most"] if guessed.statuses["401"] > most else []
    wrong += [f"the partner met {status} x {count}" for status, count in beside.refused.items()]
    wrong += [f"only {made} guesses were made"] if made < 0.8 * _RATE * seconds else []
    checked = (
        f"{made / seconds:.0f}/s for {seconds:.0f} s: {dict(guessed.statuses)}; "
        f"the partner's p99 {usual.p99} ms usual, {beside.p99} ms"
    )
    return Verdict("S-35", f"guessing at {name} is slowed and disturbs nobody", checked, wrong)


async def _guesses(port: int, seconds: float, client_id: Callable[[int], str], sources: Sequence[str]) -> Guessed:
    guessed, number = Guessed(), 0
    lines = [line for source in sources for line in await open_lines(port, 32 // len(sources), source)]
    free: asyncio.Queue[Line] = asyncio.Queue()
    for line in lines:
        free.put_nowait(line)
    tasks: set[asyncio.Task[None]] = set()

    async def one(line: Line, request: bytes) -> None:
        guessed.note(await line.ask(request))
        free.put_nowait(line)

    began = time.perf_counter()
    while (now := time.perf_counter() - began) < seconds:
        while number < now * _RATE:
            number += 1
            task = asyncio.create_task(one(await free.get(), _attempt(client_id(number), f"wrong-{number:058}")))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        await asyncio.sleep(0.002)
    await asyncio.gather(*tasks)
    for line in lines:
        line.close()
    return guessed


def _attempt(client_id: str, secret: str) -> bytes:
    form = f"grant_type=client_credentials&client_id={client_id}&client_secret={secret}".encode()
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    return a_request("POST", "/oauth2/token", headers=kind, body=form)


def _flood(stage: Stage, usual: Traffic) -> Verdict:
    """One partner asks for all it can get: it is held to its limit, and another's orders take no longer."""
    good, loud = stage.partners
    request = a_request("POST", "/v1/orders", token=stage.token(loud), body=b"{}")
    counted = Guessed()
    seconds = 20.0
    with Traffic(stage, good, _PRODUCT, seconds) as beside:
        asyncio.run(_as_fast_as(stage.server.port, request, seconds, counted))
    allowed = counted.statuses["422"]
    most = _WRITES * (seconds / 60 + 1) * 1.1  # a full bucket, and what flows in meanwhile
    wrong = sorted(set(counted.wrong)) + slower("the flood", usual.p99, beside.p99)
    wrong += [f"{allowed} were let in, {most:.0f} at most"] if allowed > most else []
    wrong += [] if counted.statuses["429"] else ["nothing was refused"]
    wrong += [f"the partner met {status} x {count}" for status, count in beside.refused.items()]
    checked = f"{dict(counted.statuses)} in {seconds:.0f} s; p99 {usual.p99} ms usual, {beside.p99} ms"
    return Verdict("S-35", "a flooding partner is held to its limit and disturbs nobody", checked, wrong)


async def _as_fast_as(port: int, request: bytes, seconds: float, counted: Guessed) -> None:
    until = time.monotonic() + seconds

    async def run(line: Line) -> None:
        while time.monotonic() < until:
            got = await line.ask(request)
            counted.statuses["cut" if got is None else str(got.status)] += 1
            if got is None:
                return
            if got.status == 429 and not {"retry-after", "ratelimit", "ratelimit-policy"} <= set(got.headers):
                counted.wrong.append(f"429 with {sorted(got.headers)}")
            if got.status == 429:
                await asyncio.sleep(0.01)  # or the driver is the bottleneck

    lines = await open_lines(port, 16)
    await asyncio.gather(*(run(line) for line in lines))
    for line in lines:
        line.close()


def time_it(seed: int) -> list[Verdict]:
    """Send wrong secrets of a known and of an unknown client, in turns by chance: Welch's t over what they took."""
    unlimited = {"FULFILLMENT_TOKEN_FAILURES_PER_MINUTE": "10000000", "FULFILLMENT_LOG_LEVEL": "error"}
    stage = Stage(folder_for("timing"), seed=seed, share=0.0, processes=1, workers=1, environment=unlimited)
    with staged(stage):
        stage.start(partner_count=1)
        known = stage.partners[0].client_id
        chance = random.Random(seed)
        # Of the known one's length and beginning; one of them changes, so that no row is hotter than the other's.
        unknown = known[:-6] + "".join(chance.sample("abcdefghjkmnpqrstuvwxyz", 6))
        found = asyncio.run(_timed(stage.server.port, (known, unknown), chance))
        stage.clean = True
    cut = [sorted(each)[: int(len(each) * (1 - _OUTLIERS))] for each in found]
    t = welch(*cut)
    means = [statistics.fmean(each) * 1e6 for each in cut]
    checked = f"{SAMPLES} of each: known {means[0]:.1f} us, unknown {means[1]:.1f} us, t = {t:.2f}"
    wrong = [f"|t| = {abs(t):.2f}"] if abs(t) > _SIGNIFICANT else []
    return [Verdict("S-35", "the time does not tell whether a client exists", checked, wrong)]


async def _timed(port: int, clients: tuple[str, str], chance: random.Random) -> tuple[list[float], list[float]]:
    line = await Line.open(port)
    requests = [_attempt(client, "w" * 64) for client in clients]
    found: tuple[list[float], list[float]] = ([], [])
    turns = [0, 1] * SAMPLES
    chance.shuffle(turns)
    for turn in [0, 1] * 200 + turns:
        got = await line.ask(requests[turn])
        if got is None or got.status != 401:
            raise RuntimeError(f"a wrong secret was answered {got and got.status}")
        found[turn].append(got.seconds)
    line.close()
    return found[0][200:], found[1][200:]


def welch(one: Sequence[float], two: Sequence[float]) -> float:
    """Return Welch's t of two samples."""
    spread = statistics.variance(one) / len(one) + statistics.variance(two) / len(two)
    return (statistics.fmean(one) - statistics.fmean(two)) / math.sqrt(spread)
