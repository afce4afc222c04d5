"""The intake's two ways: a batch in one round trip, and step by step where anything is special; one outcome."""

import asyncio
import itertools
import random
from collections.abc import Sequence
from typing import Any, Final, LiteralString
from unittest.mock import MagicMock

import pytest

from fulfillment.infra.db import ALL_TENANTS, Tx
from fulfillment.infra.env import Env
from fulfillment.kernel.callers import Caller
from fulfillment.kernel.errors import FulfillmentError
from fulfillment.orders import intake_queries, service
from fulfillment.orders.domain import DuplicateOrder
from fulfillment.orders.idempotency import Claim
from fulfillment.orders.intake import Asked, Created, Intake, OnDuplicate, intake_of
from tests.orders.stored import NOTHING, footprint, reserved, rows, run
from tests.world import World, a_customer, a_draft, a_line

pytestmark = pytest.mark.anyio

_NUMBERS: Final = itertools.count(1)
Stock = Sequence[tuple[int, int | None]]  # of each lot: how much, and the days it lasts


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what the database says of each batch that is tried in one round trip."""
    heard: list[str] = []
    accept = intake_queries.accept

    async def listening(*args: Any) -> str:
        heard.append(await accept(*args))
        return heard[-1]

    monkeypatch.setattr(intake_queries, "accept", listening)
    return heard


async def asked(
    env: Env,
    caller: Caller,
    *lines: dict[str, Any],
    key: str | None = None,
    on_duplicate: OnDuplicate = "accept",
    **changes: Any,
) -> Asked:
    """Return an order in line, of a customer of its own."""
    draft = a_draft(*lines, **({"customer": a_customer(sourceId=f"c{next(_NUMBERS)}")} | changes))
    prepared, versions = await service.prepare_order(env, caller, draft)
    claim = Claim(caller.partner_id, "createOrder", key, b"\x00" * 32) if key else None
    return Asked(prepared, claim, on_duplicate, versions, asyncio.get_running_loop().create_future(), 0.0)


async def transact(intake: Intake, batch: list[Asked]) -> list[Created | FulfillmentError]:
    """Carry a batch out, as the line does."""
    return await intake._transact(batch)  # pyright: ignore[reportPrivateUsage]


async def taken(env: Env, products: Sequence[int]) -> list[tuple[Any, ...]]:
    """Return what each order took of which lot, in the order of their making; lots and products by their places."""
    lots = await rows(
        env, "SELECT id, product_id FROM lots WHERE product_id = ANY (%(p)s::bigint[]) ORDER BY id", p=list(products)
    )
    place = {lot: (products.index(product), number) for number, (lot, product) in enumerate(lots)}
    found = await rows(
        env,
        "SELECT order_id, lot_id, quantity FROM reservations WHERE product_id = ANY (%(p)s::bigint[])",
        p=list(products),
    )
    orders = sorted({order for order, _, _ in found})
    return sorted((orders.index(order), *place[lot], quantity) for order, lot, quantity in found)


@pytest.mark.parametrize("seed", range(6))
async def test_both_ways_take_the_same_lots(
    env: Env, world: World, said: list[str], monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Whatever lots there are and whatever is asked, both ways take the same of the same lots and refuse the same."""
    dice = random.Random(seed)
    stocks: list[Stock] = [
        [(dice.choice([30, 60, 90, 600, 6000]), days) for days in dice.sample([60, 90, 200, 201, 720, None], 4)]
        for _ in range(3)
    ]
    wishes = [
        [[(dice.randrange(3), dice.choice([1, 2, 3])) for _ in range(dice.choice([1, 2]))] for _ in range(4)]
        for _ in range(8)
    ]
    caller = await world.partner()
    outcomes: list[Any] = []
    for way in ("short", "careful"):
        products = [await world.product() for _ in stocks]
        for product, stock in zip(products, stocks, strict=True):
            for amount, days in stock:
                await world.lot(product, amount, days)
        intake = Intake(env)
        if way == "careful":
            monkeypatch.setattr(intake, "_is_plain", MagicMock(return_value=False))
        refused: list[bool] = []
        for wish in wishes:
            batch = [await asked(env, caller, *(a_line(products[p], q) for p, q in order)) for order in wish]
            refused += [not isinstance(outcome, Created) for outcome in await transact(intake, batch)]
        outcomes.append((refused, await taken(env, products)))

    assert outcomes[0] == outcomes[1]
    assert len(said) == len(wishes)
    assert intake_queries.ACCEPTED in said


