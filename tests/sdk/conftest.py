"""Both clients against a scripted server: every test that takes `connect` runs once for each."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from typing import Any, cast

import pytest

from fulfillment.sdk import AsyncClient, Client, Retries
from tests.sdk.server import ScriptedServer

QUICK = Retries(first_seconds=0.002, longest_seconds=0.004, deadline_seconds=10.0, timeout_seconds=5.0)


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    """A scripted server."""
    with ScriptedServer() as listening:
        yield listening


class Blocking:
    """An AsyncClient that can be used like a Client, so that one test serves both."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self._runner = asyncio.Runner()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)

        def call(*args: object, **kwargs: object) -> Any:
            found = method(*args, **kwargs)
            return self._runner.run(_all(found) if hasattr(found, "__aiter__") else found)

        return call

    def close(self) -> None:
        """Close the client and its loop."""
        self._runner.run(self._client.aclose())
        self._runner.close()


async def _all(items: AsyncIterator[object]) -> list[object]:
    return [item async for item in items]


Connect = Callable[..., Client]


@pytest.fixture(params=[Client, AsyncClient], ids=["sync", "async"])
def connect(request: pytest.FixtureRequest, server: ScriptedServer) -> Iterator[Connect]:
    """Make a client of the scripted server; `retries` may differ from the quick ones."""
    with ExitStack() as open_clients:

        def make(retries: Retries = QUICK, url: str | None = None) -> Client:
            where = url or server.url
            args = (f"{where}/v1", f"{where}/oauth2/token", "client-1", "s:cret/1")
            made = request.param(*args, retries=retries)
            client = made if request.param is Client else Blocking(made)
            open_clients.callback(client.close)
            return cast("Client", client)

        yield make


@pytest.fixture
def client(connect: Connect) -> Client:
    """A client with quick retries."""
    return connect()
