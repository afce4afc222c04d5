"""PostgreSQL's log file: opened for the server, kept small, and read when the server has died."""

import os
import re
import shutil
from pathlib import Path
from typing import Final

from fulfillment.infra.embedded.account import Account

_LONGEST: Final = 10 * 1024 * 1024  # bytes, twice: the log and the one before it
# Sessions that were turned away or ended say FATAL too; that is not why the server ended.
_ENDING: Final = re.compile(r"(?:FATAL|PANIC):  (?!the database system is |terminating )")


class Log:
    """What PostgreSQL writes, since its last start."""

    def __init__(self, path: Path, account: Account) -> None:
        self.path = path
        self._account = account
        self._start = 0

    def open(self) -> int:
        """Return a descriptor that appends to the log; a start begins here."""
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        self._account.give(self.path)
        self._start = os.fstat(descriptor).st_size
        return descriptor

    def text(self) -> str:
        """Return what was written since the start."""
        try:
            with self.path.open("rb") as file:
                file.seek(self._start)
                return file.read(65536).decode("utf-8", "replace")
        except OSError:
            return ""

    def last_words(self) -> str | None:
        """Return why PostgreSQL ended, if it said so."""
        lines = [line for line in self.text().splitlines() if _ENDING.search(line)]
        return (lines[-1].partition("] ")[2] or lines[-1]) if lines else None

    def rotate(self) -> None:
        """Keep the log small. PostgreSQL appends to the file it was given, so that file is emptied."""
        try:
            if self.path.stat().st_size <= _LONGEST:
                return
            before = self.path.with_name(f"{self.path.name}.1")
            before.unlink(missing_ok=True)
            before.touch(mode=0o600)
            shutil.copyfile(self.path, before)
            os.truncate(self.path, 0)
            self._start = 0
        except OSError:
            return  # a full disk must not end the watch over PostgreSQL
