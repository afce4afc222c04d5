"""A new release under load: its migrations run while the old code serves, then every process is replaced."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import fulfillment
from tests.chaos.checker import Verdict, judge
from tests.chaos.clients import Crowd
from tests.chaos.stage import Stage, folder_for, staged

_VERSION: Final = "20991231235957"
# One lock on a table in use in each file: a transaction that takes two can deadlock with requests.
_MIGRATIONS: Final = {
    f"{_VERSION}_add_notes.sql": """\
-- migrate:up
SET lock_timeout = '2s';
CREATE TABLE chaos_notes (id text PRIMARY KEY, order_id text COLLATE "C" NOT NULL, note text NOT NULL);
SELECT pg_sleep(1.5);
CREATE INDEX chaos_notes_order ON chaos_notes (order_id);
GRANT SELECT, INSERT, UPDATE, DELETE ON chaos_notes TO fulfillment;
ALTER TABLE chaos_notes ADD FOREIGN KEY (order_id) REFERENCES orders (id);
-- migrate:down
""",
    "20991231235958_add_note.sql": """\
-- migrate:up
SET lock_timeout = '2s';
ALTER TABLE orders ADD COLUMN chaos_note text;
-- migrate:down
""",
    "20991231235959_add_levels.sql": """\
-- migrate:up
SET lock_timeout = '2s';
ALTER TABLE partners ADD COLUMN chaos_level int NOT NULL DEFAULT 1;
-- migrate:down
""",
}
_UP: Final = """
import sys
from pathlib import Path
from fulfillment.infra import migrate
print(len(migrate.up(sys.argv[1], folder=Path(sys.argv[2]))))
"""
_OLD_CODE_SECONDS: Final = 3.0  # the old release on the new schema


def play(seed: int, patience: float = 1.0) -> list[Verdict]:
    """Upgrade a server under load, one migrator killed in the middle and two at once, and return the verdicts."""
    folder = folder_for("upgrade")
    release = folder / "release"
    shutil.copytree(
        Path(fulfillment.__file__).parent, release / "fulfillment", ignore=shutil.ignore_patterns("__pycache__")
    )
    stage = Stage(folder, seed=seed, share=0.0, environment={"PYTHONPATH": str(release)})
    with staged(stage):
        stage.start()
        crowd = Crowd.at_work(stage, creators=3)
        time.sleep(2)
        migrations = release / "fulfillment" / "migrations"
        for name, text in _MIGRATIONS.items():
            (migrations / name).write_text(text)
        killed = _kill_one_migrator(stage, migrations)
        exits = _migrate_twice(stage, migrations)
        time.sleep(_OLD_CODE_SECONDS)
        stage.server.reload()
        time.sleep(1)
        crowd.stop()
        verdicts = judge(stage, crowd.journal, patience=patience)
        verdicts.append(_verdict(stage, crowd, killed, exits))
        stage.clean = not any(verdict.violations for verdict in verdicts)
    return verdicts


def _migrator(stage: Stage, migrations: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", _UP, stage.database.owner_dsn, str(migrations)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)


def _kill_one_migrator(stage: Stage, migrations: Path) -> bool:
    """kill -9 of a migrator that is in the middle of the file, and return whether nothing of it is there."""
    process = _migrator(stage, migrations)
    _wait_for(
        lambda: bool(
            stage.sql("SELECT 1 FROM pg_stat_activity WHERE query LIKE '%pg_sleep(1.5)%' AND pid <> pg_backend_pid()")
        )
    )
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    applied = stage.sql("SELECT 1 FROM schema_migrations WHERE version = %s", _VERSION)
    return not applied


def _migrate_twice(stage: Stage, migrations: Path) -> list[int]:
    migrators = [_migrator(stage, migrations) for _ in range(2)]
    return [migrator.wait(60) for migrator in migrators]


def _wait_for(happened: Callable[[], bool]) -> None:
    until = time.monotonic() + 30
    while not happened():
        if time.monotonic() > until:
            raise TimeoutError("the migration does not begin")
        time.sleep(0.02)


def _verdict(stage: Stage, crowd: Crowd, killed: bool, exits: list[int]) -> Verdict:
    wrong = [] if killed else ["a migration that was killed had been applied"]
    wrong += [f"migrators ended with {exits}"] if any(exits) else []
    versions = stage.sql("SELECT count(*) FROM schema_migrations WHERE version = %s", _VERSION)[0][0]
    wrong += [f"the version is there {versions} times"] if versions != 1 else []
    statuses = crowd.journal.statuses
    wrong += [f"{name} x {count}" for name, count in statuses.items() if name.rpartition(" ")[2][0] == "5"]
    served = sum(count for name, count in statuses.items() if name.rpartition(" ")[2].isdigit())
    checked = (
        f"{served} answers; one migrator killed, two at once; old code on the new schema {_OLD_CODE_SECONDS:.0f} s"
    )
    return Verdict("S-43", "an upgrade under load: 0 x 5xx, applied once", checked, wrong)
