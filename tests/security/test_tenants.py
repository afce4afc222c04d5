"""The second lock: PostgreSQL itself shows a partner's rows to nobody else, even where a statement forgets to ask."""

from collections.abc import Generator

import psycopg
import pytest
from psycopg import sql

from fulfillment.infra.db import DatabaseUnavailable
from fulfillment.infra.env import Env
from fulfillment.kernel.callers import Caller
from fulfillment.webhooks import service as webhooks
from fulfillment.webhooks.domain import NewEvent
from tests.world import World

pytestmark = pytest.mark.anyio

# Tables with a partner's rows that have another name for the partner.
OWN_NAME = {"partners": "id"}
# Tables that no partner's rows are in. A new table is in one list or has a partner_id; otherwise a test fails.
SHARED = {
    "cache_versions": "what processes keep in memory",
    "products": "the catalogue is everybody's",
    "product_words": "the catalogue is everybody's",
    "product_vocabulary": "the catalogue is everybody's",
    "shipping_methods": "everybody's",
    "lots": "the warehouse's",
    "inventory_movements": "the warehouse's; an order's id, nothing of the customer",
    "reservations": "the warehouse's; an order's id, nothing of the customer",
    "batches": "the warehouse's",
    "tracking_messages": "hashes of what carriers sent",
    "audit_log": "the operator's; nobody reads it over the API of partners",
    "schema_migrations": "versions",
    "rate_limits": "buckets by partner, counts only",
    "token_failures": "hashes",
    "token_trust": "hashes",
}


@pytest.fixture(scope="module")
def owner(dsns: tuple[str, str]) -> Generator[psycopg.Connection]:
    """The owner, who may look at the catalogue."""
    with psycopg.connect(dsns[1], autocommit=True) as conn:
        yield conn


def tenant_tables(conn: psycopg.Connection) -> dict[str, str]:
    """Return the tables with partners' rows and the column that says whose they are."""
    rows = conn.execute(
        "SELECT table_name FROM information_schema.columns JOIN information_schema.tables"
        " USING (table_schema, table_name)"
        " WHERE table_schema = 'public' AND column_name = 'partner_id' AND table_type = 'BASE TABLE'"
    ).fetchall()
    return {name: "partner_id" for (name,) in rows} | OWN_NAME


def test_every_table_is_known(owner: psycopg.Connection) -> None:
    """A new table has a partner_id, and with it the policy, or is named here with the reason why it has none."""
    every = {
        name for (name,) in owner.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
    }

    assert every - set(tenant_tables(owner)) == set(SHARED)


def test_every_tenants_table_has_the_policy(owner: psycopg.Connection) -> None:
    """Each table with partners' rows has row-level security, forced on its owner too, for reading and writing."""
    for table, column in tenant_tables(owner).items():
        flags = owner.execute(
            "SELECT relrowsecurity, relforcerowsecurity FROM pg_class WHERE oid = %s::regclass", (table,)
        ).fetchone()
        policies = owner.execute(
            "SELECT cmd, permissive, qual, with_check FROM pg_policies WHERE tablename = %s", (table,)
        ).fetchall()
        rule = f"visible_to_tenant({column})"
        assert flags == (True, True), table
        assert policies == [("ALL", "PERMISSIVE", rule, rule)], table


def test_the_application_bypasses_nothing(owner: psycopg.Connection) -> None:
    """The role of the API is no superuser, owns nothing, bypasses no policy, and can't become anybody else."""
    role = owner.execute(
        "SELECT rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication FROM pg_roles"
        " WHERE rolname = 'fulfillment'"
    ).fetchone()
    owned = owner.execute("SELECT count(*) FROM pg_class WHERE relowner = 'fulfillment'::regrole").fetchone()
    granted = owner.execute("SELECT count(*) FROM pg_auth_members WHERE member = 'fulfillment'::regrole").fetchone()

    assert role == (False, False, False, False, False)
    assert owned == granted == (0,)


async def test_no_function_lends_its_owners_rights_to_rows(owner: psycopg.Connection) -> None:
    """The one function that runs with its owner's rights counts versions and reads no partner's row."""
    found = owner.execute(
        "SELECT proname FROM pg_proc WHERE prosecdef AND pronamespace = 'public'::regnamespace"
    ).fetchall()

    assert found == [("bump_cache_version",)]


