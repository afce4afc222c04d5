"""What the system holds while it is at work: memory, files, sessions, and the rows of what is to be purged."""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, LiteralString

import psycopg

from tests.chaos.stage import Stage, memory_megabytes

SESSION: Final = "session"
DRIVER: Final = "driver"
_KEPT: Final[Mapping[str, LiteralString]] = {
    table: f"SELECT count(*), coalesce(extract(epoch FROM now() - min(created_at)), 0)::float8 FROM {table}"
    for table in ("idempotency_keys", "events", "webhook_deliveries", "webhook_attempts", "request_log")
}
_SESSIONS: Final = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend'"
_SIZES: Final = "SELECT relname, pg_total_relation_size(oid) / 1e6 FROM pg_class WHERE relname = ANY (%s)"
_WHOLE: Final = "SELECT pg_database_size(current_database()) / 1e6"


@dataclass(frozen=True, slots=True)
class Sample:
    """What the processes hold at a moment."""

    at: float  # seconds since the load began
    megabytes: dict[str, float]  # resident, by process; of the database's sessions the mean
    descriptors: dict[str, int]
    sessions: int  # of the database
    sync_ms: float = 0.0  # that the disk took for a page of its own: whether a slow commit is ours or the machine's


@dataclass(frozen=True, slots=True)
class Kept:
    """What a table holds at a moment."""

    rows: int
    oldest_seconds: float
    megabytes: float  # with its indexes


@dataclass(frozen=True, slots=True)
class Tables:
    """What is to be purged, and all of the database."""

    at: float
    kept: dict[str, Kept]
    megabytes: float  # of the whole database


class Watcher:
    """Looks at a stage's processes and tables, over one session of its own."""

    def __init__(self, stage: Stage, *, purger: int, driver: int) -> None:
        self._connection = psycopg.connect(stage.superuser_dsn, autocommit=True)
        self._others = {"purger": purger, DRIVER: driver}
        self._stage = stage
        self._began = time.monotonic()

    def __enter__(self) -> "Watcher":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def begin(self) -> None:
        """Count seconds from now on."""
        self._began = time.monotonic()

    def look(self) -> Sample:
        """Return what the processes hold."""
        backends: list[int] = [row[0] for row in self._connection.execute(_SESSIONS)]
        processes = self._processes()
        return Sample(
            time.monotonic() - self._began,
            {name: memory_megabytes([pid]) for name, pid in processes.items()}
            | {SESSION: sum(map(_private_megabytes, backends)) / len(backends)},
            {name: len(os.listdir(f"/proc/{pid}/fd")) for name, pid in processes.items()},
            len(backends),
            self._sync_ms(),
        )

    def count(self) -> Tables:
        """Return what the tables hold."""
        sizes: dict[str, float] = {
            name: float(size) for name, size in self._connection.execute(_SIZES, [list(_KEPT)]).fetchall()
        }
        kept: dict[str, Kept] = {}
        for table, statement in _KEPT.items():
            row = self._connection.execute(statement).fetchone()
            assert row is not None
            kept[table] = Kept(row[0], row[1], sizes[table])
        whole = self._connection.execute(_WHOLE).fetchone()
        assert whole is not None
        return Tables(time.monotonic() - self._began, kept, float(whole[0]))

    def _sync_ms(self) -> float:
        with (self._stage.data_dir / "sync-probe").open("wb", buffering=0) as probe:
            probe.write(bytes(8192))
            began = time.monotonic()
            os.fdatasync(probe.fileno())
            return 1000 * (time.monotonic() - began)

    def _processes(self) -> dict[str, int]:
        server = self._stage.server
        named = {f"api {pid}": pid for pid in server.pids("fulfillment.app")}
        named |= {f"worker {pid}": pid for pid in server.pids("fulfillment.worker")}
        if server.process is not None:
            named["supervisor"] = server.process.pid
        return {name: pid for name, pid in (named | self._others).items() if Path(f"/proc/{pid}/fd").exists()}


def _private_megabytes(pid: int) -> float:
    """Return the memory of a session without the shared buffers, which it touches one after another."""
    try:
        resident, shared = map(int, Path(f"/proc/{pid}/statm").read_text().split()[1:3])
    except OSError:
        return 0.0
    return (resident - shared) * os.sysconf("SC_PAGE_SIZE") / 1024 / 1024
