"""The feed: nothing is skipped, nothing comes twice, and it can be followed."""

import asyncio
import time
from datetime import timedelta

import psycopg
import pytest

from fulfillment.infra.env import Env
from fulfillment.kernel.ids import new_id
from fulfillment.webhooks import service as webhooks
from fulfillment.webhooks.domain import EventNotFound, FeedFilter, FeedKey
from fulfillment.webhooks.listening import SEATS_OF_ONE
from tests.receivers import Receiver, answering
from tests.webhooks.stage import Stage, an_event
from tests.world import World

pytestmark = pytest.mark.anyio

ALL = FeedFilter()


async def a_stage(env: Env) -> Stage:
    """A partner whose deliveries nobody sends."""
    return await Stage.with_receiver(env, "http://127.0.0.1:9/hook")


async def test_events_are_read_oldest_first_and_byte_for_byte(env: Env):
    """The feed gives the payload exactly as it is sent, with order, sequence and type."""
    stage = await a_stage(env)
    order = stage.new_order()
    announced = await stage.happen(order, order, order)

    page = await webhooks.list_events(env, stage.caller, ALL, None, 10)

    assert [event.key.id for event in page.events] == [event.id for event in announced]
    assert [event.payload for event in page.events] == [event.payload for event in announced]
    assert [event.order_sequence for event in page.events] == [1, 2, 3]
    assert [event.type for event in page.events] == ["order.created", "order.processing", "order.fulfilled"]
    assert not page.more


async def test_a_transaction_that_commits_late_is_not_skipped(env: Env):
    """While an older transaction is open nothing behind it is shown, so that its events are never jumped over."""
    stage = await a_stage(env)
    early, late = stage.new_order(), stage.new_order()

    async with env.db.transaction(stage.partner_id) as slow:
        await webhooks.announce(slow, [an_event(env, stage.partner_id, early, 1)])
        async with env.db.transaction(stage.partner_id) as quick:
            await webhooks.announce(quick, [an_event(env, stage.partner_id, late, 1)])
        during = await webhooks.list_events(env, stage.caller, ALL, None, 10)
    after = await webhooks.list_events(env, stage.caller, ALL, during.last, 10)

    assert during.events == []
    assert [event.order_id for event in after.events] == [early, late]


async def test_a_reader_beside_many_writers_reads_everything_once(env: Env):
    """Forty transactions that commit in any order reach a polling reader without a gap and without a repeat."""
    stage = await a_stage(env)
    orders = [stage.new_order() for _ in range(40)]

    async def write(place: int) -> None:
        async with env.db.transaction(stage.partner_id) as tx:
            await webhooks.announce(tx, [an_event(env, stage.partner_id, orders[place], 1)])
            await asyncio.sleep(0.03 * ((place * 7) % 5))

    read: list[str | None] = []
    writing = asyncio.gather(*(write(place) for place in range(40)))
    after: FeedKey | None = None
    until = time.monotonic() + 10
    while len(read) < 40 and time.monotonic() < until:
        page = await webhooks.list_events(env, stage.caller, ALL, after, 7)
        read.extend(event.order_id for event in page.events)
        after = page.last
    await writing

    assert sorted(read, key=str) == sorted(orders)


async def test_a_restored_dump_is_readable_at_once_and_new_events_come_behind_it(env: Env, dsns: tuple[str, str]):
    """Events of an earlier era are all shown, whatever their transaction ids, and before those of the new one."""
    stage = await a_stage(env)
    old, new = stage.new_order(), stage.new_order()
    await stage.happen(old)
    with psycopg.connect(dsns[1], autocommit=True) as owner:
        owner.execute("ALTER TABLE events NO FORCE ROW LEVEL SECURITY")
        owner.execute("UPDATE events SET txid = '99999999999' WHERE order_id = %s", (old,))
        hidden = await webhooks.list_events(env, stage.caller, ALL, None, 10)
        owner.execute("ALTER TABLE events ALTER era SET DEFAULT 2")
        owner.execute("ALTER TABLE events FORCE ROW LEVEL SECURITY")
    await stage.happen(new)

    page = await webhooks.list_events(env, stage.caller, ALL, None, 10)

    assert hidden.events == []
    assert [event.order_id for event in page.events] == [old, new]


