"""Runs the play: `python -m tests.chaos [--quick] [--only ACT] [--seconds N] [--seed S]`; status 1 on any violation."""

import argparse
import json
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tests.chaos import (
    clocks,
    crowded,
    disk,
    drill,
    guessing,
    hot_rows,
    mutants,
    outages,
    overload,
    paging,
    races,
    recovery,
    rolling,
    rotation,
    setting,
    slow_clients,
    soak,
    upgrade,
)
from tests.chaos import soup as soups
from tests.chaos.checker import QUIET_SECONDS, Verdict
from tests.chaos.faults import LONG, SHORT

Act = Callable[[argparse.Namespace], list[Verdict]]

_QUICK: Final = ("soup", "outages", "rolling")
_QUICK_SOUP_SECONDS: Final = 30.0
_QUICK_PATIENCE: Final = 4.0  # the machine that runs the tests may be slow and busy; only seconds are forgiven
_SOUP_SECONDS: Final = 60.0
_DISK_SECONDS: Final = 20.0
_BOOTS: Final = 10


def main() -> int:
    """Play what was asked for, and return the exit status."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, _end)
    console = Console(soft_wrap=True)
    broken = 0
    began = time.monotonic()
    usual = _LONGER if arguments.longer else _ACTS
    for act in arguments.only or (_QUICK if arguments.quick else usual):
        broken += _perform(console, act, arguments)
    console.print(f"{time.monotonic() - began:.0f} s in all.")
    console.print("Nothing was found." if not broken else f"{broken} promises were broken.")
    return 1 if broken else 0


def _end(*_: object) -> None:
    raise SystemExit(143)  # so that every stage is taken down


def _perform(console: Console, act: str, arguments: argparse.Namespace) -> int:
    title, play = {**_ACTS, **_LONGER}[act]
    began = time.monotonic()
    verdicts = play(arguments)
    if arguments.verdicts:
        counts = {verdict.name: len(verdict.violations) for verdict in verdicts}
        Path(arguments.verdicts).write_text(json.dumps(counts))
    return report(console, f"{title} (seed {arguments.seed}, {time.monotonic() - began:.0f} s)", verdicts)


def report(console: Console, title: str, verdicts: list[Verdict]) -> int:
    """Print the verdicts and return how many promises were broken."""
    table = Table(title=title, title_justify="left")
    for column in ("", "promise", "checked", "violations"):
        table.add_column(column, overflow="fold")
    for verdict in verdicts:
        found = "0" if not verdict.violations else f"{len(verdict.violations)}: " + "; ".join(verdict.violations[:3])
        table.add_row(verdict.name, verdict.promise, escape(verdict.checked), escape(found))
    console.print(table)
    return sum(bool(verdict.violations) for verdict in verdicts)


def _soup(arguments: argparse.Namespace) -> list[Verdict]:
    recipe = soups.Recipe(
        seed=arguments.seed,
        seconds=arguments.seconds or (_QUICK_SOUP_SECONDS if arguments.quick else _SOUP_SECONDS),
        faults=arguments.fault or (*SHORT, *soups.CONSTANT),
        patience=arguments.patience,
        quiet_seconds=arguments.quiet_seconds,
        long=not arguments.quick and not arguments.verdicts,
        keeps_logs=not arguments.verdicts,
        tampered=not arguments.verdicts,
    )
    return soups.play(recipe)


_ACTS: Final[Mapping[str, tuple[str, Act]]] = {
    "soup": ("Faults under load", _soup),
    "outages": ("The database restarted under load", lambda given: outages.play(given.seed, given.patience)),
    "rolling": (
        "Rolling restart under load",
        lambda given: rolling.play(given.seed, given.patience, 1 if given.quick else rolling.RELOADS),
    ),
    "overload": ("Three times the capacity", lambda given: overload.play(given.seed)),
    "clocks": ("Clocks that differ", lambda given: clocks.play(given.seed, given.patience)),
    "disk": (
        "A full disk",
        lambda given: disk.play(given.seed, given.seconds or _DISK_SECONDS, given.patience),
    ),
    "boots": ("First boots killed", lambda given: recovery.boots(given.points, given.patience)),
    "wal": ("A long recovery", lambda given: recovery.wal(given.seed, given.gigabytes)),
    "upgrade": ("An upgrade under load", lambda given: upgrade.play(given.seed, given.patience)),
    "drill": ("A restore drill", lambda given: drill.play(given.seed, given.patience)),
    "soak": ("Half of the capacity", lambda given: soak.play(given.seed, given.seconds or soak.SECONDS)),
    "mutants": ("Bugs on purpose", lambda given: mutants.play(given.seed)),
}

# Beyond the ten minutes: each by its name, or all of them with --longer.
_LONGER: Final[Mapping[str, tuple[str, Act]]] = {
    "crowded": ("No connection left", lambda given: crowded.play(given.seed, given.patience)),
    "races": ("The last unit and one key, raced for", lambda given: races.play(given.seed)),
    "rotation": ("Secrets rotated under load", lambda given: rotation.play(given.seed)),
    "slow": (
        "Slow and idle clients",
        lambda given: slow_clients.play(given.seed, given.seconds or slow_clients.SECONDS),
    ),
    "guessing": ("Guesses, and a flood", lambda given: guessing.play(given.seed, given.seconds or guessing.SECONDS)),
    "timing": ("What the clock tells of a client", lambda given: guessing.time_it(given.seed)),
    "paging": (
        "Lists read while they grow",
        lambda given: paging.play(given.seed, given.orders, shows_mutants=not given.verdicts),
    ),
    "setting": ("Clocks that are set", lambda given: setting.play(given.seed, given.patience)),
    "rows": ("Hot rows", lambda given: hot_rows.play(given.seed)),
}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two minutes for every change, patient with slow machines")
    parser.add_argument("--only", action="append", choices=[*_ACTS, *_LONGER], help="only this act; may be repeated")
    parser.add_argument("--longer", action="store_true", help="the acts that the ten minutes have no place for")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, help="length of the load (soup, soak) or of the fault (disk)")
    parser.add_argument("--points", type=int, default=_BOOTS, help="first boots to kill, over their first 1.5 s")
    parser.add_argument("--orders", type=int, default=paging.ORDERS, help="that come in (paging)")
    parser.add_argument("--gigabytes", type=float, default=3.0, help="of WAL to recover")
    parser.add_argument("--fault", action="append", choices=[*LONG, *soups.CONSTANT], help="soup: only these")
    parser.add_argument("--patience", type=float, help="times the seconds that are promised")
    parser.add_argument("--quiet-seconds", type=float, default=QUIET_SECONDS, help="for the deliveries to end")
    parser.add_argument("--verdicts", help="a file for the number of violations by name, as JSON")
    given = parser.parse_args()
    given.patience = given.patience or (_QUICK_PATIENCE if given.quick else 1.0)
    return given


if __name__ == "__main__":
    sys.exit(main())
