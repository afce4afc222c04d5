"""The benchmark: ours, a hand-written floor and the limit, in one run, on a fresh server started as users start it."""

import argparse
import asyncio
import json
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from datetime import UTC, datetime
from pathlib import Path

import psycopg
from pydantic import SecretStr

sys.path.insert(0, str(Path(__file__).parent))
import load
import seeding

from fulfillment.app import make_env
from fulfillment.infra.postgres import EmbeddedPostgres
from fulfillment.infra.settings import Settings

HERE = Path(__file__).parent
RESULTS = HERE / "results"


class Server:
    """`fulfillment serve` in a folder of its own."""

    def __init__(self, folder: Path, port: int, processes: int) -> None:
        self.folder, self.port = folder, port
        self.url = f"http://127.0.0.1:{port}"
        began = time.monotonic()
        self.log = (folder / "serve.log").open("w")
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "fulfillment", "serve", "--data-dir", str(folder / "var")),
                *("--port", str(port), "--processes", str(processes)),
            ],
            stdout=self.log,
            stderr=self.log,
            env=os.environ | {"FULFILLMENT_TOKEN_TTL_SECONDS": "86400"},
        )
        while True:
            try:
                with urllib.request.urlopen(f"{self.url}/readyz", timeout=1):
                    break
            except OSError:
                if self.process.poll() is not None:
                    raise SystemExit((folder / "serve.log").read_text()) from None
                time.sleep(0.05)
        self.started_seconds = time.monotonic() - began
        self.groups = load.Groups(self.process.pid)
        self.database = EmbeddedPostgres(folder / "var", echo=lambda _: None)

    def stop(self) -> None:
        """Stop it and all of its processes."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)
        self.log.close()

    def token(self, client: tuple[str, str]) -> str:
        """Return an access token."""
        form = urllib.parse.urlencode(
            {"grant_type": "client_credentials", "client_id": client[0], "client_secret": client[1]}
        )
        with urllib.request.urlopen(f"{self.url}/oauth2/token", form.encode(), timeout=10) as answer:
            return json.load(answer)["access_token"]

    def get(self, path: str, token: str) -> dict:
        """Return the JSON of a GET."""
        request = urllib.request.Request(self.url + path, headers={"Authorization": f"Bearer {token}"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def measure(name: str, results: dict, options: argparse.Namespace, run) -> None:
    """Run one load at each number of connections and keep the median of its runs."""
    for connections in options.connections:
        run(connections, min(1.0, options.seconds))  # warm-up
        samples = [run(connections, options.seconds) for _ in range(options.runs)]
        kept = load.median_of(samples)
        results.setdefault(name, {})[str(connections)] = kept
        cpu = " ".join(
            f"{group} {1e6 * seconds / max(1, kept['requests']):.0f}" for group, seconds in kept["cpu_seconds"].items()
        )
        print(
            f"{name:28} {connections:3} conn {kept['rate']:9.0f}/s ({kept['rate_min']:.0f}-{kept['rate_max']:.0f})"
            f"  p50 {kept['p50_ms']:7.2f} ms  p99 {kept['p99_ms']:7.2f} ms  us/request: {cpu}"
            f"{'  ERRORS ' + str(kept['errors']) if kept['errors'] else ''}",
            flush=True,
        )


def deep_cursor(server: Server, token: str, rows: int) -> str:
    """Return the path of a page *rows* deep: the cursors of pages of 100, followed."""
    path = "/v1/orders?limit=100"
    for _ in range(rows // 100):
        cursor = server.get(path, token)["cursor"]
        if cursor is None:
            break
        path = f"/v1/orders?limit=100&cursor={cursor}"
    return path.replace("limit=100", "limit=10")


def main() -> int:
    """Measure everything and write the results."""
    options = _options()
    folder = Path(tempfile.mkdtemp(prefix="jf-bench-"))
    folder.chmod(0o711)
    results: dict = {}
    server = Server(folder, free_port(), options.processes)
    try:
        facts = _facts(options, server)
        print(f"{facts['machine']}\nfirst start {server.started_seconds:.1f} s", flush=True)
        facts["idle_mb"] = server.groups.memory_mb()
        env = make_env(Settings(data_dir=folder / "var", database_url=SecretStr(server.database.app_dsn)))
        owner = server.database.owner_dsn
        seeded = asyncio.run(_seeded(env, owner, options))
        tokens = [server.token(client) for client in seeded.clients]
        environment = {"PRODUCTS": " ".join(map(str, seeded.hot_products)), "TOKENS": " ".join(tokens)}
        _past(server, seeded, tokens, owner, options)
        _ours(server, seeded, tokens, environment, results, options, folder)
        _floors(server, seeded, environment, results, options, folder, owner)
        facts["loaded_mb"] = server.groups.memory_mb()
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
    _write(facts, results, options)
    return 0


async def _seeded(env, owner: str, options: argparse.Namespace) -> seeding.Seeded:
    try:
        return await seeding.seed(env, owner, hot=200, products=options.products, partner_count=options.partners)
    finally:
        await env.db.close()


def _past(server: Server, seeded: seeding.Seeded, tokens: list[str], owner: str, options: argparse.Namespace) -> None:
    body = json.dumps(
        {
            "customer": {
                "sourceId": "c0",
                "firstName": "John",
                "lastName": "Doe",
                "address": {"line1": "437 Lytton Ave", "city": "Palo Alto", "state": "CA", "zipCode": "94301"},
            },
            "daysSupply": 30,
            "lineItems": [
                {
                    "productId": product,
                    "quantity": 1,
                    "packDescription": "Daily Pack",
                    "administration": {"morning": 1, "afternoon": 0, "evening": 0, "sleep": 0},
                }
                for product in seeded.hot_products[:3]
            ],
            "shippingMethod": "STANDARD",
        }
    )
    request = urllib.request.Request(
        f"{server.url}/v1/orders",
        body.encode(),
        {"Authorization": f"Bearer {tokens[0]}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        order_id = json.load(answer)["id"]
    with psycopg.connect(owner) as conn:
        conn.execute("SELECT set_config('fulfillment.tenant', '*', true)")
        row = conn.execute("SELECT document::text, customer::text FROM orders WHERE id = %s", (order_id,)).fetchone()
    assert row is not None
    deep = seeded.partners[:1]
    seeding.past_orders(owner, deep, options.deep + 1000, row[0], row[1], "deep")
    seeding.past_orders(owner, seeded.partners, max(1, options.orders - options.deep), row[0], row[1], "past")


def _ours(server, seeded, tokens, environment, results, options, folder) -> None:
    def drive(script: str, extra: dict[str, str] | None = None):
        def run(connections: int, seconds: float) -> load.Sample:
            run.number += 1
            stamp = {"RUN": str(run.number)}
            return load.wrk(
                server.url, script, connections, seconds, environment | stamp | (extra or {}), server.groups
            )

        run.number = int(time.time()) % 100000 * 100
        return run

    def paths(name: str, lines: list[str]) -> dict[str, str]:
        file = folder / f"{name}.paths"
        file.write_text("\n".join(lines) + "\n")
        return {"PATHS": str(file)}

    client = seeded.clients[0]
    body = urllib.parse.urlencode(
        {"grant_type": "client_credentials", "client_id": client[0], "client_secret": client[1]}
    )
    measure("token", results, options, drive("token.lua", {"TOKEN_BODY": body}))
    measure("create", results, options, drive("create.lua"))
    measure("create, with key", results, options, drive("create.lua", {"KEYED": "1"}))
    gets = [
        f"{token} /v1/orders/{order['id']}"
        for token in tokens[:20]
        for order in server.get("/v1/orders?limit=100", token)["orders"]
    ]
    measure("get", results, options, drive("get.lua", paths("get", gets)))
    firsts = [f"{token} /v1/orders?limit=10" for token in tokens]
    measure("list 10, first page", results, options, drive("get.lua", paths("list", firsts)))
    deep = deep_cursor(server, tokens[0], options.deep)
    measure("list 10, deep page", results, options, drive("get.lua", paths("deep", [f"{tokens[0]} {deep}"])))
    searches = [f"{tokens[0]} /v1/products?search={word}" for word in seeding.WORDS]
    searches += [f"{tokens[0]} /v1/products?search={word[1] + word[0] + word[2:]}" for word in seeding.WORDS]
    measure("product search", results, options, drive("get.lua", paths("search", searches)))
    mixed = gets[:500] + firsts
    measure("mixed, 70 % reads", results, options, drive("mixed.lua", paths("mixed", mixed)))


def _floors(server, seeded, environment, results, options, folder, owner) -> None:
    with psycopg.connect(owner, autocommit=True) as conn:
        conn.execute((HERE / "floor.sql").read_text())
        conn.execute("SELECT set_config('fulfillment.tenant', '*', false)")
        ids = [
            row[0]
            for row in conn.execute("SELECT id FROM orders WHERE partner_id = %s LIMIT 1000", (seeded.partners[0],))
        ]
    port = free_port()
    floor = subprocess.Popen(
        [
            sys.executable,
            str(HERE / "floor.py"),
            str(port),
            server.database.app_dsn,
            seeded.partners[0],
            str(options.processes),
        ],
        stdout=subprocess.PIPE,
        start_new_session=True,  # it has children: they are stopped with it
    )
    assert floor.stdout is not None
    floor.stdout.readline()
    url = f"http://127.0.0.1:{port}"
    try:
        measure(
            "floor: raw ASGI create",
            results,
            options,
            lambda connections, seconds: load.wrk(
                url, "create.lua", connections, seconds, environment | {"CREATE_PATH": "/orders"}, None
            ),
        )
        file = folder / "floor.paths"
        file.write_text("".join(f"x /orders/{id_}\n" for id_ in ids))
        measure(
            "floor: raw ASGI get",
            results,
            options,
            lambda connections, seconds: load.wrk(url, "get.lua", connections, seconds, {"PATHS": str(file)}, None),
        )
        file = folder / "hello.paths"
        file.write_text("x /hello\n")
        measure(
            "floor: FastAPI hello",
            results,
            options,
            lambda connections, seconds: load.wrk(url, "get.lua", connections, seconds, {"PATHS": str(file)}, None),
        )
    finally:
        os.killpg(floor.pid, signal.SIGTERM)
        floor.wait(20)
    _limits(server, seeded, results, options, folder)


def _limits(server, seeded, results, options, folder) -> None:
    dsn = psycopg.conninfo.conninfo_to_dict(server.database.app_dsn)
    command = [
        *(str(server.database.bin_dir / "pgbench"), "-h", str(dsn["host"]), "-U", str(dsn["user"]), str(dsn["dbname"])),
    ]
    document = "{}" + " " * 700
    products = ",".join("{}" for _ in range(3))
    del products
    first = seeded.hot_products[0]
    order = folder / "order.sql"
    order.write_text(
        "\\set a random(0, 65)\n\\set b random(66, 131)\n\\set c random(132, 199)\n"
        f"SELECT bench_order(left(replace(gen_random_uuid()::text, '-', ''), 27), '{seeded.partners[0]}', "
        f"'{document}', ARRAY[{first} + :a, {first} + :b, {first} + :c]::bigint[]);\n"
    )
    row = folder / "row.sql"
    row.write_text(f"INSERT INTO bench_rows VALUES (gen_random_uuid()::text, '{document}');\n")
    measure("limit: pgbench order", results, options, lambda c, s: load.pgbench(command, c, s, order))
    measure("limit: pgbench one row", results, options, lambda c, s: load.pgbench(command, c, s, row))


def _facts(options: argparse.Namespace, server: Server) -> dict:
    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    memory = int(Path("/proc/meminfo").read_text().split()[1]) // 1024
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=HERE, capture_output=True, text=True, check=False
    )
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit.stdout.strip(),
        "machine": f"{os.cpu_count()} x {model}, {memory} MiB, Linux {platform.release()}, "
        f"Python {platform.python_version()}",
        "postgresql": server.database.version,
        "load_average": os.getloadavg(),
        "first_start_seconds": round(server.started_seconds, 2),
        "options": {name: value for name, value in vars(options).items() if name != "output"},
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one run of 2 s at 16 connections, 10,000 past orders")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--connections", type=lambda text: [int(part) for part in text.split(",")], default=[1, 16, 64])
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--partners", type=int, default=50)
    parser.add_argument("--products", type=int, default=10_000)
    parser.add_argument("--orders", type=int, default=100_000)
    parser.add_argument("--deep", type=int, default=50_000)
    parser.add_argument("--output", default=datetime.now(UTC).strftime("%Y%m%d-%H%M%S"))
    options = parser.parse_args()
    if options.quick:
        options.seconds, options.runs, options.connections = 2.0, 1, [16]
        options.orders, options.deep, options.products = 10_000, 5_000, 1_000
    return options


def _write(facts: dict, results: dict, options: argparse.Namespace) -> None:
    RESULTS.mkdir(exist_ok=True)
    place = RESULTS / f"{options.output}.json"
    place.write_text(json.dumps({"facts": facts, "results": results}, indent=1, default=str) + "\n")
    (RESULTS / f"{options.output}.md").write_text(_table(facts, results))
    _plot(results, RESULTS / f"{options.output}.png", facts)
    print(f"written: {place}")


def _table(facts: dict, results: dict) -> str:
    lines = [
        f"{facts['machine']}, PostgreSQL {facts['postgresql']}, commit {facts['commit']}, {facts['at']}",
        "",
        f"Memory (PSS, MB): idle {_rounded(facts['idle_mb'])}, after the load {_rounded(facts.get('loaded_mb', {}))}",
        "",
        "| work | connections | per second (min-max) | p50 ms | p99 ms | CPU us a request | errors |",
        "|---|--:|--:|--:|--:|---|--:|",
    ]
    for name, by_connections in results.items():
        for connections, kept in by_connections.items():
            cpu = ", ".join(
                f"{group} {1e6 * seconds / max(1, kept['requests']):.0f}"
                for group, seconds in kept["cpu_seconds"].items()
            )
            lines.append(
                f"| {name} | {connections} | {kept['rate']:,.0f} ({kept['rate_min']:,.0f}-{kept['rate_max']:,.0f}) "
                f"| {kept['p50_ms']:.2f} | {kept['p99_ms']:.2f} | {cpu} | {kept['errors']} |"
            )
    return "\n".join(lines) + "\n"


def _rounded(memory: dict) -> dict:
    return {name: round(value) for name, value in memory.items()}


def _plot(results: dict, place: Path, facts: dict) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(9, 5.5))
    for name, by_connections in results.items():
        style = "--" if name.startswith(("floor", "limit")) else "-"
        axes.plot(
            list(by_connections), [kept["rate"] for kept in by_connections.values()], style, marker="o", label=name
        )
    axes.set_yscale("log")
    axes.set_xlabel("connections")
    axes.set_ylabel("per second")
    axes.set_title(facts["machine"], fontsize=8)
    axes.legend(fontsize=7, ncol=2)
    axes.grid(visible=True, alpha=0.3)
    figure.tight_layout()
    figure.savefig(place, dpi=110)


if __name__ == "__main__":
    sys.exit(main())
