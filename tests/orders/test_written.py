"""Pages that are kept as they were written: never older than the database."""

from typing import LiteralString

import httpx2
import pytest

from fulfillment.infra.env import Env
from fulfillment.infra.web import Answer
from fulfillment.kernel.callers import Caller
from fulfillment.kernel.pages import PageRequest
from fulfillment.orders import service
from fulfillment.orders.written import WrittenPage, WrittenPages
from tests.orders.stored import run
from tests.world import World, a_draft, a_line

pytestmark = pytest.mark.anyio


@pytest.fixture
async def caller(world: World) -> Caller:
    """A partner."""
    return await world.partner()


@pytest.fixture
async def ids(env: Env, world: World, caller: Caller) -> list[str]:
    """Three orders of the partner, newest first."""
    epa = await world.product(available=1_000_000)
    made = [await service.create_order(env, caller, a_draft(a_line(epa))) for _ in range(3)]
    return sorted((order.order_id for order in made), reverse=True)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE orders SET status = 'CANCELLED' WHERE id = %(id)s",
        "UPDATE orders SET sequence = sequence + 1 WHERE id = %(id)s",
        """UPDATE orders SET customer = '{"sourceId":"erased"}' WHERE id = %(id)s""",
        """UPDATE orders SET holds = '[{"code":"RISK"}]' WHERE id = %(id)s""",
        """UPDATE orders SET fulfillment = '{"carrier":"UPS"}' WHERE id = %(id)s""",
        """UPDATE orders SET shipments = '[{"id":"1"}]' WHERE id = %(id)s""",
        """UPDATE orders SET warnings = '[{"code":"late"}]' WHERE id = %(id)s""",
        "UPDATE orders SET release_at = '2030-01-02T03:04:05Z' WHERE id = %(id)s",
        "UPDATE orders SET updated_at = updated_at + interval '1 second' WHERE id = %(id)s",
    ],
)
@pytest.mark.parametrize("place", [0, 2], ids=["newest", "oldest"])
async def test_a_page_shows_what_another_process_wrote(
    env: Env, world: World, api: httpx2.AsyncClient, caller: Caller, ids: list[str], change: LiteralString, place: int
):
    """Whatever becomes of an order, by whomever, the next page shows it: as the order itself, which is never kept."""
    headers = await world.headers(caller)

    async def page() -> list[object]:
        return (await api.get("/v1/orders", headers=headers)).json()["orders"]

    before = [await page(), await page()]
    await run(env, change, id=ids[place])
    after = await page()
    alone = [(await api.get(f"/v1/orders/{id_}", headers=headers)).json() for id_ in ids]

    assert before[0] == before[1]
    assert before[0] != after
    assert after == alone


async def test_a_page_shows_orders_that_come_and_go(
    env: Env, world: World, api: httpx2.AsyncClient, caller: Caller, ids: list[str]
):
    """An order that is moved away is gone from the next page, and there again on the one after it was moved back."""
    headers, other = await world.headers(caller), await world.partner()
    move: LiteralString = "UPDATE orders SET partner_id = %(to)s WHERE id = %(id)s"

    async def page(its: dict[str, str]) -> list[str]:
        return [order["id"] for order in (await api.get("/v1/orders", headers=its)).json()["orders"]]

    assert await page(headers) == ids
    await run(env, move, to=other.partner_id, id=ids[1])
    assert await page(headers) == [ids[0], ids[2]]
    assert await page(await world.headers(other)) == [ids[1]]
    await run(env, move, to=caller.partner_id, id=ids[1])
    assert await page(headers) == ids
    assert await page(await world.headers(other)) == []


async def test_a_page_that_was_kept_is_the_page(world: World, api: httpx2.AsyncClient, caller: Caller, ids: list[str]):
    """The second answer has the first one's bytes and links, each page its own."""
    headers = await world.headers(caller)
    answers: list[httpx2.Response] = []
    for _ in range(2):
        answers += [await api.get("/v1/orders?limit=2", headers=headers)]
        cursor = answers[-1].json()["cursor"]
        answers += [await api.get(f"/v1/orders?limit=2&cursor={cursor}", headers=headers)]
        answers += [await api.get(f"/v1/orders?limit=1&cursor={cursor}", headers=headers)]

    shown = [(answer.content, answer.headers.get("link")) for answer in answers]
    assert shown[:3] == shown[3:]
    assert len(set(shown)) == 3
    assert [order["id"] for order in answers[4].json()["orders"]] == ids[2:]


async def test_a_known_mark_brings_no_orders(env: Env, caller: Caller, ids: list[str]):
    """Who knows a page's mark is told that nothing changed; who knows another one gets the page."""
    request = PageRequest(limit=10)

    first = await service.list_newest(env, caller, request, None)
    again = await service.list_newest(env, caller, request, first.mark)
    other = await service.list_newest(env, caller, request, first.mark + "1")
    await run(env, "UPDATE orders SET updated_at = updated_at WHERE id = %(id)s", id=ids[0])
    changed = await service.list_newest(env, caller, request, first.mark)

    assert [order.id for order in first.orders or ()] == ids
    assert again == (first.mark, None)
    assert other == first
    assert changed.mark != first.mark
    assert [order.id for order in changed.orders or ()] == ids


async def test_no_orders_have_a_mark_too(env: Env, caller: Caller):
    """An empty page is told from an unchanged one."""
    request = PageRequest(limit=10)

    first = await service.list_newest(env, caller, request, None)

    assert first.orders == []
    assert (await service.list_newest(env, caller, request, first.mark)).orders is None
    assert (await service.list_newest(env, caller, request, "x")).orders == []


def test_the_pages_asked_for_last_are_kept():
    """No more bytes are kept than said; what was asked for last stays, and a page that came anew counts once."""
    pages = WrittenPages(most_bytes=100)
    keys = [(f"partner {number}", PageRequest()) for number in range(4)]

    for key in keys[:3]:
        pages.keep(key, WrittenPage("old", Answer(200, b"x" * 30)))
        pages.keep(key, WrittenPage("new", Answer(200, b"x" * 30)))
    pages.get(keys[0])
    pages.keep(keys[3], WrittenPage("new", Answer(200, b"x" * 30)))

    kept = [pages.get(key) for key in keys]
    assert [page.mark if page else None for page in kept] == ["new", None, "new", "new"]
    pages.keep(keys[0], WrittenPage("big", Answer(200, b"x" * 101)))
    assert [pages.get(key) for key in keys] == [None] * 4
