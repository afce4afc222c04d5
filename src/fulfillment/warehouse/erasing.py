"""Forgetting where parcels went."""

from collections.abc import Sequence
from typing import Final

from fulfillment.infra.db import Tx

ERASE_CHECKPOINTS: Final = "UPDATE shipments SET checkpoints = '[]' WHERE order_id = ANY (%(ids)s)"


async def erase_checkpoints(tx: Tx, order_ids: Sequence[str]) -> None:
    """Remove what carriers wrote about the parcels of orders: places, names of who signed. The numbers stay."""
    await tx.execute(ERASE_CHECKPOINTS, ids=list(order_ids))
