"""The end of a soak: what clients were told and what arrived is put beside what is stored, in the database itself."""

import time
from collections import Counter
from pathlib import Path
from typing import Final, LiteralString

import psycopg

from tests.chaos.checker import BALANCE, Verdict
from tests.chaos.soaking.driver import ACKED, ARRIVED, CANCELLED
from tests.chaos.stage import Stage

_QUIET_SECONDS: Final = 60.0
_CHUNK: Final = 1 << 20
_FAULTS: Final = ("request.failed", "job.failed", "Traceback", "never retrieved", "ended with status", "PANIC")
_SERVED: Final = '"event":"request.served"'
_RECORDS: Final[dict[str, tuple[LiteralString, LiteralString]]] = {
    ACKED: (
        'CREATE TEMP TABLE acked (id text COLLATE "C", customer text, partner_id text COLLATE "C")',
        "COPY acked FROM STDIN",
    ),
    CANCELLED: ('CREATE TEMP TABLE cancelled (id text COLLATE "C")', "COPY cancelled FROM STDIN"),
    ARRIVED: ('CREATE TEMP TABLE arrived (order_id text COLLATE "C", sequence integer)', "COPY arrived FROM STDIN"),
}
_QUESTIONS: Final[dict[str, LiteralString]] = {
    "acknowledged orders that are not there": """
        SELECT count(*) FROM acked LEFT JOIN orders USING (id, partner_id)
         WHERE orders.customer_source_id IS DISTINCT FROM acked.customer""",
    "creates that made more than one order": """
        SELECT count(*) FROM (SELECT FROM orders GROUP BY customer_source_id HAVING count(*) > 1) AS twice""",
    "orders that nobody was told of": """
        SELECT count(*) FROM orders WHERE NOT EXISTS (SELECT FROM acked WHERE acked.id = orders.id)""",
    "cancelled orders that are not": """
        SELECT count(*) FROM cancelled LEFT JOIN orders USING (id) WHERE status IS DISTINCT FROM 'CANCELLED'""",
    "orders whose events did not all arrive": """
        SELECT count(*) FROM orders
          LEFT JOIN (SELECT order_id, count(DISTINCT sequence) AS count, max(sequence) AS last FROM arrived GROUP BY 1)
                    AS heard ON heard.order_id = orders.id
         WHERE (heard.count, heard.last) IS DISTINCT FROM (orders.sequence::bigint, orders.sequence)""",
    "deliveries that are not done": "SELECT count(*) FROM webhook_deliveries WHERE status <> 'DELIVERED'",
    "deadlocks": "SELECT coalesce(sum(deadlocks), 0)::bigint FROM pg_stat_database",
}


def verdicts(stage: Stage, records: Path) -> list[Verdict]:
    """Return what the records and the database say of each other, once no delivery is under way."""
    with psycopg.connect(stage.superuser_dsn, autocommit=True) as connection:
        _wait_until_quiet(connection)
        connection.execute("SET work_mem = '64MB'")
        for name, (table, copying) in _RECORDS.items():
            connection.execute(table)
            _copy(connection, copying, records / name)
        connection.execute("ANALYZE acked, cancelled, arrived")
        found = {what: _number(connection, question) for what, question in _QUESTIONS.items()}
        acked, arrived = (_number(connection, f"SELECT count(*) FROM {name}") for name in ("acked", "arrived"))
        again = arrived - _number(connection, "SELECT count(*) FROM (SELECT DISTINCT * FROM arrived) AS once")
        unbalanced = [f"lot {row[0]}: {row[1:]}" for row in connection.execute(BALANCE.encode())]
    wrong = [f"{count} {what}" for what, count in found.items() if count] + unbalanced
    checked = f"{acked:,} acknowledged, {arrived:,} arrivals, {again} of them again; stock balances"
    promise = "each acknowledged order once, each of its events delivered"
    return [Verdict("S-42 orders", promise, checked, wrong), _logs(stage)]


def _wait_until_quiet(connection: psycopg.Connection) -> None:
    until = time.monotonic() + _QUIET_SECONDS
    while time.monotonic() < until:
        if not _number(connection, "SELECT count(*) FROM webhook_deliveries WHERE status = 'PENDING'"):
            return
        time.sleep(0.2)


def _copy(connection: psycopg.Connection, statement: LiteralString, path: Path) -> None:
    with path.open("rb") as record, connection.cursor() as cursor, cursor.copy(statement) as copy:
        while chunk := record.read(_CHUNK):
            copy.write(chunk)


def _number(connection: psycopg.Connection, question: LiteralString) -> int:
    row = connection.execute(question).fetchone()
    assert row is not None
    return row[0]


def _logs(stage: Stage) -> Verdict:
    """Read the logs line by line: after hours they hold a line for each of millions of requests."""
    found: Counter[str] = Counter()
    paths = sorted(stage.folder.glob("*.log"))
    for path in paths:
        with path.open(errors="replace") as log:
            for line in log:
                if _SERVED not in line:
                    found.update(f"{path.name}: {sign!r}" for sign in _FAULTS if sign in line)
    wrong = [f"{what} x {count}" for what, count in found.items()]
    return Verdict("S-42 logs", "no exception in any log", ", ".join(path.name for path in paths), wrong)
