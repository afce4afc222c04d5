"""What a measurement starts with: products, lots, partners, past orders, straight into the database."""

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import psycopg

from fulfillment.catalog import service as catalog
from fulfillment.catalog.importing import ProductRow
from fulfillment.infra.env import Env
from fulfillment.kernel.callers import Scope
from fulfillment.oauth import service as oauth
from fulfillment.partners import service as partners

WORDS = """
omega fish oil magnesium zinc vitamin calm focus sleep energy daily turmeric ashwagandha collagen probiotic iron
selenium biotin folate lutein berberine quercetin creatine glycine taurine rhodiola ginseng garlic elderberry
echinacea melatonin
valerian theanine choline inositol chromium copper iodine boron krill algae spirulina
""".split()  # noqa: SIM905 - words read better than a list of them


@dataclass
class Seeded:
    """What was made."""

    partners: list[str]
    clients: list[tuple[str, str]]  # id, secret; one of each partner
    hot_products: list[int]
    lots: list[str]


async def seed(env: Env, owner_dsn: str, *, hot: int, products: int, partner_count: int) -> Seeded:
    """Make products (the first *hot* of them with plenty of stock) and partners with a client each."""
    template = _template()
    made = [_product(template, 10_000_000_000 + number, number) for number in range(products)]
    await catalog.import_products(env, made)
    hot_ids = [product.id for product in made[:hot]]
    lots = _lots(owner_dsn, hot_ids)
    seeded = Seeded([], [], hot_ids, lots)
    for number in range(partner_count):
        partner = await partners.create_partner(env, name=f"Bench {number}", discount=Decimal("0.10"))
        seeded.partners.append(partner.id)
        seeded.clients.append(await oauth.create_client(env, partner_id=partner.id, scope=Scope.PARTNER, label="bench"))
    return seeded


def _template() -> ProductRow:
    from importlib import resources

    from fulfillment.catalog.importing import read_rows

    with resources.as_file(resources.files("fulfillment.catalog") / "seed" / "products.jsonl") as path:
        return next(row for row in read_rows(path) if row.product.id == 77123129891)


def _product(template: ProductRow, id_: int, number: int):
    import dataclasses

    chosen = random.Random(number).sample(WORDS, 3)
    return dataclasses.replace(
        template.product, id=id_, name=f"{' '.join(chosen).title()} {number}", search_terms=tuple(chosen[:2])
    )


def _lots(owner_dsn: str, product_ids: list[int]) -> list[str]:
    with psycopg.connect(owner_dsn) as conn:
        rows = conn.execute(
            """
            INSERT INTO lots (id, product_id, lot_number, expiry, state, received, on_hand, received_at, updated_at)
            SELECT left(md5(id::text) || 'BENCHLOT', 27), id, 'BENCH', current_date + 900, 'APPROVED', 2000000000,
                   2000000000, now(), now()
              FROM unnest(%s::bigint[]) AS id
            RETURNING id
            """,
            (product_ids,),
        ).fetchall()
        conn.execute(
            """
            INSERT INTO inventory_movements (id, lot_id, kind, quantity, actor, created_at)
            SELECT left(md5(id || 'm') || id, 27), id, 'RECEIVED', 2000000000, 'bench', now()
              FROM unnest(%s::text[]) AS id
            """,
            ([row[0] for row in rows],),
        )
    return [row[0] for row in rows]


def template_of(owner_dsn: str, order_id: str) -> tuple[str, str]:
    """Return an order's document and customer, as past orders shall have them."""
    with psycopg.connect(owner_dsn) as conn:
        conn.execute("SELECT set_config('fulfillment.tenant', '*', true)")
        row = conn.execute("SELECT document::text, customer::text FROM orders WHERE id = %s", (order_id,)).fetchone()
    assert row is not None
    return row[0], row[1]


def any_orders(owner_dsn: str, partner_ids: list[str], most: int = 5000) -> list[tuple[str, str]]:
    """Return (partner, order) of orders taken by chance from all."""
    with psycopg.connect(owner_dsn) as conn:
        conn.execute("SELECT set_config('fulfillment.tenant', '*', true)")
        return conn.execute(
            "SELECT partner_id, id FROM orders WHERE partner_id = ANY (%s) ORDER BY random() LIMIT %s",
            (partner_ids, most),
        ).fetchall()


def settle(superuser_dsn: str) -> None:
    """Write to disk what seeding left in memory, so that it is not written while something is measured."""
    with psycopg.connect(superuser_dsn, autocommit=True) as conn:
        conn.execute("CHECKPOINT")


def past_orders(owner_dsn: str, partner_ids: list[str], count: int, document: str, customer: str, tag: str) -> None:
    """Write *count* shipped orders of the past, spread over the partners, with an event each."""
    begin = datetime.now(UTC) - timedelta(days=300)
    with psycopg.connect(owner_dsn) as conn:
        conn.execute("SELECT set_config('fulfillment.tenant', '*', true)")
        conn.execute(
            """
            WITH made AS (
            INSERT INTO orders (id, partner_id, status, sequence, days_supply, shipping_method, customer_source_id,
                                customer, document, content_key, created_at, updated_at)
            SELECT '2' || left(md5(%(tag)s), 6) || lpad(to_hex(n), 8, '0') || left(md5(n::text), 12),
                   (%(partners)s::text[])[1 + n %% array_length(%(partners)s::text[], 1)],
                   'SHIPPED', 5, 30, 'STANDARD', 'c' || n, %(customer)s::json, %(document)s::json,
                   hashtextextended(%(tag)s || n::text, 0), %(begin)s + n * interval '1 second',
                   %(begin)s + n * interval '1 second'
              FROM generate_series(1, %(count)s) AS n
            RETURNING id, partner_id, created_at)
            INSERT INTO events (id, partner_id, order_id, order_sequence, type, payload, created_at)
            SELECT 'e' || substr(id, 2), partner_id, id, 5, 'order.shipped', '{"order":{}}', created_at FROM made
            """,
            {
                "partners": partner_ids,
                "count": count,
                "customer": customer,
                "document": document,
                "begin": begin,
                "tag": tag,
            },
        )
        conn.commit()
        conn.autocommit = True
        conn.execute("VACUUM ANALYZE orders, events")
