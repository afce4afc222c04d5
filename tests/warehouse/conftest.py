"""What the tests of the warehouse share: a partner, an operator, orders placed."""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import pytest

from fulfillment.infra.db import ALL_TENANTS
from fulfillment.infra.env import Env
from fulfillment.inventory import service as inventory
from fulfillment.inventory.domain import Lot, NewLot, Reservation
from fulfillment.kernel.callers import Caller
from fulfillment.orders import service as orders
from fulfillment.orders.domain import Order
from fulfillment.warehouse.domain import Actor
from fulfillment.warehouse.service import stocking
from tests.world import World, a_draft

OPERATOR = Actor("operator-1")


def a_line(product_id: int, quantity: int = 2, **changes: Any) -> dict[str, Any]:
    """Return a line with its pills in the morning and the evening."""
    half = quantity // 2
    return {
        "productId": product_id,
        "quantity": quantity,
        "packDescription": "Whole Body Wellness",
        "administration": {"morning": quantity - half, "afternoon": 0, "evening": half, "sleep": 0},
    } | changes


@dataclass(slots=True)
class Bench:
    """Builders of the warehouse's tests."""

    env: Env
    world: World
    partner: Caller

    async def lot(self, product_id: int, quantity: int = 600, *, days: int = 400, number: str | None = None) -> Lot:
        """Receive a lot that expires in *days*."""
        expiry = self.env.now().date() + timedelta(days=days)
        new = NewLot(product_id, number or f"L{days}-{quantity}", expiry, quantity, location="A01-1")
        return await stocking.receive_lot(self.env, OPERATOR, new)

    async def order(self, *lines: dict[str, Any], partner: Caller | None = None, **changes: Any) -> str:
        """Place an order and return its id."""
        created = await orders.create_order(self.env, partner or self.partner, a_draft(*lines, **changes))
        return created.order_id

    async def get(self, order_id: str) -> Order:
        """Return an order as it stands."""
        return await orders.get_any_order(self.env, order_id)

    async def lot_now(self, lot: Lot) -> Lot:
        """Return a lot as it stands."""
        return await stocking.get_lot(self.env, lot.id)

    async def held(self, order_id: str) -> list[Reservation]:
        """Return what an order has or had of lots."""
        async with self.env.db.reading(ALL_TENANTS) as tx:
            return await inventory.reservations_of_orders(tx, [order_id])

    async def events(self, order_id: str) -> list[str]:
        """Return the types of an order's events, oldest first."""
        async with self.env.db.reading(ALL_TENANTS) as tx:
            rows = await tx.all("SELECT type FROM events WHERE order_id = %(id)s ORDER BY order_sequence", id=order_id)
        return [row["type"] for row in rows]

    def today(self) -> date:
        """Return the day in UTC."""
        return self.env.now().date()


@pytest.fixture
async def bench(env: Env, world: World) -> Bench:
    """A partner of its own, and builders."""
    return Bench(env, world, await world.partner())
