"""Ending what an earlier start left running, and removing the files that name it.

PostgreSQL believes its pid files: one that names a living process of somebody else (pids repeat after a
restart of the machine or container), or that was torn by a crash, stops it from starting. So we look at the
processes themselves: whoever works inside the cluster's folder is its postmaster or backend.
"""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from fulfillment.infra.embedded.account import Account
from fulfillment.infra.embedded.errors import PostgresFailed

# Run as the account: in a container root may not look into other users' processes.
_SCAN: Final = 'for p in /proc/[0-9]*; do [ "$p/cwd" -ef "$1" ] && echo "${p#/proc/}"; done; true'
_FAST_SECONDS: Final = 30.0
_IMMEDIATE_SECONDS: Final = 5.0


def processes_in(cluster: Path, account: Account) -> list[int]:
    """Return the pids of the living PostgreSQL processes of *cluster*."""
    if not cluster.is_dir():
        return []
    found = account.run(["/bin/sh", "-c", _SCAN, "sh", cluster]).stdout.split()
    return [int(pid) for pid in found if _read(pid, "comm").strip() == "postgres"]


def end(cluster: Path, account: Account, echo: Callable[[str], None]) -> None:
    """End every process of *cluster*: politely while there is a postmaster, at once where there is none.

    Raises:
        PostgresFailed: They do not end.
    """
    pids = processes_in(cluster, account)
    if not pids:
        return
    if postmasters := [pid for pid in pids if not _read(str(pid), "cmdline").startswith("postgres: ")]:
        echo("A PostgreSQL of an earlier start still runs on this data: it is stopped first.")
        for number, seconds in ((signal.SIGINT, _FAST_SECONDS), (signal.SIGQUIT, _IMMEDIATE_SECONDS)):
            _send(postmasters, number)
            if _gone(cluster, account, seconds):
                return
    kill(cluster, account)


def kill(cluster: Path, account: Account) -> None:
    """End every process of *cluster* at once; for the data this is a crash, which PostgreSQL recovers from.

    Backends whose postmaster is gone can hold the shared memory that a new postmaster needs.

    Raises:
        PostgresFailed: They do not end.
    """
    for _ in range(20):
        _send(processes_in(cluster, account), signal.SIGKILL)
        if _gone(cluster, account, 0.5):
            return
    raise PostgresFailed(f"The PostgreSQL that runs on {cluster} can't be stopped.")


def clear_pid_files(cluster: Path, sockets: Path) -> None:
    """Remove the pid files. Only call this while no process of the cluster is alive and its lock is held."""
    for path in (cluster / "postmaster.pid", sockets / ".s.PGSQL.5432.lock", sockets / ".s.PGSQL.5432"):
        with contextlib.suppress(FileNotFoundError):
            path.unlink()


def _gone(cluster: Path, account: Account, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while processes_in(cluster, account):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _send(pids: Sequence[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _read(pid: str, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes().decode("utf-8", "replace")
    except OSError:  # it ended a moment ago
        return ""
