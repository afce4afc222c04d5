"""Whom the running processes are to the database: the application's role, and nobody else."""

from collections import Counter

import httpx2
import psycopg
import pytest

from fulfillment.infra.postgres import EmbeddedPostgres
from tests.serving import ServerProcess
from tests.world import a_line, an_order

EPA = 77123129891


def sessions(server: ServerProcess) -> Counter[str]:
    """Return the sessions of clients by role, as the superuser sees them."""
    with psycopg.connect(EmbeddedPostgres(server.folder).superuser_dsn) as conn:
        rows = conn.execute(
            "SELECT usename FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        ).fetchall()
    return Counter(name for (name,) in rows)


def test_every_session_is_the_applications(server: ServerProcess) -> None:
    """While a server serves, its processes are connected as the role that owns nothing, and as no other."""
    with server.client() as client:
        answers: list[httpx2.Response] = [
            client.post("/v1/orders", json=an_order(a_line(EPA))),
            client.get("/v1/orders"),
            client.get("/v1/products?search=fish"),
            client.get("/v1/partners/settings"),
        ]
        found = sessions(server)

    assert [answer.status_code for answer in answers] == [201, 200, 200, 200]
    assert set(found) == {"fulfillment"}
    assert found["fulfillment"] >= 2


def test_the_application_can_not_become_another(server: ServerProcess) -> None:
    """A session of the application's role can take no other role, make none, read no file and run no program."""
    for statement in (
        "SET ROLE fulfillment_owner",
        "SET SESSION AUTHORIZATION postgres",
        "CREATE ROLE intruder",
        "ALTER ROLE fulfillment BYPASSRLS",
        "ALTER TABLE orders NO FORCE ROW LEVEL SECURITY",
        "DROP POLICY tenant ON orders",
        "CREATE TABLE public.own (id int)",
        "CREATE FUNCTION public.own() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "COPY orders TO PROGRAM 'cat'",
        "SELECT pg_read_file('/etc/hostname')",
        "SELECT * FROM pg_authid",
    ):
        with (
            psycopg.connect(EmbeddedPostgres(server.folder).app_dsn) as conn,
            pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.InvalidParameterValue)),
        ):
            conn.execute(statement.encode())
