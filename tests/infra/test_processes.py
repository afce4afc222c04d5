"""Children that are kept alive, replaced without a gap and stopped in order; and the server as a whole."""

import http.client
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator
from pathlib import Path

import psycopg
import pytest

from fulfillment.infra.postgres import EmbeddedPostgres
from fulfillment.infra.processes import PortTaken, ProcessKeeper, Program, Signals, listen

# Stand-ins: they write what happens to them into the file named by JOURNAL.
COMMON = """
import os, signal, sys, time
def number(flag): return int(sys.argv[sys.argv.index(flag) + 1])
def note(what):
    with open(os.environ["JOURNAL"], "a") as file: file.write(f"{what} {os.getpid()} {time.monotonic()}\\n")
def ready():
    os.write(number("--ready-fd"), b"ready\\n"); os.close(number("--ready-fd"))
"""
API = (
    COMMON
    + """
import http.server, socket, threading
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/slow": time.sleep(0.7)
        body = str(os.getpid()).encode()
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
server = http.server.ThreadingHTTPServer(("", 0), Handler, bind_and_activate=False)
server.daemon_threads = False
server.socket.close()
server.socket = socket.socket(fileno=number("--fd"))
server.socket.setblocking(False)  # two of them wake for one connection
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
note("api-started"); ready()
server.serve_forever(0.02)
server.server_close()
note("api-ended")
"""
)
WORKER = (
    COMMON
    + """
def end(*_): note("worker-ended"); sys.exit(0)
signal.signal(signal.SIGTERM, end)
note("worker-started"); ready()
while True: time.sleep(1)
"""
)
SERVE = """
import os, sys
from pathlib import Path
from fulfillment.cli.serve import serve
from fulfillment.infra.settings import Settings
def first_start(settings, dsn): return [f"seeded for port {settings.port}"]
settings = Settings(data_dir=Path(sys.argv[1]), port=int(sys.argv[2]), processes=2)
commands = [(sys.executable, "-S", "-E", "-c", os.environ[name]) for name in ("API", "WORKER")]
sys.exit(serve(settings, api=commands[0], worker=commands[1], first_start=first_start))
"""


@pytest.fixture
def folder() -> Generator[Path]:
    """A folder that PostgreSQL's user can pass when the tests run as root; pytest's own are private."""
    made = Path(tempfile.mkdtemp(prefix="jf-"))
    made.chmod(0o711)
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def data_dir() -> Generator[Path]:
    """A data dir whose database was made already; servers use it one after the other."""
    made = Path(tempfile.mkdtemp(prefix="jf-"))
    made.chmod(0o711)
    database = EmbeddedPostgres(made / "var", echo=lambda _: None)
    database.start()
    database.stop()
    yield made / "var"
    shutil.rmtree(made)


@pytest.fixture
def start(tmp_path: Path) -> Generator[Callable[..., "Server"]]:
    """Start servers, and kill those that a failed test left running."""
    servers: list[Server] = []

    def start_one(data_dir: Path, port: int = 0, **environment: str) -> Server:
        servers.append(Server(data_dir, tmp_path / f"journal{len(servers)}", port, environment))
        return servers[-1]

    yield start_one
    for server in servers:
        if server.process.poll() is None:
            server.end(signal.SIGKILL)


@pytest.fixture
def signals() -> Generator[Signals]:
    """Signal handlers of the server, put back afterwards."""
    with Signals() as installed:
        yield installed


class Server:
    """`serve` in a process of its own, with stand-ins for API and worker."""

    def __init__(self, data_dir: Path, journal: Path, port: int, environment: dict[str, str]) -> None:
        self.journal = journal
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVE, data_dir, str(port)],
            env=os.environ | {"JOURNAL": str(self.journal), "API": API, "WORKER": WORKER} | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.lines.extend(iter(self.process.stdout.readline, ""))

    def said(self, pattern: str) -> str:
        """Wait for a line and return it, or its first group."""
        until(lambda: re.search(pattern, "".join(self.lines)) is not None or self.process.poll() is not None)
        match = re.search(pattern, "".join(self.lines))
        assert match is not None, "".join(self.lines)
        return match[match.re.groups]

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.said(r"Listening on http://127\.0\.0\.1:(\d+)"))

    def events(self, kind: str) -> list[tuple[int, float]]:
        """Return process id and time of what the stand-ins noted."""
        text = self.journal.read_text() if self.journal.exists() else ""
        found = [line.split() for line in text.splitlines()]
        return [(int(pid), float(at)) for what, pid, at in found if what == kind]

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and return the exit status."""
        self.process.send_signal(number)
        status = self.process.wait(30)
        self._reader.join(10)
        return status


def get(port: int, path: str = "/") -> int:
    """Ask the stand-in API; it answers with its process id."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        return int(connection.getresponse().read())
    finally:
        connection.close()


