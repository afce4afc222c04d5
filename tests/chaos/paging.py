"""Ten thousand orders come in while others read the list, by pages of 1, 7 and 100, in both directions.

What a page owes is told from outside: every order whose creation had been answered before the page was asked for, and
whose place is between the page before it and its own last order. So an order that comes in meanwhile is owed, too,
wherever its place is still ahead of the reader.
"""

import asyncio
import json
import time
from bisect import bisect_left, bisect_right
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import psycopg

from tests.chaos.checker import Verdict
from tests.chaos.mutants import Mutant, judged
from tests.chaos.sockets import Line, a_request, an_order, open_lines
from tests.chaos.stage import Stage, folder_for, staged

ORDERS: Final = 10_000
_LIMITS: Final = (1, 7, 100)
_WAYS: Final = ("next", "previous")
_BEFORE: Final = 0.1  # of them are there before anybody reads
_RATE: Final = 150.0  # orders a second: the shorter walks begin and end many times meanwhile
_WRITERS: Final = 8
_PRODUCT: Final = 88_500_000_000
_MUTANTS_ORDERS: Final = 300
_NEWEST: Final = "    newest = await service.list_newest("
_CURSOR: Final = "        items, key_of(items[-1]) if more else None,"
MUTANTS: Final = (
    Mutant(
        "the next page begins one order too late",
        (("infra/cursors.py", _CURSOR, _CURSOR.replace("items[-1]", "rows[-1]")),),
        (),
        frozenset({"missed"}),
    ),
    Mutant(
        "the next page begins one order too early",
        (("infra/cursors.py", _CURSOR, _CURSOR.replace("items[-1]", "items[-2 if len(items) > 1 else -1]")),),
        (),
        frozenset({"twice"}),
    ),
    Mutant(
        "a page is shown as it was before",
        (("orders/routes.py", _NEWEST, f"    if kept is not None:\n        return kept.answer\n{_NEWEST}"),),
        (),
        frozenset({"missed"}),
    ),
)

# The ids of a page as they are shown, and the cursor of the one behind it.
Turn = Callable[[str | None], Awaitable[tuple[list[str], str | None]]]


@dataclass(frozen=True, slots=True)
class Page:
    """A page in reading order."""

    asked: float  # the moment it was asked for
    ids: Sequence[str]


@dataclass(slots=True)
class Walk:
    """A list read from one end to the other."""

    way: str
    limit: int
    pages: list[Page] = field(default_factory=list[Page])

    @property
    def ids(self) -> list[str]:
        """Return every order, in reading order."""
        return [id_ for page in self.pages for id_ in page.ids]


@dataclass(frozen=True, slots=True)
class Faults:
    """What is wrong with a walk."""

    missed_of_before: int  # of the orders that were there when it began
    missed_of_later: int  # of those that came meanwhile, ahead of the reader
    twice: int
    unsorted: bool


def faults_of(walk: Walk, answered: Mapping[str, float]) -> Faults:
    """Compare *walk* with the moments at which the creation of each order had been *answered*."""
    ids = walk.ids
    began = walk.pages[0].asked
    known = sorted(answered)
    missed: set[str] = set()
    behind = "~" if walk.way == "next" else ""
    for place, page in enumerate(walk.pages):
        end = ("" if walk.way == "next" else "~") if place == len(walk.pages) - 1 else page.ids[-1]
        low, high = min(behind, end), max(behind, end)
        between = known[bisect_left(known, low) : bisect_right(known, high)]
        shown = {behind, *page.ids}
        missed.update(id_ for id_ in between if answered[id_] < page.asked and id_ not in shown)
        behind = end
    before = {id_ for id_ in known if answered[id_] < began}
    return Faults(
        len(before - set(ids)),
        len(missed - before),
        len(ids) - len(set(ids)),
        ids != sorted(ids, reverse=walk.way == "next"),
    )


def play(seed: int, orders: int = ORDERS, *, shows_mutants: bool = True) -> list[Verdict]:
    """Let orders come in while others read, and return the verdicts."""
    unlimited = {"FULFILLMENT_RATE_LIMIT_PER_MINUTE": "1000000", "FULFILLMENT_LOG_LEVEL": "error"}
    stage = Stage(folder_for("paging"), seed=seed, share=0.0, processes=2, workers=1, environment=unlimited)
    with staged(stage):
        stage.start(partner_count=1)
        stage.sql("UPDATE partners SET webhook_url = NULL")
        stage.office.product(_PRODUCT, [2_000_000_000])
        reading = _Reading(stage, orders)
        asyncio.run(reading.run())
        stored = {row[0] for row in stage.sql("SELECT id FROM orders WHERE partner_id = %s", stage.partners[0].id)}
        stage.clean = True
    verdicts = [*reading.verdicts(stored), reading.control_verdict()]
    return verdicts + [_mutated(mutant, seed) for mutant in MUTANTS if shows_mutants]


