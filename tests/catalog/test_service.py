"""The catalogue's operations against PostgreSQL: prices, stock, pages, filters, writing."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from fulfillment.catalog import service
from fulfillment.catalog.domain import NewProduct, Orderable, ProductNotFound, ProductQuery, ProductStatus
from fulfillment.catalog.shelf import Recent
from fulfillment.infra.caches import Caches
from fulfillment.infra.db import ALL_TENANTS
from fulfillment.infra.env import Env
from fulfillment.inventory.offers import NEIGHBOURS
from fulfillment.kernel.callers import Caller
from fulfillment.kernel.pages import Direction, PageRequest
from tests.conftest import Clock
from tests.world import World

pytestmark = pytest.mark.anyio

PLAIN = NewProduct(1, "Zinc 50", Decimal("0.25"), external=False, status=ProductStatus.ACTIVE)


async def _listed(env: Env, caller: Caller, query: ProductQuery) -> list[int]:
    page = await service.list_products(env, caller, query, NEIGHBOURS)
    return [int(offer.frozen.head.split(",")[0].removeprefix('{"id":')) for offer in page.items]


async def test_orderables_are_few_facts(env: Env, world: World) -> None:
    """Of each product, ordering gets what it needs, price and usage as they were written."""
    id_ = await world.product(price="0.53", name="Elite EPA", usage=(1, 0, 1, 0), pack_description="Whole Body")

    product = (await service.get_orderables(env)).value[id_]

    assert product == Orderable(
        id=id_,
        name="Elite EPA",
        list_price=Decimal("0.5300"),
        external=False,
        status=ProductStatus.ACTIVE,
        recommended_usage=(1, 0, 1, 0),
        pack_description="Whole Body",
        rank=product.rank,
        updated_on=env.now().date(),
    )


async def test_version_follows_the_catalogue(env: Env, world: World) -> None:
    """Each write moves the version that orders compare with."""
    before = (await service.get_orderables(env)).version
    await world.product()

    after = (await service.get_orderables(env)).version

    assert after > before


@pytest.mark.parametrize(("discount", "price"), [("0.10", "0.4770"), ("0", "0.5300"), ("0.075", "0.4903")])
async def test_price_is_the_partners(env: Env, world: World, discount: str, price: str) -> None:
    """The price is the list price less the partner's discount, half up to four places: 0.53 * 0.925 = 0.49025."""
    caller = await world.partner(discount=discount)
    id_ = await world.product(price="0.53")

    offer = await service.get_product(env, caller, id_, NEIGHBOURS)

    assert offer.price == Decimal(price)


async def test_availability_is_live(env: Env, world: World) -> None:
    """What is left comes from the lots at the moment of asking, not from memory."""
    caller = await world.partner()
    id_ = await world.product()
    assert (await service.get_product(env, caller, id_, NEIGHBOURS)).available == 0

    await world.lot(id_, 60)

    assert (await service.get_product(env, caller, id_, NEIGHBOURS)).available == 60


async def test_absent_product(env: Env, world: World) -> None:
    """An id that no product has is not found."""
    with pytest.raises(ProductNotFound):
        await service.get_product(env, await world.partner(), 999, NEIGHBOURS)


async def test_pages_are_seamless_under_inserts(env: Env, world: World, clock: Clock) -> None:
    """Products that come while somebody pages neither repeat nor hide one; they stand before the beginning."""
    caller = await world.partner()
    made: list[int] = []
    for _ in range(5):
        clock.move(seconds=1)
        made.append(await world.product())
    first = await service.list_products(env, caller, ProductQuery(PageRequest(2)), NEIGHBOURS)
    clock.move(seconds=1)
    newer = await world.product()

    second = await _listed(env, caller, ProductQuery(PageRequest(3, after=first.next)))
    back = await service.list_products(
        env, caller, ProductQuery(PageRequest(10, Direction.PREVIOUS, first.next)), NEIGHBOURS
    )

    assert first.previous is None
    assert first.next == (str(-int((clock() - timedelta(seconds=2)).timestamp()) * 1_000_000), str(made[3]))
    assert second == [made[2], made[1], made[0]]
    assert len(back.items) == 2
    assert back.previous is None
    assert await _listed(env, caller, ProductQuery(PageRequest(1))) == [newer]


async def test_last_page_from_the_end(env: Env, world: World, clock: Clock) -> None:
    """Asked for the previous page without a cursor, the list gives its oldest end."""
    caller = await world.partner()
    made: list[int] = []
    for year in (1990, 1991):
        clock.at = datetime(year, 1, 1, tzinfo=UTC)
        made.append(await world.product())

    page = await service.list_products(env, caller, ProductQuery(PageRequest(2, Direction.PREVIOUS)), NEIGHBOURS)

    assert page.next is None
    assert page.previous is not None
    assert await _listed(env, caller, ProductQuery(PageRequest(2, Direction.PREVIOUS))) == made[::-1]


async def test_filters(env: Env, world: World, clock: Clock) -> None:
    """Status and the UTC days of change, both inclusive, narrow the list."""
    caller = await world.partner()
    clock.at = datetime(2041, 5, 1, 23, 59, 59, tzinfo=UTC)
    first = await world.product(status="BACKORDERED")
    clock.at = datetime(2041, 5, 2, 0, 0, tzinfo=UTC)
    second = await world.product()

    def query(**filters: object) -> ProductQuery:
        since = ProductQuery(PageRequest(10), updated_after=date(2041, 1, 1))
        return replace(since, **filters)  # pyright: ignore[reportArgumentType]

    assert await _listed(env, caller, query()) == [second, first]
    assert await _listed(env, caller, query(status=ProductStatus.BACKORDERED)) == [first]
    assert await _listed(env, caller, query(updated_after=date(2041, 5, 2))) == [second]
    assert await _listed(env, caller, query(updated_before=date(2041, 5, 1))) == [first]
    assert await _listed(env, caller, query(updated_after=date(2041, 5, 3))) == []
    assert await _listed(env, caller, query(updated_before=date.max)) == [second, first]