async def filled(env: Env, world: World) -> tuple[Caller, Caller]:
    """Return two partners with rows in tables of every kind."""
    callers = (await world.partner(), await world.partner())
    for caller in callers:
        order = await world.order(caller)
        at = env.now()
        async with env.db.transaction(caller.partner_id) as tx:
            await webhooks.announce(
                tx, [NewEvent(f"ev-{order.id}", caller.partner_id, "test.event", "{}", at, None, None, deliver=True)]
            )
    return callers


async def test_without_its_where_a_statement_sees_the_tenants_rows_only(
    env: Env, world: World, owner: psycopg.Connection, dsns: tuple[str, str]
) -> None:
    """SELECT without a WHERE: with no tenant nothing, with one its own, with another the other's; a write the same."""
    mine, others = await filled(env, world)
    seen = dict.fromkeys(tenant_tables(owner), 0)
    with psycopg.connect(dsns[0], autocommit=True) as conn:
        for table, column in tenant_tables(owner).items():
            everything = sql.SQL("SELECT {} FROM {}").format(sql.Identifier(column), sql.Identifier(table))
            conn.execute("RESET fulfillment.tenant")
            assert conn.execute(everything).fetchall() == [], table
            for caller in (mine, others):
                conn.execute("SELECT set_config('fulfillment.tenant', %s, false)", (caller.partner_id,))
                rows = {row[0] for row in conn.execute(everything).fetchall()}
                assert rows <= {caller.partner_id}, table
                seen[table] += len(rows)
    assert {"orders", "events", "webhook_deliveries", "partners", "oauth_clients"} <= {
        table for table, count in seen.items() if count
    }


@pytest.mark.parametrize("tenant", ["", ",", "%", "* ", "'*'", "*,", "none,*"])
async def test_what_is_nearly_everybody_is_nobody(env: Env, world: World, dsns: tuple[str, str], tenant: str) -> None:
    """Only the one word opens all rows; what looks like it opens none."""
    await filled(env, world)
    with psycopg.connect(dsns[0], autocommit=True) as conn:
        conn.execute("SELECT set_config('fulfillment.tenant', %s, false)", (tenant,))
        assert conn.execute("SELECT count(*) FROM orders").fetchone() == (0,)


async def test_writing_for_another_partner_is_refused(env: Env, world: World) -> None:
    """A transaction of one partner can neither change, nor remove, nor make a row of another's."""
    mine, others = await filled(env, world)
    async with env.db.transaction(mine.partner_id) as tx:
        changed = await tx.execute("UPDATE orders SET days_supply = 1 WHERE partner_id = %(id)s", id=others.partner_id)
        removed = await tx.execute("DELETE FROM protocols")
    assert (changed, removed) == (0, 0)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        async with env.db.transaction(mine.partner_id) as tx:
            await tx.execute(
                "INSERT INTO webhook_endpoints (partner_id) VALUES (%(id)s)",
                id=others.partner_id,
            )


async def test_the_tenant_ends_with_its_transaction(env: Env, world: World) -> None:
    """A pooled connection that served one partner shows nothing to whoever gets it next without a tenant."""
    mine, _ = await filled(env, world)
    async with env.db.reading(mine.partner_id) as tx:
        assert (await tx.one("SELECT count(*) AS n FROM orders"))["n"] >= 1
    async with env.db.connection() as conn:
        assert await (await conn.execute("SELECT count(*) FROM orders")).fetchone() == (0,)


@pytest.mark.parametrize("tenant", ["", "x'; SET fulfillment.tenant = '*", "* --", "a b", "é"])
async def test_a_tenant_is_no_place_for_sql(env: Env, tenant: str) -> None:
    """What is not ids with commas between is refused before it reaches the database."""
    with pytest.raises(ValueError, match="ids with commas"):
        async with env.db.transaction(tenant):
            raise DatabaseUnavailable("never reached")


async def test_the_audit_log_is_append_only(env: Env, world: World, dsns: tuple[str, str]) -> None:
    """Neither the application nor the owner can change, remove or empty it, or switch the guard off."""
    await world.partner()
    for statement in (
        "UPDATE audit_log SET actor = 'nobody'",
        "DELETE FROM audit_log",
        "TRUNCATE audit_log",
    ):
        for dsn in dsns:
            with psycopg.connect(dsn) as conn, pytest.raises(psycopg.errors.InsufficientPrivilege):
                conn.execute(statement)
    with psycopg.connect(dsns[0]) as conn, pytest.raises(psycopg.errors.InsufficientPrivilege):
        conn.execute("ALTER TABLE audit_log DISABLE TRIGGER ALL")
    with psycopg.connect(dsns[0]) as conn, pytest.raises(psycopg.errors.InsufficientPrivilege):
        conn.execute("UPDATE events SET payload = '{}'")
