"""A receiver of Juniper's webhooks with FastAPI.

    pip install juniper-fulfillment-sdk fastapi uvicorn
    JUNIPER_WEBHOOK_SECRET=... python fastapi_receiver.py

Three things make it right: the signature is checked over the raw bytes, an event that comes twice is used
once, and an older event never overwrites what a newer one said.
"""

import os
import sqlite3
from contextlib import asynccontextmanager, closing

import uvicorn
from fastapi import FastAPI, HTTPException, Request, Response
from juniper_fulfillment import webhooks
from starlette.concurrency import run_in_threadpool

SECRET = os.environ["JUNIPER_WEBHOOK_SECRET"]
DATABASE = os.environ.get("DATABASE", "orders.sqlite3")
TABLES = """
CREATE TABLE IF NOT EXISTS seen_events (id TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS orders (id TEXT PRIMARY KEY, sequence INTEGER NOT NULL, status TEXT NOT NULL);
"""
SAVE = """
INSERT INTO orders (id, sequence, status) VALUES (?, ?, ?)
    ON CONFLICT (id) DO UPDATE SET sequence = excluded.sequence, status = excluded.status
 WHERE excluded.sequence > orders.sequence
"""


@asynccontextmanager
async def lifespan(_: FastAPI):
    """Make the tables."""
    with closing(sqlite3.connect(DATABASE)) as db:
        db.executescript(TABLES)
    yield


app = FastAPI(lifespan=lifespan)


@app.post("/webhooks/juniper")
async def receive(request: Request) -> Response:
    """Take one event. Any 2xx says that it is safe with us; anything else lets Juniper send it again."""
    try:
        event = webhooks.verify(await request.body(), request.headers.get(webhooks.SIGNATURE_HEADER, ""), SECRET)
    except webhooks.SignatureInvalid:
        raise HTTPException(400, "the signature is not valid") from None
    # What stands in the signed body counts more than a header, which is not signed.
    event_id = event.id or request.headers[webhooks.EVENT_ID_HEADER]
    sequence = event.sequence or int(request.headers.get(webhooks.SEQUENCE_HEADER, "0"))
    await run_in_threadpool(remember, event_id, sequence, event)
    return Response(status_code=204)


def remember(event_id: str, sequence: int, event: webhooks.Event) -> None:
    """Note the event and use it, both in one transaction: a crash between the two can't lose or repeat it."""
    with closing(sqlite3.connect(DATABASE)) as db, db:
        is_new = db.execute("INSERT OR IGNORE INTO seen_events VALUES (?)", [event_id]).rowcount
        if is_new and event.order_id:
            db.execute(SAVE, [event.order_id, sequence, event.status])


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ.get("PORT", "3000")))
