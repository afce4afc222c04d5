"""What can be done with the catalogue: read, list, search, write."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import islice
from typing import Final

from fulfillment.catalog import queries, search, wire
from fulfillment.catalog.domain import (
    Frozen,
    Hit,
    Hits,
    NewProduct,
    Offer,
    Orderable,
    Product,
    ProductNotFound,
    ProductQuery,
)
from fulfillment.catalog.shelf import Shelf
from fulfillment.infra.caches import Snapshot
from fulfillment.infra.cursors import to_page
from fulfillment.infra.db import ALL_TENANTS, ReadTx, Tx
from fulfillment.infra.env import Env
from fulfillment.kernel.callers import Caller
from fulfillment.kernel.money import discounted
from fulfillment.kernel.pages import Page

_CACHE: Final = "catalog"
_BATCH: Final = 500  # products in one statement


@dataclass(frozen=True, slots=True)
class Neighbours:
    """What a product's answer needs of rooms that the catalogue does not know; the composition root hands it in.

    Args:
        discount: Gives the caller's discount, a fraction.
        available: Gives what the caller may order of each product now, pills or units.
    """

    discount: Callable[[Env, Caller], Awaitable[Decimal]]
    available: Callable[[Env, Caller, Sequence[int]], Awaitable[Mapping[int, int]]]


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did."""

    created: int
    changed: int
    unchanged: int


async def get_orderables(env: Env) -> Snapshot[Mapping[int, Orderable]]:
    """Return every product's few facts by id, with the version of the catalogue they are of."""
    snapshot = await _get_shelf(env)
    return Snapshot(snapshot.version, snapshot.value.orderables)


async def get_product(env: Env, caller: Caller, product_id: int, neighbours: Neighbours) -> Offer:
    """Return a product as the caller's partner sees it.

    Raises:
        ProductNotFound: There is none with this id.
    """
    shelf = (await _get_shelf(env)).value
    if product_id not in shelf.orderables:
        raise ProductNotFound("There is no product with this id.")
    return (await _offers(env, caller, shelf, [product_id], neighbours))[0]


async def list_products(env: Env, caller: Caller, query: ProductQuery, neighbours: Neighbours) -> Page[Offer]:
    """Return a page of products as the caller's partner sees them: newest first, or best first when searched."""
    shelf = (await _get_shelf(env)).value
    hits = await _search(env, shelf, query.search) if query.search.strip() else shelf.newest
    admitted = (hit for hit in hits.behind(query.page) if _admits(query, shelf, hit))
    page = to_page(list(islice(admitted, query.page.limit + 1)), query.page, _key_of)
    offers = await _offers(env, caller, shelf, [hit.id for hit in page.items], neighbours)
    return Page(offers, page.next, page.previous)


async def select_products(tx: ReadTx, product_ids: Iterable[int]) -> dict[int, Product]:
    """Return the whole products that exist of *product_ids*, by id."""
    return {product.id: product for product in await queries.select_products(tx, product_ids)}


async def upsert_products(tx: Tx, products: Sequence[NewProduct], at: datetime) -> Imported:
    """Write products and the words they are found by; processes learn of it when *tx* commits."""
    # One writer at a time: two would wait for each other's rows, and take words out of each other's vocabulary.
    await queries.lock_catalog(tx)
    touched = await queries.upsert_products(tx, products, at)
    await queries.replace_words(tx, {product.id: _words_of(product) for product in products if product.id in touched})
    created = sum(touched.values())
    return Imported(created, len(touched) - created, len(products) - len(touched))


async def import_products(
    env: Env, products: Sequence[NewProduct], progress: Callable[[int, int], None] | None = None
) -> Imported:
    """Write products, all or none.

    Args:
        products: Each id once.
        progress: Told how many are written, of how many.
    """
    done = Imported(0, 0, 0)
    at = env.now()
    async with env.db.transaction(ALL_TENANTS) as tx:
        for begin in range(0, len(products), _BATCH):
            batch = await upsert_products(tx, products[begin : begin + _BATCH], at)
            done = Imported(
                done.created + batch.created, done.changed + batch.changed, done.unchanged + batch.unchanged
            )
            if progress is not None:
                progress(min(begin + _BATCH, len(products)), len(products))
    env.caches.drop(_CACHE)
    return done


async def _get_shelf(env: Env) -> Snapshot[Shelf]:
    return await env.caches.get(_CACHE, _load_shelf)


async def _load_shelf(tx: ReadTx) -> Shelf:
    return Shelf(await queries.select_orderables(tx))


async def _search(env: Env, shelf: Shelf, text: str) -> Hits:
    words = search.query_words(text)
    found = shelf.searches.get(words)
    if found is None:
        async with env.db.reading(ALL_TENANTS) as tx:
            found = await _find(tx, words)
        shelf.searches.put(words, found)
    return found


async def _find(tx: ReadTx, words: Sequence[str]) -> Hits:
    """Return the products that answer every word; words that the catalogue does not know are corrected."""
    spans = {term: search.spans_of(term, word) for term, word in enumerate(words)}
    hits = await _hits(tx, spans)
    # Where something was found, every word is known. Where nothing was, one may be misspelt.
    correctable = [found[0] for found in spans.values() if search.correctable(found[0].first)]
    if hits or not correctable:
        return hits
    candidates = await queries.select_candidates(tx, correctable)
    if not candidates:
        return hits
    corrected = {term: search.corrections(term, words[term], near) for term, near in candidates.items()}
    return await _hits(tx, spans | corrected)


async def _hits(tx: ReadTx, spans: Mapping[int, Sequence[search.Span]]) -> Hits:
    if not spans or not all(spans.values()):
        return Hits((), ())
    return await queries.select_hits(tx, [span for found in spans.values() for span in found], len(spans))


async def _offers(
    env: Env, caller: Caller, shelf: Shelf, product_ids: Sequence[int], neighbours: Neighbours
) -> list[Offer]:
    if not product_ids:
        return []
    discount = await neighbours.discount(env, caller)
    available = await neighbours.available(env, caller, product_ids)
    return [
        Offer(frozen, discounted(shelf.orderables[id_].list_price, discount), available.get(id_, 0))
        for id_, frozen in zip(product_ids, await _frozen(env, shelf, product_ids), strict=True)
    ]


async def _frozen(env: Env, shelf: Shelf, product_ids: Sequence[int]) -> list[Frozen]:
    found = {id_: shelf.documents.get(id_) for id_ in product_ids}
    missing = [id_ for id_, frozen in found.items() if frozen is None]
    if missing:
        async with env.db.reading(ALL_TENANTS) as tx:
            products = await queries.select_products(tx, missing)
        for product in products:
            found[product.id] = frozen = wire.freeze(product)
            shelf.documents.put(product.id, frozen)
    return [frozen for frozen in found.values() if frozen is not None]


def _admits(query: ProductQuery, shelf: Shelf, hit: Hit) -> bool:
    # A search remembered a moment before the shelf was filled may know a product that the shelf does not.
    product = shelf.orderables.get(hit.id)
    return product is not None and query.admits(product)


def _key_of(hit: Hit) -> tuple[str, str]:
    return str(hit.rank), str(hit.id)


def _words_of(product: NewProduct) -> dict[str, int]:
    return search.product_words(product.name, product.search_terms, wire.ingredients_of(product.supplement_facts))