async def test_a_plain_batch_is_one_round_trip(env: Env, world: World, said: list[str]) -> None:
    """Orders of two partners, with a key and without, are made at once, each with its event and its key."""
    one, two = await world.partner(), await world.partner()
    epa = await world.product(available=1_000)

    outcomes = await transact(
        Intake(env), [await asked(env, one, a_line(epa), key="k"), await asked(env, two, a_line(epa))]
    )

    assert said == [intake_queries.ACCEPTED]
    assert all(isinstance(outcome, Created) for outcome in outcomes)
    made = NOTHING | {"orders": 1, "events": 1, "reservations": 1}
    assert await footprint(env, one.partner_id) == made | {"keys": 1}
    assert await footprint(env, two.partner_id) == made
    assert await reserved(env, epa) == 120


async def test_a_used_key_is_left_to_the_careful_way(env: Env, world: World, said: list[str]) -> None:
    """A key that is used gets its first answer, and its neighbour its own."""
    caller = await world.partner()
    epa = await world.product(available=1_000)
    (first,) = await transact(Intake(env), [await asked(env, caller, a_line(epa), key="k")])

    again, neighbour = await transact(
        Intake(env), [await asked(env, caller, a_line(epa), key="k"), await asked(env, caller, a_line(epa))]
    )

    assert said == [intake_queries.ACCEPTED, "key"]
    assert isinstance(first, Created)
    assert isinstance(again, Created)
    assert isinstance(neighbour, Created)
    assert (again.body, again.replayed, neighbour.replayed) == (first.body, True, False)
    assert await reserved(env, epa) == 120


async def test_a_look_alike_is_left_to_the_careful_way(env: Env, world: World, said: list[str]) -> None:
    """A second order of the same content is made with a warning; the third is not even tried in one round trip."""
    caller = await world.partner()
    epa = await world.product(available=1_000)
    customer = a_customer(sourceId="twin")
    intake = intake_of(env)
    bodies: list[bytes] = []
    for _ in range(3):
        (outcome,) = await transact(intake, [await asked(env, caller, a_line(epa), customer=customer)])
        assert isinstance(outcome, Created)
        bodies.append(outcome.body)

    assert said == [intake_queries.ACCEPTED, intake_queries.LOOKALIKE]
    assert [b"duplicate_suspected" in body for body in bodies] == [False, True, True]


async def test_twins_of_one_batch_know_each_other(env: Env, world: World, said: list[str]) -> None:
    """Of two equal orders that arrive at once and refuse look-alikes, one is made."""
    caller = await world.partner()
    epa = await world.product(available=1_000)
    customer = a_customer(sourceId="twin")

    outcomes = await transact(
        Intake(env),
        [await asked(env, caller, a_line(epa), customer=customer, on_duplicate="reject") for _ in range(2)],
    )

    assert [isinstance(outcome, Created) for outcome in outcomes] == [True, False]
    assert said == []


async def test_a_batch_that_would_oversell_a_lot_is_left_to_the_careful_way(
    env: Env, world: World, said: list[str]
) -> None:
    """Each order fits the first lot, all of them don't: the last one takes the second lot."""
    caller = await world.partner()
    epa = await world.product()
    first, second = await world.lot(epa, 100, 300), await world.lot(epa, 100, 400)

    await transact(Intake(env), [await asked(env, caller, a_line(epa, 1)) for _ in range(4)])

    assert said == [intake_queries.TAKEN]
    assert dict(await rows(env, "SELECT id, reserved FROM lots WHERE product_id = %(p)s", p=epa)) == {
        first: 90,
        second: 30,
    }


async def test_a_price_that_changed_is_not_taken(env: Env, world: World, said: list[str]) -> None:
    """An order prepared with an old price list is prepared anew, also in one round trip."""
    caller = await world.partner(discount="0")
    epa = await world.product(price="1.00", available=1_000)
    await service.prepare_order(env, caller, a_draft(a_line(epa)))
    await run(env, "UPDATE products SET list_price = 2 WHERE id = %(id)s", id=epa)

    created = await service.create_order(env, caller, a_draft(a_line(epa)))

    assert b'"price":"2.00"' in created.body
    assert said[-1] == intake_queries.ACCEPTED


