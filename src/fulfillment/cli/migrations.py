"""fulfillment migrate: the schema."""

from cyclopts import App

from fulfillment.cli.options import DatabaseUrl, DataDir

app = App(name="migrate", help="The schema: up, status.")


def _owner(data_dir: DataDir, database_url: DatabaseUrl) -> tuple[str, object]:
    from fulfillment.infra import settings as settings_module
    from fulfillment.infra.postgres import EmbeddedPostgres

    settings = settings_module.load(data_dir=data_dir, database_url=database_url)
    given = settings.migration_database_url or settings.database_url
    if given is not None:
        return given.get_secret_value(), None
    server = EmbeddedPostgres(settings.data_dir, bin_dir=settings.postgres_bin, echo=lambda _: None)
    if server.ready():
        return server.owner_dsn, None
    server.start()
    return server.owner_dsn, server


@app.command
def up(*, data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Apply every migration that is missing."""
    from fulfillment.infra import migrate
    from fulfillment.infra.postgres import EmbeddedPostgres

    dsn, started = _owner(data_dir, database_url)
    try:
        applied = migrate.up(dsn)
    finally:
        if isinstance(started, EmbeddedPostgres):
            started.stop()
    print(f"{len(applied)} applied: {', '.join(applied)}" if applied else "Nothing to do.")


@app.command
def status(*, data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Show which migrations are applied."""
    from fulfillment.cli.options import print_table
    from fulfillment.infra import migrate
    from fulfillment.infra.postgres import EmbeddedPostgres

    dsn, started = _owner(data_dir, database_url)
    try:
        rows = migrate.status(dsn)
    finally:
        if isinstance(started, EmbeddedPostgres):
            started.stop()
    print_table("Migrations", ("version", "applied"), [(version, "yes" if done else "no") for version, done in rows])
