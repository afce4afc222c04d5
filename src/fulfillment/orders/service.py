"""What can be done with orders: create, read, list, cancel, move, hold. One function for each operation."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from fulfillment.catalog import service as catalog
from fulfillment.infra import jsontext
from fulfillment.infra.coalesce import Coalescer
from fulfillment.infra.db import ALL_TENANTS, Tx
from fulfillment.infra.env import Env
from fulfillment.infra.wake import wake_workers
from fulfillment.inventory import service as inventory
from fulfillment.kernel.callers import Caller
from fulfillment.kernel.errors import Unavailable, ValidationFailed
from fulfillment.kernel.ids import new_id
from fulfillment.kernel.pages import PageRequest
from fulfillment.orders import domain, queries, wire
from fulfillment.orders.domain import (
    EVENT_OF,
    Draft,
    HoldCode,
    HoldNotFound,
    IdempotencyKeyReused,
    Order,
    OrderNotFound,
    OrderStatus,
)
from fulfillment.orders.idempotency import Claim
from fulfillment.orders.intake import Created, OnDuplicate, Stale, Versions, answer_from, hold_json, intake_of
from fulfillment.orders.preparing import Prepared, Rules, check_draft, prepare
from fulfillment.orders.queries import Newest, PageKey
from fulfillment.partners import service as partners
from fulfillment.partners.domain import Partner
from fulfillment.shipping import service as shipping
from fulfillment.webhooks import service as webhooks
from fulfillment.webhooks.domain import NewEvent

_TRIES = 20
_DEFAULT_RELEASE_MINUTES = 60


async def create_order(
    env: Env, caller: Caller, draft: Draft, *, claim: Claim | None = None, on_duplicate: OnDuplicate = "accept"
) -> Created:
    """Accept an order: price it, take its stock, and tell the partner.

    The order, its stock, its event and its key come into being together or not at all; the answer comes after.

    Raises:
        ValidationFailed, UnknownProduct, ProductNotOrderable: A line can't be made.
        InsufficientStock: Too little is left of a product; nothing was taken.
        DuplicateOrder: A twin exists and *on_duplicate* is "reject".
        IdempotencyKeyReused, IdempotencyInProgress: The key belongs to another request, or is under way.
    """
    for _ in range(_TRIES):
        try:
            prepared, versions = await prepare_order(env, caller, draft)
        except ValidationFailed:
            # What could be ordered when the key was used may not be any more; its answer stands.
            answer = await find_answer(env, claim)
            if answer is None:
                raise
            return answer
        try:
            return await asyncio.shield(intake_of(env).submit(prepared, claim, on_duplicate, versions))
        except Stale:
            continue
    raise Unavailable("Prices are changing at this moment. Try again.", retry_after_seconds=1)


async def find_answer(env: Env, claim: Claim | None) -> Created | None:
    """Return the answer that the request of *claim* has got already, or None.

    Raises:
        IdempotencyKeyReused: The key belongs to another request.
    """
    if claim is None:
        return None
    async with env.db.reading(claim.partner_id) as tx:
        stored = await queries.select_keys(tx, [claim.identity])
    partner = await partners.get_partner(env, claim.partner_id)
    answer = answer_from(env, stored, claim, now_of(env, partner))
    if isinstance(answer, IdempotencyKeyReused):
        raise answer
    return answer


async def prepare_order(env: Env, caller: Caller, draft: Draft) -> tuple[Prepared, Versions]:
    """Return the order as it would be made now, and the versions of what it rests on.

    Raises:
        ValidationFailed, UnknownProduct, ProductNotOrderable: A line can't be made.
    """
    products = await catalog.get_orderables(env)
    everyone = await partners.get_partners(env)
    methods = await shipping.get_methods(env)
    partner = everyone.value.get(caller.partner_id)
    if partner is None:  # made a moment ago, by another process
        env.caches.drop("partners")
        everyone = await partners.get_partners(env)
        partner = everyone.value[caller.partner_id]
    at = now_of(env, partner)
    price = methods.value[draft.shipping_method].price
    try:
        prepared = prepare(draft, products.value, partner, price, rules_of(env), at)
    except ValidationFailed:
        # The product may have been made a moment ago, by another process, whose notification a pooler keeps back.
        await env.caches.compare()
        if (await catalog.get_orderables(env)).version == products.version:
            raise
        return await prepare_order(env, caller, draft)
    return prepared, (products.version, everyone.version, methods.version)


async def line_check(env: Env) -> Callable[[Draft], None]:
    """Return what accepts a draft as a template: its products exist and are orderable, its pills add up.

    The check itself asks nothing of the database, so it may run inside a transaction. It raises ValidationFailed,
    UnknownProduct or ProductNotOrderable where a line can't be made.
    """
    await env.caches.compare()  # as where an order is refused, but the check itself can't wait
    products = (await catalog.get_orderables(env)).value

    def check(draft: Draft) -> None:
        check_draft(draft, products)

    return check


def rules_of(env: Env) -> Rules:
    """Return the settings that new orders are made by."""
    rules = env.local.get("orders.rules")
    if rules is None:
        settings = env.settings
        minutes = settings.release_minutes
        if minutes is None and not settings.sandbox:
            minutes = _DEFAULT_RELEASE_MINUTES
        rules = env.local["orders.rules"] = Rules(
            ZoneInfo(settings.warehouse_timezone),
            settings.expiry_buffer_days,
            settings.handling_fee,
            timedelta(minutes=minutes) if minutes is not None else None,
        )
    return rules


def now_of(env: Env, partner: Partner) -> datetime:
    """Return the partner's present: its test clock's, or the real one."""
    return partner.clock_frozen_at or env.now()


async def get_order(env: Env, caller: Caller, order_id: str) -> Order:
    """Return the partner's order.

    Raises:
        OrderNotFound: The partner has no such order.
    """
    return _found(await _reads(env).get((caller.partner_id, order_id)), order_id)


async def list_orders(env: Env, caller: Caller, status: OrderStatus | None, request: PageRequest) -> Sequence[Order]:
    """Return the partner's orders of one page and one more, in reading order."""
    async with env.db.reading(caller.partner_id) as tx:
        return await queries.select_page(tx, caller.partner_id, status.value if status else None, request)