class _Reading:
    """Writers that go on until all orders are there, and readers beside them, each with a last walk afterwards."""

    def __init__(self, stage: Stage, orders: int) -> None:
        self.answered: dict[str, float] = {}
        self.walks: list[Walk] = []
        self.controls: list[Walk] = []
        self.refused: list[str] = []
        self._stage, self._orders = stage, orders
        self._token = stage.token(stage.partners[0])
        self._began = self._ended = 0.0
        self._done = asyncio.Event()

    async def run(self) -> None:
        """Write some, then write and read at once."""
        before = int(self._orders * _BEFORE)
        await self._write(before, 0.0)
        self._began = time.perf_counter()
        readers = [asyncio.create_task(self._read(way, limit)) for way in _WAYS for limit in _LIMITS]
        readers.append(asyncio.create_task(self._read_by_number()))
        await self._write(self._orders, _RATE)
        self._ended = time.perf_counter()
        self._done.set()
        await asyncio.gather(*readers)

    async def _write(self, count: int, rate: float) -> None:
        lines = await open_lines(self._stage.server.port, _WRITERS)
        numbers = iter(range(count))
        began = time.perf_counter()

        async def write(line: Line) -> None:
            for number in numbers:
                if rate:
                    await asyncio.sleep(began + number / rate - time.perf_counter())
                request = a_request("POST", "/v1/orders", token=self._token, body=an_order(_PRODUCT, f"page-{number}"))
                got = await line.ask(request)
                if got is None or got.status != 201:
                    self.refused.append(f"a create was answered {got and got.status}")
                else:
                    self.answered[json.loads(got.body)["id"]] = time.perf_counter()

        await asyncio.gather(*map(write, lines))
        for line in lines:
            line.close()

    async def _read(self, way: str, limit: int) -> None:
        (line,) = await open_lines(self._stage.server.port, 1)

        async def turn(cursor: str | None) -> tuple[list[str], str | None]:
            query = f"limit={limit}&direction={way}" + (f"&cursor={cursor}" if cursor else "")
            got = await line.ask(a_request("GET", f"/v1/orders?{query}", token=self._token))
            if got is None or got.status != 200:
                raise RuntimeError(f"a page was answered {got and got.status}")
            page = json.loads(got.body)
            return [order["id"] for order in page["orders"]], page["cursor"]

        last = False
        while not last:
            last = self._done.is_set()
            self.walks.append(await _walk(way, limit, turn))
        line.close()

    async def _read_by_number(self) -> None:
        """Read as a list would be whose pages are numbered: the judge must see what that repeats."""
        statement = "SELECT id FROM orders WHERE partner_id = %s ORDER BY id DESC LIMIT 7 OFFSET %s"
        partner = self._stage.partners[0].id
        async with await psycopg.AsyncConnection.connect(self._stage.superuser_dsn, autocommit=True) as connection:

            async def turn(cursor: str | None) -> tuple[list[str], str | None]:
                await asyncio.sleep(0.005)
                rows = await (await connection.execute(statement, (partner, int(cursor or 0)))).fetchall()
                return [row[0] for row in rows], str(int(cursor or 0) + 7) if len(rows) == 7 else None

            while not self._done.is_set():
                self.controls.append(await _walk("next", 7, turn))

    def verdicts(self, stored: set[str]) -> list[Verdict]:
        """Return the verdicts on what was read."""
        missed: list[str] = []
        twice: list[str] = []
        unsorted: list[str] = []
        for walk in self.walks:
            faults = faults_of(walk, self.answered)
            name = f"{walk.way}, limit {walk.limit}"
            if faults.missed_of_before or faults.missed_of_later:
                missed.append(f"{name}: {faults.missed_of_before} of before, {faults.missed_of_later} of later")
            twice += [f"{name}: {faults.twice}"] if faults.twice else []
            unsorted += [name] if faults.unsorted else []
        for walk in self.walks:
            if walk.pages[0].asked > self._ended and set(walk.ids) != stored:  # as each reader's last
                missed.append(f"{walk.way}, limit {walk.limit}: {len(walk.ids)} read, {len(stored)} stored")
        meanwhile = [walk for walk in self.walks if walk.pages[0].asked < self._ended]
        pages = sum(len(walk.pages) for walk in meanwhile)
        by_limit = {limit: sum(walk.limit == limit for walk in meanwhile) for limit in _LIMITS}
        checked = (
            f"{len(self.answered)} orders, {len(self.answered) / (self._ended - self._began):.0f}/s; "
            f"{len(meanwhile)} walks begun meanwhile (by limit {by_limit}), {pages} pages"
        )
        return [
            Verdict("missed", "S-32: a page misses nothing", checked, missed + self.refused[:3]),
            Verdict("twice", "S-32: no order comes twice", f"{sum(len(w.ids) for w in self.walks)} orders read", twice),
            Verdict("order", "S-32: newest first, or oldest first", f"{len(self.walks)} walks", unsorted),
        ]

    def control_verdict(self) -> Verdict:
        """Return whether the judge saw what numbered pages do."""
        found = [faults_of(walk, self.answered) for walk in self.controls]
        repeated = sum(faults.twice for faults in found)
        checked = f"{repeated} repeated in {len(found)} walks by number"
        return Verdict(
            "S-32", "the judge sees lists whose pages are numbered", checked, [] if repeated else ["not seen"]
        )


async def _walk(way: str, limit: int, turn: Turn) -> Walk:
    walk, cursor = Walk(way, limit), None
    while not walk.pages or cursor is not None:
        asked = time.perf_counter()
        ids, cursor = await turn(cursor)
        walk.pages.append(Page(asked, ids if way == "next" else ids[::-1]))
    return walk


def _mutated(mutant: Mutant, seed: int) -> Verdict:
    """Read from a server whose cursors are broken on purpose: it must be seen."""
    return judged("S-32", mutant, ["--only", "paging", "--orders", str(_MUTANTS_ORDERS), "--seed", str(seed)])
