"""Stock and orders under any sequence of what a warehouse does, against a model and a real PostgreSQL."""

import asyncio
import tempfile
from collections.abc import Coroutine
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pytest
from hypothesis import HealthCheck, Phase
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from fulfillment.infra.caches import Caches
from fulfillment.infra.db import ALL_TENANTS, Database
from fulfillment.infra.env import Env
from fulfillment.infra.secrets import load_or_create
from fulfillment.infra.settings import Settings
from fulfillment.inventory import service as inventory
from fulfillment.inventory.domain import LotState, LotStateInvalid, NegativeStock, NewLot
from fulfillment.kernel.callers import Caller
from fulfillment.orders import service as orders
from fulfillment.orders.domain import (
    HoldCode,
    IllegalTransition,
    InsufficientStock,
    OrderHeld,
    OrderNotCancellable,
    OrderStatus,
)
from fulfillment.shipping.calendar import ShippingMethod, max_transit_days
from fulfillment.warehouse.domain import (
    Actor,
    LotAlreadyRecalled,
    LotNotUsable,
    OrderNotHoldable,
    Outcome,
    PacksNotConfirmed,
)
from fulfillment.warehouse.recalls import Action, Stage
from fulfillment.warehouse.service import holding, recalling, repicking, stepping, stocking
from fulfillment.warehouse.service.locking import open_holds
from tests.world import World, a_draft

T = TypeVar("T")
ACTOR = Actor("model")
DAYS = 30
BUFFER = 14
S = OrderStatus
PLACES = st.integers(0, 11)  # in the list of orders, or of lots; it begins anew at the end


@dataclass(slots=True)
class LotModel:
    """What a lot should be."""

    product: int
    expiry: date
    state: LotState = LotState.APPROVED


@dataclass(slots=True)
class OrderModel:
    """What an order should be."""

    daily: dict[int, int]  # pills a day of each product
    status: OrderStatus = S.CREATED
    method: ShippingMethod = ShippingMethod.STANDARD

    def amount(self, product: int) -> int:
        """Return the pills of the whole order."""
        return self.daily[product] * DAYS


@dataclass(slots=True)
class Model:
    """The warehouse as it should be."""

    lots: dict[str, LotModel] = field(default_factory=dict[str, LotModel])
    orders: dict[str, OrderModel] = field(default_factory=dict[str, OrderModel])
    on_hand: dict[int, int] = field(default_factory=dict[int, int])  # of each product


