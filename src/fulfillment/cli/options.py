"""What the commands share: which database, how to print."""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, TypeVar

from cyclopts import Parameter

from fulfillment.infra import settings as settings_module
from fulfillment.infra.env import Env

T = TypeVar("T")

DataDir = Annotated[Path | None, Parameter(help="Folder of the embedded database (default ./var).")]
DatabaseUrl = Annotated[str | None, Parameter(help="PostgreSQL to use instead of the embedded one.")]
AsJson = Annotated[bool, Parameter(name="--json", negative="", help="Print JSON for programs.")]


def run(work: Callable[[Env], Awaitable[T]], data_dir: Path | None, database_url: str | None) -> T:
    """Run *work* over the database: given by URL, running in the data dir, or started there for the moment."""

    async def whole() -> T:
        async with opened(data_dir, database_url) as env:
            return await work(env)

    return asyncio.run(whole())


@asynccontextmanager
async def opened(data_dir: Path | None, database_url: str | None) -> AsyncGenerator[Env]:
    """Give an Env over the database of the options."""
    from pydantic import SecretStr

    from fulfillment.infra import clock
    from fulfillment.infra.composing import make_env
    from fulfillment.infra.postgres import EmbeddedPostgres

    settings = settings_module.load(data_dir=data_dir, database_url=database_url)
    started: EmbeddedPostgres | None = None
    if settings.database_url is None:
        server = EmbeddedPostgres(settings.data_dir, bin_dir=settings.postgres_bin, echo=lambda _: None)
        if not server.ready():
            server.start()
            started = server
        settings = settings.model_copy(update={"database_url": SecretStr(server.app_dsn)})
    env = make_env(settings)
    try:
        async with clock.kept(env):
            yield env
    finally:
        await env.db.close()
        if started is not None:
            started.stop()


def print_json(value: object) -> None:
    """Print *value* as JSON."""
    print(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table for people."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column)
    for row in rows:
        table.add_row(*("" if cell is None else str(cell) for cell in row))
    Console().print(table)


def print_fields(fields: Mapping[str, Any]) -> None:
    """Print names and values, one pair a line."""
    width = max(map(len, fields), default=0)
    for name, value in fields.items():
        print(f"{name:<{width}}  {value}")