def until(fact: Callable[[], bool], seconds: float = 20) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.01)


def alive(pid: int) -> bool:
    """Return whether the process exists and is more than a zombie that nobody has asked about."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes() != b""
    except FileNotFoundError:
        return False


def stand_in(code: str, journal: Path) -> Program:
    """Return a program that runs *code*."""
    return Program("stand-in", [sys.executable, "-S", "-E", "-c", COMMON + code], {"JOURNAL": str(journal)})


def test_dead_child_is_started_again(signals: Signals, tmp_path: Path) -> None:
    """A child that is killed is replaced, and the line about it says how it ended."""
    said: list[str] = []
    keeper = ProcessKeeper(signals, echo=said.append)
    keeper.add(stand_in("ready(); time.sleep(60)", tmp_path / "journal"))
    (first,) = keeper.pids("stand-in")
    os.kill(first, signal.SIGKILL)

    until(lambda: (keeper.rest(0.05), keeper.tick()) and keeper.ready("stand-in") == 1)
    (second,) = keeper.pids("stand-in")
    keeper.stop()

    assert second != first
    assert said == [f"The stand-in process (pid {first}) ended by signal 9; it is started again."]
    assert not alive(second)


def test_pauses_grow(signals: Signals, tmp_path: Path) -> None:
    """A child that can't live is tried after 0.2, 0.4 and 0.8 seconds, not in a tight loop."""
    keeper = ProcessKeeper(signals, echo=lambda _: None)
    keeper.add(stand_in("note('tried'); sys.exit(3)", tmp_path / "journal"))
    journal = tmp_path / "journal"

    def tries() -> list[float]:
        lines = journal.read_text().splitlines() if journal.exists() else []
        return [float(line.split()[2]) for line in lines]

    until(lambda: (keeper.rest(0.02), keeper.tick()) and len(tries()) == 4)
    keeper.stop()

    first, second, third, fourth = tries()
    assert second - first >= 0.2
    assert third - second >= 0.4
    assert fourth - third >= 0.8


def test_deaf_child_is_killed(signals: Signals, tmp_path: Path) -> None:
    """A child that does not end on SIGTERM is killed when its grace is over."""
    keeper = ProcessKeeper(signals, echo=lambda _: None, grace_seconds=0.3)
    keeper.add(stand_in("signal.signal(signal.SIGTERM, signal.SIG_IGN); ready(); time.sleep(60)", tmp_path / "j"))
    until(lambda: (keeper.rest(0.05), keeper.tick()) and keeper.ready("stand-in") == 1)
    (pid,) = keeper.pids("stand-in")
    keeper.stop()

    assert not alive(pid)


def test_replacement_that_fails(signals: Signals, tmp_path: Path) -> None:
    """When new code does not come up, the old process keeps serving."""
    said: list[str] = []
    once = "ready() if not os.path.exists(os.environ['JOURNAL']) else sys.exit(1); note('up'); time.sleep(60)"
    keeper = ProcessKeeper(signals, echo=said.append)
    keeper.add(stand_in(once, tmp_path / "journal"))
    until(lambda: (keeper.rest(0.05), keeper.tick()) and (tmp_path / "journal").exists())
    before = keeper.pids("stand-in")

    assert keeper.reload() is False
    assert keeper.pids("stand-in") == before
    assert alive(before[0])
    keeper.stop()
    assert said == ["The new stand-in process didn't come up; the old one keeps serving."]


