"""How many connections each process of one listening socket has: who has fewer is to take the next one.

A few rows in memory that all of them map. They say who should be faster, never who may: a row that is wrong for a
moment costs a new connection a moment, no more (docs/decisions/0018).
"""

import fcntl
import mmap
import os
import struct
from collections.abc import Iterator
from typing import Final

from fulfillment.infra.pids import lives

_ROW: Final = struct.Struct("=ii")  # process, connections
_ROWS: Final = 64
_BYTES: Final = _ROW.size * _ROWS


def create() -> int:
    """Return a descriptor of new rows, for children to inherit."""
    descriptor = os.memfd_create("fulfillment-shares")
    os.ftruncate(descriptor, _BYTES)
    return descriptor


class Shares:
    """One process's row, and a look at the others'.

    Args:
        descriptor: Of the rows; None where this process has the socket for itself.
    """

    def __init__(self, descriptor: int | None) -> None:
        self._rows: mmap.mmap | None = None
        self._own = 0
        self._pid = os.getpid()
        if descriptor is not None:
            self._rows = mmap.mmap(descriptor, _BYTES)
            fcntl.lockf(descriptor, fcntl.LOCK_EX)
            try:
                self._own = self._free_row(self._rows)
                _ROW.pack_into(self._rows, self._own, self._pid, 0)
            finally:
                fcntl.lockf(descriptor, fcntl.LOCK_UN)

    def tell(self, connections: int) -> None:
        """Tell the others how many connections this process has."""
        if self._rows is not None:
            _ROW.pack_into(self._rows, self._own, self._pid, connections)

    def leave(self) -> None:
        """Tell the others that this process takes no connections any more."""
        if self._rows is not None:
            _ROW.pack_into(self._rows, self._own, 0, 0)
            self._rows = None

    def least(self) -> int | None:
        """Return the connections of the other process that has the fewest; None: there is no other."""
        if self._rows is None:
            return None
        counts = [count for place, pid, count in _each(self._rows) if place != self._own and pid and lives(pid)]
        return min(counts, default=None)

    @staticmethod
    def _free_row(rows: mmap.mmap) -> int:
        # Where there are more processes than rows the last is shared: see above.
        return next((place for place, pid, _ in _each(rows) if not pid or not lives(pid)), _BYTES - _ROW.size)


def _each(rows: mmap.mmap) -> Iterator[tuple[int, int, int]]:
    for number, (pid, count) in enumerate(_ROW.iter_unpack(rows)):
        yield number * _ROW.size, pid, count
