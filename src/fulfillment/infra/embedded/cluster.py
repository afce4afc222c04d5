"""Creating and configuring a cluster. A cluster is either whole or not there."""

import secrets
import shutil
import signal
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from fulfillment.infra.embedded import leftovers
from fulfillment.infra.embedded.account import Account
from fulfillment.infra.embedded.binaries import Binaries
from fulfillment.infra.embedded.errors import DataDirUnusable, PostgresFailed
from fulfillment.infra.embedded.files import sync, write
from fulfillment.infra.embedded.home import Home
from fulfillment.infra.embedded.roles import ROLES, SUPERUSER
from fulfillment.infra.processes import tied_to_parent

MARK: Final = "fulfillment.complete"  # in PGDATA: everything before it is on disk
_INITDB: Final = (
    "--auth-local=peer",
    "--auth-host=reject",
    f"--username={SUPERUSER}",
    "--encoding=UTF8",
    # Sorts by code point in every place and release: no collation upgrade can spoil an index.
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--locale=C",
    "--data-checksums",
    "--no-instructions",
)
_SETTINGS: Final = """\
# Written at every start: put your own settings into operator.conf beside this file.
listen_addresses = ''
unix_socket_permissions = 0700
max_connections = 100

shared_buffers = 128MB
effective_cache_size = 1GB
work_mem = 8MB
maintenance_work_mem = 64MB
io_method = sync
max_parallel_workers_per_gather = 0
random_page_cost = 1.1
jit = off

fsync = on
# After a crash: one call for the whole file system instead of one for each file. Recovery took 0.3 s instead of 2.5.
recovery_init_sync_method = syncfs
synchronous_commit = on
full_page_writes = on
wal_compression = on
max_wal_size = 2GB
min_wal_size = 80MB
checkpoint_completion_target = 0.9

# Names and addresses of customers are in statements, parameters and error messages: none of them is logged.
# "log" is above "error" in this setting; errors of statements reach the program that sent them.
log_min_messages = log
log_min_error_statement = panic
log_error_verbosity = terse
log_parameter_max_length = 0
log_parameter_max_length_on_error = 0
log_checkpoints = off
log_autovacuum_min_duration = -1
log_line_prefix = '%m [%p] '

idle_in_transaction_session_timeout = 60s
timezone = 'UTC'
log_timezone = 'UTC'
lc_messages = 'C'
"""
_HBA: Final = """\
local all         all peer map=fulfillment
local replication all peer map=fulfillment
"""


def is_complete(cluster: Path) -> bool:
    """Return whether *cluster* was created to its end."""
    return (cluster / MARK).is_file()


def ensure(home: Home, binaries: Binaries, users: Sequence[str], echo: Callable[[str], None]) -> None:
    """Create the cluster unless it is there, check that its version is ours, and write its configuration.

    Args:
        users: The operating system's users that may connect, as any of our roles.

    Raises:
        PostgresFailed: initdb fails, or the cluster is of another major version.
        DataDirUnusable: It can't be read or written.
    """
    try:
        _sweep(home)
        if not is_complete(home.cluster):
            _set_aside(home, echo)
            _create(home, binaries, users)
        _check_version(home.cluster, binaries)
        configure(home.cluster, home, users)
    except OSError as fault:
        raise DataDirUnusable(f"{home.cluster} can't be used: {fault.strerror}.") from fault


def configure(cluster: Path, home: Home, users: Sequence[str]) -> None:
    """Write the settings and who may connect; the socket's place changes when the data dir is moved."""
    sockets = str(home.sockets).replace("'", "''")
    settings = f"{_SETTINGS}unix_socket_directories = '{sockets}'\ninclude_if_exists = 'operator.conf'\n"
    quoted = ['"' + user.replace('"', '""') + '"' for user in users]
    ident = "".join(f"fulfillment {user} {role}\n" for user in quoted for role in ROLES)
    if not (cluster / "operator.conf").exists():
        write(cluster / "operator.conf", "# Settings here win over postgresql.conf.\n", home.account)
    for name, text in (("postgresql.conf", settings), ("pg_hba.conf", _HBA), ("pg_ident.conf", ident)):
        write(cluster / name, text, home.account)


def _create(home: Home, binaries: Binaries, users: Sequence[str]) -> None:
    fresh = home.folder / f"postgres.new-{secrets.token_hex(4)}"
    fresh.mkdir(mode=0o700)
    home.account.give(fresh)
    try:
        _initdb(fresh, binaries, home.account)
        configure(fresh, home, users)
        write(fresh / MARK, f"{binaries.version}\n", home.account)
        fresh.rename(home.cluster)
        sync(home.folder)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise


def _initdb(cluster: Path, binaries: Binaries, account: Account) -> None:
    """Run initdb, which syncs all it wrote; it dies with us."""
    process = subprocess.Popen(  # noqa: S603  # no shell; paths are ours
        [binaries.folder / "initdb", "-D", cluster, *_INITDB],
        cwd="/",
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
        preexec_fn=tied_to_parent(signal.SIGKILL),
        **account.identity(),
    )
    try:
        said, _ = process.communicate()
    except BaseException:
        process.kill()
        process.wait()
        raise
    if process.returncode != 0:
        raise PostgresFailed(f"The database can't be created: {_last_line(said)}")


def _sweep(home: Home) -> None:
    """Remove what a start that was killed left behind; nothing in it was ever used."""
    for leftover in home.folder.glob("postgres.new-*"):
        leftovers.kill(leftover, home.account)  # initdb dies with its parent, but not its own children
        shutil.rmtree(leftover, ignore_errors=True)


def _set_aside(home: Home, echo: Callable[[str], None]) -> None:
    """Move away what lies at the cluster's place without the mark: it isn't ours to delete."""
    if not home.cluster.exists():
        return
    if not any(home.cluster.iterdir()):
        home.cluster.rmdir()
        return
    aside = home.folder / f"postgres.incomplete-{secrets.token_hex(4)}"
    home.cluster.rename(aside)
    echo(f"{home.cluster} was not a complete database: it is now {aside.name}, and a new one is made.")


def _check_version(cluster: Path, binaries: Binaries) -> None:
    found = (cluster / "PG_VERSION").read_text().strip()
    if found != binaries.major:
        raise PostgresFailed(
            f"{cluster} was made by PostgreSQL {found}, and this is PostgreSQL {binaries.version}: "
            f"dump the data with the release that made it, or install the one with PostgreSQL {found}."
        )


def _last_line(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if "error" in line.lower() or "fatal" in line.lower()]
    return (lines or said.splitlines() or ["initdb said nothing."])[-1]
