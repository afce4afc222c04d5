"""Everything that is asked of the server beside creates, cancels and moves: visitors draw one after another."""

import random
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

Body = dict[str, Any]
MakeOrder = Callable[[random.Random], Body]

_PLACES: Final = (
    "/v1/orders/{order}",
    "/v1/orders/{order}/facts",
    "/v1/products?limit=5",
    "/v1/products?search=chaos",
    "/v1/products/{product}",
    "/v1/shipping-methods",
    "/v1/partners/settings",
    "/v1/partners/settings/webhook-secret",
    "/v1/protocols?limit=3",
    "/v1/events?limit=10",
    "/v1/events?limit=10&start=newest&wait=1",
    "/v1/reconcile?limit=10&since=2026-01-01T00:00:00Z",
    "/v1/webhook-deliveries?limit=5",
    "/v1/request-log?limit=5",
    "/v1/sandbox/clock",
    "/docs",
)
_OPERATORS_PLACES: Final = (
    "/v1/operator/orders?limit=5",
    "/v1/operator/orders/{order}",
    "/v1/operator/orders/{order}/packs",
    "/v1/operator/orders/{order}/lots",
    "/v1/operator/orders/{order}/documents/packing-slip.pdf",
    "/v1/operator/batches?limit=5",
    "/v1/operator/lots?limit=5",
    "/v1/operator/audit-log?limit=5",
)
_COLOURS: Final = ("#1a73e8", "#202124", "#188038")


@dataclass(frozen=True, slots=True)
class Visit:
    """One request; it is made once, and whatever came of it is well unless it shows a fault of ours."""

    method: str
    path: str
    body: Body | None = None
    operator: bool = False
    key: str | None = None

    @property
    def name(self) -> str:
        """What is counted."""
        return "write" if self.method != "GET" else "operator" if self.operator else "read"


def draw(chance: random.Random, order_ids: Sequence[str], products: Sequence[int], an_order: MakeOrder) -> Visit:
    """Return the next request."""
    kind = chance.random()
    if kind < 0.7:
        operator = kind > 0.5
        places = _OPERATORS_PLACES if operator else _PLACES
        place = chance.choice([place for place in places if order_ids or "{order}" not in place])
        order = chance.choice(order_ids) if order_ids else ""
        return Visit("GET", place.format(order=order, product=chance.choice(products)), operator=operator)
    return chance.choice((_preview, _bulk, _settings, _reconcile))(chance, an_order)


def _preview(chance: random.Random, an_order: MakeOrder) -> Visit:
    return Visit("POST", "/v1/orders/preview", an_order(chance))


def _bulk(chance: random.Random, an_order: MakeOrder) -> Visit:
    rows = [{"order": an_order(chance)} for _ in range(3)]
    return Visit("POST", "/v1/orders/bulk", {"orders": rows}, key=str(uuid.UUID(int=chance.getrandbits(128))))


def _settings(chance: random.Random, an_order: MakeOrder) -> Visit:
    # A change drops the partner from every process's memory, and what was being made with it is prepared anew.
    return Visit("PATCH", "/v1/partners/settings", {"primaryColor": chance.choice(_COLOURS)})


def _reconcile(chance: random.Random, an_order: MakeOrder) -> Visit:
    return Visit("POST", "/v1/operator/inventory/reconcile", {"dryRun": True}, operator=True)
