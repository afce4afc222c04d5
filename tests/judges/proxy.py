"""HAProxy in front, as deploy/haproxy.cfg sets it up: API processes killed under load, and bytes read in two ways."""

import contextlib
import json
import os
import random
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx2

from tests.judges.verdict import Judged, Skipped
from tests.security.test_raw_http import AMBIGUOUS, SMUGGLED
from tests.serving import ServerProcess
from tests.world import a_line, an_order

_CONFIGURATION: Final = Path(__file__).parents[2] / "deploy" / "haproxy.cfg"
_PRODUCT: Final = 77123129891
_KILLS: Final = 4
_CLIENTS: Final = 8
_SETTLED_SECONDS: Final = 3.0  # between two kills: the process that was killed is there again


@dataclass(frozen=True, slots=True)
class Front:
    """A server behind HAProxy."""

    server: ServerProcess
    port: int
    plain_port: int
    trust: ssl.SSLContext
    log: Path

    @property
    def url(self) -> str:
        """Return where clients reach it."""
        return f"https://localhost:{self.port}"


def killed_behind_a_proxy() -> Judged:
    """Kill API processes while clients create orders: each is answered with 201 at the first try, and made once."""
    with _front() as front:
        _fill_up(front.server)
        load = _Load(front)
        chance = random.Random(1)
        with load.running():
            for _ in range(_KILLS):
                time.sleep(_SETTLED_SECONDS)
                os.kill(chance.choice(_api_pids(front.server)), signal.SIGKILL)
            time.sleep(_SETTLED_SECONDS)
        made = _orders_of(front.server)
        found = [f"{count} x {answer}" for answer, count in load.answers.items() if answer != "201"]
        if len(made) != len(set(made)) or set(made) != load.ids:
            found.append(f"{len(load.ids)} orders were acknowledged, {len(made)} are there")
        if _restarts(front.server) < _KILLS:
            found.append("the processes were not killed: nothing was judged")
        sent_again = sum(line.split()[-2].lstrip("+") != "0" for line in _passed(front))  # %rc of the log
        looked = f"{load.answers['201']} of {load.answers.total()} creates are 201, {_KILLS} x kill -9"
        return Judged(f"{looked}, {sent_again} sent again by the proxy, {len(made)} orders", found)


def framing_behind_a_proxy() -> Judged:
    """Send what two parsers may read in two ways: the server sees what the proxy passed on, request by request."""
    with _front() as front:
        begun = len(_passed(front))
        statuses = [_sent(front, request + SMUGGLED) for request in AMBIGUOUS.values()]
        found = _differences(front, begun)
        found += [f"{name}: {said}" for name, said in zip(AMBIGUOUS, statuses, strict=True) if "500" in said]
        if not _sent_on_to_https(front):
            found.append("plain HTTP is not sent on to HTTPS")
        looked = f"{len(AMBIGUOUS)} cases, {len(_passed(front)) - begun} requests passed on, each seen as such"
        httpx2.get(front.server.url + "/past-the-proxy")  # what smuggling would look like
        if not _differences(front, begun):
            found.append("it does not see a request that the proxy did not pass on")
        return Judged(looked, found)


def _differences(front: Front, begun: int) -> list[str]:
    """Return where what the proxy passed on is not what the server served or refused at its own door."""
    time.sleep(0.5)  # both write their logs when the answer has left
    passed = Counter(line.split()[-1] for line in _passed(front)[begun:] if line.split()[5] != "400")
    entries = [json.loads(line) for line in front.server.log().splitlines() if line.startswith("{")]
    seen = Counter(one["method"] for one in entries if one.get("method") and one.get("route") != "/readyz")
    return [
        f"the proxy passed on {passed[method]} {method}, the server saw {seen[method]}"
        for method in passed | seen
        if passed[method] != seen[method]
    ]


def _passed(front: Front) -> list[str]:
    return [line for line in front.log.read_text().splitlines() if "fulfillment/one" in line]


def _sent_on_to_https(front: Front) -> bool:
    with socket.create_connection(("127.0.0.1", front.plain_port), 5) as plain:
        plain.sendall(b"GET /v1/orders HTTP/1.1\r\nHost: x\r\n\r\n")
        return b" 308 " in plain.recv(4096)


@contextmanager
def _front() -> Generator[Front]:
    program = shutil.which("haproxy", path=os.environ.get("PATH", "") + ":/usr/sbin")
    if program is None:
        raise Skipped("haproxy is not installed")
    folder = Path(tempfile.mkdtemp(prefix="fronted-"))
    folder.chmod(0o711)
    served = folder / "served"
    served.mkdir(mode=0o711)
    environment = {"FULFILLMENT_FORWARDED_ALLOW_IPS": "127.0.0.1", "FULFILLMENT_ALLOWED_HOSTS": "localhost,127.0.0.1,x"}
    server = ServerProcess(served, ("--no-worker", "--processes", "2"), environment)
    try:
        server.start()
        with _haproxy(program, folder, server) as front:
            yield front
    finally:
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.stop()
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _haproxy(program: str, folder: Path, server: ServerProcess) -> Generator[Front]:
    port, plain_port = free_port(), free_port()
    configuration = folder / "haproxy.cfg"
    configuration.write_text(_configured(port, plain_port, _certificate(folder), server))
    checked = subprocess.run([program, "-c", "-f", configuration], capture_output=True, text=True, check=False)
    if checked.returncode != 0:
        raise RuntimeError(f"haproxy does not take the configuration: {checked.stderr[-1000:]}")
    log = folder / "haproxy.log"
    with log.open("wb") as output:
        process = subprocess.Popen([program, "-db", "-f", configuration], stdout=output, stderr=subprocess.STDOUT)
    trust = ssl.create_default_context(cafile=str(folder / "certificate.pem"))
    front = Front(server, port, plain_port, trust, log)
    try:
        _wait(front)
        yield front
    finally:
        process.terminate()
        process.wait(10)


