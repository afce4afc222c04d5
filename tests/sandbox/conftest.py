"""A partner of the sandbox, and a client that speaks for it."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from typing import Any

import httpx2
import pytest

from fulfillment.infra.env import Env
from fulfillment.kernel.callers import Caller
from tests.conftest import client_of
from tests.world import World, a_customer, a_line, an_order


@dataclass(frozen=True, slots=True)
class Acme:
    """A partner of the sandbox with a product in stock."""

    api: httpx2.AsyncClient
    caller: Caller
    headers: dict[str, str]
    product: int
    world: World

    async def fresh(self) -> "Acme":
        """Return the same partner with a token of its present, which a clock may have moved."""
        return replace(self, headers=await self.world.headers(self.caller))

    async def call(self, method: str, path: str, body: Any = None, status: int = 200) -> Any:
        """Send a request and return the body of its answer, which has the status."""
        content = {"json": body} if body is not None else {}
        answer = await self.api.request(method, f"/v1{path}", headers=self.headers, **content)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    async def order(self, last_name: str = "Doe", **changes: Any) -> Any:
        """Create an order; *changes* are the customer's."""
        changes = {"sourceId": last_name, "lastName": last_name} | changes
        return await self.call("POST", "/orders", an_order(a_line(self.product), customer=a_customer(**changes)), 201)

    async def read(self, order: Any) -> Any:
        """Return the order as it is now."""
        return await self.call("GET", f"/orders/{order['id']}")

    async def clock(self, at: str | None, **more: Any) -> Any:
        """Set the clock."""
        return await self.call("POST", "/sandbox/clock", {"frozenAt": at, **more})

    async def advance(self, to: str) -> Any:
        """Move the clock."""
        return await self.call("POST", "/sandbox/clock/advance", {"to": to})

    async def events(self, order: Any | None = None) -> list[Any]:
        """Return the feed, oldest first."""
        query = f"?limit=100&orderId={order['id']}" if order else "?limit=100"
        return (await self.call("GET", f"/events{query}"))["events"]


@pytest.fixture
async def acme(env: Env, world: World) -> AsyncGenerator[Acme]:
    """A new partner with plenty of one product."""
    caller = await world.partner()
    async with client_of(env) as api:
        yield Acme(api, caller, await world.headers(caller), await world.product(available=1_000_000), world)
