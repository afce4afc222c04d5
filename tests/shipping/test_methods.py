"""The ways of shipping: what is in the table is what partners see, at once."""

from decimal import Decimal

import httpx2
import pytest
from fastapi import FastAPI

from fulfillment.infra.db import ALL_TENANTS
from fulfillment.infra.env import Env
from fulfillment.infra.logs import AccessLog
from fulfillment.infra.metrics import Metrics
from fulfillment.infra.web import Front, framework_error
from fulfillment.kernel.errors import FulfillmentError
from fulfillment.shipping import routes, service
from fulfillment.shipping.domain import Method
from tests.world import World

pytestmark = pytest.mark.anyio


async def test_methods_in_their_order(env: Env) -> None:
    """The three methods come cheapest first, with their prices."""
    methods = (await service.get_methods(env)).value

    assert list(methods.values()) == [
        Method("STANDARD", "5-8 business days", Decimal("5.99")),
        Method("EXPRESS", "2-3 business days", Decimal("14.99")),
        Method("OVERNIGHT", "1 business day", Decimal("29.99")),
    ]


async def test_list_shipping_methods(env: Env, world: World) -> None:
    """The answer is a bare array of the contract's methods; a changed price shows when memory is dropped."""
    inner = FastAPI()
    inner.include_router(routes.router, prefix="/v1")
    inner.add_exception_handler(FulfillmentError, framework_error)
    inner.state.env = env
    front = Front(inner, env, (), lambda _: (), access_log=AccessLog(None), metrics=Metrics())
    headers = await world.headers(await world.partner())
    transport = httpx2.ASGITransport(app=front)
    async with httpx2.AsyncClient(transport=transport, base_url="http://fulfillment.test", headers=headers) as api:
        before = await api.get("/v1/shipping-methods")
        async with env.db.transaction(ALL_TENANTS) as tx:
            await tx.execute("UPDATE shipping_methods SET price = 6.5 WHERE name = 'STANDARD'")
        env.caches.drop("shipping")
        after = await api.get("/v1/shipping-methods")
        stranger = await api.get("/v1/shipping-methods", headers={"Authorization": ""})

    assert before.json() == [
        {"name": "STANDARD", "description": "5-8 business days", "price": "5.99"},
        {"name": "EXPRESS", "description": "2-3 business days", "price": "14.99"},
        {"name": "OVERNIGHT", "description": "1 business day", "price": "29.99"},
    ]
    assert after.json()[0]["price"] == "6.50"
    assert stranger.status_code == 401
