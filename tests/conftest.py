"""What every test may use: a migrated PostgreSQL, an Env, a clock. The seams are three: database, time, receiver."""

import os
import shutil
import tempfile
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import psycopg
import pytest
from fastapi import FastAPI
from psycopg import sql

from fulfillment import app
from fulfillment.app import create_app
from fulfillment.infra import migrate
from fulfillment.infra.caches import Caches
from fulfillment.infra.db import Database
from fulfillment.infra.env import Env
from fulfillment.infra.postgres import EmbeddedPostgres
from fulfillment.infra.secrets import load_or_create
from fulfillment.infra.settings import Settings
from tests import pooled
from tests.serving import ServerProcess, serving
from tests.world import World

if pooled.ASKED:
    pooled.without_prepared_statements()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out, behind a pooler, what looks at the connection itself."""
    if pooled.ASKED:
        for item in items:
            for beginning, reason in pooled.UNPOOLED.items():
                if item.nodeid.startswith(beginning):
                    item.add_marker(pytest.mark.skip(reason=f"{pooled.REASON}{reason}"))


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, bool]]:
    """Run asynchronous tests on asyncio with uvloop, as production does."""
    return ("asyncio", {"use_uvloop": True})


@pytest.fixture(scope="session")
def postgres() -> Generator[EmbeddedPostgres]:
    """One PostgreSQL for the whole run, with a migrated template."""
    folder = Path(tempfile.mkdtemp(prefix="jf-"))
    folder.chmod(0o711)  # the user that PostgreSQL runs as when we are root must get through
    server = EmbeddedPostgres(folder, echo=lambda _: None)
    server.start(60)
    try:
        migrate.up(server.owner_dsn)
        yield server
    finally:
        server.erase()
        shutil.rmtree(folder, ignore_errors=True)


class Databases:
    """Makes fresh databases from the migrated one."""

    def __init__(self, server: EmbeddedPostgres, app_dsn: str) -> None:
        self._server = server
        self._app_dsn = app_dsn
        self._made = 0

    def create(self) -> tuple[str, str]:
        """Return the application's and the owner's address of a new, migrated, empty database."""
        self._made += 1
        name = f"test_{os.getpid()}_{self._made}"
        with psycopg.connect(self._server.superuser_dsn, autocommit=True) as conn:
            conn.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE fulfillment OWNER fulfillment_owner STRATEGY file_copy").format(
                    sql.Identifier(name)
                )
            )
        return (
            psycopg.conninfo.make_conninfo(self._app_dsn, dbname=name),
            psycopg.conninfo.make_conninfo(self._server.owner_dsn, dbname=name),
        )


@pytest.fixture(scope="session")
def databases(postgres: EmbeddedPostgres) -> Generator[Databases]:
    """Make databases."""
    with pooled.application_dsn(postgres) as app_dsn:
        yield Databases(postgres, app_dsn)


@pytest.fixture(scope="module")
def dsns(databases: Databases) -> tuple[str, str]:
    """The application's and the owner's address of a database of this module's own."""
    return databases.create()


class Clock:
    """A time that moves when told."""

    def __init__(self, start: datetime) -> None:
        self.at = start

    def __call__(self) -> datetime:
        """Return the time."""
        return self.at

    def move(self, **delta: float) -> None:
        """Move on by a timedelta's arguments."""
        self.at += timedelta(**delta)


@pytest.fixture
def clock() -> Clock:
    """A clock that starts at the present and stands."""
    return Clock(datetime.now(UTC).replace(microsecond=0))


@pytest.fixture(scope="session")
def defaults() -> Settings:
    """The sandbox's defaults; to read a hundred settings takes longer than most tests."""
    return Settings(log_format="text")


@pytest.fixture
def settings(defaults: Settings, tmp_path: Path) -> Settings:
    """The sandbox's defaults, with a folder of the test's own."""
    return defaults.model_copy(update={"data_dir": tmp_path})


@pytest.fixture
async def env(dsns: tuple[str, str], settings: Settings, clock: Clock) -> AsyncGenerator[Env]:
    """An Env over the module's database; what tests commit stays, so they make their own partners and products."""
    db = Database(dsns[0], size=8)
    yield Env(settings, db, Caches(db), load_or_create(settings.data_dir / "secrets.json"), clock)
    await db.close()


@pytest.fixture
async def api(env: Env) -> AsyncGenerator[httpx2.AsyncClient]:
    """A client of the whole application over the test's Env."""
    async with client_of(env) as client:
        yield client


_build_document = app._served_document  # pyright: ignore[reportPrivateUsage]
_documents: dict[tuple[str, bool], dict[str, Any]] = {}


def _document_once(env: Env, inner: FastAPI) -> dict[str, Any]:
    """Build the served document once for each of its parameters: it is most of the work of making an application."""
    key = (env.settings.base_url, env.settings.sandbox)
    if key not in _documents:
        _documents[key] = _build_document(env, inner)
    return _documents[key]


app._served_document = _document_once  # pyright: ignore[reportPrivateUsage]


@asynccontextmanager
async def client_of(env: Env) -> AsyncGenerator[httpx2.AsyncClient]:
    """Give a client of the whole application over *env*."""
    transport = httpx2.ASGITransport(app=create_app(env), raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://fulfillment.test") as client:
        yield client


@pytest.fixture(scope="session")
def server() -> Generator[ServerProcess]:
    """A real server of two API processes, with demo data, for the whole run of a test process."""
    with serving("--no-worker", "--processes", "2") as process:
        yield process


@pytest.fixture
def world(env: Env) -> World:
    """Builders."""
    return World(env)