async def test_filters_of_type_and_order(env: Env):
    """A type or an order narrows the feed; the place to go on from is given all the same."""
    stage = await a_stage(env)
    one, two = stage.new_order(), stage.new_order()
    await stage.happen(one, one, two)

    created = await webhooks.list_events(env, stage.caller, FeedFilter(type="order.created"), None, 10)
    of_one = await webhooks.list_events(env, stage.caller, FeedFilter(order_id=one), None, 10)
    none = await webhooks.list_events(env, stage.caller, FeedFilter(type="order.shipped"), None, 10)

    assert [event.order_id for event in created.events] == [one, two]
    assert [event.order_sequence for event in of_one.events] == [1, 2]
    assert none.events == []
    assert none.last == (await webhooks.list_events(env, stage.caller, ALL, None, 10)).last


async def test_undelivered_shows_what_no_webhook_brought(env: Env):
    """Once a delivery has succeeded its event is no longer among the undelivered."""
    with Receiver(answering()) as receiver:
        stage = await Stage.with_receiver(env, receiver.url)
        first, second = stage.new_order(), stage.new_order()
        await stage.happen(first)
        await stage.deliver()
    await stage.happen(second)

    page = await webhooks.list_events(env, stage.caller, FeedFilter(undelivered=True), None, 10)

    assert [event.order_id for event in page.events] == [second]


async def test_pages_follow_one_another(env: Env):
    """Small pages give every event once, in the order of one large page."""
    stage = await a_stage(env)
    for _ in range(5):
        await stage.happen(stage.new_order(), stage.new_order())
    whole = await webhooks.list_events(env, stage.caller, ALL, None, 100)

    read: list[str] = []
    after: FeedKey | None = None
    for _ in range(4):
        page = await webhooks.list_events(env, stage.caller, ALL, after, 3)
        read.extend(event.key.id for event in page.events)
        after = page.last

    assert read == [event.key.id for event in whole.events]
    assert len(read) == 10


async def test_a_waiting_reader_is_told_at_once(env: Env):
    """A reader that waits at the end gets a new event within a fraction of a second of its commit."""
    from fulfillment.infra.wake import wake_workers

    stage = await a_stage(env)
    waiting = asyncio.create_task(webhooks.list_events(env, stage.caller, ALL, None, 10, wait_seconds=10))
    await asyncio.sleep(0.2)
    order = stage.new_order()
    await stage.happen(order)
    wake_workers(env)
    began = time.monotonic()

    page = await waiting

    assert [event.order_id for event in page.events] == [order]
    assert time.monotonic() - began < 0.5


async def test_a_waiting_reader_gives_up_in_time(env: Env):
    """Nothing happens: after the time asked for the page is empty and its cursor good."""
    stage = await a_stage(env)
    began = time.monotonic()

    page = await webhooks.list_events(env, stage.caller, ALL, None, 10, wait_seconds=0.3)

    assert page.events == []
    assert 0.3 <= time.monotonic() - began < 1.5


async def test_another_partners_events_are_none(env: Env):
    """A partner reads its own events only; another's is not found."""
    stage, stranger = await a_stage(env), await World(env).partner()
    (event,) = await stage.happen(stage.new_order())

    page = await webhooks.list_events(env, stranger, ALL, None, 10)

    assert page.events == []
    with pytest.raises(EventNotFound):
        await webhooks.get_event(env, stranger, event.id)
    assert (await webhooks.get_event(env, stage.caller, event.id)).payload == event.payload


