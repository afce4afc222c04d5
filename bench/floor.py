"""The hand-written floor: bare ASGI with one SQL statement an order and no checks; and FastAPI's hello-world.

Run by bench/run.py: python bench/floor.py PORT DSN PARTNER PROCESSES. What it has for speed is what ours has: uvicorn
with uvloop and httptools, no access log, a pool that neither resets nor checks what comes back, statements prepared at
their first use, orders written in the order of the lots' ids.
"""

import asyncio
import json
import multiprocessing
import socket
import sys

import psycopg
import uvicorn
import uvloop
from fastapi import FastAPI

from fulfillment.infra.env import real_time
from fulfillment.kernel.ids import new_id

CONNECTIONS = 8  # of each process, as ours


class Pool:
    """Connections, the latest first."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._free: list[psycopg.AsyncConnection] = []
        self._places = asyncio.Semaphore(CONNECTIONS)

    async def run(self, statement: str, params: tuple) -> tuple:
        async with self._places:
            conn = (
                self._free.pop()
                if self._free
                else await psycopg.AsyncConnection.connect(self._dsn, autocommit=True, prepare_threshold=0)
            )
            cursor = await conn.execute(statement, params)
            row = await cursor.fetchone()
            self._free.append(conn)
        return row or ("{}",)


def make_app(dsn: str, partner: str):
    hello = FastAPI()

    @hello.get("/hello")
    async def say_hello() -> dict[str, str]:
        return {"hello": "world"}

    pool = Pool(dsn)

    async def app(scope, receive, send):
        path = scope["path"]
        if path == "/hello":
            return await hello(scope, receive, send)
        if scope["method"] == "POST":
            message = await receive()
            order = json.loads(message["body"])
            products = [line["productId"] for line in order["lineItems"]]
            order_id = new_id(real_time())
            await pool.run(
                "SELECT bench_order(%s, %s, %s, %s)", (order_id, partner, message["body"].decode(), products)
            )
            body, status = b'{"id":"' + order_id.encode() + b'"}', 201
        else:
            row = await pool.run("SELECT bench_read(%s, %s)", (partner, path[-27:]))
            body, status = row[0].encode(), 200
        await send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())],
            }
        )
        await send({"type": "http.response.body", "body": body})
        return None

    return app


def serve(listener: socket.socket, dsn: str, partner: str) -> None:
    config = uvicorn.Config(
        make_app(dsn, partner), loop="uvloop", http="httptools", lifespan="off", access_log=False, log_level="warning"
    )
    uvloop.run(uvicorn.Server(config).serve([listener]))


def main() -> None:
    port, dsn, partner, processes = int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
    listener = socket.create_server(("127.0.0.1", port), backlog=2048)
    listener.set_inheritable(True)
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=serve, args=(listener, dsn, partner), daemon=True) for _ in range(processes)]
    for child in children:
        child.start()
    print("ready", flush=True)
    for child in children:
        child.join()


if __name__ == "__main__":
    main()
