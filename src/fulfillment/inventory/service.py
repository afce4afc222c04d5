"""What can be done with stock: receive, adjust, promise, give back, take, prove."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import Final
from zoneinfo import ZoneInfo

from fulfillment.catalog import service as catalog
from fulfillment.infra.db import ReadTx, Tx
from fulfillment.infra.env import Env
from fulfillment.infra.settings import Settings
from fulfillment.inventory import domain, queries
from fulfillment.inventory.allocation import LotBook, LotView
from fulfillment.inventory.domain import (
    Difference,
    Lot,
    LotNotFound,
    LotNumberTaken,
    LotState,
    Movement,
    MovementKind,
    Need,
    NewLot,
    Reservation,
    ReservationState,
)
from fulfillment.inventory.expiry import required_expiry
from fulfillment.inventory.lookup import lookup_of
from fulfillment.kernel.errors import FieldError, ValidationFailed
from fulfillment.kernel.ids import new_id
from fulfillment.kernel.pages import PageRequest
from fulfillment.shipping.calendar import ShippingMethod, max_transit_days, ship_date

_SHORTEST_SUPPLY_DAYS: Final = 30
_FASTEST: Final = ShippingMethod.OVERNIGHT
_MOST: Final = 2**31 - 1  # pills or units of one lot


def shortest_promise(settings: Settings, at: datetime) -> date:
    """Return the first expiry date that keeps the shortest promise made at *at*: 30 days, by the fastest method."""
    leaves = ship_date(at, ZoneInfo(settings.warehouse_timezone))
    return required_expiry(
        leaves, max_transit_days(_FASTEST, leaves), _SHORTEST_SUPPLY_DAYS, settings.expiry_buffer_days
    )


async def get_available(env: Env, product_ids: Sequence[int], at: datetime) -> Mapping[int, int]:
    """Return what partners may order of each product at *at*, pills or units; a product without any is absent."""
    return await lookup_of(env, _look).ask(product_ids, shortest_promise(env.settings, at))


async def _look(env: Env, product_ids: Sequence[int], promised: date) -> Mapping[int, int]:
    return await queries.read_available(env.db, product_ids, promised)


async def available(tx: ReadTx, product_ids: Iterable[int], promised: date) -> dict[int, int]:
    """Return what is free of each product in approved lots that can be used on the day *promised*."""
    return await queries.select_available(tx, product_ids, promised)


async def view_lots(tx: ReadTx, product_ids: Iterable[int]) -> list[LotView]:
    """Return the approved lots of products with anything free as they are at this moment; nothing is locked."""
    return await queries.select_free_lots(tx, product_ids)


async def lock_lots(tx: Tx, product_ids: Iterable[int]) -> list[LotView]:
    """Return the approved lots of products with anything free, locked until *tx* ends, by id."""
    return await queries.lock_lots(tx, product_ids)


async def reserve(tx: Tx, picks: Sequence[tuple[str, int, str, int]]) -> None:
    """Reserve (order id, product id, lot id, quantity), each order, product and lot once.

    The lots are locked by `lock_lots` in the same *tx*. It waits for no result, so it may be part of a pipeline; that
    a lot is never oversold is a constraint of the table.
    """
    if picks:
        await queries.insert_reservations(tx, picks)


async def release_order(tx: Tx, order_id: str, at: datetime) -> list[Reservation]:
    """Give back what an order holds and return it; a second time there is nothing to return."""
    await queries.lock_lots_of_order(tx, order_id)
    return await queries.release_reservations(tx, order_id, at)


async def consume_order(tx: Tx, order_id: str, actor: str, at: datetime) -> list[Reservation]:
    """Take what an order holds out of its lots and return it; a second time there is nothing to return."""
    await queries.lock_lots_of_order(tx, order_id)
    consumed = await queries.consume_reservations(tx, order_id, at)
    movements = [
        _movement(MovementKind.CONSUMED, taken.lot_id, -taken.quantity, actor, at, order_id=order_id)
        for taken in consumed
    ]
    await queries.insert_movements(tx, movements)
    return consumed


async def reservations_of_orders(tx: ReadTx, order_ids: Iterable[str]) -> list[Reservation]:
    """Return what orders hold, took or gave back, by order, product and lot."""
    return await queries.select_reservations_of_orders(tx, order_ids)


async def reservations_of_lot(tx: ReadTx, lot_id: str) -> list[Reservation]:
    """Return what orders hold, took or gave back of a lot."""
    return await queries.select_reservations_of_lot(tx, lot_id)


async def receive_lot(tx: Tx, lot: NewLot, actor: str, at: datetime) -> Lot:
    """Take in a lot.

    Raises:
        ValidationFailed: The product does not exist, or a value makes no sense; all are named.
        LotNumberTaken: The product has a lot of this number.
    """
    known = await catalog.select_products(tx, [lot.product_id])
    faults = _new_lot_faults(lot, lot.product_id in known)
    if faults:
        raise ValidationFailed("The lot can't be received.", errors=faults)
    received = await queries.insert_lot(
        tx,
        id=new_id(at),
        product_id=lot.product_id,
        lot_number=lot.lot_number,
        expiry=lot.expiry,
        supplier=lot.supplier,
        location=lot.location,
        state=lot.state,
        quantity=lot.quantity,
        at=at,
    )
    if received is None:
        raise LotNumberTaken(f"Product {lot.product_id} has a lot of this number. Adjust that one.")
    await queries.insert_movements(tx, [_movement(MovementKind.RECEIVED, received.id, lot.quantity, actor, at)])
    return received


async def adjust_lot(
    tx: Tx,
    lot_id: str,
    quantity: int,
    *,
    reason: str,
    actor: str,
    at: datetime,
    kind: MovementKind = MovementKind.ADJUSTED,
) -> Lot:
    """Add *quantity* (signed: pills or units) to what a lot has on hand, and return it as it is then.

    Args:
        kind: ADJUSTED after a count, SCRAPPED for what was thrown away.

    Raises:
        ValidationFailed: The quantity is none, or the reason is empty.
        LotNotFound: There is no such lot.
        NegativeStock: Less would be left than orders hold of it.
    """
    faults = [
        *([FieldError("/quantity", "It must not be 0.")] if quantity == 0 else []),
        *([FieldError("/reason", "Say why.")] if not reason.strip() else []),
    ]
    if faults:
        raise ValidationFailed("The lot can't be adjusted.", errors=faults)
    lot = await lock_lot(tx, lot_id)
    domain.check_adjustment(lot, quantity)
    if lot.on_hand + quantity > _MOST:
        raise ValidationFailed("The lot can't be adjusted.", errors=[FieldError("/quantity", "It is too much.")])
    adjusted = replace(lot, on_hand=lot.on_hand + quantity, updated_at=at)
    await queries.update_lot(tx, adjusted)
    await queries.insert_movements(tx, [_movement(kind, lot_id, quantity, actor, at, reason=reason.strip())])
    return adjusted


async def change_lot_state(tx: Tx, lot_id: str, to: LotState, at: datetime) -> tuple[Lot, Lot]:
    """Move a lot to the state *to*; return it as it was and as it is.

    What orders hold of it they keep: whoever takes a lot out of use decides what becomes of them.

    Raises:
        LotNotFound: There is no such lot.
        LotStateInvalid: It can't go there from where it is.
    """
    lot = await lock_lot(tx, lot_id)
    domain.check_state(lot, to)
    changed = replace(lot, state=to, updated_at=at)
    await queries.update_lot(tx, changed)
    return lot, changed


async def get_lot(tx: ReadTx, lot_id: str) -> Lot:
    """Return a lot.

    Raises:
        LotNotFound: There is no such lot.
    """
    return _found(await queries.select_lot(tx, lot_id))


async def lock_lot(tx: Tx, lot_id: str) -> Lot:
    """Return a lot, locked until *tx* ends.

    Raises:
        LotNotFound: There is no such lot.
    """
    return _found(await queries.lock_lot(tx, lot_id))


async def select_lots(tx: ReadTx, lot_ids: Iterable[str]) -> dict[str, Lot]:
    """Return the lots that exist of *lot_ids*, by id."""
    return {lot.id: lot for lot in await queries.select_lots(tx, lot_ids)}


async def list_lots(
    tx: ReadTx, request: PageRequest, *, product_id: int | None = None, state: LotState | None = None
) -> list[Lot]:
    """Return the lots of one page and one more, in reading order (`cursors.to_page`); the key is the id."""
    return await queries.select_page(tx, product_id, state, request)


async def list_movements(tx: ReadTx, lot_id: str) -> list[Movement]:
    """Return a lot's ledger, oldest first."""
    return await queries.select_movements(tx, lot_id)