def test_used_port() -> None:
    """A port that something listens on is refused in a sentence that names it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        with pytest.raises(PortTaken, match=rf"Port {port} on 127\.0\.0\.1 is in use"):
            listen("127.0.0.1", port, patience_seconds=0)


def test_foreign_address() -> None:
    """An address that isn't this machine's is refused in a sentence."""
    with pytest.raises(PortTaken, match=r"Can't listen on 192\.0\.2\.1 port 8000"):
        listen("192.0.2.1", 8000, patience_seconds=0)


def test_serve(data_dir: Path, start: Callable[..., Server]) -> None:
    """Serving starts everything; SIGTERM lets requests finish, then stops API, worker and database, with status 0."""
    server = start(data_dir)
    port = server.port
    worker, _ = _first(server, "worker-started")
    until(lambda: len(server.events("api-started")) == 2)  # one that is still starting has nothing to finish
    postmaster = int((data_dir / "postgres" / "postmaster.pid").read_text().split()[0])
    answers: list[int] = []
    slow = threading.Thread(target=lambda: answers.append(get(port, "/slow")))
    slow.start()
    time.sleep(0.2)
    status = server.end()
    slow.join()

    assert status == 0
    assert answers[0] in [pid for pid, _ in server.events("api-ended")]
    assert len(server.events("api-ended")) == 2
    assert max(at for _, at in server.events("api-ended")) < server.events("worker-ended")[0][1]
    assert not alive(worker)
    assert not alive(postmaster)
    assert f"seeded for port {port}" in "".join(server.lines)


def test_serve_again(data_dir: Path, start: Callable[..., Server]) -> None:
    """Ctrl-C stops the server with status 0; the second start answers in under three seconds, on the same data."""
    first = start(data_dir)
    assert first.port
    assert first.end(signal.SIGINT) == 0

    began = time.monotonic()
    second = start(data_dir)
    get(second.port)
    took = time.monotonic() - began
    status = second.end()

    assert status == 0
    assert took < 3
    assert not re.search("Migrations: ", "".join(second.lines))


def test_serve_twice(data_dir: Path, start: Callable[..., Server]) -> None:
    """A second server on the same data dir says so and ends with status 1; the first keeps serving."""
    first = start(data_dir)
    port = first.port
    second = start(data_dir)
    status = second.process.wait(20)
    second.said("already in use by another fulfillment process")

    assert status == 1
    assert get(port)
    assert first.end() == 0


def test_rolling_restart(data_dir: Path, start: Callable[..., Server]) -> None:
    """SIGHUP replaces every process while requests go on: none fails, and all new ones answer afterwards."""
    server = start(data_dir)
    port = server.port
    until(lambda: len(server.events("api-started")) == 2 and len(server.events("worker-started")) == 1)
    old = {pid for pid, _ in server.events("api-started") + server.events("worker-started")}
    faults: list[Exception] = []
    stop = threading.Event()

    def keep_asking() -> None:
        while not stop.is_set():
            try:
                get(port)
            except Exception as fault:
                faults.append(fault)

    clients = [threading.Thread(target=keep_asking) for _ in range(4)]
    for client in clients:
        client.start()
    server.process.send_signal(signal.SIGHUP)
    server.said("All processes are new")
    stop.set()
    for client in clients:
        client.join()
    answered = {get(port) for _ in range(10)}
    status = server.end()

    assert faults == []
    assert answered.isdisjoint(old)
    assert [pid for pid in old if alive(pid)] == []
    assert len(server.events("worker-started")) == 2
    assert status == 0


def test_server_killed(data_dir: Path, start: Callable[..., Server]) -> None:
    """When the server is killed no child outlives it, and the next one starts on the same port and data."""
    server = start(data_dir)
    port = server.port
    until(lambda: len(server.events("api-started")) == 2 and len(server.events("worker-started")) == 1)
    children = [pid for kind in ("api-started", "worker-started") for pid, _ in server.events(kind)]
    server.end(signal.SIGKILL)

    again = start(data_dir, port)
    assert get(again.port)
    assert again.port == port
    assert [pid for pid in children if alive(pid)] == []
    assert again.end() == 0


def test_database_dies_while_serving(data_dir: Path, start: Callable[..., Server]) -> None:
    """A postmaster that is killed under a running server is started again."""
    server = start(data_dir)
    assert server.port
    postmaster = int((data_dir / "postgres" / "postmaster.pid").read_text().split()[0])
    os.kill(postmaster, signal.SIGKILL)

    server.said(r"PostgreSQL ended \(signal 9\); it is started again")
    database = EmbeddedPostgres(data_dir, echo=lambda _: None)
    until(lambda: _answers(database.app_dsn))
    assert server.end() == 0


def test_database_comes_later(folder: Path, start: Callable[..., Server]) -> None:
    """Without its database the server listens already; when the database comes it migrates and starts the worker."""
    database = EmbeddedPostgres(folder / "var", echo=lambda _: None)
    server = start(
        folder / "unused",
        FULFILLMENT_DATABASE_URL=database.app_dsn,
        FULFILLMENT_MIGRATION_DATABASE_URL=database.owner_dsn,
    )
    assert get(server.port)
    assert server.events("worker-started") == []

    database.start()
    server.said(r"Migrations: \d+ applied")
    until(lambda: len(server.events("worker-started")) == 1)
    status = server.end()
    still = _answers(database.app_dsn)
    database.stop()

    assert status == 0
    assert still


def _first(server: Server, kind: str) -> tuple[int, float]:
    until(lambda: server.events(kind) != [])
    return server.events(kind)[0]


def _answers(dsn: str) -> bool:
    try:
        psycopg.connect(dsn, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True
