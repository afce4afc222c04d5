"""Pages of orders as they were written last: sent again while the orders on them are the same (docs/decisions/0017)."""

from collections import OrderedDict
from typing import Final, NamedTuple, Self

from fulfillment.infra.env import Env
from fulfillment.infra.web import Answer
from fulfillment.kernel.pages import PageRequest

_MOST_BYTES: Final = 8 * 1024 * 1024  # of a process; a page of ten orders has some 20 KB


class WrittenPage(NamedTuple):
    """An answer, and the mark of the orders it shows."""

    mark: str
    answer: Answer


class WrittenPages:
    """What one process keeps, the pages asked for last. Nobody gets one before the database has named its mark."""

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._pages: OrderedDict[tuple[str, PageRequest], WrittenPage] = OrderedDict()

    @classmethod
    def of(cls, env: Env) -> Self:
        """Return this process's."""
        found = env.local.get("orders.written")
        if found is None:
            found = env.local["orders.written"] = cls()
        return found

    def get(self, key: tuple[str, PageRequest]) -> WrittenPage | None:
        """Return the page of a partner that was written last."""
        page = self._pages.get(key)
        if page is not None:
            self._pages.move_to_end(key)
        return page

    def keep(self, key: tuple[str, PageRequest], page: WrittenPage) -> None:
        """Keep a page, in place of those that nobody has asked for in the longest time."""
        former = self._pages.pop(key, None)
        if former is not None:
            self._bytes -= len(former.answer.body)
        self._pages[key] = page
        self._bytes += len(page.answer.body)
        while self._bytes > self._most_bytes:
            _, oldest = self._pages.popitem(last=False)
            self._bytes -= len(oldest.answer.body)
