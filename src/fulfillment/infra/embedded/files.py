"""Writing so that a crash leaves the old or the new, never a half."""

import os
import secrets
from pathlib import Path

from fulfillment.infra.embedded.account import Account


def sync(path: Path) -> None:
    """Make a file's content, or a folder's list of names, last."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write(path: Path, text: str, account: Account) -> None:
    """Put *text* into *path*, mode 0600, owned by *account*; nothing happens if it is there already."""
    if _holds(path, text):
        return
    # A fresh name and O_EXCL: the folder is another user's, who could have laid a link in our way.
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        if account.foreign:
            os.fchown(file.fileno(), account.uid, account.gid)
        os.fsync(file.fileno())
    fresh.replace(path)
    sync(path.parent)


def _holds(path: Path, text: str) -> bool:
    try:
        return not path.is_symlink() and path.read_text() == text
    except (OSError, ValueError):
        return False
