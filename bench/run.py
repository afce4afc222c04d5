"""The benchmark: ours, a hand-written floor and the limit, in one run, on a fresh server started as users start it."""

import argparse
import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.parse
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import psycopg
from pydantic import SecretStr

sys.path.insert(0, str(Path(__file__).parent))
import limits
import load
import machine
import profiling
import report
import seeding
import startup
import tokens

import webhooks
from fulfillment.app import make_env
from fulfillment.infra.settings import Settings
from serving import Server, free_port, order

HERE = Path(__file__).parent
RESULTS = HERE / "results"
Run = Callable[[int, float], load.Sample]  # connections, seconds


def main() -> int:
    """Measure everything and write the results."""
    options = _options()
    RESULTS.mkdir(exist_ok=True)
    facts = machine.facts() | {"options": {k: v for k, v in vars(options).items() if k != "output"}}
    results: report.Results = {}
    try:
        if options.part in ("all", "start"):
            facts |= _starts(options)
        if options.part in ("all", "ours", "floors"):
            _serve_and_measure(options, facts, results)
        if options.part in ("all", "webhooks"):
            facts["webhooks"] = _webhooks(options)
    finally:
        _write(facts, results, options)  # what was measured before something failed, too
    return 0


def _serve_and_measure(options: argparse.Namespace, facts: dict, results: report.Results) -> None:
    with prepared(options, facts) as bench:
        bench.results = results
        bench.measure_all()


