"""fulfillment backup and restore: the whole database in one file, and back."""

import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from fulfillment.cli.options import DatabaseUrl, DataDir

if TYPE_CHECKING:
    from fulfillment.infra.backup import Progress

BackupFile = Annotated[Path, Parameter(help="The file.")]
_MEGABYTE = 1024 * 1024


def backup(file: BackupFile, *, data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Write the whole database to FILE while everything goes on running. FILE must not exist."""
    from fulfillment.infra import backup as backups
    from fulfillment.infra import settings as settings_module

    settings = settings_module.load(data_dir=data_dir, database_url=database_url)
    with _database(data_dir, database_url, restoring=False) as dsn, _shown("Backing up") as progress:
        made = backups.backup(dsn, file, progress)
    print(f"{file}: {made.tables} tables, {made.size / _MEGABYTE:.1f} MB. It holds personal data.")
    secrets = settings.data_dir / "secrets.json"
    if secrets.exists():
        print(f"Keep {secrets} as well, in another place: without its keys nobody can sign in to what is restored.")


def restore(file: BackupFile, *, data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Fill an empty database from FILE, all of it or nothing. The server must not be running."""
    from fulfillment.infra import backup as backups

    with _database(data_dir, database_url, restoring=True) as dsn, _shown("Restoring") as progress:
        found = backups.restore(dsn, file, progress)
    print(f"Restored {found.tables} tables. Put the secrets back, too; then start the server.")


@contextmanager
def _database(data_dir: Path | None, database_url: str | None, *, restoring: bool) -> Generator[str]:
    """Give the address of the role that sees everything."""
    from fulfillment.infra import settings as settings_module
    from fulfillment.infra.embedded.roles import SUPERUSER
    from fulfillment.infra.postgres import EmbeddedPostgres, using

    settings = settings_module.load(data_dir=data_dir, database_url=database_url)
    given = settings.migration_database_url or settings.database_url
    if given is not None:
        yield given.get_secret_value()
        return
    if not restoring:
        with using(settings.data_dir, bin_dir=settings.postgres_bin, echo=_say) as server:
            yield server.dsn(SUPERUSER)
        return
    server = EmbeddedPostgres(settings.data_dir, bin_dir=settings.postgres_bin, echo=_say)
    server.start()
    try:
        yield server.dsn(SUPERUSER)
    finally:
        server.stop(gently=True)


def _say(line: str) -> None:
    print(line, file=sys.stderr)


@contextmanager
def _shown(title: str) -> "Generator[Progress]":
    """Give what takes progress and shows it, on terminals only."""
    if not sys.stderr.isatty():
        yield lambda _table, _share: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn(title), BarColumn(), TextColumn("{task.fields[table]}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=1.0, table="")

        def show(table: str, share: float) -> None:
            bar.update(task, completed=share, table=table.removeprefix("public."))

        yield show
