"""The operating system's user that PostgreSQL runs as: ourselves, unless we are root, which it refuses."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypedDict

from fulfillment.infra.embedded.errors import PostgresFailed

SYSTEM_USER: Final = "juniper-fulfillment"


class Identity(TypedDict, total=False):
    """Arguments of Popen; none when the child is to be who we are."""

    user: int
    group: int
    extra_groups: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Account:
    """A user of the operating system."""

    name: str
    uid: int
    gid: int

    @property
    def foreign(self) -> bool:
        """True when processes must be started as somebody else than we are."""
        return self.uid != os.geteuid()

    def run(self, argv: Sequence[str | Path]) -> subprocess.CompletedProcess[str]:
        """Run a short command as this user and return what it said.

        Raises:
            OSError: It can't be executed.
        """
        return subprocess.run(  # noqa: S603  # no shell; paths are ours
            [str(part) for part in argv],
            cwd="/",
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            **self.identity(),
        )

    def identity(self) -> Identity:
        """Return the Popen arguments that make a child this user."""
        return Identity(user=self.uid, group=self.gid, extra_groups=()) if self.foreign else Identity()

    def reaches(self, folder: Path) -> bool:
        """Return whether this user may go into *folder*."""
        return self.run(["/bin/sh", "-c", 'test -d "$1" && test -x "$1"', "sh", folder]).returncode == 0

    def give(self, path: Path) -> None:
        """Make *path*, which we created, this user's own."""
        if self.foreign:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)


def of_uid(uid: int) -> Account:
    """Return the account with that number.

    Raises:
        PostgresFailed: It has no name; PostgreSQL's peer authentication works by name.
    """
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        raise PostgresFailed(
            f"The operating system knows no user with the number {uid}, and PostgreSQL needs a name: "
            "add the user to /etc/passwd, or set FULFILLMENT_DATABASE_URL."
        ) from None
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def owner_of(path: Path) -> Account | None:
    """Return whose *path* is, None when it is absent or root's."""
    try:
        uid = path.lstat().st_uid
    except (FileNotFoundError, NotADirectoryError):
        return None
    return of_uid(uid) if uid != 0 else None


def unprivileged() -> Account:
    """Return a user for PostgreSQL when we are root, and create one if there is none."""
    return _named("postgres") or _named(SYSTEM_USER) or _created() or _nobody()


def _named(name: str) -> Account | None:
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _created() -> Account | None:
    useradd = shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if useradd is None:
        return None
    home = ["--no-create-home", "--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin"]
    subprocess.run(  # noqa: S603  # fixed arguments
        [useradd, "--system", "--user-group", *home, SYSTEM_USER], capture_output=True, check=False
    )
    return _named(SYSTEM_USER)


def _nobody() -> Account:
    account = _named("nobody")
    if account is None:
        raise PostgresFailed(
            "PostgreSQL refuses to run as root, and this machine has no other user: create one named "
            f"{SYSTEM_USER}, or set FULFILLMENT_DATABASE_URL."
        )
    return account
