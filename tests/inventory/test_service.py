"""Stock against PostgreSQL: lots, their ledger, reservations, and that counters and ledger agree."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import TypeVar

import psycopg
import pytest

from fulfillment.infra.db import ALL_TENANTS, Tx
from fulfillment.infra.env import Env
from fulfillment.infra.settings import Settings
from fulfillment.inventory import domain, seeding, service
from fulfillment.inventory.domain import (
    Difference,
    Lot,
    LotNotFound,
    LotNumberTaken,
    LotState,
    LotStateInvalid,
    MovementKind,
    NegativeStock,
    NewLot,
    Reservation,
    ReservationState,
)
from fulfillment.kernel.errors import ValidationFailed
from fulfillment.kernel.pages import Direction, PageRequest
from tests.conftest import Clock
from tests.world import World

pytestmark = pytest.mark.anyio
T = TypeVar("T")


async def _in(env: Env, step: Callable[[Tx], Awaitable[T]]) -> T:
    async with env.db.transaction(ALL_TENANTS) as tx:
        return await step(tx)


async def _lot(env: Env, lot_id: str) -> Lot:
    return await _in(env, lambda tx: service.get_lot(tx, lot_id))


async def _counters(env: Env, lot_id: str) -> tuple[int, int]:
    lot = await _lot(env, lot_id)
    return lot.on_hand, lot.reserved


async def _ledger(env: Env, lot_id: str) -> list[tuple[MovementKind, int]]:
    movements = await _in(env, lambda tx: service.list_movements(tx, lot_id))
    return [(movement.kind, movement.quantity) for movement in movements]


async def _balanced(env: Env) -> None:
    assert await _in(env, lambda tx: service.reconcile(tx, env.now(), dry_run=True)) == []


async def _reserve(env: Env, order_id: str, product_id: int, lot_id: str, quantity: int) -> None:
    async def step(tx: Tx) -> None:
        await service.lock_lots(tx, [product_id])
        await service.reserve(tx, [(order_id, product_id, lot_id, quantity)])

    await _in(env, step)


async def test_received_lot_is_on_hand(env: Env, world: World) -> None:
    """A received lot has all it was received with, and its ledger begins with that."""
    product, at = await world.product(), env.now()
    new = NewLot(product, "B-7", date(2031, 1, 31), 500, supplier="Maker", location="A1", state=LotState.QUARANTINED)

    lot = await _in(env, lambda tx: service.receive_lot(tx, new, "operator-1", at))

    assert lot == Lot(
        lot.id, product, "B-7", date(2031, 1, 31), "Maker", "A1", LotState.QUARANTINED, 500, 500, 0, at, at
    )
    assert lot.free == 500
    movement = (await _in(env, lambda tx: service.list_movements(tx, lot.id)))[0]
    assert (movement.kind, movement.quantity, movement.actor) == (MovementKind.RECEIVED, 500, "operator-1")
    await _balanced(env)


async def test_lot_number_is_taken(env: Env, world: World) -> None:
    """A product has a lot number once; another product may use it too, and nothing else changes."""
    product, other, at = await world.product(), await world.product(), env.now()
    lot = await _in(env, lambda tx: service.receive_lot(tx, NewLot(product, "B-7", None, 5), "a", at))

    with pytest.raises(LotNumberTaken):
        await _in(env, lambda tx: service.receive_lot(tx, NewLot(product, "B-7", None, 9), "a", at))
    await _in(env, lambda tx: service.receive_lot(tx, NewLot(other, "B-7", None, 9), "a", at))

    assert await _counters(env, lot.id) == (5, 0)
    assert await _ledger(env, lot.id) == [(MovementKind.RECEIVED, 5)]


async def test_senseless_lot(env: Env) -> None:
    """A lot of no product, without number or pills is refused with all three faults."""
    with pytest.raises(ValidationFailed) as caught:
        await _in(env, lambda tx: service.receive_lot(tx, NewLot(404, " ", None, 0), "a", env.now()))

    assert [(fault.pointer, fault.code) for fault in caught.value.errors] == [
        ("/productId", "unknown_product"),
        ("/lotNumber", None),
        ("/quantity", None),
    ]


async def test_adjusting(env: Env, world: World) -> None:
    """An adjustment moves what is on hand and writes its reason into the ledger."""
    product = await world.product()
    lot = await world.lot(product, 100)

    async def step(tx: Tx) -> Lot:
        await service.adjust_lot(tx, lot, 7, reason="found", actor="op", at=env.now())
        return await service.adjust_lot(
            tx, lot, -17, reason=" broken ", actor="op", at=env.now(), kind=MovementKind.SCRAPPED
        )

    adjusted = await _in(env, step)

    assert (adjusted.on_hand, adjusted.received) == (90, 100)
    movements = await _in(env, lambda tx: service.list_movements(tx, lot))
    assert [(one.kind, one.quantity, one.reason) for one in sorted(movements, key=lambda one: -one.quantity)] == [
        (MovementKind.RECEIVED, 100, None),
        (MovementKind.ADJUSTED, 7, "found"),
        (MovementKind.SCRAPPED, -17, "broken"),
    ]
    await _balanced(env)


async def test_stock_never_becomes_negative(env: Env, world: World) -> None:
    """What orders hold can't be adjusted away, and nothing changes."""
    product = await world.product()
    lot = await world.lot(product, 100)
    await _reserve(env, "order-a", product, lot, 60)

    with pytest.raises(NegativeStock, match="60"):
        await _in(env, lambda tx: service.adjust_lot(tx, lot, -41, reason="count", actor="op", at=env.now()))

    assert await _counters(env, lot) == (100, 60)
    assert await _ledger(env, lot) == [(MovementKind.RECEIVED, 100)]


