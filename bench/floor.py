"""The hand-written floor: bare ASGI with one SQL statement an order and no checks; and FastAPI's hello-world.

Run by bench/run.py: python bench/floor.py PORT DSN PARTNER PROCESSES.
"""

import json
import multiprocessing
import socket
import sys

import uvicorn
import uvloop
from fastapi import FastAPI
from psycopg_pool import AsyncConnectionPool

from fulfillment.infra.env import real_time
from fulfillment.kernel.ids import new_id


def make_app(dsn: str, partner: str):
    hello = FastAPI()

    @hello.get("/hello")
    async def say_hello() -> dict[str, str]:
        return {"hello": "world"}

    pool = AsyncConnectionPool(dsn, min_size=8, max_size=8, open=False, kwargs={"autocommit": True})

    async def app(scope, receive, send):
        path = scope["path"]
        if path == "/hello":
            return await hello(scope, receive, send)
        if pool.closed:
            await pool.open()
        if scope["method"] == "POST":
            message = await receive()
            order = json.loads(message["body"])
            products = [line["productId"] for line in order["lineItems"]]
            async with pool.connection() as conn:
                await conn.execute(
                    "SELECT bench_order(%s, %s, %s, %s)",
                    (order_id := new_id(real_time()), partner, message["body"].decode(), products),
                )
            body, status = b'{"id":"' + order_id.encode() + b'"}', 201
        else:
            async with pool.connection() as conn:
                cursor = await conn.execute("SELECT bench_read(%s, %s)", (partner, path[-27:]))
                row = await cursor.fetchone()
            body, status = (row[0].encode() if row else b"{}"), 200
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
