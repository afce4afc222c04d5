"""Pages of orders: the whole list, each order once, whatever is inserted meanwhile."""

import asyncio
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from fulfillment.infra.env import Env
from fulfillment.kernel.callers import Caller
from fulfillment.orders import service
from tests.conftest import Clock
from tests.orders.stored import run
from tests.world import World, a_draft, a_line

pytestmark = pytest.mark.anyio


class Reader:
    """Reads a partner's list as a client does."""

    def __init__(self, api: httpx2.AsyncClient, headers: dict[str, str]) -> None:
        self._api, self._headers = api, headers

    async def get(self, url: str = "/v1/orders", **query: Any) -> httpx2.Response:
        """Get a page."""
        return await self._api.get(url, params=query or None, headers=self._headers)

    async def all(self, **query: Any) -> list[list[str]]:
        """Follow the body's cursor to the end; return the ids of each page."""
        pages: list[list[str]] = []
        cursor: str | None = None
        while True:
            answer = await self.get(**(query | ({"cursor": cursor} if cursor else {})))
            body = answer.json()
            pages.append([order["id"] for order in body["orders"]])
            cursor = body["cursor"]
            if cursor is None:
                return pages


@pytest.fixture
async def caller(world: World) -> Caller:
    """A partner."""
    return await world.partner()


@pytest.fixture
async def read(api: httpx2.AsyncClient, world: World, caller: Caller) -> Reader:
    """Read the partner's orders."""
    return Reader(api, await world.headers(caller))


@pytest.fixture
async def epa(world: World) -> int:
    """A product with plenty of stock."""
    return await world.product(available=1_000_000)


async def fill(env: Env, caller: Caller, epa: int, count: int) -> list[str]:
    """Make orders at once; return their ids, newest first."""
    made = await asyncio.gather(*(service.create_order(env, caller, a_draft(a_line(epa))) for _ in range(count)))
    return sorted((order.order_id for order in made), reverse=True)


def links(answer: httpx2.Response) -> dict[str, str]:
    """Return the targets of a Link header by relation."""
    found: dict[str, str] = {}
    for part in answer.headers.get("Link", "").split(", "):
        if part:
            target, _, relation = part.partition("; ")
            found[relation.removeprefix('rel="').rstrip('"')] = target.strip("<>")
    return found


async def test_no_orders_are_an_empty_page(read: Reader) -> None:
    """The cursor is null and there is no Link header."""
    answer = await read.get()

    assert answer.json() == {"orders": [], "cursor": None}
    assert "Link" not in answer.headers