async def test_import_tells_new_from_changed(env: Env, clock: Clock) -> None:
    """An import counts what is new, changed and as it was; what is as it was keeps its day of change."""
    before = clock()
    await service.import_products(env, [replace(PLAIN, id=801), replace(PLAIN, id=802)])
    clock.move(days=1)

    done = await service.import_products(
        env, [replace(PLAIN, id=801), replace(PLAIN, id=802, name="Zinc 25"), replace(PLAIN, id=803)]
    )

    assert done == service.Imported(created=1, changed=1, unchanged=1)
    async with env.db.reading(ALL_TENANTS) as tx:
        products = await service.select_products(tx, [801, 802, 803, 804])
    assert {id_: (one.created_at, one.updated_at) for id_, one in products.items()} == {
        801: (before, before),
        802: (before, clock()),
        803: (clock(), clock()),
    }


async def test_product_is_stored_whole(env: Env, clock: Clock) -> None:
    """Every field comes back as it went in."""
    facts = {"servingSize": 1, "type": "capsule", "otherIngredients": [], "ingredients": []}
    product = NewProduct(
        id=9_223_372_036_854_775_807,
        name="Größe „Z“",
        list_price=Decimal("12345678.1234"),
        external=True,
        status=ProductStatus.DRAFT,
        description="Two\nlines",
        pack_description="Pack",
        product_image="https://images.example/z.png",
        recommended_usage=(0, 1, 0, 2),
        certifications=("kosher",),
        allergens=("gluten_free",),
        contains_allergens=("fish",),
        stimulant=True,
        supplement_facts=facts,
        search_terms=("zinc", "immune"),
        pills_per_day_limit=3,
    )

    await service.import_products(env, [product])

    async with env.db.reading(ALL_TENANTS) as tx:
        stored = (await service.select_products(tx, [product.id]))[product.id]
    assert {name: getattr(stored, name) for name in NewProduct.__slots__} == {
        name: getattr(product, name) for name in NewProduct.__slots__
    }
    assert stored.facts.contains_allergens == {"fish"}
    assert stored.facts.stimulant


async def test_import_is_all_or_nothing(env: Env) -> None:
    """When the last product can't be written, none is."""
    rows = [replace(PLAIN, id=1_000_000 + place) for place in range(501)]

    with pytest.raises(Exception, match="products_list_price_check"):
        await service.import_products(env, [*rows, replace(PLAIN, id=2_000_000, list_price=Decimal(-1))])

    async with env.db.reading(ALL_TENANTS) as tx:
        assert await service.select_products(tx, [row.id for row in rows]) == {}


async def test_progress_reaches_the_end(env: Env) -> None:
    """An import tells how far it is, batch by batch."""
    told: list[tuple[int, int]] = []

    await service.import_products(
        env,
        [replace(PLAIN, id=3_000_000 + place) for place in range(501)],
        lambda done, total: told.append((done, total)),
    )

    assert told == [(500, 501), (501, 501)]


async def test_imports_at_once_keep_the_vocabulary_whole(env: Env) -> None:
    """Imports that take and give the same words at the same time leave every word known."""

    async def swap(place: int) -> None:
        for name in ("Elderberry", "Blackcurrant", "Elderberry"):
            await service.import_products(env, [replace(PLAIN, id=4_000_000 + place, name=name)])

    await asyncio.gather(*(swap(place) for place in range(4)))

    async with env.db.reading(ALL_TENANTS) as tx:
        lost = await tx.all("SELECT DISTINCT word FROM product_words EXCEPT SELECT word FROM product_vocabulary")
        left = await tx.all("SELECT word FROM product_vocabulary EXCEPT SELECT word FROM product_words")
    assert (lost, left) == ([], [])


async def test_other_processes_learn_of_a_change(env: Env, world: World) -> None:
    """A price changed by one process is the other's within a second, without being asked."""
    other = replace(env, caches=Caches(env.db), local={})
    id_ = await world.product(price="1.00")
    assert (await service.get_orderables(other)).value[id_].list_price == Decimal(1)
    watching = asyncio.create_task(other.caches.watch())
    await asyncio.sleep(0.2)

    await world.product(id_, price="2.00")

    await _until(lambda: other.caches.peek("catalog") is None)
    assert (await service.get_orderables(other)).value[id_].list_price == Decimal(2)
    watching.cancel()


async def _until(fact: Callable[[], bool]) -> None:
    async with asyncio.timeout(1):
        while not fact():
            await asyncio.sleep(0.005)


def test_recent_lets_go_of_the_least_used() -> None:
    """What is kept stays within its weight; the least recently used value goes first."""
    kept: Recent[str, str] = Recent(5, len)
    kept.put("a", "11")
    kept.put("b", "222")
    assert kept.get("a") == "11"

    kept.put("c", "3")

    assert [kept.get(key) for key in "abc"] == ["11", None, "3"]
    kept.put("d", "a value heavier than all")
    assert [kept.get(key) for key in "acd"] == [None, None, "a value heavier than all"]
    assert len(kept) == 1
