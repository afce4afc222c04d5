"""The two products whose ids are magic."""

from datetime import timedelta
from decimal import Decimal
from typing import Final

from fulfillment.catalog import service as catalog
from fulfillment.catalog.domain import Form, NewProduct, ProductStatus
from fulfillment.infra.db import ALL_TENANTS
from fulfillment.infra.env import Env
from fulfillment.inventory import service as inventory
from fulfillment.inventory.domain import NewLot
from fulfillment.sandbox.domain import RECALLED_PRODUCT, STOCKLESS_PRODUCT

_NAMES: Final = {STOCKLESS_PRODUCT: "Sandbox: Never in Stock", RECALLED_PRODUCT: "Sandbox: Recalled Later"}
_STOCK: Final = 10_000_000  # pills
_LASTS: Final = timedelta(days=3650)


async def seed_magic_products(env: Env) -> int:
    """Write the magic products, and stock of the one that has any; return how many were missing."""
    at = env.now()
    async with env.db.transaction(ALL_TENANTS) as tx:
        known = await catalog.select_products(tx, _NAMES)
        missing = [_product(product_id) for product_id in _NAMES if product_id not in known]
        if missing:
            await catalog.upsert_products(tx, missing, at)
        if RECALLED_PRODUCT not in known:
            lot = NewLot(RECALLED_PRODUCT, "SANDBOX-1", (at + _LASTS).date(), _STOCK, supplier="Sandbox")
            await inventory.receive_lot(tx, lot, "seed", at)
    if missing:
        env.caches.drop("catalog")
    return len(missing)


def _product(product_id: int) -> NewProduct:
    return NewProduct(
        id=product_id,
        name=_NAMES[product_id],
        list_price=Decimal("0.10"),
        external=False,
        status=ProductStatus.ACTIVE,
        description="Exists in the sandbox only; see the sandbox guide.",
        pack_description=_NAMES[product_id],
        recommended_usage=(1, 0, 0, 0),
        form=Form.CAPSULE,
    )
