"""The operator's view: orders of all partners, their packs, the audit log; and an order's facts for its partner."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fulfillment.catalog import service as catalog
from fulfillment.catalog.facts import CombinedFacts, Intake, combined_panel
from fulfillment.infra.db import ALL_TENANTS, ReadTx
from fulfillment.infra.env import Env
from fulfillment.kernel.callers import Caller
from fulfillment.kernel.pages import PageRequest
from fulfillment.orders import operating
from fulfillment.orders import service as orders
from fulfillment.orders.domain import Order, OrderNotFound
from fulfillment.orders.operating import Filter
from fulfillment.warehouse import packing, queries
from fulfillment.warehouse.domain import ALL_PACKS
from fulfillment.warehouse.packing import Content, Pack
from fulfillment.warehouse.service.locking import contents, uses_of


@dataclass(frozen=True, slots=True)
class OperatorOrder:
    """An order as the operator sees it."""

    order: Order
    batch_id: str | None
    packs: int
    confirmed: int


async def get_order(env: Env, order_id: str) -> OperatorOrder:
    """Return any partner's order.

    Raises:
        OrderNotFound: There is none.
    """
    async with env.db.reading(ALL_TENANTS) as tx:
        return (await _viewed(tx, [await _order(tx, order_id)]))[0]


async def list_orders(env: Env, wanted: Filter, request: PageRequest) -> Sequence[OperatorOrder]:
    """Return all partners' orders of one page and one more, newest first."""
    async with env.db.reading(ALL_TENANTS) as tx:
        return await _viewed(tx, await operating.list_orders(tx, wanted, request))


async def packs_of_order(env: Env, order_id: str) -> tuple[Sequence[Pack], Mapping[str, str]]:
    """Return an order's packs, and who confirmed which.

    Raises:
        OrderNotFound: There is none.
    """
    async with env.db.reading(ALL_TENANTS) as tx:
        order = await _order(tx, order_id)
        uses = await uses_of(tx, [order_id])
        confirmed = await queries.select_confirmations(tx, [order_id])
    packs = packing.packs_of(order_id, contents(order), order.days_supply, uses[order_id])
    return packs, confirmed.get(order_id, {})


async def get_facts(env: Env, caller: Caller, order_id: str) -> CombinedFacts:
    """Return the combined Supplement Facts of the caller's order.

    Raises:
        OrderNotFound: The partner has no such order.
    """
    order = await orders.get_order(env, caller, order_id)
    async with env.db.reading(ALL_TENANTS) as tx:
        return (await facts_of(tx, [order]))[order.id]


async def facts_of(tx: ReadTx, found: Sequence[Order]) -> dict[str, CombinedFacts]:
    """Return the combined Supplement Facts of orders, by order id."""
    held = {order.id: contents(order) for order in found}
    wanted = {content.product_id for own in held.values() for content in own}
    products = await catalog.select_products(tx, wanted)
    facts = {product_id: product.facts for product_id, product in products.items()}
    return {
        order_id: combined_panel([Intake(facts[content.product_id], *content.slots) for content in own])
        for order_id, own in held.items()
    }


async def list_audit(
    env: Env, request: PageRequest, *, object_type: str | None, object_id: str | None, actor: str | None
) -> Sequence[Mapping[str, Any]]:
    """Return the audit log's entries of one page and one more, newest first."""
    async with env.db.reading(ALL_TENANTS) as tx:
        return await queries.select_audit(tx, object_type, object_id, actor, request)


def pack_count(held: Sequence[Content], days: int) -> int:
    """Return how many packs an order makes, what goes beside them included."""
    slots = sum(any(content.slots[place] for content in held) for place in range(len(packing.SLOTS)))
    return slots * days + sum(content.external for content in held)


async def _order(tx: ReadTx, order_id: str) -> Order:
    found = await operating.select_orders(tx, [order_id])
    if order_id not in found:
        raise OrderNotFound("There is no order with this id.")
    return found[order_id]


async def _viewed(tx: ReadTx, found: Sequence[Order]) -> list[OperatorOrder]:
    ids = [order.id for order in found]
    batches = await queries.select_batches_of(tx, ids)
    confirmed = await queries.select_confirmations(tx, ids)
    return [_view(order, batches.get(order.id), confirmed.get(order.id, {})) for order in found]


def _view(order: Order, batch_id: str | None, confirmed: Mapping[str, str]) -> OperatorOrder:
    packs = pack_count(contents(order), order.days_supply)
    return OperatorOrder(order, batch_id, packs, packs if ALL_PACKS in confirmed else len(confirmed))
