"""Shows that the judge sees: the code is broken on purpose in a copy, and the play has to find out."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Final

import fulfillment
from tests.chaos.checker import Verdict

_SECONDS: Final = 15
_AT_ONCE: Final = 2
_LATER: Final = '''
async def announce(tx: Tx, events: Sequence[NewEvent]) -> None:
    """Write *events* in a transaction of their own, a little later."""
    import asyncio

    from fulfillment.infra.db import Database

    async def later() -> None:
        await asyncio.sleep(0.1)
        db = Database(dsn, size=1)
        async with db.transaction("*") as own:
            await _announce(own, events)
        await db.close()

    dsn = tx.connection.info.dsn
    _TASKS.append(asyncio.create_task(later()))


_TASKS: list[object] = []


async def _announce(tx: Tx, events: Sequence[NewEvent]) -> None:
'''


@dataclass(frozen=True, slots=True)
class Mutant:
    """One class of bug."""

    name: str
    changes: tuple[tuple[str, str, str], ...]  # file, text, what it becomes
    faults: tuple[str, ...]
    seen_by: frozenset[str]  # the verdicts of which one at least must be broken


_CLAIM: Final = (
    "return Claim(caller.partner_id, operation, key, fingerprint(path, content)) if key is not None else None"
)
_LOCK: Final = ' ORDER BY id\n   FOR NO KEY UPDATE\n"""\n\nLOCK_LOTS_BY_ID'
_WAIT: Final = "synchronous_commit = on\n"
_ANNOUNCE: Final = "async def announce(tx: Tx, events: Sequence[NewEvent]) -> None:\n"

MUTANTS: Final = (
    Mutant(
        "no idempotency key",
        (("orders/http.py", _CLAIM, "return None"),),
        ("cut", "api", "backend"),
        frozenset({"I2"}),
    ),
    Mutant(
        "stock read, then written",
        (
            ("inventory/queries.py", _LOCK, _LOCK.replace("   FOR NO KEY UPDATE\n", "")),
            ("migrations/20261123000009_create_accept_orders.sql", "\n      FOR NO KEY UPDATE;", ";"),
            ("migrations/20261123000001_create_core.sql", "CHECK (reserved BETWEEN 0 AND on_hand)", "CHECK (true)"),
        ),
        ("worker",),
        frozenset({"I3"}),
    ),
    Mutant(
        "commits that do not wait for the disk",
        (("infra/embedded/cluster.py", _WAIT, "synchronous_commit = off\nwal_writer_delay = 2s\n"),),
        ("postmaster", "immediate"),
        frozenset({"I1", "I2"}),
    ),
    Mutant(
        "events outside of the transaction",
        (("webhooks/service.py", _ANNOUNCE, _LATER),),
        ("api", "postmaster"),
        frozenset({"I4/I6"}),
    ),
)


def play(seed: int) -> list[Verdict]:
    """Play every mutant, two at a time, and return the verdicts."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        found = list(pool.map(_play, MUTANTS, repeat(seed)))
    return [
        Verdict("S-02", f"seen: {mutant.name}", said, [] if said.startswith("seen") else [said])
        for mutant, said in zip(MUTANTS, found, strict=True)
    ]


def _play(mutant: Mutant, seed: int) -> str:
    folder = Path(tempfile.mkdtemp(prefix="mutant-"))
    try:
        write_copy(mutant, folder)
        verdicts = folder / "verdicts.json"
        command = [sys.executable, "-m", "tests.chaos", "--only", "soup", "--seconds", str(_SECONDS)]
        command += ["--seed", str(seed), "--verdicts", str(verdicts), "--quiet-seconds", "10"]
        for fault in mutant.faults:
            command += ["--fault", fault]
        done = subprocess.run(
            command, env=os.environ | {"PYTHONPATH": str(folder)}, capture_output=True, text=True, check=False
        )
        if not verdicts.exists():
            return "not seen: the play itself broke: " + (done.stderr or done.stdout)[-500:]
        broken = {name: count for name, count in json.loads(verdicts.read_text()).items() if count}
        if mutant.seen_by & set(broken):
            return "seen by " + ", ".join(f"{name} ({count})" for name, count in broken.items())
        return f"not seen; broken were {broken}"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_copy(mutant: Mutant, folder: Path) -> None:
    """Write the code with the bug of *mutant* to *folder*."""
    source = Path(fulfillment.__file__).parent
    copy = folder / "fulfillment"
    shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__"))
    for name, text, other in mutant.changes:
        path = copy / name
        before = path.read_text()
        if text not in before:
            raise LookupError(f"{mutant.name}: {name} no longer holds what is to be broken: {text!r}")
        path.write_text(before.replace(text, other, 1))