@pytest.mark.parametrize("limit", [1, 3, 7, 23, 24, 100])
async def test_pages_are_the_list(env: Env, caller: Caller, epa: int, read: Reader, limit: int) -> None:
    """Orders of one moment (the clock stands) come newest first, each once, in whole pages."""
    ids = await fill(env, caller, epa, 23)

    pages = await read.all(limit=limit)

    assert [id_ for page in pages for id_ in page] == ids
    assert all(len(page) == limit for page in pages[:-1])
    assert len(pages) == -(-23 // limit)


async def test_ten_is_the_default(env: Env, caller: Caller, epa: int, read: Reader) -> None:
    """Without a limit a page has ten orders."""
    ids = await fill(env, caller, epa, 12)

    assert await read.all() == [ids[:10], ids[10:]]


async def test_there_and_back_by_links(env: Env, caller: Caller, epa: int, read: Reader) -> None:
    """Following rel=next to the end and rel=prev back meets the same pages; the ends have one link."""
    ids = await fill(env, caller, epa, 10)
    pages = [ids[0:4], ids[4:8], ids[8:10]]

    answer = await read.get(limit=4)
    forward = [answer]
    while "next" in links(forward[-1]):
        forward.append(await read.get(links(forward[-1])["next"]))
    back = [forward[-1]]
    while "prev" in links(back[-1]):
        back.append(await read.get(links(back[-1])["prev"]))

    def shown(answers: list[httpx2.Response]) -> list[list[str]]:
        return [[order["id"] for order in answer.json()["orders"]] for answer in answers]

    assert shown(forward) == pages
    assert shown(back) == list(reversed(pages))
    assert set(links(forward[0])) == {"next"}
    assert set(links(forward[1])) == {"next", "prev"}
    assert set(links(back[-1])) == {"next"}


async def test_links_keep_the_question(env: Env, caller: Caller, epa: int, read: Reader) -> None:
    """A link is absolute and has the filters, the limit and the direction."""
    await fill(env, caller, epa, 3)

    answer = await read.get(limit=2, status="CREATED")
    target = urlsplit(links(answer)["next"])
    query = parse_qs(target.query)

    assert (target.scheme, target.netloc, target.path) == ("http", "127.0.0.1:8000", "/v1/orders")
    assert (query["limit"], query["status"], query["direction"]) == (["2"], ["CREATED"], ["next"])


async def test_backwards_begins_at_the_oldest(env: Env, caller: Caller, epa: int, read: Reader) -> None:
    """direction=previous without a cursor begins at the list's end; each page is newest first all the same."""
    ids = await fill(env, caller, epa, 5)

    pages = await read.all(limit=2, direction="previous")

    assert pages == [ids[3:5], ids[1:3], ids[0:1]]


async def test_a_status_filters(env: Env, caller: Caller, epa: int, read: Reader, clock: Clock) -> None:
    """Only orders of the status come, across pages."""
    ids = await fill(env, caller, epa, 6)
    for id_ in ids[::2]:
        await service.cancel_order(env, caller, id_)

    assert [id_ for page in await read.all(limit=2, status="CANCELLED") for id_ in page] == ids[::2]
    assert [id_ for page in await read.all(limit=2, status="CREATED") for id_ in page] == ids[1::2]
    assert await read.all(status="SHIPPED") == [[]]


@pytest.mark.parametrize("limit", [1, 7, 100])
async def test_paging_while_orders_come_in(
    env: Env, caller: Caller, epa: int, read: Reader, clock: Clock, limit: int
) -> None:
    """What was there at the start comes exactly once, in order, though orders are inserted all the while."""
    ids = await fill(env, caller, epa, 30)
    stop = asyncio.Event()

    async def insert() -> int:
        count = 0
        while not stop.is_set():
            clock.move(milliseconds=1)
            await fill(env, caller, epa, 5)
            count += 5
        return count

    inserting = asyncio.create_task(insert())
    pages = await read.all(limit=limit)
    stop.set()
    came = await inserting

    seen = [id_ for page in pages for id_ in page]
    assert len(seen) == len(set(seen))
    assert [id_ for id_ in seen if id_ in set(ids)] == ids
    assert seen == sorted(seen, reverse=True)
    assert came > 0


async def test_new_orders_are_found_by_going_back(
    env: Env, caller: Caller, epa: int, read: Reader, clock: Clock
) -> None:
    """Orders that came after a page was read are all found behind its rel=prev, once each."""
    await fill(env, caller, epa, 4)
    answer = await read.get(limit=2)
    second = await read.get(links(answer)["next"])
    clock.move(seconds=1)
    new = await fill(env, caller, epa, 5)

    found: list[str] = []
    at = second
    while "prev" in links(at):
        at = await read.get(links(at)["prev"])
        found = [order["id"] for order in at.json()["orders"]] + found

    assert found[:5] == new
    assert len(found) == len(set(found)) == 7


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "101"}, "limit"),
        ({"limit": "-1"}, "limit"),
        ({"limit": "1e3"}, "limit"),
        ({"limit": ""}, "limit"),
        ({"limit": "9" * 5000}, "limit"),
        ({"limit": "\u0663"}, "limit"),
        ({"direction": "up"}, "direction"),
        ({"status": "created"}, "status"),
        ({"status": "'; DROP TABLE orders; --"}, "status"),
        ({"search": "x"}, "search"),
    ],
)
async def test_parameters_out_of_bounds(read: Reader, query: dict[str, str], name: str) -> None:
    """Each is 422 and named."""
    answer = await read.get(**query)

    assert answer.status_code == 422
    assert [fault["pointer"] for fault in answer.json()["errors"]] == [name]


async def test_a_cursor_is_bound(env: Env, world: World, caller: Caller, epa: int, read: Reader) -> None:
    """A cursor is good for its partner, list and filters only; anything else is 422 invalid_cursor."""
    await fill(env, caller, epa, 3)
    cursor = (await read.get(limit=1)).json()["cursor"]
    other = Reader(read._api, await world.headers(await world.partner()))  # pyright: ignore[reportPrivateUsage]

    answers = [
        await other.get(cursor=cursor),
        await read.get("/v1/protocols", cursor=cursor),
        await read.get("/v1/products", cursor=cursor),
        await read.get(cursor=cursor, status="CREATED"),
        *[
            await read.get(cursor=bad)
            for bad in ("", "x", "\u00e9", "A" * 5000, cursor + "A", cursor + "=", cursor[:-1])
        ],
    ]

    assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(422, "invalid_cursor")}
    assert (await read.get(cursor=cursor, limit=50)).status_code == 200


async def test_every_changed_character_spoils_a_cursor(env: Env, caller: Caller, epa: int, read: Reader) -> None:
    """No character of a cursor can be changed, not even its last, whose spare bits say nothing."""
    await fill(env, caller, epa, 2)
    cursor = (await read.get(limit=1)).json()["cursor"]
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

    for place, letter in enumerate(cursor):
        other = alphabet[(alphabet.index(letter) + 1) % 64]
        answer = await read.get(cursor=cursor[:place] + other + cursor[place + 1 :])
        assert answer.status_code == 422, place


async def test_a_partners_list_is_its_own(env: Env, world: World, caller: Caller, epa: int, read: Reader) -> None:
    """Another partner's orders never show, even where a row was moved there by hand."""
    other = await world.partner()
    ids = await fill(env, caller, epa, 2)
    theirs = await fill(env, other, epa, 2)

    assert await read.all() == [ids]
    await run(env, "UPDATE orders SET partner_id = %(to)s WHERE id = %(id)s", to=caller.partner_id, id=theirs[0])
    assert set((await read.all())[0]) == {*ids, theirs[0]}
