"""The composition root of the API: builds the Env, mounts the rooms, serves."""

import argparse
import asyncio
import contextlib
import os
import resource
import socket
import sys
import threading
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from functools import cache, cached_property
from typing import Any, Final

import uvicorn
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute

from fulfillment.catalog import routes as catalog_routes
from fulfillment.contract import document
from fulfillment.infra import clock, logs, requestlog, telemetry
from fulfillment.infra import settings as settings_module
from fulfillment.infra.composing import make_env
from fulfillment.infra.db import ALL_TENANTS
from fulfillment.infra.env import Env
from fulfillment.infra.exposing import exposing
from fulfillment.infra.logs import AccessLog
from fulfillment.infra.metrics import Metrics, metrics_of
from fulfillment.infra.protocol import GuardedProtocol, sweep
from fulfillment.infra.settings import Settings
from fulfillment.infra.shares import Shares
from fulfillment.infra.web import Front, HotRoute, StrictRoute, framework_error
from fulfillment.inventory.offers import NEIGHBOURS
from fulfillment.kernel.errors import FulfillmentError
from fulfillment.oauth import routes as oauth_routes
from fulfillment.orders import bulk_routes, preview_routes
from fulfillment.orders import routes as order_routes
from fulfillment.orders.measuring import measure_intake
from fulfillment.partners import request_log
from fulfillment.partners import routes as partner_routes
from fulfillment.protocols import routes as protocol_routes
from fulfillment.sandbox import routes as sandbox_routes
from fulfillment.shipping import routes as shipping_routes
from fulfillment.site import routes as site_routes
from fulfillment.warehouse.routes import every as warehouse_routes
from fulfillment.webhooks import routes as webhook_routes
from fulfillment.webhooks import service as webhooks
from fulfillment.worker.measuring import questions

HOT: tuple[HotRoute, ...] = (
    *oauth_routes.HOT,
    *order_routes.HOT,
    *protocol_routes.HOT,
    *catalog_routes.hot(NEIGHBOURS),
)
_READY_SECONDS = 2.0
_GRACEFUL_SECONDS = 12
_ACCEPTED_AT_ONCE = 4
_GIVE_WAY_SECONDS = 0.003  # for each connection more than another process has
_LONGEST_WAY_SECONDS = 0.02
_NEWCOMER_SECONDS = 0.1  # between two looks at connections without a request, when stopping
_NEWCOMER_LOOKS = 10
_BARE: Final[dict[str, Any]] = {"openapi_url": None, "docs_url": None, "redoc_url": None, "redirect_slashes": False}


def create_app(env: Env, *, access_log: AccessLog | None = None) -> Front:
    """Return the whole API over *env*."""
    sandbox = env.settings.sandbox
    webhooks.join_partners(env)
    inner = FastAPI(routes=[*_routes(sandbox)], **_BARE)
    for kind in (FulfillmentError, HTTPException, RequestValidationError, Exception):
        inner.add_exception_handler(kind, framework_error)  # pyright: ignore[reportArgumentType]
    served = _Served(env, inner)
    inner.router.routes.extend(site_routes.routes(served, env.settings.base_url, sandbox=sandbox))
    front = Front(
        inner,
        env,
        HOT,
        served.methods,
        access_log=access_log or AccessLog(None),
        metrics=metrics_of(env),
        observe=requestlog.observer_of(env),
    )
    inner.state.env = env
    inner.state.front = front
    inner.state.document = front.document = served
    return front


@cache
def _routes(sandbox: bool) -> Sequence[BaseRoute]:
    """Return the routes of all operations; they know nothing of an Env, and to make them takes a tenth of a second."""
    made = FastAPI(**_BARE)
    made.router.route_class = StrictRoute
    made.include_router(_service_router())
    for router in _routers(sandbox):
        made.include_router(router)
    return made.routes


def _routers(sandbox: bool) -> Sequence[APIRouter]:
    v1 = APIRouter(prefix="/v1")
    for router in (partner_routes.router, shipping_routes.router, webhook_routes.events, webhook_routes.deliveries):
        v1.include_router(router)
    for router in (preview_routes.router, bulk_routes.router, request_log.router):
        v1.include_router(router)
    for router in warehouse_routes.ROUTERS:
        v1.include_router(router)
    if sandbox:
        v1.include_router(sandbox_routes.router)
    return (oauth_routes.router, v1)


class _Served(Mapping[str, Any]):
    """The served document, built when it is first looked at: that takes a quarter of a second, and a start none."""

    def __init__(self, env: Env, inner: FastAPI) -> None:
        self._env, self._inner = env, inner
        self._building = threading.Lock()  # the site's pages are made in threads
        self.written: dict[str, bytes] = {}  # in both forms: writing it takes a second of CPU, so once

    def methods(self, path: str) -> Sequence[str]:
        """Return the methods that *path* answers; none when nothing is there."""
        return self._methods_of(path)

    def build(self) -> dict[str, Any]:
        """Return the document."""
        with self._building:
            return self._built

    @cached_property
    def _built(self) -> dict[str, Any]:
        return _served_document(self._env, self._inner)

    @cached_property
    def _methods_of(self) -> Callable[[str], Sequence[str]]:
        return document.methods_of(self.build())

    def __getitem__(self, name: str) -> Any:
        return self.build()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.build())

    def __len__(self) -> int:
        return len(self.build())


