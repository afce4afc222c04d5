"""The three roles of the embedded database, and the database itself."""

from typing import Final

import psycopg
from psycopg import sql

SUPERUSER: Final = "postgres"  # backups and maintenance
OWNER: Final = "fulfillment_owner"  # owns the database, runs the migrations
APPLICATION: Final = "fulfillment"  # the API and the worker: owns nothing, bypasses nothing
ROLES: Final = (SUPERUSER, OWNER, APPLICATION)
DATABASE: Final = "fulfillment"

_ATTRIBUTES: Final = "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS"
_LIMITS: Final = (
    ("statement_timeout", "30s"),
    ("lock_timeout", "10s"),
    ("idle_in_transaction_session_timeout", "60s"),
)


def ensure(superuser_dsn: str) -> None:
    """Create what is missing and set again what may have been changed; a kill in between does no harm."""
    with psycopg.connect(superuser_dsn, autocommit=True, connect_timeout=10) as connection:
        existing = {name for (name,) in connection.execute("SELECT rolname FROM pg_roles").fetchall()}
        for role in (OWNER, APPLICATION):
            verb = sql.SQL("ALTER ROLE" if role in existing else "CREATE ROLE")
            connection.execute(sql.SQL("{} {} {}").format(verb, sql.Identifier(role), sql.SQL(_ATTRIBUTES)))
        for name, value in _LIMITS:
            connection.execute(
                sql.SQL("ALTER ROLE {} SET {} = {}").format(sql.Identifier(APPLICATION), sql.Identifier(name), value)
            )
        if not _has_database(connection):
            connection.execute(
                sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(DATABASE), sql.Identifier(OWNER))
            )
        connection.execute(
            sql.SQL("REVOKE ALL ON DATABASE {0} FROM PUBLIC; GRANT CONNECT, TEMPORARY ON DATABASE {0} TO {1}").format(
                sql.Identifier(DATABASE), sql.Identifier(APPLICATION)
            )
        )


def _has_database(connection: psycopg.Connection) -> bool:
    found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone()
    return found is not None
