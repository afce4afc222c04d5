"""SQL over products and the words they are found by."""

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Final, TypeVar

from psycopg.types.json import Jsonb

from fulfillment.catalog.domain import (
    SLOTS,
    Form,
    Hits,
    NewProduct,
    Orderable,
    Product,
    ProductStatus,
    Usage,
)
from fulfillment.catalog.search import PREFIX_COST, Span
from fulfillment.infra.db import ReadTx, Row, Tx

K = TypeVar("K")
V = TypeVar("V")

_STATUS: Final = {status.value: status for status in ProductStatus}
_CANDIDATES: Final = 40  # vocabulary words compared with an unknown one
_CATALOG_LOCK: Final = 0x4A_43_41_54  # an advisory lock's number, ours alone

SELECT_ORDERABLES: Final = """
SELECT id, name, list_price::text, external, status, recommended_usage::text, pack_description,
       (extract(epoch FROM created_at) * 1000000)::bigint, (updated_at AT TIME ZONE 'UTC')::date
  FROM products
"""

SELECT_PRODUCTS: Final = """
SELECT id, name, description, pack_description, list_price, external, product_image, recommended_usage, form,
       certifications, allergens, contains_allergens, stimulant, supplement_facts, status, search_terms,
       pills_per_day_limit, created_at, updated_at
  FROM products
 WHERE id = ANY (%(ids)s::bigint[])
 ORDER BY id
"""

# The nearest words of the vocabulary to those it neither has nor goes on from.
SELECT_CANDIDATES: Final = """
SELECT asked.term, near.word
  FROM unnest(%(terms)s::int[], %(words)s::text[], %(behind)s::text[]) AS asked (term, word, behind)
 CROSS JOIN LATERAL (
       SELECT word FROM product_vocabulary ORDER BY word <-> asked.word LIMIT %(limit)s) AS near
 WHERE NOT EXISTS (
       SELECT FROM product_vocabulary AS known WHERE known.word >= asked.word AND known.word < asked.behind)
"""

# A product must answer every term; for each the cheapest of its matches counts.
SELECT_HITS: Final = """
SELECT array_agg(rank ORDER BY rank, product_id), array_agg(product_id ORDER BY rank, product_id)
  FROM (SELECT sum(cost)::int AS rank, product_id
          FROM (SELECT span.term, found.product_id,
                       min(span.cost + found.cost + CASE WHEN found.word = span.first THEN 0 ELSE %(prefix)s END)
                       AS cost
                  FROM unnest(%(terms)s::int[], %(first)s::text[], %(behind)s::text[], %(costs)s::int[])
                       AS span (term, first, behind, cost)
                  JOIN product_words AS found ON found.word >= span.first AND found.word < span.behind
                 GROUP BY span.term, found.product_id) AS matched
         GROUP BY product_id
        HAVING count(*) = %(asked)s) AS ranked
"""

LOCK_CATALOG: Final = "SELECT pg_advisory_xact_lock(%(number)s)"

# Rows that say what is there already stay as they are, with their moment of change.
UPSERT_PRODUCTS: Final = """
INSERT INTO products AS stored
       (id, name, description, pack_description, list_price, external, product_image, recommended_usage, form,
        certifications, allergens, contains_allergens, stimulant, supplement_facts, status, search_terms,
        pills_per_day_limit, created_at, updated_at)
SELECT given.*, %(at)s, %(at)s
  FROM jsonb_to_recordset(%(rows)s) AS given (
       id bigint, name text, description text, pack_description text, list_price numeric, external boolean,
       product_image text, recommended_usage jsonb, form text, certifications text[], allergens text[],
       contains_allergens text[], stimulant boolean, supplement_facts jsonb, status text, search_terms text[],
       pills_per_day_limit int)
 ORDER BY id
    ON CONFLICT (id) DO UPDATE
   SET name = excluded.name, description = excluded.description, pack_description = excluded.pack_description,
       list_price = excluded.list_price, external = excluded.external, product_image = excluded.product_image,
       recommended_usage = excluded.recommended_usage, form = excluded.form,
       certifications = excluded.certifications, allergens = excluded.allergens,
       contains_allergens = excluded.contains_allergens, stimulant = excluded.stimulant,
       supplement_facts = excluded.supplement_facts, status = excluded.status, search_terms = excluded.search_terms,
       pills_per_day_limit = excluded.pills_per_day_limit, updated_at = excluded.updated_at
 WHERE (stored.name, stored.description, stored.pack_description, stored.list_price, stored.external,
        stored.product_image, stored.recommended_usage, stored.form, stored.certifications, stored.allergens,
        stored.contains_allergens, stored.stimulant, stored.supplement_facts, stored.status, stored.search_terms,
        stored.pills_per_day_limit)
       IS DISTINCT FROM
       (excluded.name, excluded.description, excluded.pack_description, excluded.list_price, excluded.external,
        excluded.product_image, excluded.recommended_usage, excluded.form, excluded.certifications,
        excluded.allergens, excluded.contains_allergens, excluded.stimulant, excluded.supplement_facts,
        excluded.status, excluded.search_terms, excluded.pills_per_day_limit)
RETURNING id, xmax = 0 AS created
"""

DELETE_WORDS: Final = "DELETE FROM product_words WHERE product_id = ANY (%(ids)s::bigint[]) RETURNING word"

INSERT_WORDS: Final = """
INSERT INTO product_words (word, product_id, cost)
SELECT * FROM unnest(%(words)s::text[], %(ids)s::bigint[], %(costs)s::smallint[])
"""

INSERT_VOCABULARY: Final = """
INSERT INTO product_vocabulary (word)
SELECT DISTINCT word FROM unnest(%(words)s::text[]) AS given (word)
    ON CONFLICT DO NOTHING
"""