@pytest.mark.parametrize(("quantity", "reason", "field"), [(0, "count", "/quantity"), (1, " ", "/reason")])
async def test_adjustment_needs_amount_and_reason(
    env: Env, world: World, quantity: int, reason: str, field: str
) -> None:
    """An adjustment by nothing, or for no reason, is refused."""
    lot = await world.lot(await world.product(), 100)

    with pytest.raises(ValidationFailed) as caught:
        await _in(env, lambda tx: service.adjust_lot(tx, lot, quantity, reason=reason, actor="op", at=env.now()))

    assert [fault.pointer for fault in caught.value.errors] == [field]


async def test_too_much_for_a_lot(env: Env, world: World) -> None:
    """A lot that would hold more than can be counted is refused, not broken."""
    lot = await world.lot(await world.product(), 1)

    with pytest.raises(ValidationFailed):
        await _in(env, lambda tx: service.adjust_lot(tx, lot, 2**31 - 1, reason="x", actor="op", at=env.now()))

    assert await _counters(env, lot) == (1, 0)


async def test_absent_lot(env: Env) -> None:
    """What is no lot can't be read, adjusted or moved."""
    for step in (
        lambda tx: service.get_lot(tx, "none"),
        lambda tx: service.adjust_lot(tx, "none", 1, reason="x", actor="op", at=env.now()),
        lambda tx: service.change_lot_state(tx, "none", LotState.ON_HOLD, env.now()),
    ):
        with pytest.raises(LotNotFound):
            await _in(env, step)


async def test_changing_state(env: Env, world: World) -> None:
    """A change of state tells before and after, and takes the lot out of what partners see."""
    product = await world.product()
    lot = await world.lot(product, 100)

    before, after = await _in(env, lambda tx: service.change_lot_state(tx, lot, LotState.ON_HOLD, env.now()))

    assert (before.state, after.state) == (LotState.APPROVED, LotState.ON_HOLD)
    assert after == replace(before, state=LotState.ON_HOLD, updated_at=env.now())
    assert await world.available(product) == 0


@pytest.mark.parametrize(
    ("state", "to", "on_hand", "allowed"),
    [
        (LotState.APPROVED, LotState.RECALLED, 5, True),
        (LotState.QUARANTINED, LotState.APPROVED, 5, True),
        (LotState.ON_HOLD, LotState.APPROVED, 5, True),
        (LotState.APPROVED, LotState.DEPLETED, 0, True),
        (LotState.DEPLETED, LotState.RECALLED, 0, True),
        (LotState.DEPLETED, LotState.APPROVED, 5, True),
        (LotState.EXPIRED, LotState.RECALLED, 5, True),
        (LotState.APPROVED, LotState.APPROVED, 5, False),
        (LotState.RECALLED, LotState.APPROVED, 5, False),
        (LotState.RECALLED, LotState.RECALLED, 5, False),
        (LotState.EXPIRED, LotState.APPROVED, 5, False),
        (LotState.APPROVED, LotState.DEPLETED, 1, False),
        (LotState.DEPLETED, LotState.APPROVED, 0, False),
    ],
)
def test_states_of_a_lot(state: LotState, to: LotState, on_hand: int, allowed: bool) -> None:
    """A recall is final, an expired lot is never approved again, only an empty one is depleted."""
    at = datetime(2026, 1, 1, tzinfo=UTC)
    lot = Lot("L", 1, "B", None, None, None, state, 9, on_hand, 0, at, at)

    if allowed:
        domain.check_state(lot, to)
    else:
        with pytest.raises(LotStateInvalid):
            domain.check_state(lot, to)


