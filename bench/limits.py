"""The ceiling: our own create asked of PostgreSQL by pgbench, one call an order, without HTTP or Python.

The statement is not written here: a real order is created through the whole application, and the statement that it
sends is taken down with its parameters. Only what must differ between two orders (ids, products, content, moments) is
drawn anew in each call.
"""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from fulfillment.app import create_app
from fulfillment.infra.caches import Caches
from fulfillment.infra.db import Database
from fulfillment.infra.env import Env
from fulfillment.orders import intake_queries

ID = "each.id"
EVENT = "'e' || substr(each.id, 2)"
DRAWN = {  # by the parameter's name: what is drawn anew
    "demand_orders": f"ARRAY[{ID}, {ID}, {ID}]",
    "demand_products": "ARRAY[{first} + :a, {first} + :b, {first} + :c]::bigint[]",
    "order_ids": f"ARRAY[{ID}]",
    "event_ids": f"ARRAY[{EVENT}]",
    "event_orders": f"ARRAY[{ID}]",
    "content_keys": f"ARRAY[hashtextextended({ID}, 0)]",
    "order_moments": "ARRAY[now()]",
    "event_moments": "ARRAY[now()]",
}
HEAD = "\\set a random(0, 65)\n\\set b random(66, 131)\n\\set c random(132, {last})\n"
# Not pulled up into the call, since it is volatile: one id for all of it.
FROM = "(SELECT left(replace(gen_random_uuid()::text, '-', ''), 27) AS id OFFSET 0) AS each"


class Recording(Database):
    """A database that takes down the statements it runs alone."""

    def __init__(self, dsn: str) -> None:
        super().__init__(dsn, size=2)
        self.ran: list[tuple[str, Sequence[object]]] = []

    async def run(self, statement: Any, params: Sequence[object]) -> list[tuple[Any, ...]]:
        """Run it and remember it."""
        self.ran.append((statement, params))
        return await super().run(statement, params)


def create_script(env: Env, dsn: str, token: str, body: dict, products: Sequence[int]) -> str:
    """Return pgbench's script of our create: the statement that the order *body* makes.

    Args:
        env: The server's, for its secrets and settings.
        dsn: The application's role.
        products: The hot ones, with ids one after another.
    """
    statement, params = asyncio.run(_taken_down(env, dsn, token, body))
    if statement != intake_queries.ACCEPT:
        raise RuntimeError(f"a create sends another statement than the intake's: {statement}")
    function = statement.removeprefix("SELECT ").partition("(")[0]
    with psycopg.connect(dsn) as conn:
        described = conn.execute(
            "SELECT proargnames, proargtypes::regtype[]::text[] FROM pg_proc WHERE proname = %s", (function,)
        ).fetchone()
        assert described is not None
        arguments = ", ".join(
            _argument(conn, name, kind, value, products[0])
            for name, kind, value in zip(*described, params, strict=True)
        )
    return HEAD.format(last=len(products) - 1) + f"SELECT {function}({arguments}) FROM {FROM};\n"


def _argument(conn: psycopg.Connection, name: str, kind: str, value: object, first: int) -> str:
    if name in DRAWN:
        return f"{name} => " + DRAWN[name].format(first=first)
    row = conn.execute(sql.SQL("SELECT (%s::{})::text").format(sql.SQL(kind)), (value,)).fetchone()  # pyright: ignore
    assert row is not None
    return f"{name} => {'NULL' if row[0] is None else _literal(row[0])}::{kind}"


def _literal(text: str) -> str:
    # pgbench would take a colon and a word for one of its variables.
    for character, written in (("\\", "\\\\"), ("'", "''"), (":", "\\x3A")):
        text = text.replace(character, written)
    return f"E'{text}'"


async def _taken_down(env: Env, dsn: str, token: str, body: dict) -> tuple[str, Sequence[object]]:
    db = Recording(dsn)
    try:
        front = create_app(replace(env, db=db, caches=Caches(db)))
        status, answer = await _post(front, "/v1/orders", token, json.dumps(body).encode())
    finally:
        await db.close()
    if status != 201:
        raise RuntimeError(f"the order that was to be taken down was refused: {answer.decode()}")
    return db.ran[-1]


async def _post(app: Any, path: str, token: str, body: bytes) -> tuple[int, bytes]:
    sent: list[dict] = []
    headers = [
        (b"host", b"127.0.0.1"),
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"authorization", b"Bearer " + token.encode()),
    ]
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "asgi": {"version": "3.0"},
    }

    async def receive() -> dict:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])


def baseline_script(partner: str, products: Sequence[int]) -> str:
    """Return pgbench's script of the floor's hand-written function."""
    first = products[0]
    return HEAD.format(last=len(products) - 1) + (
        f"SELECT bench_order(left(replace(gen_random_uuid()::text, '-', ''), 27), '{partner}', "
        f"'{DOCUMENT}', ARRAY[{first} + :a, {first} + :b, {first} + :c]::bigint[]);\n"
    )


def row_script() -> str:
    """Return pgbench's script of one row an order."""
    return f"INSERT INTO bench_rows VALUES (gen_random_uuid()::text, '{DOCUMENT}');\n"


DOCUMENT = "{}" + " " * 700


def pgbench_command(database: Any) -> list[str]:
    """Return pgbench with its connection to *database* as the application's role."""
    found = psycopg.conninfo.conninfo_to_dict(database.app_dsn)
    program: Path = database.bin_dir / "pgbench"
    return [str(program), "-h", str(found["host"]), "-U", str(found["user"]), str(found["dbname"])]
