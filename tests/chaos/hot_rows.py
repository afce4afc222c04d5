"""Sixteen clients order the same twenty products, ten at a time in any order: nobody waits in a circle."""

import asyncio
import random
import shutil
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Final

from tests.chaos.checker import Verdict
from tests.chaos.sockets import Line, a_request, open_lines, orders_body
from tests.chaos.stage import Stage

SECONDS: Final = 60.0
_CLIENTS: Final = 16
_LINES: Final = 10
_PRODUCTS: Final = tuple(range(88_400_000_000, 88_400_000_020))
_TURNS: Final = 3
_WAYS: Final = (("single", 1, True), ("sorted", _LINES, False), ("mixed", _LINES, True))
_LEAST_SHARE: Final = 0.8  # of what the same lines bring in an order that is the same each time


def play(seed: int, seconds: float = SECONDS) -> list[Verdict]:
    """Order one line, ten in a standing order, ten in any order, by turns; return the verdicts."""
    folder = Path(tempfile.mkdtemp(prefix="rows-"))
    folder.chmod(0o711)
    stage = Stage(folder, seed=seed, share=0.0, processes=2, workers=1)
    try:
        stage.start(partner_count=1)
        stage.sql("UPDATE partners SET webhook_url = NULL")
        for product in _PRODUCTS:
            stage.office.product(product, [2_000_000_000])
        token = stage.token(stage.partners[0])
        statuses: Counter[str] = Counter()
        asyncio.run(_order(stage.server.port, token, 2, seed, 1, statuses, shuffled=True))
        statuses.clear()
        rates: dict[str, list[float]] = {name: [] for name, _, _ in _WAYS}
        for turn in range(_TURNS):  # by turns: the machine and the tables are not the same at the end
            for name, count, shuffled in _WAYS:
                work = _order(stage.server.port, token, seconds / _TURNS / 3, turn, count, statuses, shuffled=shuffled)
                rates[name].append(asyncio.run(work))
        single, sorted_, mixed = (sum(rates[name]) / _TURNS for name, _, _ in _WAYS)
        log = (stage.data_dir / "postgres.log").read_text(errors="replace")
        ((reserved,),) = stage.sql("SELECT sum(reserved)::bigint FROM lots WHERE product_id = ANY (%s)", [*_PRODUCTS])
        ((taken,),) = stage.sql("SELECT coalesce(sum(quantity), 0)::bigint FROM reservations")
        ((deadlocks,),) = stage.sql("SELECT sum(deadlocks)::int FROM pg_stat_database")
    finally:
        stage.stop()
    shutil.rmtree(folder, ignore_errors=True)
    circles = [f"pg_stat_database counts {deadlocks}"] if deadlocks else []
    circles += [f"the log has {word}" for word in ("deadlock", "40P01", "40001") if word in log]
    circles += [f"{status} x {count}" for status, count in statuses.items() if status != "201"]
    wrong = [f"{reserved} pills are reserved, {taken} taken"] if reserved != taken else []
    share = mixed / sorted_
    slow = [f"{share:.0%} of the standing order's rate"] if share < _LEAST_SHARE else []
    shown = (
        f"{single:.0f} orders/s of 1 line; of {_LINES} lines {sorted_:.0f}/s in a standing order, "
        f"{mixed:.0f}/s in any order ({mixed * _LINES / single:.1f} x the lines of single-line orders)"
    )
    return [
        Verdict("S-39", "no deadlock on hot rows", f"{deadlocks} deadlocks; {dict(statuses)}", circles),
        Verdict("S-39", f"any order of lines brings {_LEAST_SHARE:.0%} of a standing one", shown, slow),
        Verdict("S-39", "stock is exact afterwards", f"{reserved} reserved, {taken} taken", wrong),
    ]


async def _order(
    port: int, token: str, seconds: float, seed: int, count: int, statuses: "Counter[str]", *, shuffled: bool
) -> float:
    """Let every client order as fast as it is answered; return the orders a second."""
    chance = random.Random(seed)
    until = time.monotonic() + seconds
    made = 0

    async def run(line: Line, place: int) -> None:
        nonlocal made
        number = 0
        while time.monotonic() < until:
            number += 1
            products = chance.sample(_PRODUCTS, count)
            body = orders_body(products if shuffled else sorted(products), f"hot-{place}-{number}")
            got = await line.ask(a_request("POST", "/v1/orders", token=token, body=body))
            statuses["cut" if got is None else f"{got.status} {got.code}".strip()] += 1
            made += got is not None and got.status == 201

    lines = await open_lines(port, _CLIENTS)
    await asyncio.gather(*(run(line, place) for place, line in enumerate(lines)))
    for line in lines:
        line.close()
    return made / seconds
