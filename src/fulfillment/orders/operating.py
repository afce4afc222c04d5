"""What the warehouse needs of orders beyond one partner's view: lists, locks, what is due."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from fulfillment.infra.db import ReadTx, Tx
from fulfillment.kernel.pages import PageRequest
from fulfillment.orders import operator_queries as queries
from fulfillment.orders.domain import Order
from fulfillment.orders.operator_queries import Filter

__all__ = [
    "Filter",
    "list_orders",
    "lock_free_orders",
    "lock_orders",
    "select_cutoffs",
    "select_due",
    "select_orders",
    "select_releasable",
]


async def select_orders(tx: ReadTx, order_ids: Iterable[str]) -> Mapping[str, Order]:
    """Return the orders that exist of *order_ids*, by id."""
    return {order.id: order for order in await queries.select_orders(tx, order_ids)}


async def lock_orders(tx: Tx, order_ids: Iterable[str]) -> Mapping[str, Order]:
    """Return the orders that exist of *order_ids*, locked in the order of their ids until *tx* ends."""
    return {order.id: order for order in await queries.lock_orders(tx, order_ids)}


async def lock_free_orders(tx: Tx, order_ids: Iterable[str]) -> Mapping[str, Order]:
    """Return those of *order_ids* that can be locked without waiting, locked."""
    return {order.id: order for order in await queries.lock_free_orders(tx, order_ids)}


async def list_orders(tx: ReadTx, wanted: Filter, request: PageRequest) -> Sequence[Order]:
    """Return all partners' orders of one page and one more, in reading order; the key is the id."""
    return await queries.select_page(tx, wanted, request)


async def select_due(tx: ReadTx, at: datetime, clocks: Sequence[tuple[str, datetime]], limit: int) -> Sequence[str]:
    """Return the ids of orders past their cut-off that nothing holds.

    Args:
        at: The real present.
        clocks: (partner id, its present) of the partners with a test clock.
    """
    return await queries.select_due(tx, at, clocks, limit)


async def select_releasable(
    tx: ReadTx,
    at: datetime,
    clocks: Sequence[tuple[str, datetime]],
    *,
    partner_id: str | None = None,
    limit: int,
) -> Sequence[str]:
    """Return the ids of orders that may be released by hand now, oldest first: past their cut-off, or without one."""
    return await queries.select_releasable(tx, at, clocks, partner_id, limit)


async def select_cutoffs(tx: ReadTx, partner_id: str, limit: int) -> Sequence[tuple[str, datetime]]:
    """Return the ids of the partner's orders that wait for their cut-off, with it, the earliest first."""
    return await queries.select_cutoffs(tx, partner_id, limit)