@contextmanager
def prepared(options: argparse.Namespace, facts: dict) -> "Generator[Bench]":
    """Give a server with its data; afterwards nothing of it is left."""
    folder = Path(tempfile.mkdtemp(prefix="jf-bench-"))
    folder.chmod(0o711)  # the database's user passes through
    try:
        bench = Bench(folder, options, facts)
        try:
            bench.prepare()
            yield bench
        finally:
            bench.server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Bench:
    """One server with its data, and what was measured of it."""

    def __init__(self, folder: Path, options: argparse.Namespace, facts: dict) -> None:
        self.folder, self.options, self.facts = folder, options, facts
        self.results: report.Results = {}
        self.server = Server(folder, options.processes)
        settings = Settings(
            data_dir=folder / "var", database_url=SecretStr(self.server.database.app_dsn), port=self.server.port
        )
        self.owner, self.env = self.server.database.owner_dsn, make_env(settings)
        self._runs = int(time.time()) % 100_000 * 100

    def prepare(self) -> None:
        """Fill the database, and note what the start was like."""
        facts = self.facts
        facts["postgresql"] = self.server.database.version
        facts["first_start_seconds"] = round(self.server.started_seconds, 2)
        time.sleep(2)  # what a start leaves to do afterwards
        facts.setdefault("idle_mb", self.server.groups.memory_mb())
        print(f"{facts['machine']}\nfirst start {self.server.started_seconds:.1f} s", flush=True)
        self.seeded = asyncio.run(self._seed())
        self.tokens = [self.server.token(client) for client in self.seeded.clients]
        self.environment = {
            "PRODUCTS": " ".join(map(str, self.seeded.hot_products)),
            "TOKENS": " ".join(self.tokens),
        }
        self._past()

    def measure_all(self) -> None:
        """Measure what the options ask for."""
        if self.options.part in ("all", "ours"):
            self.facts["token_check_us"] = tokens.check_us(make_env(self.env.settings), self.tokens[0])
            self._writes()
            self._reads()
        if self.options.part in ("all", "floors"):
            self._unbatched()
            self._floors()
            self._limits()
        self.facts["loaded_mb"] = self.server.groups.memory_mb()

    def measure_flat(self) -> None:
        """Measure a create, and gets of orders of any age."""
        self._measure(report.CREATE, self._drive("create.lua"))
        token_of = dict(zip(self.seeded.partners, self.tokens, strict=True))
        found = seeding.any_orders(self.owner, list(token_of))
        anywhere = [f"{token_of[partner]} /v1/orders/{id_}" for partner, id_ in found]
        self._measure(report.GET, self._drive("get.lua", self._paths("get", anywhere)))

    def measure_mixed(self) -> None:
        """Measure the mixed load."""
        mixed = self._gets()[:500] + self._firsts()
        self._measure(report.MIXED, self._drive("mixed.lua", self._paths("mixed", mixed)))

    async def _seed(self) -> seeding.Seeded:
        try:
            return await seeding.seed(
                self.env, self.owner, hot=200, products=self.options.products, partner_count=self.options.partners
            )
        finally:
            await self.env.db.close()

    def _past(self) -> None:
        order_id = self.server.create(self.tokens[0], self.seeded.hot_products[:3])
        self.template = seeding.template_of(self.owner, order_id)
        deep, rest = self.options.deep, max(1, self.options.orders - self.options.deep)
        seeding.past_orders(self.owner, self.seeded.partners[:1], deep + 1000, *self.template, "deep")
        seeding.past_orders(self.owner, self.seeded.partners, rest, *self.template, "past")
        seeding.settle(self.server.database.superuser_dsn)

    def _measure(self, name: str, run: Run, connections: list[int] | None = None) -> None:
        """Run one load at each number of connections and keep the median of its runs."""
        for count in connections or self.options.connections:
            run(count, min(1.0, self.options.seconds))  # warm-up
            kept = load.median_of([run(count, self.options.seconds) for _ in range(self.options.runs)])
            self.results.setdefault(name, {})[str(count)] = kept
            print(report.line(name, str(count), kept), flush=True)

    def _drive(
        self,
        script: str,
        extra: dict[str, str] | None = None,
        *,
        url: str | None = None,
        groups: load.Groups | None = None,
    ) -> Run:
        def run(connections: int, seconds: float) -> load.Sample:
            self._runs += 1
            environment = self.environment | {"RUN": str(self._runs)} | (extra or {})
            place, observed = url or self.server.url, groups or self.server.groups
            return load.wrk(place, script, connections, seconds, environment, observed)

        return run

    def _paths(self, name: str, lines: list[str]) -> dict[str, str]:
        file = self.folder / f"{name}.paths"
        file.write_text("\n".join(lines) + "\n")
        return {"PATHS": str(file)}

    def _writes(self) -> None:
        client = self.seeded.clients[0]
        form = {"grant_type": "client_credentials", "client_id": client[0], "client_secret": client[1]}
        self._measure(report.TOKEN, self._drive("token.lua", {"TOKEN_BODY": urllib.parse.urlencode(form)}))
        self._measure(report.CREATE, self._drive("create.lua"))
        if self.options.profile:
            self._profile()
        self._measure(report.KEYED, self._drive("create.lua", {"KEYED": "1"}))

    def _profile(self) -> None:
        """Take samples of an API process while creates run."""
        place = RESULTS / f"{self.options.output}.profile.txt"
        pid = self.server.groups.members()["api"][0]
        with profiling.recorded(pid, self.options.profile, place):
            self._drive("create.lua")(16, self.options.profile + 2)
        print(f"written: {place}")

    def _reads(self) -> None:
        self._measure(report.GET, self._drive("get.lua", self._paths("get", self._gets())))
        self._measure(report.FIRST, self._drive("get.lua", self._paths("list", self._firsts())))
        deep = f"{self.tokens[0]} {self._deep_path()}"
        self._measure(report.DEEP, self._drive("get.lua", self._paths("deep", [deep])))
        self._measure(report.ANY, self._drive("get.lua", self._paths("any", self._pages())))
        # Each word as it is and with its first two letters swapped: half of the searches are misspelt.
        words = [word for right in seeding.WORDS for word in (right, right[1] + right[0] + right[2:])]
        searches = [f"{self.tokens[0]} /v1/products?search={word}" for word in words]
        self._measure(report.SEARCH, self._drive("get.lua", self._paths("search", searches)))
        self.measure_mixed()

    def _gets(self) -> list[str]:
        return [
            f"{token} /v1/orders/{one['id']}"
            for token in self.tokens[:20]
            for one in self.server.get("/v1/orders?limit=100", token)["orders"]
        ]

    def _firsts(self) -> list[str]:
        return [f"{token} /v1/orders?limit=10" for token in self.tokens]

    def _pages(self) -> list[str]:
        """Return some thousand pages of one partner: more than a process keeps as it wrote them."""
        path, found = "/v1/orders?limit=10", []
        for _ in range(min(2000, self.options.deep // 10)):
            found.append(f"{self.tokens[0]} {path}")
            path = f"/v1/orders?limit=10&cursor={self.server.get(path, self.tokens[0])['cursor']}"
        return found

    def _deep_path(self) -> str:
        path = "/v1/orders?limit=100"
        for _ in range(self.options.deep // 100):
            cursor = self.server.get(path, self.tokens[0])["cursor"]
            if cursor is None:
                raise RuntimeError("the deep partner has too few orders")
            path = f"/v1/orders?limit=100&cursor={cursor}"
        return path.replace("limit=100", "limit=10")

    def _unbatched(self) -> None:
        with self.server.unbatched() as (url, groups):
            few = [count for count in self.options.connections if count <= 16]
            self._measure(report.UNBATCHED, self._drive("create.lua", url=url, groups=groups), few)

    def _floors(self) -> None:
        partner = self.seeded.partners[0]
        with psycopg.connect(self.owner, autocommit=True) as conn:
            conn.execute((HERE / "floor.sql").read_text())
            conn.execute("SELECT set_config('fulfillment.tenant', '*', false)")
            found = conn.execute("SELECT id FROM orders WHERE partner_id = %s LIMIT 1000", (partner,)).fetchall()
        url = f"http://127.0.0.1:{(port := free_port())}"
        arguments = [str(port), self.server.database.app_dsn, partner, str(self.options.processes)]
        floor = subprocess.Popen(
            [sys.executable, str(HERE / "floor.py"), *arguments],
            stdout=subprocess.PIPE,
            start_new_session=True,  # it has children: they are stopped with it
        )
        assert floor.stdout is not None
        floor.stdout.readline()
        groups = self.server.groups.beside(floor.pid)

        def drive(script: str, extra: dict[str, str]) -> Run:
            environment = self.environment | extra
            return lambda connections, seconds: load.wrk(url, script, connections, seconds, environment, groups)

        try:
            raw_create = drive("create.lua", {"CREATE_PATH": "/orders"})
            raw_get = drive("get.lua", self._paths("floor", [f"x /orders/{row[0]}" for row in found]))
            self._measure(report.RAW_CREATE, raw_create)
            self._measure(report.RAW_GET, raw_get)
            self._by_turns(report.CREATE, self._drive("create.lua"), report.RAW_CREATE, raw_create)
            get = self._drive("get.lua", self._paths("get", self._gets()))
            self._by_turns(report.GET, get, report.RAW_GET, raw_get)
            first = self._drive("get.lua", self._paths("list", self._firsts()))
            self._by_turns(report.FIRST, first, report.RAW_GET, raw_get)
            self._measure(report.HELLO, drive("get.lua", self._paths("hello", ["x /hello"])))
        finally:
            os.killpg(floor.pid, signal.SIGTERM)
            floor.wait(20)

    def _by_turns(self, name: str, ours: Run, under: str, floor: Run) -> None:
        """Run ours and the floor's load one after the other again and again, and keep the ratios of neighbours.

        A machine that others use is now slower, now faster: what is compared has to be measured in the same minute.
        """
        found = self.facts.setdefault("by_turns", {}).setdefault(f"{name} / {under}", {})
        for count in (each for each in self.options.connections if each > 1):
            ours(count, min(1.0, self.options.seconds))
            floor(count, min(1.0, self.options.seconds))
            seconds, ratios = self.options.seconds, list[float]()
            for _ in range(self.options.runs + 2):
                ratios.append(ours(count, seconds).rate / floor(count, seconds).rate)
            ratios.sort()
            found[str(count)] = {"median": ratios[len(ratios) // 2], "ratios": ratios}
            print(f"{name} / {under}, {count} conn, by turns: {ratios}", flush=True)

    def _limits(self) -> None:
        command = limits.pgbench_command(self.server.database)
        products, app_dsn = self.seeded.hot_products, self.server.database.app_dsn
        body = order(products[:3])
        body["customer"]["sourceId"] = "limit"  # no look-alike of another order
        scripts = {
            report.OUR_CALL: limits.create_script(self.env, app_dsn, self.tokens[0], body, products),
            report.HAND_CALL: limits.baseline_script(self.seeded.partners[0], products),
            report.ROW: limits.row_script(),
        }
        for name, script in scripts.items():
            file = self.folder / "pgbench.sql"
            file.write_text(script)
            self._measure(name, lambda c, s, file=file: load.pgbench(command, c, s, file, self.server.groups))


def _starts(options: argparse.Namespace) -> dict:
    found = startup.measured(options.runs, 1)
    return {
        "help_seconds": sorted(found["help_seconds"])[options.runs // 2],
        "later_start_seconds": sorted(found["later_start_seconds"])[options.runs // 2],
        "idle_mb": found["idle_mb"],
    }


def _webhooks(options: argparse.Namespace) -> dict:
    """Measure deliveries, which has a database, workers and a receiver of its own."""
    if options.quick:
        return webhooks.measure_webhooks(deliveries=10_000, workers=(1,), rounds=1, pick_ups=50, seconds=2)
    return webhooks.measure_webhooks(rounds=options.runs)


def numbers(text: str) -> list[int]:
    """Return numbers parted by commas."""
    return [int(part) for part in text.split(",")]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one run of 2 s at 16 connections, 10,000 past orders")
    parser.add_argument("--part", choices=["all", "ours", "floors", "start", "webhooks"], default="all")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--connections", type=numbers, default=[1, 16, 64])
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--partners", type=int, default=50)
    parser.add_argument("--products", type=int, default=10_000)
    parser.add_argument("--orders", type=int, default=100_000)
    parser.add_argument("--deep", type=int, default=50_000)
    parser.add_argument("--profile", type=int, default=0, metavar="SECONDS", help="sample an API process under creates")
    parser.add_argument("--output", default=datetime.now(UTC).strftime("%Y%m%d-%H%M%S"))
    options = parser.parse_args()
    if options.quick:
        options.seconds, options.runs, options.connections = 2.0, 1, [16]
        options.orders, options.deep, options.products = 10_000, 5_000, 1_000
    return options


def _write(facts: dict, results: report.Results, options: argparse.Namespace) -> None:
    place = RESULTS / f"{options.output}.json"
    place.write_text(json.dumps({"facts": facts, "results": results}, indent=1, default=str) + "\n")
    page = report.document(facts, results)
    place.with_suffix(".md").write_text(page)
    if results:
        report.plot(results, place.with_suffix(".png"), facts["machine"])
    print(page)
    print(f"written: {place}")


if __name__ == "__main__":
    sys.exit(main())
