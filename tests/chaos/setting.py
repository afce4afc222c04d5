"""Clocks that are set while all runs: over a change of summer time, at a leap second, by an hour, on one machine.

libfaketime spoils sleeps that count by the clock nobody sets, so a small library of our own stands before the C
library's: it moves what tells the time of day, at one moment for every process, and nothing else.
"""

import asyncio
import shutil
import struct
import subprocess
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import httpx2
from psycopg.conninfo import conninfo_to_dict

from fulfillment.infra.postgres import EmbeddedPostgres
from tests.chaos.checker import Arrival, Verdict, in_order, judge, read_arrivals, signed, signed_at
from tests.chaos.clients import Crowd
from tests.chaos.clocks import cursors, leases, tokens
from tests.chaos.listening import Listener, end_with_first
from tests.chaos.stage import PartnerAccount, Stage, folder_for, staged

_SOURCE: Final = Path(__file__).with_name("setclock.c")
_COMPILER: Final = shutil.which("cc")
_LEAD_SECONDS: Final = 5.0  # of load before the clock is set, or the hour is over
_AFTER_SECONDS: Final = 6.0
_EARLY_SECONDS: Final = 60.0  # that the stage is made before
_HOUR: Final = 3600.0
_NEAR_SECONDS: Final = 2.0  # a moment that is stored and one outside may be apart by so much
_IN_THE_AIR: Final = 20  # being sent at one moment: a clock set ahead ends their leases, and another worker sends them
_CHUNK: Final = 65536


@dataclass(frozen=True, slots=True)
class Scene:
    """What happens to the clock of everything."""

    name: str
    zone: str = "UTC"
    at: datetime | None = None  # the moment that is passed; None: the present
    step: float = 0.0  # seconds that the clock is set by, at that moment


SCENES: Final = (
    Scene("summer time ends", "America/New_York", datetime(2026, 11, 1, 6, tzinfo=UTC)),
    Scene("summer time begins", "America/New_York", datetime(2027, 3, 14, 7, tzinfo=UTC)),
    # As a kernel does it: the last second of the day comes twice.
    Scene("a leap second", "UTC", datetime(2027, 1, 1, tzinfo=UTC), -1.0),
    Scene("an hour back", "America/New_York", None, -_HOUR),
    Scene("an hour ahead", "America/New_York", None, _HOUR),
)
ONE_MACHINE: Final = "one machine an hour back"


class SetClock:
    """A time of day that can be set while processes run that were started with its `variables`."""

    def __init__(self, folder: Path) -> None:
        self._library, self._file = folder / "setclock.so", folder / "setclock"
        command = [str(_COMPILER), "-O2", "-shared", "-fPIC", "-o", str(self._library), str(_SOURCE), "-ldl"]
        subprocess.run(command, check=True)
        self.off = 0.0
        self.set(0.0)

    @property
    def variables(self) -> dict[str, str]:
        """The environment of a process whose clock this is."""
        return {"LD_PRELOAD": str(self._library), "SETCLOCK_FILE": str(self._file)}

    def programs(self, real: Path) -> Path:
        """Return a folder of PostgreSQL's programs whose server has this clock: it is started with no environment."""
        folder = self._file.parent / "programs"
        folder.mkdir()
        for program in real.iterdir():
            (folder / program.name).symlink_to(program)
        server = folder / "postgres"
        server.unlink()
        exported = " ".join(f"{name}='{value}'" for name, value in self.variables.items())
        server.write_text(f"#!/bin/sh\nexport {exported}\nexec '{real / 'postgres'}' \"$@\"\n")
        server.chmod(0o755)
        return folder

    def set(self, off: float) -> None:
        """Set it to so many seconds beside the real time, for all at once: the file is mapped by each."""
        self.off = off
        with self._file.open("r+b" if self._file.exists() else "wb", buffering=0) as file:
            file.write(struct.pack("q", round(off * 1e9)))

    def set_to(self, moment: datetime, early: float) -> None:
        """Set it to so many seconds before a moment."""
        self.set(moment.timestamp() - early - time.time())


