"""Where a data dir's cluster, socket and log lie."""

import contextlib
import fcntl
import hashlib
import os
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fulfillment.infra.embedded import account as accounts
from fulfillment.infra.embedded.account import Account
from fulfillment.infra.embedded.binaries import open_folder
from fulfillment.infra.embedded.errors import DataDirBusy, DataDirUnusable
from fulfillment.infra.embedded.files import sync
from fulfillment.infra.pids import lives

_LAST_BREATH_SECONDS: Final = 3.0  # for the children of a killed holder to die
SHARED: Final = Path("/var/lib/juniper-fulfillment")  # root's own place, used where others can't reach the data dir
_SOCKET: Final = ".s.PGSQL.5432"
_LONGEST_SOCKET: Final = 100  # bytes; Linux takes 107
LOCATION: Final = "postgres.location"


@dataclass(frozen=True, slots=True)
class Home:
    """The places of one cluster."""

    data_dir: Path
    folder: Path  # the data dir, or a folder below SHARED
    account: Account

    @property
    def elsewhere(self) -> bool:
        """True when the cluster is not inside the data dir."""
        return self.folder != self.data_dir

    @property
    def cluster(self) -> Path:
        """PGDATA."""
        return self.folder / "postgres"

    @property
    def sockets(self) -> Path:
        """The private folder of the socket, elsewhere if the path is too long for one."""
        usual = self.folder / "run"
        if len(os.fsencode(usual / _SOCKET)) <= _LONGEST_SOCKET:
            return usual
        # Not $TMPDIR or $XDG_RUNTIME_DIR: the next start, from another session, must find the same folder.
        base = Path("/run") if os.geteuid() == 0 and os.access("/run", os.W_OK) else Path("/tmp")  # noqa: S108  # nosec B108
        return base / f"juniper-fulfillment-{self.account.uid}-{_digest(self.folder)}"

    @property
    def log(self) -> Path:
        """PostgreSQL's log."""
        return self.data_dir / "postgres.log"


def find(data_dir: Path, shared: Path = SHARED) -> Home:
    """Return where the cluster of *data_dir* is or would be; nothing is created but a system user.

    As root the cluster belongs to an unprivileged user (the one of the earlier start, if there was one), and
    lies below *shared* if that user can't reach the data dir.
    """
    folder = _recorded(data_dir) or data_dir
    if os.geteuid() != 0:
        return Home(data_dir, folder, accounts.of_uid(os.geteuid()))
    account = accounts.owner_of(folder / "postgres") or accounts.unprivileged()
    if folder == data_dir and not _reachable(data_dir, account) and not (data_dir / "postgres").exists():
        folder = shared / "clusters" / _digest(data_dir)
        account = accounts.owner_of(folder / "postgres") or account
    return Home(data_dir, folder, account)


def prepare(home: Home, echo: Callable[[str], None]) -> None:
    """Create the folders around the cluster.

    Raises:
        DataDirUnusable: They can't be created or are somebody else's.
    """
    if home.elsewhere:
        open_folder(home.folder)
        _record(home)
        echo(f"User {home.account.name} can't reach {home.data_dir}: the database is in {home.folder}.")
    elif home.account.foreign and not home.account.reaches(home.folder):
        raise DataDirUnusable(
            f"{home.cluster} belongs to {home.account.name}, who can't reach it: move the data dir to where "
            f"{home.account.name} can, or let {home.account.name} into the folders above it."
        )
    _private(home.sockets, home.account)
    if home.sockets != home.folder / "run":
        echo(f"The path of the data dir is too long for a socket: it is in {home.sockets}.")


def make_data_dir(data_dir: Path) -> None:
    """Create the data dir, private as far as PostgreSQL's user allows.

    Raises:
        DataDirUnusable: It can't be created.
    """
    try:
        data_dir.parent.mkdir(parents=True, exist_ok=True)
        data_dir.mkdir()
        # As root, PostgreSQL's user must pass through it. What is secret in it has its own mode.
        data_dir.chmod(0o711 if os.geteuid() == 0 else 0o700)
    except FileExistsError:
        if not data_dir.is_dir():
            raise DataDirUnusable(f"{data_dir} is not a folder.") from None
    except OSError as fault:
        raise DataDirUnusable(f"{data_dir} can't be created: {fault.strerror}.") from fault


class Lock:
    """Holds a data dir for this process. The kernel frees it when we die, however we die."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "lock"
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            DataDirBusy: Another process has it.
            DataDirUnusable: The lock file can't be opened.
        """
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        except OSError as fault:
            raise DataDirUnusable(f"{self.path} can't be opened: {fault.strerror}.") from fault
        until = time.monotonic() + _LAST_BREATH_SECONDS
        while not _locked(descriptor):
            holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
            if holder.isdigit() and not lives(int(holder)) and time.monotonic() < until:
                # Its holder was killed a moment ago; a child it had just forked has the lock until it dies, too.
                time.sleep(0.02)
                continue
            os.close(descriptor)
            whose = f" (process {holder})" if holder.isdigit() else ""
            raise DataDirBusy(
                f"{self.path.parent} is already in use by another fulfillment process{whose}: "
                "stop that one first, or choose another folder with --data-dir."
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor

    @property
    def held(self) -> bool:
        """True while we have it."""
        return self._descriptor is not None

    def release(self) -> None:
        """Give the lock back."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _recorded(data_dir: Path) -> Path | None:
    if (data_dir / "postgres").exists():
        return None
    with contextlib.suppress(OSError, ValueError):
        if text := (data_dir / LOCATION).read_text().strip():
            return Path(text)
    return None


def _record(home: Home) -> None:
    path = home.data_dir / LOCATION
    if _recorded(home.data_dir) == home.folder:
        return
    fresh = path.with_name(f"{path.name}.new")
    fresh.write_text(f"{home.folder}\n")
    sync(fresh)
    fresh.replace(path)
    sync(home.data_dir)


def _reachable(folder: Path, account: Account) -> bool:
    """Return whether *account* can pass through *folder*, or will once we have created it."""
    existing = folder
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    return account.reaches(existing)


def _private(folder: Path, account: Account) -> None:
    try:
        folder.mkdir(mode=0o700)
        account.give(folder)
    except FileExistsError:
        pass
    except OSError as fault:
        raise DataDirUnusable(f"{folder} can't be created: {fault.strerror}.") from fault
    found = folder.lstat()
    if os.geteuid() == 0 and stat.S_ISDIR(found.st_mode) and found.st_uid == 0:
        account.give(folder)  # killed between the two lines above, in an earlier start
        found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != account.uid:
        raise DataDirUnusable(f"{folder} is not {account.name}'s own folder: remove it, then start again.")
    if stat.S_IMODE(found.st_mode) != 0o700:
        folder.chmod(0o700)


def _digest(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