async def test_lots_by_page(env: Env, world: World, clock: Clock) -> None:
    """Lots come newest first, by product and state, forward and back."""
    product = await world.product()
    lots: list[str] = []
    for state in ("APPROVED", "QUARANTINED", "APPROVED"):
        clock.move(seconds=1)
        lots.append(await world.lot(product, 5, state=state))

    async def ids(request: PageRequest, state: LotState | None = None) -> list[str]:
        found = await _in(env, lambda tx: service.list_lots(tx, request, product_id=product, state=state))
        return [lot.id for lot in found]

    assert await ids(PageRequest(5)) == lots[::-1]
    assert await ids(PageRequest(5), LotState.APPROVED) == [lots[2], lots[0]]
    assert await ids(PageRequest(1)) == [lots[2], lots[1]]
    assert await ids(PageRequest(5, after=(lots[1],))) == [lots[0]]
    assert await ids(PageRequest(5, Direction.PREVIOUS, (lots[1],))) == [lots[2]]
    assert await ids(PageRequest(5, Direction.PREVIOUS)) == lots


async def test_available_is_what_can_be_promised(env: Env, world: World) -> None:
    """Only free pills of approved lots that outlast the shortest promise count; a lot without expiry does."""
    product = await world.product()
    required = service.shortest_promise(env.settings, env.now())
    days = (required - env.now().date()).days
    for quantity, expiry_days, state in (
        (1, days, "APPROVED"),
        (10, days - 1, "APPROVED"),
        (100, None, "APPROVED"),
        (1000, 900, "QUARANTINED"),
        (10_000, 900, "ON_HOLD"),
    ):
        await world.lot(product, quantity, expiry_days, state=state)
    held = await world.lot(product, 100_000)
    await _reserve(env, "order-b", product, held, 40_000)

    assert await world.available(product) == 60_101


def test_shortest_promise(settings: Settings) -> None:
    """Ordered on a Monday morning it ships on Tuesday, arrives on Wednesday, lasts 30 days and 14 more."""
    monday_nine_in_los_angeles = datetime(2026, 3, 2, 17, 0, tzinfo=UTC)

    assert service.shortest_promise(settings, monday_nine_in_los_angeles) == date(2026, 4, 17)


async def test_reserving_and_giving_back(env: Env, world: World) -> None:
    """What an order holds is reserved in its lots, given back once, and not twice."""
    product = await world.product()
    first, second = await world.lot(product, 50), await world.lot(product, 50)
    at = env.now()

    async def reserve(tx: Tx) -> list[str]:
        lots = await service.lock_lots(tx, [product])
        await service.reserve(tx, [("order-c", product, first, 50), ("order-c", product, second, 10)])
        return [lot.id for lot in lots]

    assert await _in(env, reserve) == sorted([first, second])
    assert await _counters(env, first) == (50, 50)
    assert await world.available(product) == 40

    released = await _in(env, lambda tx: service.release_order(tx, "order-c", at))
    again = await _in(env, lambda tx: service.release_order(tx, "order-c", at))

    assert {(one.lot_id, one.quantity, one.state) for one in released} == {
        (first, 50, ReservationState.RELEASED),
        (second, 10, ReservationState.RELEASED),
    }
    assert again == []
    assert await world.available(product) == 100
    await _balanced(env)


async def test_reserving_nothing(env: Env) -> None:
    """An order that needs nothing reserves nothing."""
    await _in(env, lambda tx: service.reserve(tx, []))


async def test_locked_lots_have_something_free(env: Env, world: World) -> None:
    """Lots that are used up or not approved are not offered for allocation."""
    product = await world.product()
    used, free = await world.lot(product, 5), await world.lot(product, 5, 100)
    await world.lot(product, 5, state="QUARANTINED")
    await _reserve(env, "order-d", product, used, 5)

    lots = await _in(env, lambda tx: service.lock_lots(tx, [product]))

    assert [(lot.id, lot.free, lot.expiry) for lot in lots] == [(free, 5, (env.now() + timedelta(days=100)).date())]


async def test_a_lot_is_never_oversold(env: Env, world: World) -> None:
    """The table itself refuses a reservation beyond what is on hand, and nothing stays of it."""
    product = await world.product()
    lot = await world.lot(product, 5)

    with pytest.raises(psycopg.errors.CheckViolation):
        await _reserve(env, "order-e", product, lot, 6)

    assert await _counters(env, lot) == (5, 0)
    assert await _in(env, lambda tx: service.reservations_of_orders(tx, ["order-e"])) == []


