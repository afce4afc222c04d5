"""The tests' own pooler takes away what a transaction pooler takes away."""

from contextlib import ExitStack

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from fulfillment.infra.postgres import EmbeddedPostgres
from tests import pooled


def test_more_clients_than_connections(postgres: EmbeddedPostgres, dsns: tuple[str, str]) -> None:
    """Five clients at once are the sessions of two, and what one of them sets another finds."""
    name = conninfo_to_dict(dsns[0])["dbname"]
    with ExitStack() as stack:
        try:
            through = stack.enter_context(pooled.pooler(postgres))
        except pooled.PoolerMissing as reason:
            pytest.skip(str(reason))
        clients = [
            stack.enter_context(psycopg.connect(through, dbname=name, autocommit=True, prepare_threshold=None))
            for _ in range(5)
        ]
        sessions = {client.execute("SELECT pg_backend_pid()").fetchone() for client in clients}
        for client in clients:
            client.execute("SET fulfillment.left_behind = 'by one'")
        found = {client.execute("SHOW fulfillment.left_behind").fetchone() for client in clients}

    assert len(sessions) <= 2
    assert found == {("by one",)}


def test_the_suite_passes_it_where_that_is_asked_for(postgres: EmbeddedPostgres, dsns: tuple[str, str]) -> None:
    """With TESTS_POOLED=1 the application's address is another than the database's; the owner's never is."""
    direct = [conninfo_to_dict(dsn)["host"] for dsn in (postgres.app_dsn, postgres.owner_dsn)]
    given = [conninfo_to_dict(dsn)["host"] for dsn in dsns]

    assert (given[0] != direct[0], given[1] != direct[1]) == (pooled.ASKED, False)
