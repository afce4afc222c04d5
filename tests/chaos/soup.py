"""Faults under load: what can be killed, stopped, frozen or cut is, and the judge looks at the rest."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from tests.chaos import tampering
from tests.chaos.checker import QUIET_SECONDS, Verdict, judge
from tests.chaos.clients import Crowd
from tests.chaos.faults import LONG, SHORT, Weather
from tests.chaos.proxy import Proxy
from tests.chaos.stage import FAKETIME, Stage, folder_for, staged

CONSTANT: Final = ("cut", "clock")  # not moments, but all the time
_CUT_SHARE: Final = 0.02  # of the requests
_TMPFS_MEGABYTES: Final = 700


@dataclass(frozen=True, slots=True)
class Recipe:
    """What goes into a soup."""

    seed: int
    seconds: float = 60.0
    faults: Sequence[str] = (*SHORT, *CONSTANT)
    patience: float = 1.0  # times the seconds that are promised
    quiet_seconds: float = QUIET_SECONDS
    long: bool = False  # frozen for ten seconds instead of three
    keeps_logs: bool = True  # where something was found
    tampered: bool = False  # afterwards the judge is shown what is wrong, to see whether it sees


def play(recipe: Recipe) -> list[Verdict]:
    """Let faults happen under load and return the verdicts."""
    possible = LONG if recipe.long else LONG | SHORT
    chosen = {name: possible[name] for name in recipe.faults if name in possible}
    megabytes = _TMPFS_MEGABYTES if "disk" in chosen else 0
    stage = Stage(folder_for("soup"), seed=recipe.seed, tmpfs_megabytes=megabytes)
    with staged(stage):
        if not stage.mounted:
            chosen.pop("disk", None)
        stage.start()
        proxy = Proxy((urlsplit(stage.server.url).hostname or "", stage.server.port), recipe.seed)
        proxy.start()
        try:
            return _stir(recipe, stage, proxy, Weather(stage, chosen))
        finally:
            proxy.stop()


def _stir(recipe: Recipe, stage: Stage, proxy: Proxy, weather: Weather) -> list[Verdict]:
    urls = [f"http://127.0.0.1:{proxy.port}"]
    if "clock" in recipe.faults and FAKETIME is not None:
        stage.skew_worker("+1h")
        urls.append(stage.skew_api("+1h"))
    crowd = Crowd(stage, urls)
    crowd.prepare()
    proxy.share = _CUT_SHARE if "cut" in recipe.faults else 0.0
    crowd.start()
    weather.start()
    time.sleep(recipe.seconds)
    weather.stop()
    proxy.share = 0.0
    stage.server.wait()
    crowd.stop()
    stage.heal()
    crowd.journal.faults += weather.errors
    verdicts = judge(
        stage, crowd.journal, quiet_seconds=recipe.quiet_seconds, away=weather.away, patience=recipe.patience
    )
    verdicts.append(_happened(weather, proxy, crowd))
    found = any(verdict.violations for verdict in verdicts)
    stage.clean = not found or not recipe.keeps_logs
    if recipe.tampered and not found:
        verdicts.append(tampering.show(stage, crowd.journal))
    return verdicts


def _happened(weather: Weather, proxy: Proxy, crowd: Crowd) -> Verdict:
    cuts = proxy.cuts
    counts = {**weather.happened, "cut": cuts.before + cuts.within + cuts.after + cuts.answer}
    happened = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
    answers = ", ".join(f"{name} {count}" for name, count in sorted(crowd.journal.statuses.items()))
    return Verdict("faults", "what happened", f"{happened} — {answers}", [])
