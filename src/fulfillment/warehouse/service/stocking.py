"""Lots: received, adjusted, moved from state to state, listed; counters proven against the ledger."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from fulfillment.infra.db import ALL_TENANTS
from fulfillment.infra.env import Env
from fulfillment.inventory import service as inventory
from fulfillment.inventory.domain import (
    Difference,
    Lot,
    LotState,
    LotStateInvalid,
    Movement,
    MovementKind,
    NewLot,
)
from fulfillment.inventory.expiry import usable_on
from fulfillment.kernel.pages import PageRequest
from fulfillment.warehouse import queries
from fulfillment.warehouse.domain import Actor
from fulfillment.warehouse.service.locking import record, today

_MESSAGE_DAYS = 90


async def receive_lot(env: Env, actor: Actor, new: NewLot) -> Lot:
    """Take in a lot.

    Raises:
        ValidationFailed: The product does not exist, or a value makes no sense.
        LotNumberTaken: The product has a lot of this number.
    """
    async with env.db.transaction(ALL_TENANTS) as tx:
        lot = await inventory.receive_lot(tx, new, actor.id, env.now())
        after = {**audited(lot), "supplier": lot.supplier, "received": lot.received}
        await record(tx, actor, "lot.received", "lot", lot.id, None, after, lot.updated_at)
    return lot


async def adjust_lot(env: Env, actor: Actor, lot_id: str, quantity: int, reason: str, *, scrapped: bool = False) -> Lot:
    """Add *quantity* (signed: pills or units) to what a lot has on hand.

    Args:
        scrapped: It was thrown away, and not counted anew.

    Raises:
        ValidationFailed: The quantity is none, or the reason is empty.
        LotNotFound: There is no such lot.
        NegativeStock: Less would be left than orders hold of it.
    """
    kind = MovementKind.SCRAPPED if scrapped else MovementKind.ADJUSTED
    at = env.now()
    async with env.db.transaction(ALL_TENANTS) as tx:
        before = await inventory.lock_lot(tx, lot_id)
        lot = await inventory.adjust_lot(tx, lot_id, quantity, reason=reason, actor=actor.id, at=at, kind=kind)
        after = {**audited(lot), "kind": kind.value, "reason": reason}
        await record(tx, actor, "lot.adjusted", "lot", lot_id, audited(before), after, at)
    return lot


async def change_lot_state(env: Env, actor: Actor, lot_id: str, to: LotState, reason: str) -> Lot:
    """Move a lot to the state *to*. A recall is not a change of state: it has its own operation.

    Orders that hold something of a lot taken out of use keep it until they are released, fulfilled or shipped; then
    they are picked anew, or refused.

    Raises:
        LotNotFound: There is no such lot.
        LotStateInvalid: It can't go there from where it is.
    """
    at = env.now()
    async with env.db.transaction(ALL_TENANTS) as tx:
        lot = await inventory.lock_lot(tx, lot_id)
        if to is LotState.RECALLED:
            raise LotStateInvalid("Recall the lot: a recall also reaches the orders.", lot_id=lot_id)
        if to is LotState.APPROVED and not usable_on(lot.expiry, today(env, at)):
            raise LotStateInvalid(f"The lot has expired on {lot.expiry}.", lot_id=lot_id)
        before, lot = await inventory.change_lot_state(tx, lot_id, to, at)
        after = {**audited(lot), "reason": reason}
        await record(tx, actor, "lot.state_changed", "lot", lot_id, audited(before), after, at)
    return lot


async def get_lot(env: Env, lot_id: str) -> Lot:
    """Return a lot.

    Raises:
        LotNotFound: There is no such lot.
    """
    async with env.db.reading(ALL_TENANTS) as tx:
        return await inventory.get_lot(tx, lot_id)


async def list_lots(
    env: Env, request: PageRequest, *, product_id: int | None = None, state: LotState | None = None
) -> Sequence[Lot]:
    """Return the lots of one page and one more, newest first."""
    async with env.db.reading(ALL_TENANTS) as tx:
        return await inventory.list_lots(tx, request, product_id=product_id, state=state)


async def list_movements(env: Env, lot_id: str, request: PageRequest) -> Sequence[Movement]:
    """Return the lines of one page and one more of a lot's ledger, newest first.

    Raises:
        LotNotFound: There is no such lot.
    """
    async with env.db.reading(ALL_TENANTS) as tx:
        await inventory.get_lot(tx, lot_id)
        return await inventory.list_movements_page(tx, lot_id, request)


async def reconcile(env: Env, actor: Actor, *, dry_run: bool) -> Sequence[Difference]:
    """Return the lots whose counters are not what their ledgers say, and set the counters right.

    Args:
        dry_run: Repair nothing.
    """
    at = env.now()
    async with env.db.transaction(ALL_TENANTS) as tx:
        found = await inventory.reconcile(tx, at, dry_run=dry_run)
        for wrong in () if dry_run else found:
            before = {"onHand": wrong.on_hand, "reserved": wrong.reserved}
            after = {"onHand": wrong.on_hand_by_ledger, "reserved": wrong.reserved_by_ledger}
            if wrong.repairable:
                await record(tx, actor, "lot.reconciled", "lot", wrong.lot_id, before, after, at)
    return found


async def expire_lots(env: Env) -> int:
    """Set EXPIRED the lots whose last day is over, and DEPLETED those that have run out; return how many."""
    at = env.now()
    worker = Actor("worker")
    async with env.db.transaction(ALL_TENANTS) as tx:
        ended = await inventory.end_lots(tx, today(env, at), at)
        for before, lot in ended:
            await record(tx, worker, "lot.state_changed", "lot", lot.id, audited(before), audited(lot), at)
    return len(ended)


async def forget_tracking_messages(env: Env) -> int:
    """Forget the keys of carriers' messages older than 90 days; return how many."""
    async with env.db.transaction(ALL_TENANTS) as tx:
        return await queries.delete_old_messages(tx, env.now() - timedelta(days=_MESSAGE_DAYS))


def audited(lot: Lot) -> Mapping[str, object]:
    """Return what the audit log keeps of a lot."""
    return {
        "productId": lot.product_id,
        "lotNumber": lot.lot_number,
        "expiry": lot.expiry.isoformat() if lot.expiry else None,
        "state": lot.state.value,
        "onHand": lot.on_hand,
        "reserved": lot.reserved,
    }