async def test_consuming(env: Env, world: World) -> None:
    """What an order takes leaves its lots and their ledgers once; an emptied lot is depleted, the trace stays."""
    product = await world.product()
    emptied, rest = await world.lot(product, 30), await world.lot(product, 30)

    async def reserve(tx: Tx) -> None:
        await service.lock_lots(tx, [product])
        await service.reserve(tx, [("order-f", product, emptied, 30), ("order-f", product, rest, 10)])

    await _in(env, reserve)
    consumed = await _in(env, lambda tx: service.consume_order(tx, "order-f", "op", env.now()))
    again = await _in(env, lambda tx: service.consume_order(tx, "order-f", "op", env.now()))

    assert {(one.lot_id, one.quantity) for one in consumed} == {(emptied, 30), (rest, 10)}
    assert again == []
    assert await _in(env, lambda tx: service.release_order(tx, "order-f", env.now())) == []
    assert (await _lot(env, emptied)).state is LotState.DEPLETED
    assert await _counters(env, rest) == (20, 0)
    assert sorted(await _ledger(env, rest)) == [(MovementKind.CONSUMED, -10), (MovementKind.RECEIVED, 30)]
    assert await _in(env, lambda tx: service.reservations_of_lot(tx, emptied)) == [
        Reservation("order-f", product, emptied, 30, ReservationState.CONSUMED)
    ]
    assert set(await _in(env, lambda tx: service.select_lots(tx, [emptied, rest, "none"]))) == {emptied, rest}
    await _balanced(env)


async def test_release_and_consume_race(env: Env, world: World) -> None:
    """Of a release and a consumption at the same time, one gets the stock and the other nothing."""
    product = await world.product()
    lot = await world.lot(product, 100)
    for place in range(5):
        await _reserve(env, f"race-{place}", product, lot, 10)

    outcomes = await asyncio.gather(
        *(_in(env, lambda tx, name=f"race-{place}": service.release_order(tx, name, env.now())) for place in range(5)),
        *(
            _in(env, lambda tx, name=f"race-{place}": service.consume_order(tx, name, "op", env.now()))
            for place in range(5)
        ),
    )

    moved = [one for outcome in outcomes for one in outcome]
    assert sorted(one.order_id for one in moved) == [f"race-{place}" for place in range(5)]
    consumed = sum(one.quantity for one in moved if one.state is ReservationState.CONSUMED)
    assert await _counters(env, lot) == (100 - consumed, 0)
    await _balanced(env)


async def test_reconcile_reports_and_repairs(env: Env, world: World) -> None:
    """Counters that drifted are reported by a dry run and set right otherwise; what makes no sense stays."""
    product = await world.product()
    drifted, senseless = await world.lot(product, 100), await world.lot(product, 100)
    await _reserve(env, "order-g", product, drifted, 10)

    async def drift(tx: Tx) -> None:
        await tx.execute("UPDATE lots SET on_hand = 90, reserved = 20 WHERE id = %(id)s", id=drifted)
        await tx.execute("UPDATE inventory_movements SET quantity = -1 WHERE lot_id = %(id)s", id=senseless)

    await _in(env, drift)
    expected = [Difference(drifted, 90, 100, 20, 10), Difference(senseless, 100, -1, 0, 0)]

    assert await _in(env, lambda tx: service.reconcile(tx, env.now(), dry_run=True)) == sorted(
        expected, key=lambda one: one.lot_id
    )
    assert await _counters(env, drifted) == (90, 20)
    await _in(env, lambda tx: service.reconcile(tx, env.now(), dry_run=False))

    assert await _counters(env, drifted) == (100, 10)
    assert [one.repairable for one in expected] == [True, False]
    assert await _in(env, lambda tx: service.reconcile(tx, env.now(), dry_run=True)) == [expected[1]]
    await _in(
        env, lambda tx: tx.execute("UPDATE inventory_movements SET quantity = 100 WHERE lot_id = %(id)s", id=senseless)
    )


async def test_seed(env: Env, world: World) -> None:
    """The demonstration has its two known products, and stock in three lots that can all be promised."""
    count = await seeding.seed_catalog(env)

    async with env.db.reading(ALL_TENANTS) as tx:
        known = await tx.all(
            "SELECT id, name, list_price FROM products WHERE id IN (77123129891, 7184241754206) ORDER BY id"
        )
    assert count == 108
    assert [(row["id"], row["name"], str(row["list_price"])) for row in known] == [
        (77123129891, "Elite EPA", "0.5300"),
        (7184241754206, "SAMe", "0.8800"),
    ]
    assert await world.available(77123129891) == 60_000
    lots = await _in(env, lambda tx: service.list_lots(tx, PageRequest(10), product_id=77123129891))
    assert {((lot.expiry or date.min) - env.now().date()).days: lot.on_hand for lot in lots} == {
        200: 12_000,
        400: 18_000,
        700: 30_000,
    }
    await _balanced(env)
