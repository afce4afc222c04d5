"""What the database holds, read past the code under test."""

from typing import Any, LiteralString

from fulfillment.infra.db import ALL_TENANTS
from fulfillment.infra.env import Env


async def rows(env: Env, statement: LiteralString, **params: object) -> list[tuple[Any, ...]]:
    """Return a statement's rows."""
    async with env.db.reading(ALL_TENANTS) as tx:
        return await tx.tuples(statement, params)


async def run(env: Env, statement: LiteralString, **params: object) -> None:
    """Run a statement, as an operator with a SQL prompt does."""
    async with env.db.transaction(ALL_TENANTS) as tx:
        await tx.execute(statement, **params)


async def reserved(env: Env, product_id: int) -> int:
    """Return what orders hold of a product, by its lots' counters, which must equal the open reservations."""
    ((by_lots,),) = await rows(
        env, "SELECT coalesce(sum(reserved), 0)::int FROM lots WHERE product_id = %(id)s", id=product_id
    )
    ((by_orders,),) = await rows(
        env,
        "SELECT coalesce(sum(quantity), 0)::int FROM reservations WHERE product_id = %(id)s AND state = 'OPEN'",
        id=product_id,
    )
    assert by_lots == by_orders
    return by_lots


async def footprint(env: Env, partner_id: str) -> dict[str, int]:
    """Return how many rows of each tenant table are a partner's."""
    found = await rows(
        env,
        """
        SELECT 'orders', count(*) FROM orders WHERE partner_id = %(id)s
        UNION ALL SELECT 'events', count(*) FROM events WHERE partner_id = %(id)s
        UNION ALL SELECT 'deliveries', count(*) FROM webhook_deliveries WHERE partner_id = %(id)s
        UNION ALL SELECT 'holds', count(*) FROM holds WHERE partner_id = %(id)s
        UNION ALL SELECT 'keys', count(*) FROM idempotency_keys WHERE partner_id = %(id)s
        UNION ALL SELECT 'reservations', count(*) FROM reservations JOIN orders ON orders.id = order_id
                   WHERE partner_id = %(id)s
        """,
        id=partner_id,
    )
    return dict(found)


NOTHING = {"orders": 0, "events": 0, "deliveries": 0, "holds": 0, "keys": 0, "reservations": 0}