async def list_movements_page(tx: ReadTx, lot_id: str, request: PageRequest) -> list[Movement]:
    """Return the lines of one page of a lot's ledger and one more, in reading order; the key is the id."""
    return await queries.select_movements_page(tx, lot_id, request)


async def select_lots_by_number(tx: ReadTx, numbers: Iterable[str]) -> list[Lot]:
    """Return the lots with one of *numbers*; several products may share one."""
    return await queries.select_lots_by_number(tx, numbers)


async def lock_lots_of_order(tx: Tx, order_id: str) -> dict[str, Lot]:
    """Return the lots that an order has something of, locked until *tx* ends, by id."""
    return {lot.id: lot for lot in await queries.lock_lots_to_repick(tx, [order_id], [], [])}


async def lock_lots_to_repick(
    tx: Tx, order_ids: Sequence[str], product_ids: Iterable[int], lot_ids: Sequence[str] = ()
) -> dict[str, Lot]:
    """Return every lot that `repick` or `remake` may touch, locked until *tx* ends, by id.

    Those are the lots the orders have something of, those of *product_ids* that have something free, and *lot_ids*.
    No lot may be locked before in *tx*.
    """
    return {
        lot.id: lot for lot in await queries.lock_lots_to_repick(tx, order_ids, sorted(set(product_ids)), list(lot_ids))
    }


