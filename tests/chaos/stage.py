"""What the play needs: the server with all its processes, a receiver, a proxy, an office that moves orders on."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Collection, Coroutine, Generator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, TypeVar

import httpx2
import psycopg
from pydantic import SecretStr

from fulfillment.catalog import service as catalog
from fulfillment.catalog.domain import NewProduct, ProductStatus
from fulfillment.infra import settings as settings_module
from fulfillment.infra.clock import DatabaseClock
from fulfillment.infra.composing import make_env
from fulfillment.infra.db import ALL_TENANTS
from fulfillment.infra.env import Env
from fulfillment.infra.postgres import EmbeddedPostgres
from fulfillment.infra.processes import tied_to_parent
from fulfillment.inventory import service as inventory
from fulfillment.inventory.domain import NewLot
from fulfillment.kernel.callers import Scope
from fulfillment.oauth import service as oauth
from fulfillment.orders.domain import OrderStatus
from fulfillment.partners import service as partners
from fulfillment.warehouse.domain import Actor
from fulfillment.warehouse.service import stepping
from fulfillment.worker.jobs import JOBS
from fulfillment.worker.loop import Job

T = TypeVar("T")

_SERVE: Final = "import sys; from fulfillment.cli.main import main; sys.exit(main())"
_PATIENCE_SECONDS: Final = 120
_ALL_NEW: Final = "All processes are new."
_RETRIES: Final = "1,1,1,1,1,2,2,2,2,2,3,3,3,3,3,3,3,3,3,3,3,3,3,3,3,3,3,3,3,3,3,3,3,3,3,3,3,3,3,3"
FAKETIME: Final = next((str(path) for path in Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")), None)


@dataclass(frozen=True, slots=True)
class PartnerAccount:
    """A partner with its client and its receiver."""

    id: str
    client_id: str
    client_secret: str
    webhook_secret: str
    path: str  # of its receiver


@dataclass(slots=True)
class Server:
    """`fulfillment serve` in its own session, on a port that stays the same over restarts."""

    folder: Path  # logs
    data_dir: Path
    port: int
    processes: int = 2
    workers: int = 2
    environment: dict[str, str] = field(default_factory=dict[str, str])
    process: "subprocess.Popen[bytes] | None" = None
    starts: int = 0
    serving: bool = False  # since its last start

    @property
    def url(self) -> str:
        """Where it is reached."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def variables(self) -> dict[str, str]:
        """What it and its processes are started with."""
        return (
            os.environ
            | {
                "FULFILLMENT_WORKERS": str(self.workers),
                "FULFILLMENT_WEBHOOK_RETRY_SECONDS": _RETRIES,
                "FULFILLMENT_WEBHOOK_TIMEOUT_SECONDS": "2",
                "FULFILLMENT_LOG_LEVEL": "warning",
                "FULFILLMENT_PUBLIC_URL": self.url,
            }
            | self.environment
        )

    def start(self, *, wait: bool = True) -> None:
        """Start it and wait until it serves."""
        log_path = self.folder / "serve.log"
        command = [sys.executable, "-c", _SERVE, "serve", "--port", str(self.port), "--data-dir", str(self.data_dir)]
        with log_path.open("ab") as log:
            self.starts += 1
            self.process = subprocess.Popen(
                [*command, "--processes", str(self.processes)],
                stdout=log,
                stderr=log,
                env=self.variables,
                start_new_session=True,
            )
        if wait:
            self.wait()

    def wait(self) -> None:
        """Wait until it says that requests can be served."""
        until = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < until:
            if self.process is None or self.process.poll() is not None:
                raise RuntimeError("the server has ended:\n" + self.log()[-3000:])
            with contextlib.suppress(httpx2.TransportError):
                ready = httpx2.get(self.url + "/readyz", timeout=2).status_code == 200
                if ready and (self.data_dir / "demo.json").exists():
                    self.serving = True
                    return
            time.sleep(0.1)
        raise TimeoutError("the server does not come up:\n" + self.log()[-3000:])

    def log(self) -> str:
        """Return what it has written."""
        path = self.folder / "serve.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def pids(self, program: str) -> list[int]:
        """Return the processes that it runs: fulfillment.app, fulfillment.worker, or postgres."""
        if self.process is None:
            return []
        return [pid for pid in _children(self.process.pid) if program in _command(pid)]

    def postgres_pids(self) -> list[int]:
        """Return the postmaster, and after it its backends."""
        postmasters = self.pids("/postgres")
        return [pid for postmaster in postmasters for pid in (postmaster, *_children(postmaster))]

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the supervisor alone."""
        if self.process is not None:
            self.process.send_signal(number)

    def reload(self) -> None:
        """Replace every process, and wait until that is done."""
        said = self.log().count(_ALL_NEW)
        self.signal(signal.SIGHUP)
        until = time.monotonic() + _PATIENCE_SECONDS
        while self.log().count(_ALL_NEW) == said:
            if time.monotonic() > until:
                raise TimeoutError("the processes are not replaced")
            time.sleep(0.1)

    def stop(self) -> float:
        """End it as Ctrl-C does and return how many seconds that took."""
        began = time.monotonic()
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.kill()
                raise
            self.process = None
        return time.monotonic() - began

    def kill(self) -> None:
        """kill -9 of the supervisor and of everything it runs."""
        if self.process is None:
            return
        self.starts += 1
        self.serving = False
        for pid in [*_descendants(self.process.pid), self.process.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(30)
        self.process = None


class Office:
    """The operator's side, in a loop of its own: makes partners and stock, moves orders on."""

    def __init__(self, dsn: str, data_dir: Path, base_url: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._env = self.run(self._make(dsn, data_dir, base_url))

    def run(self, work: Coroutine[Any, Any, T], timeout: float | None = 120) -> T:
        """Run *work* and return what it returns."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout)

    async def _make(self, dsn: str, data_dir: Path, base_url: str) -> Env:
        loaded = settings_module.load(data_dir=data_dir, public_url=base_url)
        env = make_env(loaded.model_copy(update={"database_url": SecretStr(dsn), "pool_size": 4}))
        await _follow_clock(env)
        return env

    def follow_clock(self) -> None:
        """Take the database's time, which may be another than ours."""
        self.run(_follow_clock(self._env))

    def close(self) -> None:
        """Close its connections."""
        with contextlib.suppress(Exception):
            self.run(self._env.db.close(), 10)
        self._loop.call_soon_threadsafe(self._loop.stop)

    def partner(self, name: str) -> tuple[str, str, str]:
        """Make a partner and return its id, client id and client secret."""
        return self.run(self._partner(name))

    async def _partner(self, name: str) -> tuple[str, str, str]:
        made = await partners.create_partner(self._env, name=name, discount=Decimal("0.10"))
        client_id, secret = await oauth.create_client(self._env, partner_id=made.id)
        return made.id, client_id, secret

    def operator(self) -> tuple[str, str]:
        """Make an operator's client and return its id and its secret."""
        return self.run(oauth.create_client(self._env, partner_id=None, scope=Scope.OPERATOR))

    def product(self, product_id: int, lots: list[int]) -> None:
        """Make a product with lots of so many pills, each expiring later than the one before."""
        self.run(self._product(product_id, lots))

    async def _product(self, product_id: int, lots: list[int]) -> None:
        product = NewProduct(
            id=product_id,
            name=f"Chaos {product_id}",
            list_price=Decimal("0.40"),
            external=False,
            status=ProductStatus.ACTIVE,
            pack_description="Whole Body Wellness",
            recommended_usage=(1, 0, 0, 0),
        )
        await catalog.import_products(self._env, [product])
        at = self._env.now()
        for place, pills in enumerate(lots, 1):
            lot = NewLot(product_id, f"C{place}", at.date() + timedelta(days=300 + 30 * place), pills)
            async with self._env.db.transaction(ALL_TENANTS) as tx:
                await inventory.receive_lot(tx, lot, "chaos", at)

    def run_jobs(self, names: Collection[str], *, ahead: timedelta) -> None:
        """Run some of the worker's jobs once, as if it were later by *ahead*."""
        later = replace(self._env, now=lambda: self._env.now() + ahead)
        self.run(self._run_jobs(later, [job for job in JOBS if job.name in names]))

    async def _run_jobs(self, env: Env, jobs: list[Job]) -> None:
        for job in jobs:
            await job.run(env)

    def advance(self, order_id: str, to: OrderStatus) -> str:
        """Move an order up to a status and return the one it has then."""
        return self.run(self._advance(order_id, to), 60)

    async def _advance(self, order_id: str, to: OrderStatus) -> str:
        step = await stepping.advance_order(self._env, Actor("chaos"), order_id, to)
        return step.order.status.value


class Stage:
    """Everything together, on a folder of its own."""

    def __init__(
        self,
        folder: Path,
        *,
        seed: int,
        share: float = 0.3,
        tmpfs_megabytes: int = 0,
        processes: int = 2,
        workers: int = 2,
        environment: dict[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.seed = seed
        self.data_dir = folder / "data"
        self.share = share  # of the deliveries that fail
        self.arrivals = folder / "arrivals.jsonl"
        self.mounted = tmpfs_megabytes > 0 and self._mount(tmpfs_megabytes)
        self.server = Server(folder, self.data_dir, free_port(), processes, workers, environment or {})
        self.database = EmbeddedPostgres(self.data_dir, echo=lambda _: None)
        self.extra: list[subprocess.Popen[bytes]] = []
        self.clean = False  # nothing was found: the logs may go
        self.partners: list[PartnerAccount] = []
        self._receiver: subprocess.Popen[str] | None = None
        self._receiver_port = free_port()

    def start(self, partner_count: int = 2) -> None:
        """Start server and receiver, and make partners with their receivers set."""
        self._start_receiver()
        self.server.start()
        self.office = Office(self.database.app_dsn, self.data_dir, self.server.url)
        for number in range(partner_count):
            self.partners.append(self._partner(number))

    def token(self, partner: PartnerAccount) -> str:
        """Return an access token."""
        return token_of(self.server.url, partner.client_id, partner.client_secret)

    def operators_token(self) -> str:
        """Return an access token of the warehouse."""
        return token_of(self.server.url, *self.office.operator())

    def heal(self) -> None:
        """Make the receiver answer well from now on."""
        if self._receiver is not None:
            self._receiver.send_signal(signal.SIGUSR1)

    def skew_api(self, offset: str) -> str:
        """Start one more API process whose clock is off, such as "+1h", and return where it is reached."""
        return self.add_api(_skewed(offset))

    def skew_worker(self, offset: str) -> None:
        """Start one more worker whose clock is off."""
        self.add_worker(_skewed(offset))

    def add_api(self, more: dict[str, str]) -> str:
        """Start one more API process, with *more* in its environment, and return where it is reached."""
        port = free_port()
        self._add("fulfillment.app", {"FULFILLMENT_PORT": str(port), "FULFILLMENT_HOST": "127.0.0.1"} | more)
        url = f"http://127.0.0.1:{port}"
        self._wait_for(url)
        return url

    def add_worker(self, more: dict[str, str]) -> None:
        """Start one more worker, with *more* in its environment."""
        self._add("fulfillment.worker", more)

    def _add(self, module: str, more: dict[str, str]) -> None:
        variables = self.server.variables | {
            "FULFILLMENT_DATABASE_URL": self.database.app_dsn,
            "FULFILLMENT_DATA_DIR": str(self.data_dir),
        }
        with (self.folder / "skewed.log").open("ab") as log:
            process = subprocess.Popen([sys.executable, "-m", module], stdout=log, stderr=log, env=variables | more)
        self.extra.append(process)

    def sql(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Return the rows of a statement, seen by the superuser."""
        with psycopg.connect(self.superuser_dsn, autocommit=True) as connection:
            cursor = connection.execute(statement.encode(), parameters or None)
            return cursor.fetchall() if cursor.description else []

    @property
    def superuser_dsn(self) -> str:
        """The superuser's address of the application's database."""
        return self.database.dsn("postgres")

    def stop(self) -> None:
        """End all of it, and remove the data."""
        for process in self.extra:
            process.terminate()
        with contextlib.suppress(Exception):
            self.office.close()
        try:
            self.server.stop()
        finally:
            for process in self.extra:
                process.wait(30)
            if self._receiver is not None:
                self._receiver.kill()
                self._receiver.wait()
            self._unmount()

    def _start_receiver(self) -> None:
        command = [sys.executable, "-m", "tests.chaos.receiver", "--port", str(self._receiver_port)]
        command += ["--log", str(self.arrivals), "--share", str(self.share), "--seed", str(self.seed)]
        self._receiver = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env=self.server.variables,  # its clock, too
            preexec_fn=tied_to_parent(signal.SIGKILL),
        )
        assert self._receiver.stdout is not None
        assert self._receiver.stdout.readline() == "ready\n"

    def _partner(self, number: int) -> PartnerAccount:
        id_, client_id, secret = self.office.partner(f"Chaos {number}")
        path = f"/{id_}"
        headers = {"Authorization": f"Bearer {token_of(self.server.url, client_id, secret)}"}
        with httpx2.Client(base_url=self.server.url, headers=headers, timeout=30) as client:
            url = f"http://127.0.0.1:{self._receiver_port}{path}"
            changed = client.patch("/v1/partners/settings", json={"webhookUrl": url})
            changed.raise_for_status()
            signing = client.get("/v1/partners/settings/webhook-secret").json()["webhookSecret"]
        return PartnerAccount(id_, client_id, secret, signing, path)

    def _wait_for(self, url: str) -> None:
        until = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < until:
            with contextlib.suppress(httpx2.TransportError):
                if httpx2.get(url + "/readyz", timeout=2).status_code == 200:
                    return
            time.sleep(0.1)
        raise TimeoutError((self.folder / "skewed.log").read_text()[-2000:])

    def _mount(self, megabytes: int) -> bool:
        self.data_dir.mkdir()
        mount = shutil.which("mount")
        if os.geteuid() != 0 or mount is None:
            return False
        options = f"size={megabytes}m,mode=0711"
        done = subprocess.run([mount, "-t", "tmpfs", "-o", options, "tmpfs", self.data_dir], check=False)
        return done.returncode == 0

    def _unmount(self) -> None:
        umount = shutil.which("umount")
        if self.mounted and umount is not None:
            subprocess.run([umount, "-l", self.data_dir], check=False)


async def _follow_clock(env: Env) -> None:
    if isinstance(env.now, DatabaseClock):
        await env.now.compare(env.db)


def _skewed(offset: str) -> dict[str, str]:
    return {
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME": offset,
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_FORCE_MONOTONIC_FIX": "0",  # else waits for Python's lock last as long as the clock is fast
    }


def folder_for(name: str) -> Path:
    """Return a new folder that PostgreSQL's user can pass when the play runs as root."""
    made = Path(tempfile.mkdtemp(prefix=f"chaos-{name}-"))
    made.chmod(0o711)
    return made


@contextlib.contextmanager
def staged(stage: Stage) -> Generator[Stage]:
    """End *stage* with the block; its logs stay unless it is clean by then."""
    try:
        yield stage
    except BaseException:
        _tell_what_was_logged(stage.server.folder / "serve.log")
        raise
    finally:
        stage.stop()
        shutil.rmtree(stage.folder if stage.clean else stage.data_dir, ignore_errors=True)


def _tell_what_was_logged(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError), path.open(errors="replace") as log:  # that of two hours is large
        sys.stderr.writelines(deque((line for line in log if '"request.served"' not in line), maxlen=50))


def token_of(url: str, client_id: str, secret: str) -> str:
    """Return an access token of an OAuth client."""
    form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": secret}
    answer = httpx2.post(url + "/oauth2/token", data=form, timeout=30)
    answer.raise_for_status()
    return json.loads(answer.content)["access_token"]


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def memory_megabytes(pids: list[int]) -> float:
    """Return the resident memory of processes together."""
    pages = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024 / 1024


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, IndexError, ValueError):
            if int(path.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(path.parent.name))
    return sorted(found)


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    for child in _children(pid):
        found += [child, *_descendants(child)]
    return found


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""