def _served_document(env: Env, inner: FastAPI) -> dict[str, Any]:
    from fastapi.openapi.utils import get_openapi

    generated = get_openapi(title="", version="", routes=inner.routes)
    return document.build(env.settings.base_url, generated, sandbox=env.settings.sandbox)


def _service_router() -> APIRouter:
    router = APIRouter(tags=["Service"], route_class=StrictRoute)

    async def document_as(request: Request, kind: str, write: Callable[[dict[str, Any]], bytes]) -> Response:
        served: _Served = request.app.state.document
        if kind not in served.written:
            served.written[kind] = await asyncio.to_thread(write, dict(served))
        return Response(served.written[kind], media_type=f"application/{kind}")

    @router.get("/livez", operation_id="live", openapi_extra={"security": []})
    async def live() -> Response:
        """Say that the process runs."""
        return _plain(200, "ok")

    not_ready: dict[int | str, dict[str, Any]] = {
        503: {"description": "Not now", "content": {"application/json": {"schema": {}}}}
    }

    @router.get("/readyz", operation_id="ready", responses=not_ready, openapi_extra={"security": []})
    async def ready(request: Request) -> Response:
        """Say whether requests can be served: the database answers and is migrated, and we are not stopping."""
        if request.app.state.front.draining:
            return _plain(503, "stopping")
        return _plain(200, "ready") if await _database_answers(request.app.state.env) else _plain(503, "no database")

    @router.get("/openapi.json", operation_id="getOpenApiJson", openapi_extra={"security": []})
    async def openapi_json(request: Request) -> Response:
        """Return the API's OpenAPI document as JSON."""
        return await document_as(request, "json", document.as_json)

    @router.get("/openapi.yaml", operation_id="getOpenApiYaml", response_class=_Yaml, openapi_extra={"security": []})
    async def openapi_yaml(request: Request) -> Response:
        """Return the API's OpenAPI document as YAML."""
        return await document_as(request, "yaml", document.as_yaml)

    return router


class _Yaml(Response):
    media_type = "application/yaml"


def _plain(status: int, text: str) -> Response:
    headers = {"cache-control": "no-store"} | ({"retry-after": "1"} if status == 503 else {})
    return Response(f'{{"status":"{text}"}}', status, headers, media_type="application/json")


async def _database_answers(env: Env) -> bool:
    try:
        async with asyncio.timeout(_READY_SECONDS), env.db.reading(ALL_TENANTS) as tx:
            await tx.all("SELECT version FROM cache_versions LIMIT 1")
    except Exception:  # whatever it is, requests can't be served now
        return False
    return True


class _Server(uvicorn.Server):
    """A server that says when it begins to stop."""

    def __init__(self, config: uvicorn.Config, front: Front, ready: Callable[[], None], shares: Shares) -> None:
        super().__init__(config)
        self._shares = shares
        self._front = front
        self._tell_ready = ready
        self._connecting: set[asyncio.Task[None]] = set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then say so.

        The listening socket is shared with the other processes. The event loop would take every waiting connection as
        soon as it wakes, so that of two processes one can get them all: here each takes a few at a time, and lets
        another go first that has fewer (docs/decisions/0018).
        """
        await super().startup([])
        for listener in sockets or ():
            listener.setblocking(False)
            asyncio.get_running_loop().add_reader(listener, self._accept, listener)
        self._sweeping = asyncio.create_task(sweep(self.server_state.connections))
        self._tell_ready()

    def _accept(self, listener: socket.socket) -> None:
        least, own = self._shares.least(), self._tell_share()
        if least is None:
            self._take(listener, _ACCEPTED_AT_ONCE)
        elif own <= least:
            self._take(listener, max(1, min(_ACCEPTED_AT_ONCE, own // _ACCEPTED_AT_ONCE)))
        else:
            loop = asyncio.get_running_loop()
            loop.remove_reader(listener)
            loop.call_later(min(_GIVE_WAY_SECONDS * (own - least), _LONGEST_WAY_SECONDS), self._go_on, listener)

    def _go_on(self, listener: socket.socket) -> None:
        if not self._front.draining:
            self._take(listener, _ACCEPTED_AT_ONCE)  # what nobody took by now: who has fewer may be busy
            asyncio.get_running_loop().add_reader(listener, self._accept, listener)

    def _take(self, listener: socket.socket, most: int) -> None:
        # A few at a time: under load a turn of the loop is long, and one a turn let new connections wait for seconds.
        for _ in range(most):
            try:
                connection, _ = listener.accept()
            except OSError:  # another process was faster, the client has gone, or no descriptor is left
                break
            task = asyncio.get_running_loop().create_task(self._connect(connection))
            self._connecting.add(task)
            task.add_done_callback(self._connecting.discard)
        self._tell_share()

    def _tell_share(self) -> int:
        count = len(self._connecting) + len(self.server_state.connections)
        self._shares.tell(count)
        return count

    async def _connect(self, connection: socket.socket) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(self._protocol, connection)
        except OSError:
            connection.close()

    def _protocol(self) -> asyncio.Protocol:
        made = GuardedProtocol(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)
        made.on_lost = self._tell_share
        return made

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop taking work, finish what is under way."""
        self._front.draining = True
        for listener in sockets or ():
            asyncio.get_running_loop().remove_reader(listener)
        self._shares.leave()
        await self._serve_newcomers()
        await super().shutdown(sockets)
        self._sweeping.cancel()
        # uvicorn would raise the signal again and so end the process before what we still have to write is written.
        self._captured_signals.clear()

    async def _serve_newcomers(self) -> None:
        """Wait for the requests of connections that were taken a moment ago: they are about to come."""
        for _ in range(_NEWCOMER_LOOKS):
            await asyncio.sleep(_NEWCOMER_SECONDS)
            if not self._connecting and all(self._has_asked(one) for one in self.server_state.connections):
                return

    @staticmethod
    def _has_asked(connection: object) -> bool:
        return not isinstance(connection, GuardedProtocol) or connection.cycle is not None

    def measure(self, metrics: Metrics) -> None:
        """Show what is under way."""
        metrics.gauge("fulfillment_connections", len(self.server_state.connections))
        metrics.gauge("fulfillment_http_in_flight", self._front.in_flight)