async def repick(tx: Tx, needs: Sequence[Need], lots: Mapping[str, Lot], at: datetime) -> dict[tuple[str, int], bool]:
    """Give back what orders hold of products, and take it anew, first expired first out.

    Where it can't be had the order keeps what it holds. Earlier needs come first.

    Args:
        lots: As locked by `lock_lots_to_repick` in the same *tx*.

    Returns:
        By (order id, product id): whether it could be had.
    """
    held = await _held(tx, {need.order_id for need in needs})
    book = LotBook([_view(lot) for lot in lots.values() if lot.state is LotState.APPROVED])
    done: dict[tuple[str, int], bool] = {}
    picks: list[tuple[str, int, str, int]] = []
    for need in needs:
        key = (need.order_id, need.product_id)
        own = [
            (lot_id, amount)
            for lot_id, amount in held.get(key, ())
            if lot_id in lots and lots[lot_id].state is LotState.APPROVED
        ]
        book.undo(own)
        taken = book.take(need.product_id, need.amount, need.lasts_until, need.day_quantity)
        done[key] = taken is not None
        if taken is None:
            book.undo([(lot_id, -amount) for lot_id, amount in own])
        else:
            picks.extend((*key, lot_id, amount) for lot_id, amount in taken)
    if picks:
        await queries.release_reservations_of_products(tx, [key for key, had in done.items() if had], at)
        await queries.reinsert_reservations(tx, picks)
    return done


