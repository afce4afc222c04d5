"""Shows that the judge sees: the code is broken on purpose in a copy, and the play has to find out."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
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
            ("migrations/20261123000012_create_accept_batch.sql", "THEN pick.quantity END", "THEN 0 END"),
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
        return list(pool.map(_play, MUTANTS, repeat(seed)))


def _play(mutant: Mutant, seed: int) -> Verdict:
    faults = [argument for fault in mutant.faults for argument in ("--fault", fault)]
    soup = ["--only", "soup", "--seconds", str(_SECONDS), "--quiet-seconds", "10"]
    return judged("S-02", mutant, [*soup, "--seed", str(seed), *faults])


def judged(row: str, mutant: Mutant, arguments: Sequence[str]) -> Verdict:
    """Play with *arguments* against a copy that has the bug, and return whether it was seen, as a verdict of *row*."""
    folder = Path(tempfile.mkdtemp(prefix="mutant-"))
    try:
        write_copy(mutant, folder)
        verdicts = folder / "verdicts.json"
        path = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
        done = subprocess.run(
            [sys.executable, "-m", "tests.chaos", *arguments, "--verdicts", str(verdicts)],
            env=os.environ | {"PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        said = _said(mutant, json.loads(verdicts.read_text())) if verdicts.exists() else ""
        said = said or "not seen: the play itself broke: " + (done.stderr or done.stdout)[-500:]
        return Verdict(row, f"seen: {mutant.name}", said, [] if said.startswith("seen") else [said])
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _said(mutant: Mutant, found: Mapping[str, int]) -> str:
    broken = {name: count for name, count in found.items() if count}
    if mutant.seen_by & set(broken):
        return "seen by " + ", ".join(f"{name} ({count})" for name, count in broken.items())
    return f"not seen; broken were {broken}"


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
