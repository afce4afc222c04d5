"""SQL over sandbox_states and sandbox_plans."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from fulfillment.infra.db import ReadTx, Row, Tx
from fulfillment.sandbox.domain import Plan, Scenario, State

_PLAN: Final = "order_id, partner_id, scenario, dice, step, next_at, lot_id"

INSERT_STATE: Final = """
INSERT INTO sandbox_states (partner_id, seed) VALUES (%(partner_id)s, %(seed)s) ON CONFLICT (partner_id) DO NOTHING
"""
SELECT_STATE: Final = """
SELECT partner_id, seed, planned, planned_after, moving_until FROM sandbox_states WHERE partner_id = %(partner_id)s
"""
LOCK_STATE: Final = SELECT_STATE + " FOR UPDATE"
RESEED: Final = """
UPDATE sandbox_states SET seed = %(seed)s, planned = 0, planned_after = '' WHERE partner_id = %(partner_id)s
"""
UPDATE_PLANNED: Final = """
UPDATE sandbox_states SET planned = %(planned)s, planned_after = %(planned_after)s WHERE partner_id = %(partner_id)s
"""
TAKE_HAND: Final = """
UPDATE sandbox_states SET moving_until = %(until)s
 WHERE partner_id = %(partner_id)s AND (moving_until IS NULL OR moving_until <= %(now)s)
"""
KEEP_HAND: Final = """
UPDATE sandbox_states SET moving_until = %(until)s WHERE partner_id = %(partner_id)s AND moving_until = %(held)s
"""
LEAVE_HAND: Final = """
UPDATE sandbox_states SET moving_until = NULL WHERE partner_id = %(partner_id)s AND moving_until = %(held)s
"""

INSERT_PLAN: Final = f"""
INSERT INTO sandbox_plans ({_PLAN})
VALUES (%(order_id)s, %(partner_id)s, %(scenario)s, %(dice)s, %(step)s, %(next_at)s, %(lot_id)s)
    ON CONFLICT (order_id) DO NOTHING
"""
SELECT_PLAN: Final = f"""
SELECT {_PLAN} FROM sandbox_plans WHERE partner_id = %(partner_id)s AND order_id = %(order_id)s
"""
SELECT_PLANNED: Final = "SELECT order_id FROM sandbox_plans WHERE order_id = ANY (%(order_ids)s)"
SELECT_DUE: Final = f"""
SELECT {_PLAN} FROM sandbox_plans
 WHERE partner_id = %(partner_id)s AND next_at <= %(at)s
 ORDER BY next_at, order_id LIMIT %(limit)s
"""
SELECT_NEXT: Final = "SELECT min(next_at) AS at FROM sandbox_plans WHERE partner_id = %(partner_id)s"
UPDATE_PLAN: Final = """
UPDATE sandbox_plans
   SET scenario = %(scenario)s, step = %(step)s, next_at = %(next_at)s, lot_id = %(lot_id)s
 WHERE partner_id = %(partner_id)s AND order_id = %(order_id)s
"""
RESPACE: Final = """
UPDATE sandbox_plans SET next_at = %(next_at)s WHERE partner_id = %(partner_id)s AND next_at IS NOT NULL
"""

SELECT_TRANSACTION: Final = "SELECT pg_current_xact_id()::text AS id"


async def select_transaction(tx: Tx) -> str:
    """Return the number of the transaction: whatever begins later has a greater one, whatever a clock says."""
    return (await tx.one(SELECT_TRANSACTION))["id"]


async def insert_state(tx: Tx, partner_id: str, seed: str) -> None:
    """Begin to remember a partner, if it is not remembered yet."""
    await tx.execute(INSERT_STATE, partner_id=partner_id, seed=seed)


async def select_state(tx: ReadTx, partner_id: str) -> State | None:
    """Return what is remembered of the partner, or None."""
    row = await tx.one_or_none(SELECT_STATE, partner_id=partner_id)
    return State(**row) if row else None


async def lock_state(tx: Tx, partner_id: str) -> State | None:
    """Return what is remembered of the partner, locked until *tx* ends, or None."""
    row = await tx.one_or_none(LOCK_STATE, partner_id=partner_id)
    return State(**row) if row else None


async def reseed(tx: Tx, partner_id: str, seed: str) -> None:
    """Begin chance anew with *seed*, and look at every order again."""
    await tx.execute(RESEED, partner_id=partner_id, seed=seed)


async def update_planned(tx: Tx, partner_id: str, planned: int, planned_after: str) -> None:
    """Note how many orders were planned, and up to which."""
    await tx.execute(UPDATE_PLANNED, partner_id=partner_id, planned=planned, planned_after=planned_after)


async def take_hand(tx: Tx, partner_id: str, now: datetime, until: datetime) -> bool:
    """Take the right to move the partner's orders until the moment *until*; return whether it was free."""
    return await tx.execute(TAKE_HAND, partner_id=partner_id, now=now, until=until) > 0


async def keep_hand(tx: Tx, partner_id: str, held: datetime, until: datetime) -> bool:
    """Lengthen the right that ends at *held*; return whether it was still ours."""
    return await tx.execute(KEEP_HAND, partner_id=partner_id, held=held, until=until) > 0


async def leave_hand(tx: Tx, partner_id: str, held: datetime) -> None:
    """Give the right that ends at *held* back."""
    await tx.execute(LEAVE_HAND, partner_id=partner_id, held=held)


async def insert_plan(tx: Tx, plan: Plan) -> bool:
    """Write a plan; return False for an order that has one."""
    return await tx.execute(INSERT_PLAN, **_columns(plan)) > 0


async def select_plan(tx: ReadTx, partner_id: str, order_id: str) -> Plan | None:
    """Return an order's plan, or None."""
    row = await tx.one_or_none(SELECT_PLAN, partner_id=partner_id, order_id=order_id)
    return _plan(row) if row else None


async def select_planned(tx: ReadTx, order_ids: Sequence[str]) -> set[str]:
    """Return those of *order_ids* that have a plan."""
    return {row[0] for row in await tx.tuples(SELECT_PLANNED, {"order_ids": list(order_ids)})}


async def select_due(tx: ReadTx, partner_id: str, at: datetime, limit: int) -> Sequence[Plan]:
    """Return the plans whose next step is due at *at*, in the order of time and then of the orders' ids."""
    return [_plan(row) for row in await tx.all(SELECT_DUE, partner_id=partner_id, at=at, limit=limit)]


async def select_next(tx: ReadTx, partner_id: str) -> datetime | None:
    """Return when the partner's next step is due, or None."""
    return (await tx.one(SELECT_NEXT, partner_id=partner_id))["at"]


async def update_plan(tx: Tx, plan: Plan) -> None:
    """Write what can change of a plan."""
    await tx.execute(UPDATE_PLAN, **_columns(plan))


async def respace(tx: Tx, partner_id: str, next_at: datetime) -> None:
    """Make every unfinished plan go on at *next_at*."""
    await tx.execute(RESPACE, partner_id=partner_id, next_at=next_at)


def _plan(row: Row) -> Plan:
    return Plan(
        order_id=row["order_id"],
        partner_id=row["partner_id"],
        scenario=Scenario(row["scenario"]),
        dice=row["dice"],
        step=row["step"],
        next_at=row["next_at"],
        lot_id=row["lot_id"],
    )


def _columns(plan: Plan) -> dict[str, object]:
    return {
        "order_id": plan.order_id,
        "partner_id": plan.partner_id,
        "scenario": plan.scenario.value,
        "dice": plan.dice,
        "step": plan.step,
        "next_at": plan.next_at,
        "lot_id": plan.lot_id,
    }
