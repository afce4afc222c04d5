"""The two rooms oauth and partners behind the real front, without the rest of the system."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import httpx2
from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from fulfillment.infra.env import Env
from fulfillment.infra.logs import AccessLog
from fulfillment.infra.metrics import Metrics
from fulfillment.infra.web import Answer, Call, Front, HotRoute, StrictRoute, framework_error
from fulfillment.kernel.errors import FulfillmentError
from fulfillment.oauth import routes as oauth_routes
from fulfillment.oauth.http import CallerDep, OperatorDep, operator_caller, partner_caller
from fulfillment.partners import routes as partner_routes


def front_of(env: Env) -> Front:
    """Return the application, with two operations for operators and a hot one for partners added."""
    inner = FastAPI(openapi_url=None)
    v1 = APIRouter(prefix="/v1")
    v1.include_router(partner_routes.router)
    v1.include_router(_probes())
    inner.include_router(v1)
    inner.include_router(oauth_routes.router)
    for kind in (FulfillmentError, HTTPException, RequestValidationError):
        inner.add_exception_handler(kind, framework_error)  # pyright: ignore[reportArgumentType]
    hot = (*oauth_routes.HOT, HotRoute("GET", "/v1/hot", _hot), HotRoute("GET", "/v1/hot-operator", _hot_operator))
    front = Front(inner, env, hot, _allowed, access_log=AccessLog(None), metrics=Metrics())
    inner.state.env = env
    inner.state.front = front
    return front


@asynccontextmanager
async def client_of(env: Env) -> AsyncGenerator[httpx2.AsyncClient]:
    """Give a client of the application over *env*."""
    transport = httpx2.ASGITransport(app=front_of(env), client=("192.0.2.7", 4711))
    async with httpx2.AsyncClient(transport=transport, base_url="http://fulfillment.test") as client:
        yield client


def _allowed(path: str) -> Sequence[str]:
    return ("POST",) if path == "/oauth2/token" else ()


def _probes() -> APIRouter:
    router = APIRouter(route_class=StrictRoute)

    @router.get("/whoami")
    async def whoami(caller: CallerDep) -> dict[str, str]:
        return {"client": caller.client_id, "partner": caller.partner_id}

    @router.get("/operators-only")
    async def operators_only(caller: OperatorDep) -> dict[str, str]:
        return {"client": caller.client_id}

    return router


async def _hot(call: Call) -> Answer:
    return Answer(200, (await partner_caller(call)).client_id.encode())


async def _hot_operator(call: Call) -> Answer:
    return Answer(200, (await operator_caller(call)).client_id.encode())
