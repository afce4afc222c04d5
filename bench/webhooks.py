"""What deliveries cost: how many a second, what CPU each takes, how soon an idle worker picks up, who slows whom.

Run it on a quiet machine: ``python bench/webhooks.py``. Everything is started here, on loopback, and stopped at the
end: a PostgreSQL of its own, real worker processes, and a receiver that answers as fast as Python can.
"""

import argparse
import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import psycopg

from fulfillment.infra import migrate
from fulfillment.infra.caches import Caches
from fulfillment.infra.db import Database
from fulfillment.infra.env import Env
from fulfillment.infra.postgres import EmbeddedPostgres
from fulfillment.infra.secrets import load_or_create
from fulfillment.infra.settings import Settings
from fulfillment.infra.wake import wake_workers
from fulfillment.kernel.callers import Caller, Scope
from fulfillment.kernel.ids import new_id
from fulfillment.partners import service as partners
from fulfillment.webhooks import service as webhooks
from fulfillment.webhooks.domain import NewEvent

BULLMQ = Path(__file__).parent / "peers" / "bullmq"  # measured beside us where it is installed
TICK = os.sysconf("SC_CLK_TCK")


class Receiver(asyncio.Protocol):
    """Answers 200 to every POST, never to one on /hang, and its arrivals to GET."""

    arrivals: list[float] = []  # noqa: RUF012  one receiver in a process

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)
        self._unread = b""

    def data_received(self, data: bytes) -> None:
        """Answer what is whole."""
        unread, answers = self._unread + data, 0
        while (end := unread.find(b"\r\n\r\n")) >= 0:
            if unread.startswith(b"GET"):
                body = json.dumps(self.arrivals).encode()
                self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
                self.arrivals.clear()
                return
            length = int(unread[:end].lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
            if len(unread) < end + 4 + length:
                break
            if unread.startswith(b"POST /hang"):
                return
            unread, answers = unread[end + 4 + length :], answers + 1
        self._unread = unread
        if answers:
            self.arrivals.extend([time.monotonic()] * answers)
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" * answers)


async def receive() -> None:
    """Be the receiver."""
    server = await asyncio.get_running_loop().create_server(Receiver, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def cpu_seconds(pid: int) -> float:
    """CPU a process and its living children have taken."""
    total = 0.0
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(entry.name) == pid or int(fields[1]) == pid:
            total += (int(fields[11]) + int(fields[12])) / TICK
    return total


@dataclass(slots=True)
class Bench:
    """Everything that runs."""

    env: Env
    data: Path
    dsn: str
    receiver_port: int
    receiver_pid: int
    postmaster: int

    async def partner(self, path: str) -> Caller:
        """Make a partner whose webhooks go to a path of the receiver."""
        made = await partners.create_partner(self.env, name=f"Bench {path}", discount=Decimal(0))
        caller = Caller("bench", Scope.PARTNER, made.id)
        url = f"http://127.0.0.1:{self.receiver_port}{path}"
        await partners.update_settings(self.env, caller, {"webhook_url": url})
        return caller

    async def announce(self, caller: Caller, count: int, at_once: int = 500) -> float:
        """Announce the creation of so many orders; return the events a second."""
        began = time.monotonic()
        for first in range(0, count, at_once):
            async with self.env.db.transaction(caller.partner_id) as tx:
                await webhooks.announce(tx, [self._event(caller) for _ in range(min(at_once, count - first))])
        return count / (time.monotonic() - began)

    def arrivals(self) -> list[float]:
        """Take the receiver's arrivals since the last time."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.receiver_port}/", timeout=10) as answer:
            return json.loads(answer.read())

    @contextmanager
    def workers(self, count: int) -> Generator[list[int]]:
        """Run so many worker processes; yields their ids once they run."""
        processes: list[subprocess.Popen[bytes]] = []
        environment = os.environ | {
            "FULFILLMENT_DATABASE_URL": self.dsn,
            "FULFILLMENT_DATA_DIR": str(self.data),
            "FULFILLMENT_LOG_LEVEL": "error",
        }
        try:
            for _ in range(count):
                reading, writing = os.pipe()
                command = [sys.executable, "-m", "fulfillment.worker", "--ready-fd", str(writing)]
                processes.append(subprocess.Popen(command, env=environment, pass_fds=(writing,)))
                os.close(writing)
                with os.fdopen(reading, "rb") as pipe:
                    pipe.readline()
            yield [process.pid for process in processes]
        finally:
            for process in processes:
                process.send_signal(signal.SIGTERM)
            for process in processes:
                process.wait(40)

    def _event(self, caller: Caller) -> NewEvent:
        at = self.env.now()
        order = new_id(at)
        payload = (
            f'{{"order":{{"orderId":"{order}","status":"CREATED","fulfillmentInfo":null,'
            '"createdAt":"2023-10-01T12:00:00.000Z","updatedAt":"2023-10-01T12:00:00.000Z"}}'
        )
        return NewEvent(new_id(at), caller.partner_id, "order.created", payload, at, order, 1)


async def throughput(bench: Bench, workers: int, count: int) -> dict[str, Any]:
    """Deliver what waits, with so many workers that have started already."""
    caller = await bench.partner("/hook")
    announced = await bench.announce(caller, count)
    bench.arrivals()
    got: list[float] = []
    with bench.workers(workers) as pids:
        watched = [[bench.postmaster], [bench.receiver_pid], pids]
        before = [sum(map(cpu_seconds, some)) for some in watched]
        deadline = time.monotonic() + 600
        while len(got) < count and time.monotonic() < deadline:
            await asyncio.sleep(0.2)
            got.extend(await asyncio.to_thread(bench.arrivals))
        await asyncio.sleep(0.3)
        used = [sum(map(cpu_seconds, some)) - was for some, was in zip(watched, before, strict=True)]
    return row_of("ours", workers, got, used) | {"announced per second": round(announced)}


def row_of(engine: str, workers: int, got: list[float], used: Sequence[float]) -> dict[str, Any]:
    """One measurement's numbers, from the arrivals and the CPU seconds of database, receiver and workers."""
    got.sort()
    # Without the first and last tenth: start-up and the tail are not what a busy day looks like.
    first, last = got[len(got) // 10], got[len(got) * 9 // 10]
    database, receiver, worker = (round(seconds / len(got) * 1e6) for seconds in used)
    return {
        "engine": engine,
        "workers": workers,
        "deliveries": len(got),
        "per second": round(len(got) * 0.8 / (last - first)),
        "worker CPU us": worker,
        "database CPU us": database,
        "receiver CPU us": receiver,
    }


def middle(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The median of rows of one kind, by rate, with the least and the most."""
    ranked = sorted(rows, key=lambda row: row["per second"])
    return ranked[len(ranked) // 2] | {"least": ranked[0]["per second"], "most": ranked[-1]["per second"]}


def bullmq_missing() -> str | None:
    """Why BullMQ can't be measured beside us; None when it can."""
    if shutil.which("redis-server") is None or shutil.which("node") is None:
        return "BullMQ was not measured: it needs redis-server and node."
    if not (BULLMQ / "node_modules" / "bullmq").exists():
        return f"BullMQ was not measured: run `npm install` in {BULLMQ.relative_to(BULLMQ.parents[2])} first."
    return None


async def bullmq(
    receiver_port: int, receiver_pid: int, arrivals: Callable[[], list[float]], count: int
) -> dict[str, Any]:
    """Let BullMQ deliver as many, from a Redis with an append-only file, in one process as ours is."""
    folder = tempfile.mkdtemp(prefix="jb-redis-")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    redis = subprocess.Popen(
        [
            "redis-server",
            "--port",
            str(port),
            "--bind",
            "127.0.0.1",
            "--dir",
            folder,
            "--save",
            "",
            "--appendonly",
            "yes",
        ],
        stdout=subprocess.DEVNULL,
    )
    await asyncio.sleep(1)
    command = ["node", str(BULLMQ / "deliver.mjs"), str(port), str(receiver_port), str(count)]
    node = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert node.stdout is not None
        assert node.stdin is not None
        if (await asyncio.to_thread(node.stdout.readline)).strip() != "queued":
            raise RuntimeError("BullMQ did not queue the deliveries")
        arrivals()
        watched = [redis.pid, receiver_pid, node.pid]
        before = [cpu_seconds(pid) for pid in watched]
        node.stdin.write("go\n")
        node.stdin.flush()
        got: list[float] = []
        deadline = time.monotonic() + 600
        while len(got) < count and time.monotonic() < deadline:
            await asyncio.sleep(0.2)
            got.extend(await asyncio.to_thread(arrivals))
        used = [cpu_seconds(pid) - was for pid, was in zip(watched, before, strict=True)]
    finally:
        for process in (node, redis):
            process.terminate()
            process.wait(20)
        shutil.rmtree(folder, ignore_errors=True)
    return row_of("BullMQ", 1, got, used)


async def pick_up(bench: Bench, count: int) -> dict[str, Any]:
    """Time from commit to arrival, one event at a time, at an idle worker."""
    caller = await bench.partner("/hook")
    told: list[float] = []
    untold: list[float] = []
    with bench.workers(1) as pids:
        await asyncio.sleep(1)
        for times, wake in ((told, True), (untold, False)):
            for _ in range(count):
                times.append(await one_pick_up(bench, caller, wake=wake))
                await asyncio.sleep(0.013)
        used = cpu_seconds(pids[0])
        await asyncio.sleep(5)
        idle = (cpu_seconds(pids[0]) - used) / 5
    return {
        "notified p50 ms": quantile(told, 0.5),
        "notified p99 ms": quantile(told, 0.99),
        "notification lost p50 ms": quantile(untold, 0.5),
        "notification lost p99 ms": quantile(untold, 0.99),
        "idle worker CPU %": round(idle * 100, 1),
    }


async def one_pick_up(bench: Bench, caller: Caller, *, wake: bool) -> float:
    """One event's way."""
    bench.arrivals()
    await bench.announce(caller, 1)
    began = time.monotonic()
    if wake:
        wake_workers(bench.env)
    while not (got := await asyncio.to_thread(bench.arrivals)):
        await asyncio.sleep(0.001)
    return max(0.0, got[0] - began)


async def neighbour(bench: Bench, *, hanging: bool, seconds: float) -> dict[str, Any]:
    """How long a healthy partner's events take at 100 a second, with or without a neighbour that hangs."""
    healthy = await bench.partner("/hook")
    if hanging:
        await bench.announce(await bench.partner("/hang"), 2000)
    times: list[float] = []
    with bench.workers(1):
        await asyncio.sleep(2)
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            times.append(await one_pick_up(bench, healthy, wake=True))
            await asyncio.sleep(0.01)
    return {
        "neighbour": "hangs, 2,000 due" if hanging else "none",
        "events": len(times),
        "p50 ms": quantile(times, 0.5),
        "p99 ms": quantile(times, 0.99),
    }


def quantile(values: Sequence[float], share: float) -> float:
    """A quantile in milliseconds."""
    return round(sorted(values)[min(len(values) - 1, int(len(values) * share))] * 1000, 1)


async def measure(arguments: argparse.Namespace, bench: Bench) -> dict[str, Any]:
    """Run everything."""
    results: dict[str, Any] = {"load before": os.getloadavg()[0], "cores": os.cpu_count(), "throughput": []}
    for workers in arguments.workers:
        rounds = [await throughput(bench, workers, arguments.deliveries) for _ in range(arguments.rounds)]
        results["throughput"].append(middle(rounds))
    show(results["throughput"])
    results["BullMQ"] = await beside(arguments, bench)
    results["idle pick-up"] = [await pick_up(bench, arguments.pick_ups)]
    show(results["idle pick-up"])
    results["neighbour"] = [
        await neighbour(bench, hanging=hanging, seconds=arguments.seconds) for hanging in (False, True)
    ]
    show(results["neighbour"])
    return results


async def beside(arguments: argparse.Namespace, bench: Bench) -> list[dict[str, Any]]:
    """Measure BullMQ where it is installed, and say so where it is not."""
    missing = bullmq_missing()
    if missing is not None:
        print(missing, flush=True)
        return []
    rounds = [
        await bullmq(bench.receiver_port, bench.receiver_pid, bench.arrivals, arguments.deliveries)
        for _ in range(arguments.rounds)
    ]
    rows = [middle(rounds)]
    show(rows)
    return rows


def summary(results: dict[str, Any]) -> dict[str, float]:
    """The few numbers that goals are compared with; those of throughput are one worker's, or the fewest measured."""
    row, (idle,), (alone, hung) = results["throughput"][0], results["idle pick-up"], results["neighbour"]
    peers = {"bullmq_per_second": results["BullMQ"][0]["per second"]} if results["BullMQ"] else {}
    return peers | {
        "workers": row["workers"],
        "deliveries_per_second": row["per second"],
        "deliveries_per_second_best": max(row["per second"] for row in results["throughput"]),
        "worker_cpu_us": row["worker CPU us"],
        "database_cpu_us": row["database CPU us"],
        "receiver_cpu_us": row["receiver CPU us"],
        "pick_up_p50_ms": idle["notified p50 ms"],
        "pick_up_p99_ms": idle["notified p99 ms"],
        "pick_up_unnotified_p50_ms": idle["notification lost p50 ms"],
        "pick_up_unnotified_p99_ms": idle["notification lost p99 ms"],
        "idle_worker_cpu_percent": idle["idle worker CPU %"],
        "alone_p99_ms": alone["p99 ms"],
        "beside_hanging_p99_ms": hung["p99 ms"],
    }


def measure_webhooks(
    *,
    deliveries: int = 40_000,
    workers: Sequence[int] = (1, 2),
    rounds: int = 3,
    pick_ups: int = 200,
    seconds: float = 10,
) -> dict[str, Any]:
    """Measure deliveries on a database, workers and a receiver of their own, started here and stopped at the end.

    Args:
        deliveries: For each round of throughput.
        workers: How many processes, one measurement of throughput for each number.
        rounds: Of each, of which the median is shown.
        pick_ups: Events one at a time at an idle worker, with and without a notification each.
        seconds: Of each look at the neighbours.

    Returns:
        The numbers of `summary`, and all tables under ``all``. Must not be called inside a running loop.
    """
    arguments = argparse.Namespace(
        deliveries=deliveries, workers=list(workers), rounds=rounds, pick_ups=pick_ups, seconds=seconds
    )
    results = on_its_own(arguments)
    return summary(results) | {"all": results}


def show(rows: Sequence[dict[str, Any]]) -> None:
    """Print rows as lines."""
    for row in rows:
        print("  ".join(f"{name}: {value}" for name, value in row.items()), flush=True)


async def with_database(arguments: argparse.Namespace, server: EmbeddedPostgres, receiver: Any, data: Path) -> Any:
    """Measure on a fresh database."""
    with psycopg.connect(server.superuser_dsn) as conn:
        row = conn.execute("SELECT pg_backend_pid()").fetchone()
        assert row is not None
        postmaster = int(Path(f"/proc/{row[0]}/stat").read_text().rsplit(")", 1)[1].split()[1])
    database = Database(server.app_dsn, size=4)
    env = Env(Settings(data_dir=data), database, Caches(database), load_or_create(data / "secrets.json"))
    port = int(receiver.stdout.readline())
    try:
        return await measure(arguments, Bench(env, data, server.app_dsn, port, receiver.pid, postmaster))
    finally:
        await database.close()


def on_its_own(arguments: argparse.Namespace) -> dict[str, Any]:
    """Start what is needed, measure, stop it."""
    import uvloop

    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores before the start", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="jb-"))
    folder.chmod(0o711)  # the user that PostgreSQL runs as when we are root must get through
    server = EmbeddedPostgres(folder / "pg", echo=lambda _: None)
    server.start(60)
    receiver = subprocess.Popen([sys.executable, __file__, "--receive"], stdout=subprocess.PIPE, text=True)
    try:
        migrate.up(server.owner_dsn)
        return uvloop.run(with_database(arguments, server, receiver, folder))
    finally:
        receiver.terminate()
        receiver.wait()
        server.erase()
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    """Run the benchmark, or be its receiver."""
    import uvloop

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--deliveries", type=int, default=40_000, help="for each round of throughput")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2], help="processes, for each measurement")
    parser.add_argument("--rounds", type=int, default=3, help="of each, of which the median is shown")
    parser.add_argument("--pick-ups", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each look at the neighbours")
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    parser.add_argument("--receive", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.receive:
        uvloop.run(receive())
        return
    results = on_its_own(arguments)
    results["summary"] = summary(results)
    print(json.dumps(results["summary"], indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