class Warehouse(RuleBasedStateMachine):
    """Receives, promises, makes, ships, counts and recalls, in any order."""

    dsn: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.now = datetime(2026, 11, 23, 17, 0, tzinfo=UTC)
        self.folder = tempfile.TemporaryDirectory(prefix="model-")
        path = Path(self.folder.name)
        db = Database(self.dsn, size=4)
        self.env = Env(Settings(data_dir=path), db, Caches(db), load_or_create(path / "secrets.json"), lambda: self.now)
        self.model = Model()

    def run_(self, work: Coroutine[Any, Any, T]) -> T:
        """Run one operation."""
        return self.runner.run(work)

    @initialize(lasts=st.sampled_from([60, 62, 66, 75, 300]))
    def begin(self, lasts: int) -> None:
        """A partner, two products with two lots each, and two orders."""

        async def work() -> tuple[Caller, int, int]:
            world = World(self.env)
            return await world.partner(), await world.product(), await world.product()

        self.partner, *products = self.run_(work())
        self.products: list[int] = [int(product) for product in products]
        self.model.on_hand = dict.fromkeys(self.products, 0)
        self.number = 0
        for which in (0, 1):
            self.receive_lot(which, 95, lasts)
            self.receive_lot(which, 400, 400)
        self.order((1, 1))
        self.order((2, 1))

    @rule(
        which=st.integers(0, 1),
        quantity=st.integers(30, 200),
        lasts=st.sampled_from([45, 60, 62, 66, 80, 400]),
    )
    def receive(self, which: int, quantity: int, lasts: int) -> None:
        """A lot comes in, some too short-lived to promise."""
        self.receive_lot(which, quantity, lasts)

    def receive_lot(self, which: int, quantity: int, lasts: int) -> None:
        """Receive a lot of one of the products."""
        product = self.products[which]
        self.number += 1
        expiry = self.now.date() + timedelta(days=lasts)
        lot = self.run_(stocking.receive_lot(self.env, ACTOR, NewLot(product, f"L{self.number}", expiry, quantity)))
        self.model.lots[lot.id] = LotModel(product, expiry)
        self.model.on_hand[product] += quantity

    @rule(pills=st.sampled_from([(1, 0), (0, 1), (1, 1), (2, 1), (3, 0), (2, 3)]))
    def order(self, pills: tuple[int, int]) -> None:
        """An order is accepted, or refused because too little is left that lasts."""
        daily = {product: each for product, each in zip(self.products, pills, strict=True) if each}
        before = self._sellable()
        lines = [
            {
                "productId": product,
                "quantity": pills,
                "packDescription": "Daily",
                "administration": {"morning": pills, "afternoon": 0, "evening": 0, "sleep": 0},
            }
            for product, pills in daily.items()
        ]
        try:
            created = self.run_(orders.create_order(self.env, self.partner, a_draft(*lines)))
        except InsufficientStock:
            # Whole days only come from one lot: what is left may be more than the order needs and still not enough.
            assert any(
                sum(free - free % pills for free in before[product]) < pills * DAYS for product, pills in daily.items()
            )
            return
        self.model.orders[created.order_id] = OrderModel(daily)

    @rule(which=PLACES)
    def cancel(self, which: int) -> None:
        """Only what is CREATED can be cancelled."""
        order_id = self._order(which)
        model = self.model.orders[order_id]
        try:
            self.run_(orders.cancel_order(self.env, self.partner, order_id))
        except OrderNotCancellable:
            assert model.status is not S.CREATED
        else:
            assert model.status is S.CREATED
            model.status = S.CANCELLED

    def release(self, order_id: str) -> None:
        """Only what is CREATED and not held is released, and only with lots that will last."""
        model, held = self.model.orders[order_id], self._held(order_id)
        try:
            step = self.run_(stepping.release_order(self.env, ACTOR, order_id))
        except OrderHeld:
            assert held
        except IllegalTransition:
            assert model.status not in (S.CREATED, S.PROCESSING)
        else:
            if step.outcome is Outcome.DONE:
                assert model.status is S.CREATED
                assert not self._bad(order_id)
                model.status = S.PROCESSING
            elif step.outcome is Outcome.HELD:
                assert [hold["code"] for hold in self._holds(order_id)] == [HoldCode.STOCK_SHORT]
            else:
                assert model.status is S.PROCESSING

    def fulfill(self, order_id: str, all_packs: bool) -> None:
        """Pills leave their lots here, once."""
        model, held, bad = self.model.orders[order_id], self._held(order_id), self._bad(order_id)
        try:
            step = self.run_(stepping.fulfill_order(self.env, ACTOR, order_id, confirm_all=all_packs))
        except PacksNotConfirmed:
            assert not all_packs
        except LotNotUsable:
            assert bad
        except OrderHeld:
            assert held
        except IllegalTransition:
            assert model.status not in (S.PROCESSING, S.FULFILLED)
        else:
            if step.outcome is Outcome.DONE:
                assert model.status is S.PROCESSING
                assert not bad
                model.status = S.FULFILLED
                for product in model.daily:
                    self.model.on_hand[product] -= model.amount(product)

    def label(self, order_id: str) -> None:
        """Only what is made gets a label."""
        self._move(order_id, S.FULFILLED, S.AWAITING_SHIPMENT, stepping.make_label(self.env, ACTOR, order_id))

    def ship(self, order_id: str) -> None:
        """Only what is labelled ships, and only from lots that keep the promise today."""
        self._move(order_id, S.AWAITING_SHIPMENT, S.SHIPPED, stepping.ship_order(self.env, ACTOR, order_id))

    @rule(which=PLACES, step=st.sampled_from(["release", "fulfill", "fulfill unpacked", "label", "ship"]))
    def step(self, which: int, step: str) -> None:
        """Any step is tried at any time."""
        order_id = self._order(which)
        if step.startswith("fulfill"):
            self.fulfill(order_id, step == "fulfill")
        else:
            {"release": self.release, "label": self.label, "ship": self.ship}[step](order_id)

    @rule(which=PLACES, steps=st.integers(2, 4))
    def go_far(self, which: int, steps: int) -> None:
        """As below, but far: most orders should."""
        self.go_on(which, steps)

    @rule(which=PLACES, steps=st.integers(1, 4))
    def go_on(self, which: int, steps: int) -> None:
        """An order goes several steps of its way."""
        order_id = self._order(which)
        self.release(order_id)
        if steps > 1:
            self.fulfill(order_id, True)
        if steps > 2:
            self.label(order_id)
        if steps > 3:
            self.ship(order_id)

    @rule(which=PLACES, days=st.integers(2, 8), steps=st.integers(1, 4))
    def go_late(self, which: int, days: int, steps: int) -> None:
        """An order lies about before it goes on: its lots may not last any more."""
        self.wait(days)
        self.go_on(which, steps)

    @rule(which=PLACES, steps=st.integers(1, 3), again=st.booleans())
    def recalled_on_the_way(self, which: int, steps: int, again: bool) -> None:
        """An order's lot is recalled when the order has come so far; it gets another, and goes on."""
        self.go_on(which, steps)
        order_id = self._order(which)
        for kept in self._reservations(order_id)[:1]:
            self.recall(list(self.model.lots).index(kept.lot_id))
        if again:
            self.receive_lot(0, 100, 300)
            self.receive_lot(1, 100, 300)
        self.repick(which)
        self.go_on(which, 4)

    @rule(which=PLACES)
    def repick(self, which: int) -> None:
        """An order with lots that may not leave gets others, or is held."""
        order_id = self._order(which)
        model = self.model.orders[order_id]
        replaced = [lot for lot in self._bad(order_id) if model.status in (S.FULFILLED, S.AWAITING_SHIPMENT)]
        taken = {lot.lot_id: lot.quantity for lot in self._reservations(order_id)}
        try:
            step = self.run_(repicking.repick_order(self.env, ACTOR, order_id))
        except OrderNotHoldable:
            assert model.status in (S.SHIPPED, S.CANCELLED)
            return
        if step.outcome is Outcome.HELD:
            assert self._held(order_id)
            return
        for lot in replaced:
            self.model.on_hand[self.model.lots[lot].product] -= taken[lot]

    @rule(which=PLACES)
    def free(self, which: int) -> None:
        """The operator lifts every hold, wisely or not."""
        order_id = self._order(which)
        for hold in self._holds(order_id):
            self.run_(holding.release_hold(self.env, ACTOR, order_id, hold["id"]))

    @rule(which=PLACES)
    def recall(self, which: int) -> None:
        """A recall takes the lot out of every order that has not left, or holds the order."""
        lot_id = self._lot(which)
        if self.model.lots[lot_id].state is LotState.RECALLED:
            with pytest.raises(LotAlreadyRecalled):
                self.run_(recalling.recall_lot(self.env, ACTOR, lot_id, dry_run=False))
            return
        trace = self.run_(recalling.recall_lot(self.env, ACTOR, lot_id, dry_run=False))
        self.model.lots[lot_id].state = LotState.RECALLED
        for one in trace.reached:
            if one.stage in (Stage.RESERVED, Stage.IN_PRODUCTION):
                has_it = any(kept.lot_id == lot_id for kept in self._reservations(one.order_id))
                assert has_it == (one.action is Action.HELD)
                assert self._held_for_recall(one.order_id) or not has_it

    @rule(which=PLACES, out=st.booleans())
    def quarantine(self, which: int, out: bool) -> None:
        """A lot goes into quarantine, or comes out of it."""
        lot_id = self._lot(which)
        to = LotState.QUARANTINED if out else LotState.APPROVED
        try:
            lot = self.run_(stocking.change_lot_state(self.env, ACTOR, lot_id, to, "checked"))
        except LotStateInvalid:
            return
        self.model.lots[lot_id].state = lot.state

    @rule(which=PLACES, quantity=st.integers(-400, 100).filter(bool))
    def adjust(self, which: int, quantity: int) -> None:
        """A count finds more or less; never less than orders hold."""
        lot_id = self._lot(which)
        lot = self.run_(stocking.get_lot(self.env, lot_id))
        try:
            self.run_(stocking.adjust_lot(self.env, ACTOR, lot_id, quantity, "counted"))
        except NegativeStock:
            assert lot.on_hand + quantity < lot.reserved
        else:
            assert lot.on_hand + quantity >= lot.reserved
            self.model.on_hand[lot.product_id] += quantity

    @rule(days=st.integers(1, 6))
    def wait(self, days: int) -> None:
        """Days go by, and the nightly job sets the states that follow."""
        self.now += timedelta(days=days)
        self.run_(stocking.expire_lots(self.env))

    @invariant()
    def nothing_is_promised_twice(self) -> None:
        """No lot holds more promises than pills; each counter is what the ledger says; no pill is lost."""
        lots = self._lots()
        for lot in lots.values():
            assert 0 <= lot["reserved"] <= lot["on_hand"]
            assert lot["on_hand"] == lot["moved"]
            assert lot["reserved"] == lot["open"]
        for product, expected in self.model.on_hand.items():
            assert sum(lot["on_hand"] for lot in lots.values() if lot["product_id"] == product) == expected

    @invariant()
    def every_order_has_its_pills(self) -> None:
        """Whatever happened, an order that lives holds exactly what it asked for, and a cancelled one nothing."""
        reservations = self._reservations(*self.model.orders)
        for order_id, model in self.model.orders.items():
            held: dict[int, int] = {}
            for kept in (one for one in reservations if one.order_id == order_id):
                held[kept.product_id] = held.get(kept.product_id, 0) + kept.quantity
                state = "CONSUMED" if model.status in (S.FULFILLED, S.AWAITING_SHIPMENT, S.SHIPPED) else "OPEN"
                assert kept.state == state
            expected = {} if model.status is S.CANCELLED else {p: model.amount(p) for p in model.daily}
            assert held == expected

    def teardown(self) -> None:
        """Follow every lot to its orders and every order to its lots; the two must agree."""
        try:
            self._traces_agree()
        finally:
            self.run_(self.env.db.close())
            self.runner.close()
            self.folder.cleanup()

    def _traces_agree(self) -> None:
        by_order = {
            (order_id, one.lot.id, one.quantity)
            for order_id, model in self.model.orders.items()
            if model.status is not S.CANCELLED
            for one in self.run_(recalling.lots_of_order(self.env, order_id))
            if one.state in ("OPEN", "CONSUMED")
        }
        by_lot = {
            (one.order_id, lot_id, one.pills)
            for lot_id in self.model.lots
            for one in self.run_(recalling.trace_lot(self.env, lot_id)).reached
            if one.stage is not Stage.REPLACED
        }
        assert by_order == by_lot
        for order_id, model in self.model.orders.items():
            if model.status is S.SHIPPED:
                assert {lot for order, lot, _ in by_lot if order == order_id}

    def _move(self, order_id: str, before: OrderStatus, after: OrderStatus, work: Coroutine[Any, Any, Any]) -> None:
        model, held, bad = self.model.orders[order_id], self._held(order_id), self._bad(order_id)
        try:
            step = self.run_(work)
        except LotNotUsable:
            assert bad
        except OrderHeld:
            assert held
        except IllegalTransition:
            assert model.status not in (before, after)
        else:
            if step.outcome is Outcome.DONE:
                assert model.status is before
                assert not bad
                assert not held
                model.status = after

    def _order(self, which: int) -> str:
        return list(self.model.orders)[which % len(self.model.orders)]

    def _lot(self, which: int) -> str:
        return list(self.model.lots)[which % len(self.model.lots)]

    def _bad(self, order_id: str) -> set[str]:
        """Return the order's lots that may not leave today, by the model."""
        model = self.model.orders[order_id]
        return {
            kept.lot_id
            for kept in self._reservations(order_id)
            if self._unfit(self.model.lots[kept.lot_id], self._promise(model, self._today()))
        }

    def _unfit(self, lot: LotModel, promise: date) -> bool:
        return lot.state in (LotState.RECALLED, LotState.QUARANTINED) or lot.expiry < promise

    def _promise(self, model: OrderModel, ships: date) -> date:
        return ships + timedelta(days=max_transit_days(model.method, ships) + DAYS + BUFFER)

    def _today(self) -> date:
        # Noon in the warehouse's time zone is the same day in UTC.
        return self.now.date()

    def _sellable(self) -> dict[int, list[int]]:
        ships = self.now.date() + timedelta(days=1)
        while ships.weekday() > 4:
            ships += timedelta(days=1)
        found: dict[int, list[int]] = {product: [] for product in self.products}
        for lot_id, lot in self._lots().items():
            model = self.model.lots[lot_id]
            # A little stricter than the promise: holidays may move the day of shipping.
            if lot["state"] == "APPROVED" and model.expiry >= self._promise(OrderModel({}), ships) + timedelta(days=5):
                found[lot["product_id"]].append(lot["on_hand"] - lot["reserved"])
        return found

    def _lots(self) -> dict[str, dict[str, Any]]:
        async def work() -> dict[str, dict[str, Any]]:
            async with self.env.db.reading(ALL_TENANTS) as tx:
                rows = await tx.all(
                    """
                    SELECT id, product_id, state, on_hand, reserved,
                           (SELECT sum(quantity) FROM inventory_movements WHERE lot_id = lots.id) AS moved,
                           (SELECT coalesce(sum(quantity), 0) FROM reservations
                             WHERE lot_id = lots.id AND state = 'OPEN') AS open
                      FROM lots WHERE product_id = ANY (%(products)s)
                    """,
                    products=self.products,
                )
            return {row["id"]: row for row in rows}

        return self.run_(work())

    def _reservations(self, *order_ids: str) -> list[inventory.Reservation]:
        async def work() -> list[inventory.Reservation]:
            async with self.env.db.reading(ALL_TENANTS) as tx:
                return await inventory.reservations_of_orders(tx, order_ids)

        return [kept for kept in self.run_(work()) if kept.state in ("OPEN", "CONSUMED")]

    def _holds(self, order_id: str) -> list[dict[str, Any]]:
        return open_holds(self.run_(orders.get_any_order(self.env, order_id)))

    def _held(self, order_id: str) -> bool:
        return bool(self._holds(order_id))

    def _held_for_recall(self, order_id: str) -> bool:
        return any(hold["code"] == HoldCode.LOT_RECALLED for hold in self._holds(order_id))


def test_any_sequence_keeps_every_promise(dsns: tuple[str, str]) -> None:
    """Over random sequences: nothing promised twice, ledgers balance, no promise broken, both traces agree."""

    class Bound(Warehouse):
        dsn = dsns[0]

    run_state_machine_as_test(
        Bound,
        settings=hypothesis_settings(
            max_examples=25,
            stateful_step_count=25,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
            print_blob=False,
            phases=(Phase.generate,),
        ),
    )