def _configured(port: int, plain_port: int, certificate: Path, server: ServerProcess) -> str:
    """Return deploy/haproxy.cfg with this machine's ports, limits and certificate in the place of a real one's."""
    text = _CONFIGURATION.read_text()
    for ours, theirs in (
        ("bind :443 ssl crt /etc/haproxy/certs/", f"bind 127.0.0.1:{port} ssl crt {certificate}"),
        ("maxconn 20000", "maxconn 1000"),  # as many files as it may open here
        ("bind :80", f"bind 127.0.0.1:{plain_port}"),
        ("127.0.0.1:8000", server.url.removeprefix("http://")),
    ):
        if text.count(ours) != 1:
            raise RuntimeError(f"deploy/haproxy.cfg has no {ours!r}")
        text = text.replace(ours, theirs)
    return text


def _certificate(folder: Path) -> Path:
    key, certificate, both = (folder / name for name in ("key.pem", "certificate.pem", "both.pem"))
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    both.write_text(certificate.read_text() + key.read_text())
    return both


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def _wait(front: Front) -> None:
    until = time.monotonic() + 15
    while True:
        with contextlib.suppress(httpx2.TransportError):
            if httpx2.get(front.url + "/readyz", verify=front.trust).status_code == 200:
                return
        if time.monotonic() > until:
            raise RuntimeError(f"haproxy does not serve: {front.log.read_text()[-1000:]}")
        time.sleep(0.2)


def _fill_up(server: ServerProcess) -> None:
    lot = {"productId": _PRODUCT, "lotNumber": "PROXY-1", "expiry": "2035-01-01", "quantity": 100_000_000}
    with server.client_of(server.demo["operator_client_id"], server.demo["operator_client_secret"]) as operator:
        answer = operator.post("/v1/operator/lots", json=lot)
        if answer.status_code != 201:
            raise RuntimeError(f"no stock: {answer.text}")


class _Load:
    """Clients that create orders one after the other and try nothing twice."""

    def __init__(self, front: Front) -> None:
        self._front = front
        self._over = threading.Event()
        self._lock = threading.Lock()
        self.answers: Counter[str] = Counter()
        self.ids: set[str] = set()

    @contextmanager
    def running(self) -> Generator[None]:
        """Run until the block ends."""
        threads = [threading.Thread(target=self._create, args=(number,)) for number in range(_CLIENTS)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._over.set()
            for thread in threads:
                thread.join(60)

    def _create(self, number: int) -> None:
        with self._front.server.client() as known:
            headers = {"Authorization": known.headers["Authorization"]}
        with httpx2.Client(base_url=self._front.url, headers=headers, verify=self._front.trust, timeout=30) as client:
            for count in range(1_000_000):
                if self._over.is_set():
                    return
                self._note(client, f"{number}-{count}")

    def _note(self, client: httpx2.Client, key: str) -> None:
        body = an_order(a_line(_PRODUCT))
        body["customer"]["sourceId"] = key
        try:
            answer = client.post("/v1/orders", json=body, headers={"Idempotency-Key": f"proxy-{key}"})
            said, made = str(answer.status_code), answer.json().get("id")
        except (httpx2.TransportError, ValueError) as error:
            said, made = type(error).__name__, None
        with self._lock:
            self.answers[said] += 1
            if made:
                self.ids.add(made)


def _orders_of(server: ServerProcess) -> list[str]:
    found: list[str] = []
    with server.client() as client:
        cursor = ""
        while True:
            page = client.get(f"/v1/orders?limit=100{cursor}").json()
            found += [order["id"] for order in page["orders"]]
            if not page.get("cursor"):
                return found
            cursor = f"&cursor={page['cursor']}"


def _api_pids(server: ServerProcess) -> list[int]:
    """Return the processes that answer requests: those that have the listening socket given to them."""
    found: list[int] = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            command = path.read_bytes()
            parent = int((path.parent / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == server.pid and b"--fd" in command:
                found.append(int(path.parent.name))
    return sorted(found)


def _restarts(server: ServerProcess) -> int:
    return sum("ended" in line for line in server.log().splitlines() if not line.startswith("{"))


def _sent(front: Front, data: bytes) -> list[str]:
    """Send bytes through TLS and return the statuses of what comes back until it ends or is silent."""
    received = b""
    plain = socket.create_connection(("127.0.0.1", front.port), 5)
    with plain, front.trust.wrap_socket(plain, server_hostname="localhost") as wire:
        wire.settimeout(1.0)
        with contextlib.suppress(TimeoutError, OSError):
            wire.sendall(data)
            while chunk := wire.recv(65536):
                received += chunk
    return [part.split(b" ")[1].decode() for part in received.split(b"HTTP/1.1")[1:] if b" " in part]