@contextlib.asynccontextmanager
async def running(env: Env) -> AsyncGenerator[None]:
    """Keep an Env's caches watched while the block runs."""
    watching = asyncio.create_task(env.caches.watch())
    try:
        yield
    finally:
        watching.cancel()
        await requestlog.log_of(env).flush()
        await env.db.close()


def make_server(
    env: Env, front: Front, ready: Callable[[], None] = lambda: None, shares: int | None = None
) -> uvicorn.Server:
    """Return the HTTP server of *front* under the settings; *ready* is called once it serves.

    Args:
        shares: A descriptor of `infra.shares`, where other processes take connections of the same socket.
    """
    settings = env.settings
    measure_intake(env)
    GuardedProtocol.max_connections = settings.max_connections
    config = uvicorn.Config(
        telemetry.traced(front),
        loop="uvloop",
        http=GuardedProtocol,
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        backlog=2048,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=_GRACEFUL_SECONDS,
        # Who asks is the connection's other end, unless the operator says which proxies to believe.
        proxy_headers=settings.forwarded_allow_ips is not None,
        forwarded_allow_ips=settings.forwarded_allow_ips or "",
    )
    server = _Server(config, front, ready, Shares(shares))
    metrics_of(env).sources.append(server.measure)
    return server


async def _serve(settings: Settings, listener: socket.socket, ready: Callable[[], None], shares: int | None) -> None:
    env = make_env(settings)
    access_log = AccessLog(sys.stderr, text=settings.log_format == "text")
    front = create_app(env, access_log=access_log)

    def serving() -> None:
        ready()
        # In a thread, before the first unknown path or reader of the document would have to wait for it.
        asyncio.get_running_loop().run_in_executor(None, dict, front.document)

    server = make_server(env, front, serving, shares)
    async with running(env), clock.kept(env), exposing(env, questions(env)):
        await server.serve([listener])
    access_log.flush()


def _allow_many_files() -> None:
    # The usual soft limit of 1024 is less than the connections we bear; the hard limit is the operator's word.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def main() -> int:
    """Serve the API on an inherited socket (--fd) or on the settings' address."""
    import uvloop

    parser = argparse.ArgumentParser(prog="fulfillment api")
    parser.add_argument("--fd", type=int, help="a listening socket")
    parser.add_argument("--shares-fd", type=int, help="rows that the processes of the socket share")
    parser.add_argument("--ready-fd", type=int, help="where to write a line once serving")
    arguments = parser.parse_args()
    settings = settings_module.load()
    logs.configure(settings.log_level, settings.log_format)
    telemetry.configure("fulfillment-api")
    _allow_many_files()
    if arguments.fd is not None:
        listener = socket.socket(fileno=arguments.fd)
    else:
        listener = socket.create_server((settings.host, settings.port), backlog=2048)

    def ready() -> None:
        if arguments.ready_fd is not None:
            os.write(arguments.ready_fd, b"ready\n")
            os.close(arguments.ready_fd)

    uvloop.run(_serve(settings, listener, ready, arguments.shares_fd))
    return 0


if __name__ == "__main__":
    sys.exit(main())