@pytest.mark.parametrize(
    ("change", "heard", "text", "left"),
    [
        ("UPDATE lots SET state = 'RECALLED' WHERE id = %(lot)s", ["taken"], b'"CREATED"', [0, 60]),
        ("UPDATE lots SET expiry = current_date WHERE id = %(lot)s", ["taken"], b'"CREATED"', [0, 60]),
        ("UPDATE lots SET reserved = on_hand - 59 WHERE id = %(lot)s", ["taken"], b'"CREATED"', [41, 60]),
        ("UPDATE products SET list_price = 2 WHERE id = %(product)s", ["stale", "accepted"], b'"2.00"', [60, 0]),
        ("UPDATE orders SET content_key = %(content)s WHERE id = %(other)s", ["lookalike"], b"duplicate_", [60, 0]),
        ("UPDATE lots SET supplier = 'x' WHERE id = %(lot)s", ["accepted"], b'"CREATED"', [60, 0]),
    ],
    ids=["recalled", "expires", "sold", "price", "twin", "nothing"],
)
async def test_what_changes_while_a_batch_waits_for_its_lots(
    env: Env, world: World, said: list[str], change: LiteralString, heard: list[str], text: bytes, left: list[int]
) -> None:
    """Somebody has the lot that was picked, and changes something before letting go: the order is made of what is."""
    caller = await world.partner(discount="0")
    epa = await world.product(price="1.00")
    first, _ = await world.lot(epa, 100, 300), await world.lot(epa, 100, 400)
    other = await world.order(caller, a_line(await world.product(available=60)))
    draft = a_draft(a_line(epa), customer=a_customer(sourceId=f"c{next(_NUMBERS)}"))
    prepared, _ = await service.prepare_order(env, caller, draft)
    said.clear()
    async with env.db.transaction(ALL_TENANTS) as tx:
        await tx.execute("SELECT FROM lots WHERE id = %(lot)s FOR NO KEY UPDATE", lot=first)
        making = asyncio.create_task(service.create_order(env, caller, draft))
        await _until_it_waits(tx, making)
        await tx.execute(change, lot=first, product=epa, content=prepared.content_key, other=other.id)

    created = await making

    assert said == heard
    assert text in created.body
    found = await rows(env, "SELECT reserved FROM lots WHERE product_id = %(p)s ORDER BY id", p=epa)
    assert [row[0] for row in found] == left


@pytest.mark.parametrize("plain", [True, False], ids=["short", "careful"])
@pytest.mark.parametrize("made", [True, False], ids=["made", "not made"])
async def test_one_content_at_two_processes_at_once(
    env: Env, world: World, said: list[str], monkeypatch: pytest.MonkeyPatch, *, made: bool, plain: bool
) -> None:
    """While another process makes the same of another lot, a repeat waits until it is known what became of it."""
    caller = await world.partner()
    epa = await world.product(available=1_000)
    other = await world.order(caller, a_line(await world.product(available=60)))
    draft = a_draft(a_line(epa), customer=a_customer(sourceId=f"c{next(_NUMBERS)}"))
    prepared, _ = await service.prepare_order(env, caller, draft)
    if not plain:
        monkeypatch.setattr(intake_of(env), "_is_plain", MagicMock(return_value=False))
    said.clear()
    async with env.db.transaction(ALL_TENANTS) as tx:
        await tx.one("SELECT pg_advisory_xact_lock(%(content)s)", content=prepared.content_key)
        making = asyncio.create_task(service.create_order(env, caller, draft, on_duplicate="reject"))
        await _until_it_waits(tx, making)
        if made:
            twin = {"content": prepared.content_key, "other": other.id}
            await tx.execute("UPDATE orders SET content_key = %(content)s WHERE id = %(other)s", **twin)

    (outcome,) = await asyncio.gather(making, return_exceptions=True)

    assert said == (["content"] if plain else [])
    assert isinstance(outcome, DuplicateOrder if made else Created)
    assert await reserved(env, epa) == (0 if made else 60)


async def _until_it_waits(tx: Tx, making: "asyncio.Task[Created]") -> None:
    """Return when somebody waits for *tx*; what did not wait is found out from what it made."""
    waiting = "SELECT FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))"
    while not making.done() and await tx.tuples(waiting, ()) == []:
        await asyncio.sleep(0.01)
