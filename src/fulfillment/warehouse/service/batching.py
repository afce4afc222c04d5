"""Batches: orders released, picked, packed, labelled and shipped together, each on its own account.

Every order of a batch makes its step in a transaction of its own, so one that can't leaves its neighbours alone, a
step that was cut off goes on where it was, and several packers may press the same button.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from fulfillment.infra.db import ALL_TENANTS
from fulfillment.infra.env import Env
from fulfillment.inventory.domain import Lot
from fulfillment.kernel.errors import FulfillmentError, Kind
from fulfillment.kernel.ids import new_id
from fulfillment.kernel.pages import PageRequest
from fulfillment.orders import operating
from fulfillment.orders.domain import IllegalTransition, Order, OrderStatus
from fulfillment.partners import service as partners
from fulfillment.warehouse import packing, queries
from fulfillment.warehouse.domain import (
    Actor,
    Batch,
    BatchEmpty,
    BatchNotFound,
    LabelAsk,
    Outcome,
    Result,
    Step,
    reached,
    results_by_outcome,
)
from fulfillment.warehouse.packing import Pack
from fulfillment.warehouse.service import stepping
from fulfillment.warehouse.service.locking import contents, record, uses_of
from fulfillment.warehouse.service.reading import pack_count

MOST_ORDERS = 500
_DUE_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class PickRow:
    """What a batch takes from one lot."""

    lot: Lot
    product_name: str
    quantity: int  # pills or units
    external: bool
    orders: int  # how many it serves


@dataclass(frozen=True, slots=True)
class PackedOrder:
    """An order's packs, and who confirmed which."""

    order: Order
    packs: tuple[Pack, ...]
    confirmed: Mapping[str, str]


async def create_batch(
    env: Env, actor: Actor, order_ids: Sequence[str] | None = None, *, partner_id: str | None = None
) -> tuple[Batch, Sequence[Result]]:
    """Release orders as a batch.

    Args:
        order_ids: Which; None: all that are due, and those in production that are in no batch.
        partner_id: Only this partner's, where all that are due are meant.

    Raises:
        BatchEmpty: None of them could be released.
    """
    chosen = list(dict.fromkeys(order_ids)) if order_ids is not None else await _due_by_hand(env, partner_id)
    at = env.now()
    batch_id = new_id(at)
    async with env.db.transaction(ALL_TENANTS) as tx:
        await queries.insert_batch(tx, batch_id, actor.id, at)
    results: list[Result] = []
    try:
        for order_id in chosen:
            results.append(await _attempt(order_id, _releasing(env, actor, batch_id, order_id)))
    finally:
        async with env.db.transaction(ALL_TENANTS) as tx:
            await queries.delete_empty_batch(tx, batch_id)
    async with env.db.transaction(ALL_TENANTS) as tx:
        batch = await queries.select_batch(tx, batch_id)
        if batch is not None:
            after = {"orders": sum(batch.orders.values()), **results_by_outcome(results)}
            await record(tx, actor, "batch.created", "batch", batch_id, None, after, at)
    if batch is None:
        raise BatchEmpty(
            "None of the orders can be released now.", extra={"results": [_problem(result) for result in results]}
        )
    return batch, results


async def get_batch(env: Env, batch_id: str) -> Batch:
    """Return a batch.

    Raises:
        BatchNotFound: There is none.
    """
    async with env.db.reading(ALL_TENANTS) as tx:
        return _found(await queries.select_batch(tx, batch_id))


async def list_batches(env: Env, request: PageRequest) -> Sequence[Batch]:
    """Return the batches of one page and one more, newest first."""
    async with env.db.reading(ALL_TENANTS) as tx:
        return await queries.select_batches(tx, request)


async def confirm_batch(env: Env, actor: Actor, batch_id: str) -> Sequence[Result]:
    """Confirm every pack of a batch that nobody confirmed yet.

    Raises:
        BatchNotFound: There is none.
    """

    async def confirm(order_id: str) -> Step:
        return (await stepping.confirm_packs(env, actor, order_id, None))[0]

    return await _over(env, batch_id, OrderStatus.FULFILLED, confirm)


async def fulfill_batch(env: Env, actor: Actor, batch_id: str, *, confirm_all: bool = False) -> Sequence[Result]:
    """Close the production of every order of a batch.

    Raises:
        BatchNotFound: There is none.
    """
    return await _over(
        env,
        batch_id,
        OrderStatus.FULFILLED,
        lambda order_id: stepping.fulfill_order(env, actor, order_id, confirm_all=confirm_all),
    )


async def label_batch(
    env: Env, actor: Actor, batch_id: str, asks: Mapping[str, LabelAsk] | None = None
) -> Sequence[Result]:
    """Make the labels of every order of a batch.

    Args:
        asks: What the operator typed, by order id; in the sandbox nothing is needed.

    Raises:
        BatchNotFound: There is none.
    """
    given = asks or {}
    return await _over(
        env,
        batch_id,
        OrderStatus.AWAITING_SHIPMENT,
        lambda order_id: stepping.make_label(env, actor, order_id, given.get(order_id)),
    )


async def ship_batch(env: Env, actor: Actor, batch_id: str) -> Sequence[Result]:
    """Note that the carriers have every parcel of a batch.

    Raises:
        BatchNotFound: There is none.
    """
    return await _over(env, batch_id, OrderStatus.SHIPPED, lambda order_id: stepping.ship_order(env, actor, order_id))


