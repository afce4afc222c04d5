"""Rules about SQL: PostgreSQL accepts every statement, and tenants' tables are reached through the tenant."""

import importlib
import pkgutil
import re
from pathlib import Path
from typing import Final

import psycopg
import pytest

import fulfillment

SCHEMA: Final = (Path(fulfillment.__file__).parent / "migrations" / "schema.sql").read_text()
# The tables with partners' rows. Clients are not among them: who asks is found out before it is known whose they are.
TENANT_TABLES: Final = sorted(
    name
    for name, columns in re.findall(r"CREATE TABLE (?:public\.)?(\w+) \((.*?)\n\)", SCHEMA, re.DOTALL)
    if re.search(r"^\s*partner_id ", columns, re.MULTILINE) and name != "oauth_clients"
)
# Those with the most of a customer in them. That all have the policy is looked up by tests/security/test_tenants.py.
TRIED: Final = (
    "orders",
    "protocols",
    "holds",
    "idempotency_keys",
    "events",
    "webhook_deliveries",
    "webhook_attempts",
    "webhook_endpoints",
)
# Statements that reach a tenant's table without naming one partner, and why each may. The list should only shrink.
# Row-level security holds them all: each runs in a transaction that is opened for its partners, or for all.
_OPERATOR: Final = "the operator's view: any partner's order"
_LOADED: Final = "by the ids of orders that the same transaction has read or locked"
_BATCH: Final = "by keys that hold the partner, for a batch of several partners' creates"
ALL_TENANTS: Final[dict[str, str]] = {
    "orders.intake_queries.LOOK": _BATCH,
    "orders.operator_queries.LOCK_FREE_ORDERS": _OPERATOR,
    "orders.operator_queries.LOCK_ORDERS": _OPERATOR,
    "orders.operator_queries.SELECT_ORDERS": _OPERATOR,
    "orders.queries.DELETE_OLD_KEYS": "the clean-up of all partners' keys",
    "orders.queries.LOCK_ANY_ORDER": _OPERATOR,
    "orders.queries.SELECT_ANY_ORDER": _OPERATOR,
    "orders.queries.SELECT_KEYS": _BATCH,
    "orders.queries.SELECT_LOOKALIKES": _BATCH,
    "sandbox.queries.SELECT_PLANNED": _LOADED,
    "warehouse.queries.DELETE_CONFIRMATIONS": _LOADED,
    "warehouse.queries.DELETE_EMPTY_BATCH": "a batch holds orders of all partners",
    "warehouse.queries.SELECT_BATCHES_OF": _LOADED,
    "warehouse.queries.SELECT_BATCH_ORDERS": "a batch holds orders of all partners",
    "warehouse.queries.SELECT_BATCH_ORDERS_AFTER": "a batch holds orders of all partners",
    "warehouse.queries.SELECT_BATCH_ORDERS_BEFORE": "a batch holds orders of all partners",
    "warehouse.queries.SELECT_BATCH_STATUSES": "a batch holds orders of all partners",
    "warehouse.queries.SELECT_CONFIRMATIONS": _LOADED,
    "warehouse.queries.SELECT_ORDER_OF_NUMBER": "a carrier knows a parcel by its number alone",
    "warehouse.queries.SELECT_SHIPMENTS": _LOADED,
    "warehouse.queries.UPDATE_SHIPMENT": "by the id of a parcel whose order the same transaction has locked",
    "webhooks.log_queries.LOCK_OPEN_REPLAY": "the worker takes the next replay, whosever it is",
    "webhooks.delivery_queries.DISCARD": "by pairs of partner and delivery, of several partners",
}
_BEGINNING: Final = re.compile(r"\s*(?:--[^\n]*\n\s*)*(SELECT|INSERT|UPDATE|DELETE|WITH|MERGE)\b")


def statements() -> dict[str, str]:
    """Return every SQL constant of every module of ours, by module and name."""
    found: dict[str, str] = {}
    for module in pkgutil.walk_packages(fulfillment.__path__, "fulfillment."):
        if "queries" not in module.name and module.name != "fulfillment.infra.caches":
            continue
        for name, value in vars(importlib.import_module(module.name)).items():
            if isinstance(value, str) and name.isupper() and not name.startswith("_") and _BEGINNING.match(value):
                found[f"{module.name.removeprefix('fulfillment.')}.{name}"] = value
    return found


STATEMENTS: Final = statements()


def numbered(statement: str) -> str:
    """Return a statement with PostgreSQL's own placeholders."""
    names: list[str] = []

    def place(match: re.Match[str]) -> str:
        if match[0] == "%%":
            return "%"
        if match[0] == "%s":
            names.append(f"#{len(names)}")
            return f"${len(names)}"
        if match[1] not in names:
            names.append(match[1])
        return f"${names.index(match[1]) + 1}"

    return re.sub(r"%%|%s|%\((\w+)\)s", place, statement)


def test_there_are_statements() -> None:
    """The rule below looks at the statements of every room."""
    rooms = {name.split(".")[0] for name in STATEMENTS}

    assert rooms >= {"orders", "protocols", "inventory", "catalog", "partners", "oauth", "webhooks", "shipping"}
    assert len(STATEMENTS) > 80


