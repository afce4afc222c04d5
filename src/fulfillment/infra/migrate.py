"""Brings a database to the schema of this code: dbmate over the SQL files in fulfillment/migrations."""

import os
import shutil
import subprocess
import sysconfig
import time
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import quote, urlencode

import psycopg
from psycopg.conninfo import conninfo_to_dict

from fulfillment.infra.embedded.binaries import wheel_folder
from fulfillment.kernel.errors import FulfillmentError, Kind

MIGRATIONS: Final = Path(__file__).parent.parent / "migrations"
# What dbmate's driver knows of libpq's parameters; it sends all others to the server, which refuses them.
_SHARED_PARAMETERS: Final = frozenset({"sslmode", "sslrootcert", "sslcert", "sslkey", "options"})
_PAUSES_SECONDS: Final = (0.2, 0.4, 0.8)
_LOST_RACES: Final = ("(55P03)", "(40P01)")  # lock timeout, deadlock: as dbmate ends its sentence
_LIBPQ_SSLMODES: Final = frozenset({None, "prefer", "allow"})  # "as the server likes": a decision the driver lacks


class MigrationFailed(FulfillmentError):
    """The database can't be brought to this schema; what was applied before the failing file stays."""

    kind = Kind.UNAVAILABLE
    code = "migration_failed"
    title = "A migration failed"


class Migration(NamedTuple):
    """One file and whether the database has it."""

    version: str  # the leading digits of the file's name
    applied: bool


def up(dsn: str, *, folder: Path = MIGRATIONS) -> list[str]:
    """Apply what is missing, in order, and return the versions applied; [] when there was nothing to do.

    Two callers at once take turns. A file is one transaction: a kill leaves all of it or nothing. One that can't have
    a lock within its lock_timeout is tried a few times, with pauses in which those that wait behind it go on.

    Raises:
        MigrationFailed: A file is refused by the database; the sentence says which and why.
        psycopg.OperationalError: The database does not answer.
    """
    missing = pending(dsn, folder=folder)
    if missing:
        _migrate(dsn, folder)
    return missing


def _migrate(dsn: str, folder: Path) -> None:
    for pause in (*_PAUSES_SECONDS, None):
        try:
            _dbmate(dsn, "--no-dump-schema", "--migration-lock", "migrate", folder=folder)
            return
        except MigrationFailed as fault:
            if pause is None or not fault.detail.endswith(_LOST_RACES):
                raise
        # A file that lost a lock to the requests of the old processes was undone as a whole: it may simply run again.
        time.sleep(pause)


def status(dsn: str, *, folder: Path = MIGRATIONS) -> list[Migration]:
    """Return every migration of this code, oldest first.

    Raises:
        psycopg.OperationalError: The database does not answer.
    """
    applied = _applied(dsn)
    return [Migration(version, version in applied) for version in versions(folder)]


def pending(dsn: str, *, folder: Path = MIGRATIONS) -> list[str]:
    """Return the versions that the database lacks, oldest first."""
    return [version for version, applied in status(dsn, folder=folder) if not applied]


def newer(dsn: str, *, folder: Path = MIGRATIONS) -> list[str]:
    """Return the versions that the database has and this code doesn't: a newer release has been here.

    That is no fault by itself: during a rolling upgrade old code runs on the new schema.
    """
    return sorted(_applied(dsn) - set(versions(folder)))


def versions(folder: Path = MIGRATIONS) -> list[str]:
    """Return the versions of the files in *folder*, oldest first."""
    names = sorted(path.name for path in folder.glob("[0-9]*.sql"))
    return [name.partition("_")[0] for name in names]


def dump_schema(dsn: str, path: Path, *, folder: Path = MIGRATIONS) -> None:
    """Write the database's whole schema, as migrated, to *path*.

    Raises:
        MigrationFailed: pg_dump fails.
        psycopg.OperationalError: The database does not answer.
    """
    _dbmate(dsn, "--schema-file", str(path.absolute()), "dump", folder=folder)


def _applied(dsn: str) -> set[str]:
    with psycopg.connect(dsn, connect_timeout=10, autocommit=True) as connection:
        if connection.execute("SELECT to_regclass('schema_migrations')").fetchone() == (None,):
            return set()
        return {version for (version,) in connection.execute("SELECT version FROM schema_migrations").fetchall()}


def _dbmate(dsn: str, *arguments: str, folder: Path) -> None:
    # By the environment, since anyone can read arguments; in its own folder, since dbmate reads ./.env.
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PG", "DBMATE_"))}
    environment["DATABASE_URL"] = _url(dsn)
    environment["PATH"] = f"{wheel_folder()}:{environment.get('PATH', '/usr/bin:/bin')}"
    done = subprocess.run(  # noqa: S603  # no shell; paths are ours
        [_program(), "--env-file", os.devnull, "--migrations-dir", folder, *arguments],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        start_new_session=True,  # Ctrl-C is ours to judge
        check=False,
    )
    if done.returncode != 0:
        raise MigrationFailed(_fault(done))


def _fault(done: subprocess.CompletedProcess[str]) -> str:
    lines = [line for line in f"{done.stdout}\n{done.stderr}".splitlines() if line.strip()]
    last_file = next((line.partition(": ")[2] for line in reversed(lines) if line.startswith("Applying: ")), None)
    fault = next((line.removeprefix("Error: ") for line in reversed(lines) if line.startswith("Error: ")), None)
    return f"{last_file or 'dbmate'} failed: {fault or f'status {done.returncode}'}"


def _program() -> str:
    beside = Path(sysconfig.get_path("scripts")) / "dbmate"
    program = str(beside) if beside.is_file() else shutil.which("dbmate")
    if program is None:
        raise MigrationFailed("dbmate is not installed: run make setup.")
    return program


def _url(dsn: str) -> str:
    """Return *dsn* as a URL of dbmate's driver, whose defaults differ from libpq's.

    What libpq found (passwords from files, TLS or not) is asked of a live connection.
    """
    with psycopg.connect(dsn, connect_timeout=10) as connection:
        info, given = connection.info, conninfo_to_dict(dsn)
        parameters = {key: str(value) for key, value in given.items() if key in _SHARED_PARAMETERS}
        if parameters.get("sslmode") in _LIBPQ_SSLMODES:
            parameters["sslmode"] = "require" if connection.pgconn.ssl_in_use else "disable"
        user = quote(info.user, safe="") + (f":{quote(info.password, safe='')}" if info.password else "")
        place = "" if info.host.startswith("/") else f"{_bracketed(info.host)}:{info.port}"
        if not place:
            parameters |= {"host": info.host, "port": str(info.port)}
        query = urlencode(parameters, quote_via=quote)
        return f"postgres://{user}@{place}/{quote(info.dbname, safe='')}?{query}"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
