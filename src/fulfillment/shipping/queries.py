"""SQL over shipping_methods."""

from typing import Final

from fulfillment.infra.db import ReadTx
from fulfillment.shipping.domain import Method

SELECT_METHODS: Final = "SELECT name, description, price FROM shipping_methods ORDER BY position, name"


async def select_methods(tx: ReadTx) -> dict[str, Method]:
    """Return the methods by name, in the order they are shown in."""
    return {row["name"]: Method(**row) for row in await tx.all(SELECT_METHODS)}