DELETE_VOCABULARY: Final = """
DELETE FROM product_vocabulary AS known
 WHERE known.word = ANY (%(words)s::text[])
   AND NOT EXISTS (SELECT FROM product_words AS used WHERE used.word = known.word)
"""


async def select_orderables(tx: ReadTx) -> list[Orderable]:
    """Return the few facts of every product; equal values are one object, so that they cost little memory."""
    prices = _Memo(Decimal)
    usages: _Memo[str | None, Usage | None] = _Memo(lambda text: _usage(json.loads(text)) if text else None)
    texts: _Memo[str | None, str | None] = _Memo(lambda text: text)
    days: _Memo[date, date] = _Memo(lambda day: day)
    ranks: _Memo[int, int] = _Memo(lambda made: -made)
    return [
        Orderable(
            id_,
            name,
            prices[price],
            external,
            _STATUS[status],
            usages[usage],
            texts[pack_description],
            ranks[made],
            days[updated_on],
        )
        for id_, name, price, external, status, usage, pack_description, made, updated_on in (
            await tx.tuples(SELECT_ORDERABLES, {})
        )
    ]


async def select_products(tx: ReadTx, ids: Iterable[int]) -> list[Product]:
    """Return the products that exist of *ids*, by id."""
    return [_product(row) for row in await tx.all(SELECT_PRODUCTS, ids=list(ids))]


async def select_candidates(tx: ReadTx, asked: Sequence[Span]) -> dict[int, list[str]]:
    """Return vocabulary words near to those *asked* words that it does not know, by term."""
    rows = await tx.tuples(
        SELECT_CANDIDATES,
        {
            "terms": [span.term for span in asked],
            "words": [span.first for span in asked],
            "behind": [span.behind for span in asked],
            "limit": _CANDIDATES,
        },
    )
    found: dict[int, list[str]] = {}
    for term, word in rows:
        found.setdefault(term, []).append(word)
    return found


async def select_hits(tx: ReadTx, spans: Sequence[Span], asked: int) -> Hits:
    """Return the products that answer all the *asked* terms, best first."""
    rows = await tx.tuples(
        SELECT_HITS,
        {
            "terms": [span.term for span in spans],
            "first": [span.first for span in spans],
            "behind": [span.behind for span in spans],
            "costs": [span.cost for span in spans],
            "prefix": PREFIX_COST,
            "asked": asked,
        },
    )
    ranks, ids = rows[0]
    return Hits(ranks or (), ids or ())


async def lock_catalog(tx: Tx) -> None:
    """Wait until no other transaction writes products."""
    await tx.one(LOCK_CATALOG, number=_CATALOG_LOCK)


async def upsert_products(tx: Tx, products: Sequence[NewProduct], at: datetime) -> dict[int, bool]:
    """Write products; return those that are new (True) or changed (False), by id."""
    rows = await tx.all(UPSERT_PRODUCTS, rows=Jsonb([_record(product) for product in products]), at=at)
    return {row["id"]: row["created"] for row in rows}


async def replace_words(tx: Tx, costs: dict[int, dict[str, int]]) -> None:
    """Write the words products are found by, and bring the vocabulary in line.

    Args:
        costs: Each product's words, with what a match costs.
    """
    ids = list(costs)
    words = [word for found in costs.values() for word in found]
    gone = {row["word"] for row in await tx.all(DELETE_WORDS, ids=ids)} - set(words)
    await tx.execute(
        INSERT_WORDS,
        words=words,
        ids=[id_ for id_, found in costs.items() for _ in found],
        costs=[cost for found in costs.values() for cost in found.values()],
    )
    await tx.execute(INSERT_VOCABULARY, words=words)
    await tx.execute(DELETE_VOCABULARY, words=sorted(gone))


class _Memo(dict[K, V]):
    """Values made once for each key."""

    def __init__(self, make: Callable[[K], V]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, key: K) -> V:
        value = self[key] = self._make(key)
        return value


def _usage(value: dict[str, int] | None) -> Usage | None:
    if value is None:
        return None
    morning, afternoon, evening, sleep = (value[slot] for slot in SLOTS)
    return morning, afternoon, evening, sleep


def _product(row: Row) -> Product:
    return Product(
        id=row["id"],
        name=row["name"],
        list_price=row["list_price"],
        external=row["external"],
        status=ProductStatus(row["status"]),
        description=row["description"],
        pack_description=row["pack_description"],
        product_image=row["product_image"],
        recommended_usage=_usage(row["recommended_usage"]),
        form=Form(row["form"]) if row["form"] else None,
        certifications=tuple(row["certifications"]),
        allergens=tuple(row["allergens"]),
        contains_allergens=tuple(row["contains_allergens"]),
        stimulant=row["stimulant"],
        supplement_facts=row["supplement_facts"],
        search_terms=tuple(row["search_terms"]),
        pills_per_day_limit=row["pills_per_day_limit"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def _record(product: NewProduct) -> dict[str, object]:
    usage = product.recommended_usage
    return {
        "id": product.id,
        "name": product.name,
        "description": product.description,
        "pack_description": product.pack_description,
        "list_price": str(product.list_price),
        "external": product.external,
        "product_image": product.product_image,
        "recommended_usage": dict(zip(SLOTS, usage, strict=True)) if usage else None,
        "form": product.form,
        "certifications": product.certifications,
        "allergens": product.allergens,
        "contains_allergens": product.contains_allergens,
        "stimulant": product.stimulant,
        "supplement_facts": product.supplement_facts,
        "status": product.status,
        "search_terms": product.search_terms,
        "pills_per_day_limit": product.pills_per_day_limit,
    }