async def pick_list(env: Env, batch_id: str) -> tuple[Batch, Sequence[PickRow], int]:
    """Return what a batch takes from the shelves, by product and first expiry first, and how many packs it makes.

    Raises:
        BatchNotFound: There is none.
    """
    async with env.db.reading(ALL_TENANTS) as tx:
        batch = _found(await queries.select_batch(tx, batch_id))
        order_ids = await queries.select_batch_orders(tx, batch_id)
        found = await operating.select_orders(tx, order_ids)
        uses = await uses_of(tx, order_ids)
    rows: dict[str, PickRow] = {}
    packs = 0
    for order_id in order_ids:
        held = {content.product_id: content for content in contents(found[order_id])}
        packs += pack_count(tuple(held.values()), found[order_id].days_supply)
        for use in uses[order_id]:
            content, before = held[use.lot.product_id], rows.get(use.lot.id)
            rows[use.lot.id] = PickRow(
                use.lot,
                content.name,
                use.quantity + (before.quantity if before else 0),
                content.external,
                1 + (before.orders if before else 0),
            )
    ordered = sorted(
        rows.values(),
        key=lambda row: (
            row.product_name,
            row.lot.product_id,
            str(row.lot.expiry or "9999-12-31"),
            row.lot.lot_number,
        ),
    )
    return batch, ordered, packs


async def pack_list(env: Env, batch_id: str, request: PageRequest) -> Sequence[PackedOrder]:
    """Return the packs of the orders of one page and one more, smallest order id first.

    Raises:
        BatchNotFound: There is none.
    """
    async with env.db.reading(ALL_TENANTS) as tx:
        _found(await queries.select_batch(tx, batch_id))
        order_ids = await queries.select_batch_orders_page(tx, batch_id, request)
        found = await operating.select_orders(tx, order_ids)
        uses = await uses_of(tx, order_ids)
        confirmed = await queries.select_confirmations(tx, order_ids)
    return [
        PackedOrder(
            found[order_id],
            packing.packs_of(order_id, contents(found[order_id]), found[order_id].days_supply, uses[order_id]),
            confirmed.get(order_id, {}),
        )
        for order_id in order_ids
    ]


async def release_due(env: Env) -> int:
    """Release the orders whose cut-off has come; return how many left CREATED. For the worker."""
    clocks = await _clocks(env)
    async with env.db.reading(ALL_TENANTS) as tx:
        due = await operating.select_due(tx, env.now(), clocks, _DUE_AT_ONCE)
    worker = Actor("worker")
    results = [await _attempt(order_id, _releasing(env, worker, None, order_id)) for order_id in due]
    return sum(result.outcome is not Outcome.UNCHANGED for result in results)


def _releasing(env: Env, actor: Actor, batch_id: str | None, order_id: str) -> Callable[[], Awaitable[Step]]:
    return lambda: stepping.release_order(env, actor, order_id, batch_id=batch_id)


async def _due_by_hand(env: Env, partner_id: str | None) -> list[str]:
    clocks = await _clocks(env)
    async with env.db.reading(ALL_TENANTS) as tx:
        waiting = await queries.select_unbatched(tx, partner_id, MOST_ORDERS)
        due = await operating.select_releasable(
            tx, env.now(), clocks, partner_id=partner_id, limit=MOST_ORDERS - len(waiting)
        )
    return [*waiting, *due]


async def _clocks(env: Env) -> list[tuple[str, datetime]]:
    everyone = (await partners.get_partners(env)).value
    return [
        (partner.id, partner.clock_frozen_at) for partner in everyone.values() if partner.clock_frozen_at is not None
    ]


async def _over(
    env: Env, batch_id: str, target: OrderStatus, step: Callable[[str], Awaitable[Step]]
) -> Sequence[Result]:
    async with env.db.reading(ALL_TENANTS) as tx:
        _found(await queries.select_batch(tx, batch_id))
        found = await operating.select_orders(tx, await queries.select_batch_orders(tx, batch_id))
    results: list[Result] = []
    for order_id, order in found.items():
        if reached(order.status, target):
            results.append(Result(order_id, Outcome.UNCHANGED, order.status.value))
        else:
            results.append(await _attempt(order_id, lambda order_id=order_id: step(order_id), target))
    return results


async def _attempt(order_id: str, step: Callable[[], Awaitable[Step]], target: OrderStatus | None = None) -> Result:
    try:
        made = await step()
    except IllegalTransition as error:
        status = str(error.extra.get("orderStatus"))
        # Another packer was faster, and is further by now.
        if target is not None and reached(OrderStatus(status), target):
            return Result(order_id, Outcome.UNCHANGED, status)
        return Result(order_id, Outcome.REFUSED, status, error.code, error.detail)
    except FulfillmentError as error:
        if error.kind is Kind.UNAVAILABLE:
            raise
        known = error.extra.get("orderStatus")
        return Result(order_id, Outcome.REFUSED, str(known) if known else None, error.code, error.detail)
    return Result(order_id, made.outcome, made.order.status.value)


def _problem(result: Result) -> dict[str, object]:
    return {"orderId": result.order_id, "outcome": result.outcome.value, "code": result.code}


def _found(batch: Batch | None) -> Batch:
    if batch is None:
        raise BatchNotFound("There is no batch with this id.")
    return batch
