"""Others hold every connection of the database: 503 within the deadline, and all as before once they let go."""

import contextlib
import time
from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Final

import httpx2
import psycopg

from tests.chaos.checker import Verdict, judge
from tests.chaos.clients import Crowd
from tests.chaos.stage import Stage, folder_for, staged

_BEFORE_SECONDS: Final = 3.0
_FULL_SECONDS: Final = 8.0
_AFTER_SECONDS: Final = 4.0
_LATEST_SECONDS: Final = 2.0  # after the connections are free nobody is turned away any more
_LONGEST_SECONDS: Final = 6.0  # of an answer: a second above what a caller waits for the database
_SETTLED_SECONDS: Final = 0.5  # for an answer that was on its way when the last connection went
_ASKED: Final = {"/v1/orders?limit=1": 503, "/v1/protocols": 503, "/readyz": 503, "/livez": 200}
_GUEST: Final = "guest"
_FILLING_SECONDS: Final = 30.0
_PLACES: Final = """
SELECT sum(CASE name WHEN 'max_connections' THEN setting::int ELSE -setting::int END)::int FROM pg_settings
 WHERE name IN ('max_connections', 'superuser_reserved_connections', 'reserved_connections')
"""
_PUT_OUT: Final = f"""
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
 WHERE backend_type = 'client backend' AND application_name <> '{_GUEST}' AND pid <> pg_backend_pid()
"""


@dataclass(slots=True)
class Full:
    """What was seen while no connection was left."""

    guests: int = 0
    began: float = 0.0
    leaving: float = 0.0  # the first of them
    ended: float = 0.0
    longest: float = 0.0  # seconds, of an answer
    answers: "Counter[tuple[str, int]]" = field(default_factory=Counter[tuple[str, int]])


def play(seed: int, patience: float = 1.0) -> list[Verdict]:
    """Take every connection away under load, give them back, and return the verdicts."""
    stage = Stage(folder_for("crowded"), seed=seed, share=0.0)
    with staged(stage):
        stage.start()
        crowd = Crowd.at_work(stage, creators=6)
        time.sleep(_BEFORE_SECONDS)
        full = Full()
        with _taken(stage, full), crowd.client(0, stage.server.url) as client:
            _ask(client, full)
        time.sleep(_AFTER_SECONDS * patience)
        crowd.stop()
        # While guests come in, a connection that is free for a moment looks like the database's return.
        crowd.journal.recoveries.clear()
        verdicts = judge(stage, crowd.journal, away=[(full.began, full.ended)], patience=patience)
        verdicts.append(_turned_away(crowd, full, patience))
        stage.clean = not any(verdict.violations for verdict in verdicts)
    return verdicts


@contextlib.contextmanager
def _taken(stage: Stage, full: Full) -> Generator[None]:
    """Hold every connection that PostgreSQL has for others than the superuser."""
    with contextlib.ExitStack() as stack:
        # It keeps a few for the superuser, who puts out whoever else has one until there are guests only.
        host = stack.enter_context(psycopg.connect(stage.superuser_dsn, autocommit=True, application_name=_GUEST))
        places = host.execute(_PLACES).fetchall()[0][0] - 1  # the host has one
        until = time.monotonic() + _FILLING_SECONDS
        # By their number: who is put out is out of sight before the place is free.
        while full.guests < places:
            if time.monotonic() > until:
                raise RuntimeError(f"only {full.guests} of {places} connections could be taken")
            try:
                guest = psycopg.connect(stage.database.app_dsn, autocommit=True, application_name=_GUEST)
            except psycopg.OperationalError:
                host.execute(_PUT_OUT.encode())
            else:
                stack.callback(guest.close)
                full.guests += 1
        full.began = time.monotonic()
        yield
        full.leaving = time.monotonic()
    full.ended = time.monotonic()


def _ask(client: httpx2.Client, full: Full) -> None:
    """Ask a server that has no connection, and note what it answers and how long that takes."""
    until = time.monotonic() + _FULL_SECONDS
    while time.monotonic() < until:
        for path in _ASKED:
            began = time.monotonic()
            answer = client.get(path)
            full.longest = max(full.longest, time.monotonic() - began)
            full.answers[path, answer.status_code] += 1
        time.sleep(0.1)


def _turned_away(crowd: Crowd, full: Full, patience: float) -> Verdict:
    journal = crowd.journal
    latest = _LATEST_SECONDS * patience
    wrong = [f"{path} {status}" for path, status in full.answers if _ASKED[path] != status]
    if full.longest > _LONGEST_SECONDS * patience:
        wrong.append(f"an answer took {full.longest:.1f} s")
    while_full = [moment for moment in journal.refusals if full.began <= moment <= full.leaving]
    wrong += [] if while_full else ["nobody was turned away: connections were left"]
    settled = full.began + _SETTLED_SECONDS
    made = [moment - full.began for moment in journal.acks if settled <= moment <= full.leaving]
    wrong += [f"an order {after:.1f} s after the last connection was taken" for after in made]
    late = [moment for moment in journal.refusals if moment > full.ended + latest]
    wrong += [f"503 {moment - full.ended:.1f} s after connections were free" for moment in late]
    if not any(moment > full.ended for moment in journal.acks):
        wrong.append("no order after connections were free")
    checked = (
        f"{full.guests} connections held for {full.leaving - full.began:.0f} s; {len(while_full)} x 503 under load, "
        f"{sum(full.answers.values())} asked beside, the slowest {full.longest:.2f} s"
    )
    return Verdict("S-38", f"no connection left: 503 at once, and none {latest:.0f} s after", checked, wrong)