class Renewing(Crowd):
    """Partners as they should be: refused a token, they take a new one and ask again."""

    def __init__(self, stage: Stage, urls: list[str]) -> None:
        super().__init__(stage, urls)
        self.renewed = 0
        self._owners: dict[str, PartnerAccount] = dict(zip(self._tokens, stage.partners, strict=True))

    def _renew(self, operation: str, client: httpx2.Client) -> bool:
        owner = self._owners.get(client.headers["Authorization"].removeprefix("Bearer "))
        new = self.stage.token(owner) if owner else self.stage.operators_token()
        with self.journal.lock:
            self.journal.faults.remove(f"{operation}: 401 for a good token")
            self.renewed += 1
            if owner:
                self._owners[new] = owner
        client.headers["Authorization"] = f"Bearer {new}"
        return True


def play(seed: int, patience: float = 1.0, only: str | None = None) -> list[Verdict]:
    """Play every scene, and one machine whose clock is set beside a database whose is not; return the verdicts."""
    if _COMPILER is None:
        return [Verdict("S-36", "clocks that are set", "not played: there is no C compiler", [])]
    scenes = [scene for scene in SCENES if only in {None, scene.name}]
    verdicts = [verdict for scene in scenes for verdict in _everywhere(scene, seed, patience)]
    return verdicts + (_on_one_machine(seed, patience) if only in {None, ONE_MACHINE} else [])


def _everywhere(scene: Scene, seed: int, patience: float) -> list[Verdict]:
    folder = folder_for("setting")
    clock = SetClock(folder)
    programs = clock.programs(EmbeddedPostgres(folder / "data", echo=lambda _: None).bin_dir)
    environment = clock.variables | {"TZ": scene.zone, "FULFILLMENT_POSTGRES_BIN": str(programs)}
    stage = Stage(folder, seed=seed, share=0.0, processes=2, workers=2, environment=environment)
    with staged(stage):
        if scene.at is not None:
            clock.set_to(scene.at, _EARLY_SECONDS)
        stage.start()
        crowd = Renewing(stage, [stage.server.url])
        crowd.prepare()
        if scene.at is not None:
            clock.set_to(scene.at, _LEAD_SECONDS)
            stage.office.follow_clock()
        began = time.time() + clock.off
        crowd.start()
        time.sleep(_LEAD_SECONDS)
        passed = time.time() + clock.off
        if scene.step:
            clock.set(clock.off + scene.step)
            stage.office.follow_clock()
        time.sleep(_AFTER_SECONDS)
        crowd.stop()
        ended = time.time() + clock.off
        verdicts = _judged(stage, crowd, patience, scene.step, passed)
        verdicts += [
            tokens(stage, [stage.server.url]),
            cursors(stage, [stage.server.url]),
            leases(stage, scene.name, _IN_THE_AIR if scene.step > 0 else 0),
            _refused(crowd, scene),
            _moments(stage, min(began, began + _LEAD_SECONDS + scene.step), max(began + _LEAD_SECONDS, ended)),
        ]
        verdicts = _of_scene(verdicts, scene.name)
        stage.clean = not any(verdict.violations for verdict in verdicts)
    return verdicts