async def test_reconcile_gives_each_changed_order_once_at_its_newest(env: Env):
    """Orders changed since a moment come with the status and sequence of their newest event; older ones do not."""
    stage = await a_stage(env)
    old = stage.new_order()
    await stage.happen(old, created_at=env.now() - timedelta(days=2))
    one, two = stage.new_order(), stage.new_order()
    await stage.happen(one, two, one, one)

    states, more = await webhooks.reconcile(env, stage.caller, env.now() - timedelta(days=1), None, 10)

    assert [(state.order_id, state.status, state.order_sequence) for state in states] == [
        (two, "CREATED", 1),
        (one, "FULFILLED", 3),
    ]
    assert not more


async def test_reconcile_pages_and_shows_what_changes_meanwhile(env: Env):
    """An order that changes while a reader pages comes again behind it, at its new state."""
    stage = await a_stage(env)
    orders = [stage.new_order() for _ in range(4)]
    await stage.happen(*orders)
    since = env.now() - timedelta(hours=1)

    first, more = await webhooks.reconcile(env, stage.caller, since, None, 3)
    await stage.happen(orders[0])
    second, _ = await webhooks.reconcile(env, stage.caller, since, first[-1].key, 3)

    assert [state.order_id for state in first] == orders[:3]
    assert more
    assert [(state.order_id, state.order_sequence) for state in second] == [(orders[3], 1), (orders[0], 2)]


async def test_retention_removes_old_events_with_their_deliveries(env: Env):
    """After thirty days an event, its deliveries and their attempts are gone; younger ones stay."""
    with Receiver(answering()) as receiver:
        stage = await Stage.with_receiver(env, receiver.url)
        old = env.now() - timedelta(days=31)
        await stage.happen(stage.new_order(), created_at=old)
        (kept,) = await stage.happen(stage.new_order())
        await stage.deliver()
    async with env.db.transaction(stage.partner_id) as tx:
        await tx.execute(
            "UPDATE webhook_deliveries SET id = %(id)s WHERE partner_id = %(partner)s AND created_at = %(old)s",
            id=new_id(old),
            partner=stage.partner_id,
            old=old,
        )

    removed = await webhooks.purge_events(env)

    page = await webhooks.list_events(env, stage.caller, ALL, None, 10)
    assert removed == 1
    assert [event.key.id for event in page.events] == [kept.id]
    assert [row["event_id"] for row in await stage.deliveries()] == [kept.id]


async def test_retention_leaves_writers_alone(env: Env):
    """While an old row is in somebody's hands the purge neither waits for it nor takes it."""
    stage = await a_stage(env)
    old = env.now() - timedelta(days=31)
    await stage.happen(stage.new_order(), created_at=old)

    async with env.db.transaction(stage.partner_id) as tx:
        await tx.all("SELECT id FROM webhook_deliveries WHERE partner_id = %(id)s FOR UPDATE", id=stage.partner_id)
        async with asyncio.timeout(2):
            await webhooks.purge_events(env)

    assert len(await stage.deliveries()) == 1


async def test_one_partners_long_polls_are_not_everybodys(env: Env) -> None:
    """Beyond sixteen that wait, a partner's next long polls are answered at once; others wait, and places come free."""
    loud, quiet = await a_stage(env), await a_stage(env)

    def waiting(stage: Stage) -> "asyncio.Task[webhooks.FeedPage]":
        return asyncio.create_task(webhooks.list_events(env, stage.caller, ALL, None, 10, wait_seconds=20))

    polls = [waiting(loud) for _ in range(SEATS_OF_ONE + 3)]
    another = waiting(quiet)
    done, held = await asyncio.wait(polls, timeout=1.0)

    assert (len(done), len(held), another.done()) == (3, SEATS_OF_ONE, False)
    assert all(one.result().events == [] for one in done)
    for one in (*held, another):
        one.cancel()
    await asyncio.gather(*held, another, return_exceptions=True)
    again = waiting(loud)
    await asyncio.sleep(0.3)
    assert not again.done()
    again.cancel()
