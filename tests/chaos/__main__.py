"""Runs the play: `python -m tests.chaos [--seconds N] [--seed S] [--fault NAME ...]`; status 1 on any violation."""

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from rich.console import Console
from rich.table import Table

from tests.chaos import guessing, hot_rows, mutants, overload, races, rolling, rotation, slow_clients
from tests.chaos.checker import QUIET_SECONDS, Verdict, judge
from tests.chaos.clients import Crowd
from tests.chaos.faults import LONG, SHORT, Weather
from tests.chaos.proxy import Proxy
from tests.chaos.stage import FAKETIME, Stage

_CUT_SHARE = 0.02  # of the requests
_CONSTANT = ("cut", "clock")  # not moments, but all the time
_LONG_SECONDS = 200.0
_TMPFS_MEGABYTES = 700


def main() -> int:
    """Play what was asked for, and return the exit status."""
    arguments = _arguments()
    console = Console(soft_wrap=True)
    acts = [arguments.only] if arguments.only else ["soup", "rolling"] if arguments.seconds else list(_ACTS)
    acts = list(_LONGER) if arguments.longer else acts
    broken = 0
    for act in acts:
        broken += (_ACTS | _LONGER)[act](console, arguments)
    console.print("Nothing was found." if not broken else f"{broken} promises were broken.")
    return 1 if broken else 0


def _soup(console: Console, arguments: argparse.Namespace) -> int:
    long = arguments.seconds is None
    faults = arguments.fault or [*(LONG if long else SHORT), *_CONSTANT]
    return soup(console, arguments.seconds or _LONG_SECONDS, arguments, faults, long=long)


def _rolling(console: Console, arguments: argparse.Namespace) -> int:
    return report(console, "Rolling restart under load", rolling.play(arguments.seed))


def _overload(console: Console, arguments: argparse.Namespace) -> int:
    return report(console, "Three times the capacity", overload.play(arguments.seed))


def _mutants(console: Console, arguments: argparse.Namespace) -> int:
    found = mutants.hunt(arguments.seed)
    table = Table("what was broken", "what the play said", title="Bugs on purpose", title_justify="left")
    for name, said in found.items():
        table.add_row(name, said)
    console.print(table)
    return sum(not said.startswith("seen") for said in found.values())


def _act(title: str, play: Callable[[int], list[Verdict]]) -> Callable[[Console, argparse.Namespace], int]:
    return lambda console, arguments: report(console, title, play(arguments.seed))


# Beyond the ten minutes: each by its name, or all of them with --longer.
_LONGER: Final = {
    "races": _act("The last unit and one key, raced for", races.play),
    "rotation": _act("Secrets rotated under load", rotation.play),
    "slow": _act("Slow and idle clients", slow_clients.play),
    "guessing": _act("Guesses, a flood, a clock", guessing.play),
    "rows": _act("Hot rows", hot_rows.play),
}
_ACTS: Final = {"soup": _soup, "rolling": _rolling, "overload": _overload, "mutants": _mutants}


def soup(console: Console, seconds: float, arguments: argparse.Namespace, faults: list[str], *, long: bool) -> int:
    """Let faults happen under load for *seconds*, judge, and return how many promises were broken."""
    seed: int = arguments.seed
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    folder.chmod(0o711)
    stage = Stage(folder, seed=seed, tmpfs_megabytes=_TMPFS_MEGABYTES if "disk" in faults else 0)
    possible = LONG if long else LONG | SHORT
    chosen = {name: possible[name] for name in faults if name in possible}
    if "disk" in chosen and not stage.mounted:
        console.print("A full disk can't be played here: mounting a tmpfs needs root.")
        del chosen["disk"]
    try:
        stage.start()
        proxy = Proxy((urlsplit(stage.server.url).hostname or "", stage.server.port), seed)
        proxy.start()
        urls = [f"http://127.0.0.1:{proxy.port}"]
        if "clock" in faults:
            if FAKETIME is None:
                console.print("A wrong clock can't be played here: libfaketime is not installed.")
            else:
                stage.skew("+1h")
                urls.append(str(stage.extra_url))
        crowd = Crowd(stage, urls)
        crowd.prepare()
        weather = Weather(stage, chosen)
        console.print(f"Seed {seed}, {seconds:.0f} s of: {', '.join(faults)}")
        proxy.share = _CUT_SHARE if "cut" in faults else 0.0
        crowd.start()
        weather.start()
        time.sleep(seconds)
        weather.stop()
        proxy.share = 0.0
        stage.server.wait()
        crowd.stop()
        stage.heal()
        crowd.journal.faults += weather.errors
        verdicts = judge(
            stage,
            crowd.journal,
            quiet_seconds=arguments.quiet_seconds,
            away=weather.away,
            patience=arguments.patience,
        )
        if arguments.verdicts:
            counts = {verdict.name: len(verdict.violations) for verdict in verdicts}
            Path(arguments.verdicts).write_text(json.dumps(counts))
        happened = ", ".join(f"{name} {count}" for name, count in sorted(weather.happened.items()))
        console.print(f"Happened: {happened}; cuts {proxy.cuts}")
        console.print(dict(sorted(crowd.journal.statuses.items())))
        broken = report(console, f"Faults under load, seed {seed}", verdicts)
        proxy.stop()
    except BaseException:
        console.print(stage.server.log()[-5000:])
        raise
    finally:
        stage.stop()
    if broken:
        console.print(f"The logs are in {folder}.")
    else:
        shutil.rmtree(folder, ignore_errors=True)
    return broken


def report(console: Console, title: str, verdicts: list[Verdict]) -> int:
    """Print the verdicts and return how many promises were broken."""
    table = Table(title=title, title_justify="left")
    for column in ("", "promise", "checked", "violations"):
        table.add_column(column, overflow="fold")
    for verdict in verdicts:
        found = "0" if not verdict.violations else f"{len(verdict.violations)}: " + "; ".join(verdict.violations[:3])
        table.add_row(verdict.name, verdict.promise, verdict.checked, found)
    console.print(table)
    return sum(bool(verdict.violations) for verdict in verdicts)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, help="length of the load; default: everything, some eight minutes")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--fault", action="append", choices=[*LONG, *_CONSTANT], help="only these; may be repeated")
    parser.add_argument("--only", choices=[*_ACTS, *_LONGER], help="only this act")
    parser.add_argument("--longer", action="store_true", help="the acts that the ten minutes have no place for")
    parser.add_argument("--quiet-seconds", type=float, default=QUIET_SECONDS, help="for the deliveries to end")
    parser.add_argument("--patience", type=float, default=1.0, help="times the seconds that are promised")
    parser.add_argument("--verdicts", help="a file for the number of violations by name, as JSON")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
