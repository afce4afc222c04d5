"""What row-level security costs: the statements of the hot path with the policies and without, by turns.

    .venv/bin/python bench/rls.py [--seconds 1] [--rounds 15]

It starts a PostgreSQL of its own in a temporary folder, fills it, and runs pgbench as the application's role.
"""

import argparse
import re
import shutil
import tempfile
from pathlib import Path
from typing import Final

import psycopg

from fulfillment.infra import migrate
from fulfillment.infra.postgres import EmbeddedPostgres

PARTNERS: Final = 50
ORDERS: Final = 200_000
FILL: Final = f"""
INSERT INTO partners (id, name, created_at, updated_at)
SELECT 'p' || n, 'Partner ' || n, now(), now() FROM generate_series(1, {PARTNERS}) AS n;
INSERT INTO orders (id, partner_id, days_supply, shipping_method, customer, document, created_at, updated_at)
SELECT lpad(n::text, 27, '0'), 'p' || (n % {PARTNERS} + 1), 30, 'STANDARD', '{{}}', '{{}}', now(), now()
  FROM generate_series(1, {ORDERS}) AS n;
"""
TENANT: Final = (
    "\\set n random(1, {orders})\n\\set p :n % {partners} + 1\nBEGIN;\n"
    "SELECT set_config('fulfillment.tenant', 'p' || :p::text, true);\n"
)
SCRIPTS: Final = {
    "read one order": "SELECT * FROM orders WHERE partner_id = 'p' || :p::text"
    " AND id = lpad(:n::text, 27, '0');\nCOMMIT;\n",
    "read a page of 50": "SELECT * FROM orders WHERE partner_id = 'p' || :p::text"
    " ORDER BY id DESC LIMIT 51;\nCOMMIT;\n",
    "write an order": (
        "INSERT INTO orders (id, partner_id, days_supply, shipping_method, customer, document, created_at, updated_at)"
        " VALUES (gen_random_uuid(), 'p' || :p::text, 30, 'STANDARD', '{}', '{}', now(), now());\nROLLBACK;\n"
    ),
}


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="rls-"))
    folder.chmod(0o711)
    server = EmbeddedPostgres(folder, echo=lambda _: None)
    server.start(60)
    try:
        migrate.up(server.owner_dsn)
        with psycopg.connect(server.owner_dsn, autocommit=True) as conn:
            conn.execute("SET fulfillment.tenant = '*'")
            conn.execute(FILL)  # pyright: ignore[reportArgumentType]
            conn.execute("VACUUM ANALYZE")
        print(f"{'statement':<20} {'with':>10} {'without':>10}  cost")
        for name, script in SCRIPTS.items():
            with_policy, without = compare(server, folder, script, arguments.seconds, arguments.rounds)
            print(f"{name:<20} {with_policy:>7.1f} us {without:>7.1f} us  {with_policy - without:+.1f} us")
    finally:
        server.erase()
        shutil.rmtree(folder, ignore_errors=True)


def compare(server: EmbeddedPostgres, folder: Path, script: str, seconds: int, rounds: int) -> tuple[float, float]:
    """Return the least latency in microseconds with the policy and without, measured by turns."""
    path = folder / "script.sql"
    path.write_text(TENANT.format(orders=ORDERS, partners=PARTNERS) + script)
    found: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(rounds):
        for secured in (True, False):
            verb = "ENABLE" if secured else "DISABLE"
            with psycopg.connect(server.owner_dsn, autocommit=True) as conn:
                conn.execute(f"ALTER TABLE orders {verb} ROW LEVEL SECURITY")  # pyright: ignore[reportArgumentType]
            said = server.run_tool(
                "pgbench", "-n", "-U", "fulfillment", "-M", "prepared", "-f", str(path), "-T", str(seconds), "-c", "1"
            ).stdout
            match = re.search(r"latency average = ([0-9.]+) ms", said)
            assert match is not None
            found[secured].append(float(match[1]) * 1000)
    return min(found[True]), min(found[False])


if __name__ == "__main__":
    main()
