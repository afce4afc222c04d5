"""Backups: the whole database in one file, consistent while everything runs, and back from it into an empty one."""

import os
import re
import subprocess
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import psycopg

from fulfillment.infra.embedded.binaries import wheel_folder
from fulfillment.kernel.errors import FulfillmentError, Kind

Progress = Callable[[str, float], None]  # the table that is under way, and the share that is done, 0 to 1

_TABLE: Final = re.compile(r'(?:dumping contents of table|processing data for table) "?([\w.]+)"?')
_CHUNK: Final = 1024 * 1024
_SEES_ALL: Final = "SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user"
_SIZES: Final = """
SELECT nspname || '.' || relname, pg_total_relation_size(pg_class.oid)
  FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
 WHERE relkind = 'r' AND relpersistence = 'p' AND nspname = 'public'
"""
_ANYTHING: Final = """
SELECT count(*) FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
 WHERE nspname = 'public' AND relkind IN ('r', 'p', 'v', 'm', 'S')
"""
_HAS_ROLE: Final = "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = 'fulfillment')"
_CREATE_ROLE: Final = "CREATE ROLE fulfillment NOLOGIN NOSUPERUSER NOBYPASSRLS"
# A restored database counts its transactions anew, and events are read in their order: so they begin a new era.
_NEXT_ERA: Final = """
DO $$
BEGIN
  EXECUTE format('ALTER TABLE public.events ALTER COLUMN era SET DEFAULT %s', public.current_event_era() + 1);
END
$$;
"""


class BackupFileTaken(FulfillmentError):
    """The file is there already; a backup overwrites nothing."""

    kind = Kind.CONFLICT
    code = "backup_file_taken"
    title = "The file exists"


class BackupUnreadable(FulfillmentError):
    """The file is no backup, or not a whole one."""

    kind = Kind.INVALID
    code = "backup_unreadable"
    title = "Not a backup"


class DatabaseNotEmpty(FulfillmentError):
    """The database has tables; a restore goes into an empty one."""

    kind = Kind.CONFLICT
    code = "database_not_empty"
    title = "The database is not empty"


class BackupFailed(FulfillmentError):
    """PostgreSQL's tool failed; what was begun is undone."""

    kind = Kind.UNAVAILABLE
    code = "backup_failed"
    title = "The backup could not be made or restored"


@dataclass(frozen=True, slots=True)
class Summary:
    """What was written or read."""

    tables: int
    size: int  # bytes of the file


def backup(dsn: str, file: Path, progress: Progress) -> Summary:
    """Write the database at *dsn* to *file*, as it is at this moment.

    The file appears when it is whole; only its owner may read it. It is PostgreSQL's custom format (pg_restore).

    Args:
        dsn: Of a superuser, or of the database's owner.

    Raises:
        BackupFileTaken: *file* exists.
        BackupFailed: The database can't be read, or the file can't be written.
    """
    if file.exists():
        raise BackupFileTaken(f"{file} exists: give another name, or move it away.")
    sizes, sees_all = _look(dsn)
    partial = file.with_name(f".{file.name}.partial")
    try:
        os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600))
    except OSError as fault:
        raise BackupFailed(f"{partial.parent} can't be written to: {fault.strerror}.") from fault
    try:
        arguments = ["--format=custom", "--no-unlogged-table-data", "--verbose"]
        arguments += [] if sees_all else ["--enable-row-security"]
        with _started("pg_dump", *arguments, f"--file={partial}", dsn=dsn) as dumping:
            _finish(dumping, "pg_dump", sizes, progress)
        tables = len(_contents(partial))
        _publish(partial, file)
    finally:
        partial.unlink(missing_ok=True)
    return Summary(tables, file.stat().st_size)


def restore(dsn: str, file: Path, progress: Progress) -> Summary:
    """Fill the empty database at *dsn* from *file*: all of it, or nothing.

    Its events begin a new era, so that partners' cursors into the feed stay good.

    Args:
        dsn: Of a superuser, or of the database's owner.

    Raises:
        BackupUnreadable: *file* is none of `backup`'s.
        DatabaseNotEmpty: There are tables in it.
        BackupFailed: The database refuses it; nothing is left of it there.
    """
    tables = _contents(file)
    _check_empty(dsn)
    arguments = ["--file=-", "--verbose", *_owners(dsn)]
    loading = ["--no-psqlrc", "--quiet", "--single-transaction", "--set=ON_ERROR_STOP=1", "--file=-"]
    with (
        _started("psql", *loading, dsn=dsn, stdin=subprocess.PIPE) as psql,
        _started("pg_restore", *arguments, "--enable-row-security", file, stdout=subprocess.PIPE) as reading,
    ):
        _relay(reading, psql, dict.fromkeys(tables, 1), progress)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("ANALYZE")
    return Summary(len(tables), file.stat().st_size)


def _look(dsn: str) -> tuple[Mapping[str, int], bool]:
    try:
        with psycopg.connect(dsn, connect_timeout=10) as connection:
            sizes = dict(connection.execute(_SIZES).fetchall())
            row = connection.execute(_SEES_ALL).fetchone()
    except psycopg.OperationalError as fault:
        raise BackupFailed("The database does not answer.") from fault
    return sizes, bool(row and row[0])


def _check_empty(dsn: str) -> None:
    try:
        with psycopg.connect(dsn, connect_timeout=10) as connection:
            row = connection.execute(_ANYTHING).fetchone()
    except psycopg.OperationalError as fault:
        raise BackupFailed("The database does not answer.") from fault
    if row and row[0]:
        raise DatabaseNotEmpty(f"It has {row[0]} tables: restore into an empty database, or another data dir.")