def _on_one_machine(seed: int, patience: float) -> list[Verdict]:
    """Set the clock of one machine an hour back and forth; its database is on another."""
    folder = folder_for("setting")
    clock = SetClock(folder)
    stage = Stage(folder, seed=seed, share=0.0, processes=1, workers=1)
    with staged(stage):
        stage.start()
        tunnel = Tunnel(str(conninfo_to_dict(stage.database.app_dsn)["host"]))
        tunnel.start()
        role = conninfo_to_dict(stage.database.app_dsn)["user"]
        elsewhere = {"FULFILLMENT_DATABASE_URL": f"postgresql://{role}@127.0.0.1:{tunnel.port}/fulfillment"}
        urls = [stage.server.url, stage.add_api(clock.variables | elsewhere)]
        stage.add_worker(clock.variables | elsewhere)
        crowd = Renewing(stage, urls)
        crowd.prepare()
        began = time.time()
        crowd.start()
        for off in (-_HOUR, 0.0, _HOUR, 0.0):
            time.sleep(_LEAD_SECONDS)
            clock.set(off)
        time.sleep(_LEAD_SECONDS)
        crowd.stop()
        verdicts = _judged(stage, crowd, patience)
        verdicts += [tokens(stage, urls), cursors(stage, urls), leases(stage, "one worker's is set 4 times")]
        verdicts += [_refused(crowd, None), _moments(stage, began, time.time())]
        verdicts = _of_scene(verdicts, ONE_MACHINE)
        stage.clean = not any(verdict.violations for verdict in verdicts)
    tunnel.stop()
    return verdicts


def _judged(stage: Stage, crowd: Crowd, patience: float, step: float = 0.0, passed: float = 0.0) -> list[Verdict]:
    """Return what the judge says, but for what goes by the time of day.

    Arrivals are ordered by their place in the log. What was on its way when the clock was set, at the moment *passed*
    by its old time, was signed by the old time and came by the new one.
    """
    verdicts = judge(stage, crowd.journal, patience=patience)
    arrivals = read_arrivals(stage.arrivals)
    ordered = in_order([replace(one, at=place) for place, one in enumerate(arrivals)])
    on_the_way = [step and abs(one.at - step - passed) < _NEAR_SECONDS and _early(one, step) for one in arrivals]
    held = [replace(one, at=one.at - step) if way else one for one, way in zip(arrivals, on_the_way, strict=True)]
    instead = {verdict.name: verdict for verdict in (ordered, signed(stage.partners, held))}
    return [instead.get(verdict.name, verdict) for verdict in verdicts]


def _early(one: Arrival, step: float) -> bool:
    """Tell whether an arrival's signature is nearer to the old time than to the new one."""
    off = signed_at(one) - one.at
    return abs(off + step) < abs(off)


def _of_scene(verdicts: list[Verdict], name: str) -> list[Verdict]:
    return [replace(verdict, promise=f"{name}: {verdict.promise}") for verdict in verdicts]


def _refused(crowd: Renewing, scene: Scene | None) -> Verdict:
    """A token may be refused where time itself is before its making or after its end; anywhere else it may not."""
    may = scene is not None and abs(scene.step) >= _HOUR
    wrong = [f"{crowd.renewed} x 401"] if crowd.renewed and not may else []
    return Verdict("S-36", "no good token is refused", f"{crowd.renewed} taken anew", wrong)


def _moments(stage: Stage, earliest: float, latest: float) -> Verdict:
    """Look whether what is stored happened in the time of the play."""
    wrong = [
        f"{table} {id_} is of {at}"
        for table in ("orders", "events")
        for id_, at in stage.sql(f"SELECT id, created_at FROM {table}")
        if not earliest - _NEAR_SECONDS <= at.timestamp() <= latest + _NEAR_SECONDS
    ]
    ((checked,),) = stage.sql(
        "SELECT format('%s orders and events', (SELECT count(*) FROM orders) + count(*)) FROM events"
    )
    return Verdict("S-36", "every stored moment is one of the play", checked, wrong)


class Tunnel(Listener):
    """Brings the database's socket to a port, as if it were on another machine."""

    def __init__(self, sockets: str) -> None:
        super().__init__()
        self._path = f"{sockets}/.s.PGSQL.5432"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass everything on, both ways."""
        there, away = await asyncio.open_unix_connection(self._path)
        ways = [asyncio.create_task(_pass(reader, away)), asyncio.create_task(_pass(there, writer))]
        await end_with_first(*ways)
        for end in (writer, away):
            end.close()


async def _pass(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    while data := await source.read(_CHUNK):
        target.write(data)
        await target.drain()