def test_every_statement_prepares(dsns: tuple[str, str]) -> None:
    """PostgreSQL accepts each against the migrated schema, as the application's role."""
    refused: dict[str, str] = {}
    with psycopg.connect(dsns[0], autocommit=True) as conn:
        for name, statement in STATEMENTS.items():
            try:
                conn.execute(f"PREPARE checked AS {numbered(statement)}".encode())
                conn.execute("DEALLOCATE checked")
            except psycopg.Error as error:
                refused[name] = str(error)

    assert refused == {}


def test_tenants_tables_are_reached_through_the_tenant() -> None:
    """A statement on a tenant's table names the partner, or is listed above with its reason."""
    table = re.compile(rf"\b(?:FROM|JOIN|INTO|UPDATE)\s+({'|'.join(TENANT_TABLES)})\b")
    named = re.compile(r"\bpartner_id\b\s*(?:=|IN\b)|\(\s*[^)]*\bpartner_id\b[^)]*\)\s*(?:VALUES|SELECT)", re.DOTALL)
    without = {
        name for name, statement in STATEMENTS.items() if table.search(statement) and not named.search(statement)
    }

    assert len(TENANT_TABLES) >= 15
    assert sorted(without - set(ALL_TENANTS)) == []
    assert sorted(set(ALL_TENANTS) - without) == []  # what no longer needs its reason


def test_a_broken_statement_is_noticed(dsns: tuple[str, str]) -> None:
    """The rule can fail: a column that does not exist is refused."""
    with psycopg.connect(dsns[0], autocommit=True) as conn, pytest.raises(psycopg.errors.UndefinedColumn):
        conn.execute(b"PREPARE checked AS SELECT nothing FROM orders")


@pytest.mark.parametrize("tenant", [None, "", "2NxK7vPqYtR5mJnLkH3wZcB2222"])
@pytest.mark.parametrize("table", TRIED)
def test_row_level_security(dsns: tuple[str, str], table: str, tenant: str | None) -> None:
    """The application sees no row without a tenant or with another's, even without a WHERE; nor can it write one."""
    with psycopg.connect(dsns[0], autocommit=True) as conn:
        role = conn.execute("SELECT rolsuper, rolbypassrls FROM pg_roles WHERE rolname = current_user").fetchone()
        with conn.transaction(force_rollback=True):
            conn.execute("SELECT set_config('fulfillment.tenant', '*', true)")
            columns = _a_row(conn, table)
            seen = conn.execute(f"SELECT count(*) FROM {table}".encode()).fetchone()
            if tenant is not None:
                conn.execute("SELECT set_config('fulfillment.tenant', %s, true)", [tenant])
            else:
                conn.execute("SELECT set_config('fulfillment.tenant', '', true)")
            hidden = conn.execute(f"SELECT count(*) FROM {table}".encode()).fetchone()
            deleted = conn.execute(f"DELETE FROM {table}".encode()).rowcount
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                conn.execute(f"INSERT INTO {table} SELECT * FROM {columns}".encode())

    assert role == (False, False)
    assert seen is not None
    assert seen[0] >= 1
    assert (hidden, deleted) == ((0,), 0)


def _a_row(conn: psycopg.Connection[tuple[object, ...]], table: str) -> str:
    """Write one row of a partner into *table*; return the name of a table that holds a second one like it."""
    conn.execute(
        "INSERT INTO partners (id, name, created_at, updated_at)"
        " VALUES ('P1', 'P1', now(), now()) ON CONFLICT DO NOTHING"
    )
    conn.execute(
        "INSERT INTO orders (id, partner_id, days_supply, shipping_method, customer, document, created_at, updated_at)"
        " VALUES ('o0', 'P1', 30, 'STANDARD', '{}', '{}', now(), now())"
    )
    columns, values = {
        "protocols": (
            "id, partner_id, customer, customer_name, days_supply, shipping_method, line_items, created_at, updated_at",
            "'x1', 'P1', '{}', 'j d', 30, 'STANDARD', '[]', now(), now()",
        ),
        "holds": ("id, order_id, partner_id, code, actor, created_at", "'x1', 'o0', 'P1', 'ADDRESS', 'system', now()"),
        "idempotency_keys": (
            "key, partner_id, operation, fingerprint, status, body, created_at",
            "'x1', 'P1', 'o', '', 201, '', now()",
        ),
        "events": ("id, partner_id, type, payload, created_at", "'x1', 'P1', 'x', '{}', now()"),
        "webhook_deliveries": ("id, event_id, partner_id, due_at, created_at", "'x1', 'e', 'P1', now(), now()"),
        "webhook_attempts": (
            "delivery_id, attempt, partner_id, created_at, duration_ms",
            "'x1', 1, 'P1', now(), 1",
        ),
        "webhook_endpoints": ("partner_id", "'P1'"),
    }.get(table, ("", ""))
    if table != "orders":
        conn.execute(f"INSERT INTO {table} ({columns}) VALUES ({values})".encode())
    conn.execute(f"CREATE TEMP TABLE copied ON COMMIT DROP AS SELECT * FROM {table}".encode())
    if table != "webhook_endpoints":
        key = {"webhook_attempts": "delivery_id", "idempotency_keys": "key"}.get(table, "id")
        conn.execute(f"UPDATE copied SET {key} = {key} || 'b'".encode())
    return "copied"
