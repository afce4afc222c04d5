"""A PostgreSQL that somebody else runs, with the face of the embedded one."""

from collections.abc import Callable
from typing import Final

import psycopg
from psycopg.conninfo import conninfo_to_dict

from fulfillment.infra.embedded.errors import PostgresFailed

_LEAST: Final = 15


class ExternalPostgres:
    """The database at a URL.

    Args:
        app_dsn: Address for the API and the worker.
        owner_dsn: Address for the migrations.
    """

    def __init__(self, app_dsn: str, owner_dsn: str) -> None:
        self.app_dsn = app_dsn
        self.owner_dsn = owner_dsn

    @property
    def exists(self) -> bool:
        """True: it was there before us."""
        return True

    def acquire(self) -> None:
        """Do nothing: several servers may share it."""

    def start(self, wait_seconds: float | None = None) -> bool:
        """Return whether it can be used now.

        Raises:
            PostgresFailed: It is too old.
        """
        return self.ready()

    def ready(self) -> bool:
        """Return whether it can be used now.

        Raises:
            PostgresFailed: It is too old.
        """
        try:
            with psycopg.connect(self.owner_dsn, connect_timeout=3) as connection:
                version = connection.info.server_version
            psycopg.connect(self.app_dsn, connect_timeout=3).close()
        except psycopg.OperationalError:
            return False
        if version < _LEAST * 10_000:
            raise PostgresFailed(
                f"The database is PostgreSQL {version // 10_000}: PostgreSQL {_LEAST} or newer is needed."
            )
        return True

    def check_and_restart(self) -> bool:
        """Return False: its life is not ours."""
        return False

    def stop(self, *, gently: bool = False, hurry: Callable[[], bool] = lambda: False) -> None:
        """Do nothing: its life is not ours."""

    def describe(self) -> str:
        """Return one line that says what the database is and where, without secrets."""
        found = conninfo_to_dict(self.app_dsn)
        place = found.get("host") or "the usual socket"
        return f"Database: PostgreSQL at {place}, {found.get('dbname') or 'the default database'}"