async def list_newest(env: Env, caller: Caller, request: PageRequest, known: str | None) -> Newest:
    """Return the partner's orders of a page towards older ones, and one more, unless *known* is their mark."""
    before = request.after[0] if request.after else "~"  # behind every id in collation "C"
    newest = await _pages(env).get((caller.partner_id, before, request.limit + 1, known))
    assert newest is not None  # every page that is asked for is told of
    return newest


def _reads(env: Env) -> Coalescer[tuple[str, str], Order]:
    found = env.local.get("orders.reads")
    if found is None:
        found = env.local["orders.reads"] = Coalescer(lambda keys: queries.read_orders(env.db, keys))
    return found


def _pages(env: Env) -> Coalescer[PageKey, Newest]:
    found = env.local.get("orders.pages")
    if found is None:
        found = env.local["orders.pages"] = Coalescer(lambda keys: queries.read_pages(env.db, keys))
    return found


async def cancel_order(env: Env, caller: Caller, order_id: str) -> Order:
    """Cancel an order that has not entered processing, and give its stock back.

    Raises:
        OrderNotFound: The partner has no such order.
        OrderNotCancellable: The order is past CREATED.
    """
    partner = await partners.get_partner(env, caller.partner_id)
    async with env.db.transaction(caller.partner_id) as tx:
        order = _found(await queries.lock_order(tx, caller.partner_id, order_id), order_id)
        domain.check_cancel(order)
        at = now_of(env, partner)
        await inventory.release_order(tx, order.id, at)
        cancelled = await _change(tx, partner, order._replace(status=OrderStatus.CANCELLED), at)
    wake_workers(env)
    return cancelled


async def get_any_order(env: Env, order_id: str) -> Order:
    """Return any partner's order: the operator's view.

    Raises:
        OrderNotFound: There is none.
    """
    async with env.db.reading(ALL_TENANTS) as tx:
        return _found(await queries.select_any_order(tx, order_id), order_id)


async def list_any_orders(env: Env, *, partner_id: str | None, status: str | None, limit: int) -> Sequence[Order]:
    """Return the newest orders of all partners or of one: the operator's view."""
    async with env.db.reading(ALL_TENANTS) as tx:
        return await queries.select_any_orders(tx, partner_id, status, limit)


