"""Two real API processes on one socket: the last unit is sold once, and one key is one order."""

import asyncio
from collections import Counter
from typing import Final, LiteralString

import psycopg
from pydantic import SecretStr

from fulfillment.infra import settings
from fulfillment.infra.composing import make_env
from fulfillment.infra.postgres import EmbeddedPostgres
from tests.chaos.sockets import Got, a_request, an_order, burst
from tests.serving import ServerProcess
from tests.world import World


def port_of(server: ServerProcess) -> int:
    """Return the port that the server listens on."""
    return int(server.url.rpartition(":")[2])


def token_of(server: ServerProcess) -> str:
    """Return the demo partner's token."""
    with server.client() as client:
        return client.headers["authorization"].removeprefix("Bearer ")


def a_product(server: ServerProcess, available: int) -> int:
    """Make a product with one lot behind the server's back; its processes hear of it by themselves."""

    async def make() -> int:
        loaded = settings.load(data_dir=server.folder, public_url=server.url)
        dsn = SecretStr(EmbeddedPostgres(server.folder).app_dsn)
        env = make_env(loaded.model_copy(update={"database_url": dsn, "pool_size": 1}))
        made = await World(env).product(91_000_000_000 + available, available=available)
        await env.db.close()
        return made

    return asyncio.run(make())


def counted(server: ServerProcess, statement: LiteralString, product: int) -> int:
    """Return the number that a statement finds about a product."""
    dsn = EmbeddedPostgres(server.folder).dsn("postgres")
    with psycopg.connect(dsn) as conn:
        row = conn.execute(statement, (product,)).fetchone()
    assert row is not None
    return row[0]


RESERVED: Final = "SELECT sum(reserved)::int FROM lots WHERE product_id = %s"
ORDERS: Final = "SELECT count(*)::int FROM reservations WHERE product_id = %s"


def told(answer: Got | None) -> str:
    """Return the status and the code of an answer."""
    return "cut" if answer is None else f"{answer.status} {answer.code}".strip()


def test_the_last_unit_is_sold_once(server: ServerProcess) -> None:
    """Two hundred orders at one moment for the last thirty pills: one 201, 199 problems that say why, nothing else."""
    product, token = a_product(server, 30), token_of(server)
    requests = [
        a_request("POST", "/v1/orders", token=token, body=an_order(product, f"last-{number}")) for number in range(200)
    ]

    answers = asyncio.run(burst(port_of(server), requests))

    assert Counter(map(told, answers)) == {"201": 1, "409 insufficient_stock": 199}
    assert counted(server, RESERVED, product) == 30
    assert counted(server, ORDERS, product) == 1


def test_one_key_is_one_order(server: ServerProcess) -> None:
    """A hundred times one key and body at one moment, and once later: one order, one answer byte for byte."""
    product, token = a_product(server, 300_000), token_of(server)
    request = a_request(
        "POST", "/v1/orders", token=token, headers={"Idempotency-Key": "raced-for"}, body=an_order(product, "twin")
    )

    answers = asyncio.run(burst(port_of(server), [request] * 100))
    (later,) = asyncio.run(burst(port_of(server), [request]))

    assert later is not None
    assert set(map(told, answers)) <= {"201", "409 idempotency_in_progress"}
    assert {answer.body for answer in answers if answer is not None and answer.status == 201} == {later.body}
    assert later.headers["idempotent-replayed"] == "true"
    assert counted(server, ORDERS, product) == 1
