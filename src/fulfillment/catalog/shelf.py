"""What a process keeps of one version of the catalogue; it goes as a whole when the catalogue changes."""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Final, Generic, TypeVar

from fulfillment.catalog.domain import Frozen, Hits, Orderable

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

_SEARCH_WEIGHT: Final = 30  # what a search costs without its hits, in hits
_DOCUMENTS: Final = 16 * 1024 * 1024  # characters in all remembered documents, some 1,400 each
_SEARCH_HITS: Final = 200_000  # in all remembered searches, 16 bytes each


class Recent(Generic[K, V]):
    """The most recently used values, up to a total weight."""

    def __init__(self, most: int, weight_of: Callable[[V], int]) -> None:
        self._values: OrderedDict[K, V] = OrderedDict()
        self._most = most
        self._weight_of = weight_of
        self._weight = 0

    def get(self, key: K) -> V | None:
        """Return the value of *key*, or None."""
        value = self._values.get(key)
        if value is not None:
            self._values.move_to_end(key)
        return value

    def put(self, key: K, value: V) -> None:
        """Keep *value*, and let go of the least recently used ones that no longer fit."""
        self._forget(key)
        self._values[key] = value
        self._weight += self._weight_of(value)
        while self._weight > self._most and len(self._values) > 1:
            self._forget(next(iter(self._values)))

    def __len__(self) -> int:
        return len(self._values)

    def _forget(self, key: K) -> None:
        value = self._values.pop(key, None)
        if value is not None:
            self._weight -= self._weight_of(value)


class Shelf:
    """Every product's few facts, the list of all, and the answers and searches last asked for.

    Args:
        products: All of them.
    """

    __slots__ = ("documents", "newest", "orderables", "searches")

    def __init__(self, products: Iterable[Orderable]) -> None:
        self.orderables: Mapping[int, Orderable] = {product.id: product for product in products}
        places = sorted((product.rank, product.id) for product in self.orderables.values())
        self.newest = Hits((rank for rank, _ in places), (id_ for _, id_ in places))
        self.documents: Recent[int, Frozen] = Recent(_DOCUMENTS, lambda pieces: sum(map(len, pieces)))
        self.searches: Recent[tuple[str, ...], Hits] = Recent(_SEARCH_HITS, lambda hits: len(hits) + _SEARCH_WEIGHT)