async def remake(
    tx: Tx,
    needs: Sequence[Need],
    bad: Sequence[str],
    lots: Mapping[str, Lot],
    *,
    actor: str,
    at: datetime,
) -> bool:
    """Take anew, out of other lots, what one order took of the *bad* lots; all of it or nothing.

    What was made of the bad lots is thrown away: it had left them already and does not come back.

    Args:
        needs: What is missing of each product without the bad lots, all of the same order.
        lots: As locked by `lock_lots_to_repick` in the same *tx*.
    """
    book = LotBook([_view(lot) for lot in lots.values() if lot.state is LotState.APPROVED and lot.id not in bad])
    picks: list[tuple[str, int, str, int]] = []
    for need in needs:
        taken = book.take(need.product_id, need.amount, need.lasts_until, need.day_quantity)
        if taken is None:
            return False
        picks.extend((need.order_id, need.product_id, lot_id, amount) for lot_id, amount in taken)
    if picks:
        order_id = needs[0].order_id
        await queries.replace_consumed(tx, order_id, bad)
        await queries.insert_consumed(tx, picks, at)
        await queries.insert_movements(
            tx,
            [
                _movement(MovementKind.CONSUMED, lot_id, -amount, actor, at, order_id=order_id, reason="made anew")
                for _, _, lot_id, amount in picks
            ],
        )
    return True


async def end_lots(tx: Tx, today: date, at: datetime) -> list[tuple[Lot, Lot]]:
    """Set EXPIRED what has expired before *today*, DEPLETED what has run out; return each as it was and as it is."""
    ended: list[tuple[Lot, Lot]] = []
    for lot in await queries.lock_ended_lots(tx, today):
        state = LotState.DEPLETED if lot.on_hand == 0 and lot.state is LotState.APPROVED else LotState.EXPIRED
        changed = replace(lot, state=state, updated_at=at)
        await queries.update_lot(tx, changed)
        ended.append((lot, changed))
    return ended


async def reconcile(tx: Tx, at: datetime, *, dry_run: bool) -> list[Difference]:
    """Return the lots whose counters are not what their ledgers say, and set the counters right.

    A lot whose ledger itself makes no sense (`Difference.repairable`) stays as it is.

    Args:
        dry_run: Repair nothing.
    """
    found = await queries.select_differences(tx)
    if dry_run or not found:
        return found
    # Looked at again under the lock: what was seen may be an order's change that has been committed since.
    ids = [difference.lot_id for difference in found]
    await queries.lock_lots_by_id(tx, ids)
    differences = await queries.select_differences_of(tx, ids)
    for wrong in differences:
        if wrong.repairable:
            await queries.update_counters(tx, wrong.lot_id, wrong.on_hand_by_ledger, wrong.reserved_by_ledger, at)
    return differences


async def _held(tx: ReadTx, order_ids: Iterable[str]) -> dict[tuple[str, int], list[tuple[str, int]]]:
    held: dict[tuple[str, int], list[tuple[str, int]]] = {}
    for kept in await queries.select_reservations_of_orders(tx, order_ids):
        if kept.state is ReservationState.OPEN:
            held.setdefault((kept.order_id, kept.product_id), []).append((kept.lot_id, kept.quantity))
    return held


def _view(lot: Lot) -> LotView:
    return LotView(lot.id, lot.product_id, lot.lot_number, lot.expiry, lot.received_at, lot.free)


def _new_lot_faults(lot: NewLot, known: bool) -> list[FieldError]:
    return [
        *([] if known else [FieldError("/productId", f"There is no product {lot.product_id}.", "unknown_product")]),
        *([] if lot.lot_number.strip() else [FieldError("/lotNumber", "A lot needs a number.")]),
        *([] if 1 <= lot.quantity <= _MOST else [FieldError("/quantity", f"From 1 to {_MOST:,}.")]),
    ]


def _found(lot: Lot | None) -> Lot:
    if lot is None:
        raise LotNotFound("There is no lot with this id.")
    return lot


def _movement(
    kind: MovementKind,
    lot_id: str,
    quantity: int,
    actor: str,
    at: datetime,
    *,
    order_id: str | None = None,
    reason: str | None = None,
) -> Movement:
    return Movement(new_id(at), lot_id, kind, quantity, order_id, reason, actor, at)
