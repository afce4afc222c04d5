"""A server on a real socket, and clients that speak whatever bytes they like."""

import asyncio
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fulfillment.app import create_app, make_server
from fulfillment.infra.caches import Caches
from fulfillment.infra.db import Database
from fulfillment.infra.env import Env
from fulfillment.infra.logs import AccessLog
from fulfillment.infra.metrics import metrics_of
from fulfillment.infra.secrets import load_or_create
from fulfillment.infra.settings import Settings


@dataclass(frozen=True, slots=True)
class Wire:
    """The server's place, and what reached its application."""

    env: Env
    port: int

    @property
    def url(self) -> str:
        """Return its base URL."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def served(self) -> int:
        """Return how many requests the application has answered."""
        return sum(sum(each.counts) for each in metrics_of(self.env).requests.values())

    async def open(self) -> "tuple[asyncio.StreamReader, asyncio.StreamWriter]":
        """Return a new connection."""
        return await asyncio.open_connection("127.0.0.1", self.port, limit=2**20)

    async def send(self, *pieces: bytes, seconds: float = 2.0) -> tuple[bytes, bool]:
        """Send *pieces* on one connection; return all that came back within *seconds* and whether it was closed."""
        reader, writer = await self.open()
        received = b""
        closed = False
        try:
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            async with asyncio.timeout(seconds):
                while chunk := await reader.read(65536):
                    received += chunk
                    if received.startswith(b"HTTP/1.1 100"):
                        continue
                closed = True
        except TimeoutError:
            pass
        except OSError:  # a reset is a close too
            closed = True
        finally:
            writer.close()
        return received, closed


def statuses(received: bytes) -> list[int]:
    """Return the status of every answer in *received*."""
    return [int(part[:3]) for part in received.split(b"HTTP/1.1 ")[1:]]


@asynccontextmanager
async def module_env(dsn: str, folder: Path, **settings: Any) -> AsyncGenerator[Env]:
    """Give an Env for several tests."""
    db = Database(dsn, size=8)
    found = Settings(data_dir=folder, log_format="text", **settings)
    yield Env(found, db, Caches(db), load_or_create(folder / "secrets.json"))
    await db.close()


@asynccontextmanager
async def serving(env: Env, log: AccessLog | None = None) -> AsyncGenerator[Wire]:
    """Serve the whole application over *env* on a free port while the block runs."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    started = asyncio.Event()
    server = make_server(env, create_app(env, access_log=log), started.set)
    running = asyncio.create_task(server.serve([listener]))
    try:
        await started.wait()
        yield Wire(env, listener.getsockname()[1])
    finally:
        server.should_exit = True
        await running
        listener.close()