async def lock_any_order(tx: Tx, order_id: str) -> Order:
    """Return any partner's order, locked: the warehouse's way in.

    Raises:
        OrderNotFound: There is none.
    """
    return _found(await queries.lock_any_order(tx, order_id), order_id)


async def move_order(
    tx: Tx,
    partner: Partner,
    order: Order,
    to: OrderStatus,
    at: datetime,
    *,
    fulfillment: str | None = None,
    shipments: str | None = None,
) -> Order:
    """Move a locked *order* to the status *to* and tell the partner.

    Stock is not moved here: the operation that calls this does that in the same transaction.

    Args:
        fulfillment: The contract's fulfillmentInfo as JSON text; None keeps what is there.
        shipments: The additive shipments as JSON text; None keeps what is there.

    Raises:
        IllegalTransition: *to* does not follow.
        OrderHeld: An open hold is in the way.
    """
    domain.check_move(order, to)
    moved = order._replace(
        status=to, fulfillment=fulfillment or order.fulfillment, shipments=shipments or order.shipments
    )
    return await _change(tx, partner, moved, at)


async def note_change(tx: Tx, partner: Partner, order: Order, event_type: str, at: datetime) -> Order:
    """Write a locked *order* whose status stays, and tell the partner with an event of *event_type*."""
    return await _change(tx, partner, order, at, event_type)


async def hold_order(
    tx: Tx, partner: Partner, order: Order, code: HoldCode, note: str, actor: str, at: datetime
) -> Order:
    """Put a hold on a locked *order* and tell the partner."""
    await queries.insert_hold(
        tx,
        id=new_id(at),
        order_id=order.id,
        partner_id=order.partner_id,
        code=code.value,
        note=note,
        actor=actor,
        created_at=at,
    )
    return await _change(tx, partner, await _with_holds(tx, order), at, "order.held")


async def release_hold(tx: Tx, partner: Partner, order: Order, hold_id: str, actor: str, at: datetime) -> Order:
    """Release one hold of a locked *order* and tell the partner.

    Raises:
        HoldNotFound: It has no such open hold.
    """
    released = await queries.update_hold_released(
        tx, partner_id=order.partner_id, order_id=order.id, id=hold_id, actor=actor, at=at
    )
    if not released:
        raise HoldNotFound("The order has no open hold with this id.")
    return await _change(tx, partner, await _with_holds(tx, order), at, "order.hold_released")


async def purge_idempotency_keys(env: Env) -> int:
    """Remove expired idempotency keys, a thousand in a transaction; return how many."""
    before = env.now() - timedelta(hours=env.settings.idempotency_retention_hours)
    # Those of a partner with a test clock end by a time of their own, which may stand years away.
    clocked = [one.id for one in (await partners.get_partners(env)).value.values() if one.clock_frozen_at is not None]
    total = 0
    while True:
        async with env.db.transaction("*") as tx:
            removed = await queries.delete_old_keys(tx, before, clocked)
        total += removed
        if removed < 1000:
            return total


async def _with_holds(tx: Tx, order: Order) -> Order:
    holds: Sequence[dict[str, Any]] = await queries.select_open_holds(tx, order.partner_id, order.id)
    return order._replace(holds=wire.holds_json([hold_json(hold) for hold in holds]))


async def _change(tx: Tx, partner: Partner, order: Order, at: datetime, event_type: str | None = None) -> Order:
    changed = order._replace(sequence=order.sequence + 1, updated_at=at)
    await queries.update_order(tx, changed)
    await webhooks.announce(
        tx,
        [
            NewEvent(
                id=new_id(at),
                partner_id=changed.partner_id,
                type=event_type or EVENT_OF[changed.status],
                payload=wire.event_json(changed),
                created_at=at,
                order_id=changed.id,
                order_sequence=changed.sequence,
                deliver=partner.webhook_url is not None,
                on_clock=partner.clock_frozen_at is not None,
            )
        ],
    )
    return changed


def _found(order: Order | None, order_id: str) -> Order:
    if order is None:
        raise OrderNotFound("You have no order with this id.")
    return order


def customer_of(order: Order) -> dict[str, Any]:
    """Return the contract's Customer of *order*."""
    return jsontext.read(order.customer.encode())


def document_of(order: Order) -> dict[str, Any]:
    """Return what *order* was answered with at creation."""
    return jsontext.read(order.document.encode())