def _owners(dsn: str) -> list[str]:
    """Return how to take over what the file says of roles: as it is for a superuser, else as far as roles exist."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        row = connection.execute(_SEES_ALL).fetchone()
        if row and row[0]:
            return []
        found = connection.execute(_HAS_ROLE).fetchone()
        if found and found[0]:
            return ["--no-owner"]
        try:
            connection.execute(_CREATE_ROLE)
        except psycopg.errors.InsufficientPrivilege:
            return ["--no-owner", "--no-privileges"]  # row-level security then holds the owner instead
    return ["--no-owner"]


def _contents(file: Path) -> list[str]:
    """Return the tables whose rows are in *file*."""
    if not file.is_file():
        raise BackupUnreadable(f"There is no file {file}.")
    done = subprocess.run(  # noqa: S603  # no shell; our own program
        [wheel_folder() / "pg_restore", "--list", file],
        env=_environment(None),
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    tables = re.findall(r"^\d+; \d+ \d+ TABLE DATA (\w+ \w+)", done.stdout, re.MULTILINE)
    names = [table.replace(" ", ".") for table in tables]
    if done.returncode != 0 or "public.orders" not in names:
        raise BackupUnreadable(f"{file} is no backup of this system, or not a whole one.")
    return names


def _publish(partial: Path, file: Path) -> None:
    try:
        os.link(partial, file)  # unlike a rename it replaces nothing
    except FileExistsError:
        raise BackupFileTaken(f"{file} exists: somebody else made it meanwhile.") from None
    except OSError:  # a file system without links
        if file.exists():
            raise BackupFileTaken(f"{file} exists: somebody else made it meanwhile.") from None
        partial.rename(file)


def _started(
    name: str,
    *arguments: str | Path,
    dsn: str | None = None,
    stdin: int = subprocess.DEVNULL,
    stdout: int = subprocess.DEVNULL,
) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(  # noqa: S603  # no shell; our own program
        [wheel_folder() / name, *arguments],
        env=_environment(dsn),
        stdin=stdin,
        stdout=stdout,
        stderr=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is ours to judge
    )


def _environment(dsn: str | None) -> dict[str, str]:
    # By the environment, since anyone can read arguments, and the URL may hold a password.
    variables = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
    if dsn is not None:
        with psycopg.connect(dsn, connect_timeout=10) as connection:
            info = connection.info
            variables |= {"PGHOST": info.host, "PGPORT": str(info.port), "PGUSER": info.user, "PGDATABASE": info.dbname}
            if info.password:
                variables["PGPASSWORD"] = info.password
            given = info.get_parameters()
            variables |= {f"PG{name.upper()}": given[name] for name in ("sslmode", "sslrootcert") if name in given}
        # Row-level security shows nothing to a role that it holds, unless it may see every partner's rows.
        variables["PGOPTIONS"] = "-c fulfillment.tenant=*"
    return variables


def _finish(process: "subprocess.Popen[bytes]", name: str, weights: Mapping[str, int], progress: Progress) -> None:
    try:
        said = _follow(process.stderr, weights, progress)
    except BaseException:  # Ctrl-C does not reach it
        process.kill()
        raise
    if process.wait() != 0:
        raise _failed(name, said)


def _relay(
    reading: "subprocess.Popen[bytes]", psql: "subprocess.Popen[bytes]", weights: Mapping[str, int], progress: Progress
) -> None:
    said: list[str] = []
    refused: list[str] = []
    followers = [
        threading.Thread(target=lambda: said.extend(_follow(reading.stderr, weights, progress))),
        threading.Thread(target=lambda: refused.extend(_follow(psql.stderr, {}, progress))),
    ]
    for follower in followers:
        follower.start()
    try:
        if reading.stdout is None or psql.stdin is None:
            raise BackupFailed("The restore can't be started.")
        broken = _pass_on(reading.stdout, psql.stdin)
        if not broken and reading.wait() != 0:
            psql.kill()  # before it sees the end of its input, which it would take for the end of the file
        elif not broken:
            psql.stdin.write(_NEXT_ERA.encode())
            psql.stdin.close()
        psql.wait()
        reading.stdout.close()
        reading.wait()
    finally:
        for process in (reading, psql):
            process.kill()
        for follower in followers:
            follower.join()
    if psql.returncode != 0 or broken:
        raise _failed("psql", refused) if refused else _failed("pg_restore", said)


def _pass_on(source: IO[bytes], target: IO[bytes]) -> bool:
    """Copy until the end and return whether the target gave up before."""
    try:
        while chunk := source.read(_CHUNK):
            target.write(chunk)
        target.flush()
    except BrokenPipeError:
        return True
    return False


def _follow(stream: IO[bytes] | None, weights: Mapping[str, int], progress: Progress) -> list[str]:
    """Report progress from what a tool says, and return its last lines."""
    total, done, under_way = sum(weights.values()) or 1, 0, ""
    lines: list[str] = []
    for raw in stream or ():
        line = raw.decode("utf-8", "replace").strip()
        lines = [*lines[-20:], line]
        if found := _TABLE.search(line):
            done += weights.get(under_way, 0)
            under_way = found[1]
            progress(under_way, done / total)
    return lines


def _failed(name: str, said: list[str]) -> BackupFailed:
    errors = [line for line in said if "error" in line.lower()] or said[-1:] or ["without a word"]
    return BackupFailed(f"{name} failed: {errors[0].partition('error: ')[2] or errors[0]}")
