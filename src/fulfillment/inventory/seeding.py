"""The demonstration catalogue and its stock, for the first start of a sandbox."""

from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Final

from fulfillment.catalog import importing
from fulfillment.catalog import service as catalog
from fulfillment.catalog.importing import ProductRow
from fulfillment.infra.db import ALL_TENANTS
from fulfillment.infra.env import Env
from fulfillment.inventory import service
from fulfillment.inventory.domain import NewLot

SEED: Final = Path(catalog.__file__).parent / "seed" / "products.jsonl"
_ACTOR: Final = "seed"
_EXPIRIES: Final = (200, 400, 700)  # days from the start: one lot each
_SHARES: Final = (0.2, 0.5, 1.0)  # of the stock, up to and with each lot


async def seed_catalog(env: Env) -> int:
    """Write the demonstration's products and lots, all or none; return how many products."""
    rows = importing.read_rows(SEED)
    at = env.now()
    async with env.db.transaction(ALL_TENANTS) as tx:
        await catalog.upsert_products(tx, [row.product for row in rows], at)
        for row in rows:
            for lot in demo_lots(row, at):
                await service.receive_lot(tx, lot, _ACTOR, at)
    env.caches.drop("catalog")
    return len(rows)


def demo_lots(row: ProductRow, at: datetime) -> list[NewLot]:
    """Return up to three lots with different expiries that together are the row's stock."""
    ends = [0, *(int(row.stock * share) for share in _SHARES)]
    return [
        NewLot(
            row.product.id,
            f"JH{row.product.id % 10_000:04d}-{place}",
            at.date() + timedelta(days=days),
            end - begin,
            supplier="Demo Nutrition Co.",
            location=f"A{row.product.id % 40 + 1:02d}-{place}",
        )
        for place, ((begin, end), days) in enumerate(zip(pairwise(ends), _EXPIRIES, strict=True), 1)
        if end > begin
    ]
