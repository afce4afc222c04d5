"""Passes every exchange of a test run through Stoplight Prism: `pytest -p tests.through_prism`, status 1 on a finding.

Each request a test made and the answer it got go over HTTP through Prism's validating proxy a moment later, in the
order they came. Not in between: Prism reads JSON and writes it anew, so no test of bytes, times or cut connections
could pass through it. This way none is left out, and what Prism judges is what was sent.
"""

import contextlib
import functools
import http.client
import json
import os
import queue
import re
import tempfile
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest

from fulfillment.app import create_app
from fulfillment.infra import settings
from fulfillment.infra.caches import Caches
from fulfillment.infra.db import Database
from fulfillment.infra.env import Env
from fulfillment.infra.secrets import load_or_create
from tests.judges import prism
from tests.judges.proxy import free_port
from tests.serving import ServerProcess

# What is no operation of any document: added by tests/oauth/rooms.py to look at the caller.
PROBES: Final = frozenset({"/v1/whoami", "/v1/operators-only", "/v1/hot", "/v1/hot-operator"})
# What writes by SQL what no operation would, only to see that it shows.
SPOILT_ROWS: Final = ("tests/orders/test_written.py::test_a_page_shows_what_another_process_wrote",)
_TOKEN_PATH: Final = "/oauth2/token"
_OTHER_SCHEME: Final = "Invalid security scheme used"
UNKNOWN_ROUTE: Final = "Selected route not found"
# Every GET answers HEAD and every path OPTIONS; a document says that nowhere.
_UNDOCUMENTED_METHODS: Final = frozenset({"HEAD", "OPTIONS"})
_OF_THE_CONNECTION: Final = frozenset({"host", "content-length", "transfer-encoding", "connection", "expect"})
_NEEDED: Final = frozenset({"authorization", "content-type", "accept", "idempotency-key"})
_PLACE_IN_A_LIST: Final = re.compile(r"\.\d+\b")
_MULTI_STATUS: Final = 207
_SECONDS: Final = 30
_DRAIN_SECONDS: Final = 300


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and its answer."""

    test: str
    method: str
    target: str  # path and query
    asked: Sequence[tuple[bytes, bytes]]
    body: bytes
    status: int
    answered: Sequence[tuple[bytes, bytes]]
    content: bytes

    @property
    def path(self) -> str:
        """Return the path alone."""
        return self.target.partition("?")[0]

    @property
    def accepted(self) -> bool:
        """Say whether the server found nothing wrong with the request as a whole; in a 207 a row may be refused."""
        return 200 <= self.status < 300 and self.status != _MULTI_STATUS

    @property
    def known_scheme(self) -> bool:
        """Say whether it has credentials that Prism does not know and RFCs 6749 (2.3.1) and 9110 (11.1) do.

        They are HTTP Basic at the token endpoint, where Prism takes "needs none" for "may have none", and "bearer".
        """
        given = [value.lower() for name, value in self.asked if name.lower() == b"authorization"]
        scheme = b"basic " if self.path == _TOKEN_PATH else b"bearer "
        return len(given) == 1 and given[0].startswith(scheme)

    def bare(self) -> "Exchange":
        """Return it with a request that any program can read: only its answer can be judged then."""
        body = b"{}" if self.method in {"POST", "PUT", "PATCH"} else b""
        asked = [(name, value) for name, value in self.asked if name.lower().decode("latin-1") in _NEEDED]
        return replace(self, asked=[*asked, (b"content-type", b"application/json")] if body else asked, body=body)


@dataclass(slots=True)
class Verdicts:
    """What Prism said of a run."""

    judged: int = 0  # requests and their answers
    answers_only: int = 0  # the request was nothing that Prism can read
    elsewhere: int = 0  # refused, or not beneath /v1, and of no operation in the document
    left_out: Counter[str] = field(default_factory=Counter[str])
    found: dict[tuple[str, str], list[str]] = field(default_factory=dict[tuple[str, str], list[str]])

    def hear(self, exchange: Exchange, said: Sequence[dict[str, Any]], *, whole: bool) -> None:
        """Take what Prism says of *exchange*; of a refused request only its answer counts."""
        if any(one["message"] == UNKNOWN_ROUTE for one in said):
            self.elsewhere += 1
            if exchange.accepted and exchange.path.startswith("/v1/"):
                self._find(exchange, "answered, and not in the document")
            return
        self.judged += whole
        self.answers_only += not whole
        for one in said:
            if one["message"] == _OTHER_SCHEME and exchange.known_scheme:
                self.left_out["schemes that Prism does not know"] += 1
            elif one["location"][0] == "response" or (whole and exchange.accepted):
                self._find(exchange, f"{'.'.join(map(str, one['location']))}: {one['message']}")

    def _find(self, exchange: Exchange, said: str) -> None:
        said = _PLACE_IN_A_LIST.sub(".*", said)
        place = f"{exchange.status} {exchange.target} in {exchange.test}"
        self.found.setdefault((exchange.method, said), []).append(place)

    def lines(self) -> list[str]:
        """Return each finding with its first place and how often it was made."""
        return [f"{method} {said} ({len(places)} x, {places[0]})" for (method, said), places in self.found.items()]

    def summary(self) -> str:
        """Return the figures."""
        left = "".join(f", {count} {why}" for why, count in sorted(self.left_out.items()))
        return (
            f"{self.judged} exchanges judged, {self.answers_only} answers to requests that Prism can't read, "
            f"{self.elsewhere} outside the document{left}: {len(self.found)} violations"
        )


class Passage:
    """Sends exchanges through Prism, one after the other, on a thread of its own."""

    def __init__(self, document: dict[str, Any], folder: Path) -> None:
        self.verdicts = Verdicts()
        self._at_hand: Exchange | None = None
        self._arrived = False
        self._queue: queue.SimpleQueue[Exchange | None] = queue.SimpleQueue()
        self._ending = ExitStack()
        upstream = ThreadingHTTPServer(("127.0.0.1", 0), self._answering())
        threading.Thread(target=upstream.serve_forever, daemon=True).start()
        self._ending.callback(upstream.server_close)
        self._ending.callback(upstream.shutdown)
        self._port = free_port()
        url = f"http://127.0.0.1:{upstream.server_port}"
        self._ending.enter_context(prism.running(by_path(document, url), url, folder, self._port))
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def take(self, exchange: Exchange) -> None:
        """Let *exchange* be judged."""
        self._queue.put(exchange)

    def end(self) -> Verdicts:
        """Wait for what is under way, end Prism, and return all verdicts."""
        self._queue.put(None)
        self._thread.join(_DRAIN_SECONDS)
        self._ending.close()
        if self._thread.is_alive():
            self.verdicts.found["", f"not done after {_DRAIN_SECONDS} s"] = [""]
        return self.verdicts

    def _run(self) -> None:
        while (exchange := self._queue.get()) is not None:
            if exchange.method in _UNDOCUMENTED_METHODS:
                self.verdicts.left_out["of HEAD or OPTIONS"] += 1
                continue
            if exchange.path in PROBES:
                self.verdicts.left_out["of the tests' own probes"] += 1
                continue
            if exchange.test.startswith(SPOILT_ROWS):
                self.verdicts.left_out["of rows spoilt on purpose"] += 1
                continue
            for whole, copy in ((True, exchange), (False, exchange.bare())):
                said = self._pass(copy)
                if said is not None:
                    self.verdicts.hear(exchange, said, whole=whole)
                    break
            else:
                self.verdicts.left_out[f"that Prism does not pass on ({exchange.test})"] += 1
                if exchange.accepted:
                    self.verdicts.hear(exchange, [_finding("not passed on by Prism, yet accepted")], whole=True)

    def _pass(self, exchange: Exchange) -> list[dict[str, Any]] | None:
        """Return what Prism finds, None where it did not pass the request on."""
        self._at_hand, self._arrived = exchange, False
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=_SECONDS)
        try:
            connection.putrequest(exchange.method, exchange.target, skip_host=True, skip_accept_encoding=True)
            connection.putheader("Host", "fulfillment.test")
            for name, value in exchange.asked:
                if name.lower().decode("latin-1") not in _OF_THE_CONNECTION:
                    connection.putheader(name, value)
            if exchange.body:
                connection.putheader("Content-Length", len(exchange.body))
            connection.endheaders(exchange.body or None)
            response = connection.getresponse()
            response.read()
        except (OSError, ValueError, http.client.HTTPException):
            return None
        finally:
            connection.close()
        if not self._arrived:
            return None
        said = response.getheader(prism.VIOLATIONS)
        if said is not None:
            return _violations(said)
        # Prism itself broke after the server had answered: that is no verdict.
        return [] if response.status == exchange.status else None

    def _answering(self) -> type[BaseHTTPRequestHandler]:
        passage = self

        class Answering(BaseHTTPRequestHandler):
            """Gives Prism the answer that the server gave."""

            def handle_one_request(self) -> None:
                self.close_connection = True
                self.raw_requestline = self.rfile.readline(65537)
                if not self.raw_requestline or not self.parse_request():
                    return
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                passage._answer(self)

            def log_message(self, format: str, *args: object) -> None:
                return

        return Answering

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        exchange = self._at_hand
        if exchange is None:
            handler.send_response_only(503)
            handler.end_headers()
            return
        self._arrived = True
        handler.send_response_only(exchange.status)
        for name, value in exchange.answered:
            text = name.decode("latin-1")
            if text.lower() not in _OF_THE_CONNECTION:
                handler.send_header(text, value.decode("latin-1"))
        if exchange.content:
            handler.send_header("Content-Length", str(len(exchange.content)))
        handler.send_header("Connection", "close")
        handler.end_headers()
        with contextlib.suppress(BrokenPipeError):  # what Prism can't forward it does not read to the end
            handler.wfile.write(exchange.content)


def _finding(message: str) -> dict[str, Any]:
    return {"location": ["request"], "message": message}


def _violations(said: str) -> list[dict[str, Any]]:
    try:
        return json.loads(said)
    except ValueError:  # cut off, where it has found very much
        return [
            {"location": [place], "message": said[:300]} for place in ("request", "response") if f'["{place}' in said
        ]


def by_path(document: dict[str, Any], url: str) -> dict[str, Any]:
    """Return *document* with each path as a client writes it, behind the one server *url*."""
    paths = {
        path if "servers" in item else f"/v1{path}": {name: value for name, value in item.items() if name != "servers"}
        for path, item in document["paths"].items()
    }
    return document | {"paths": paths, "servers": [{"url": url}]}


def served_document(folder: Path) -> dict[str, Any]:
    """Return the sandbox's document, which has every operation; production's is a part of it."""
    database = Database("host=nowhere")  # it connects when first asked, and nobody asks
    secrets = load_or_create(folder / "secrets.json")
    env = Env(
        settings.load(data_dir=folder, environment="sandbox"),
        database,
        Caches(database),
        secrets,
        lambda: datetime.now(UTC),
    )
    return json.loads(json.dumps(dict(create_app(env).document)))


class _Heard(httpx2.AsyncByteStream, httpx2.SyncByteStream):
    """A body that is handed on as it comes, and told once it came whole."""

    def __init__(self, stream: Any, told: Callable[[bytes], None]) -> None:
        self._stream = stream
        self._told = told

    def __iter__(self) -> Iterator[bytes]:
        parts: list[bytes] = []
        for part in self._stream:
            parts.append(part)
            yield part
        self._told(b"".join(parts))

    async def __aiter__(self) -> AsyncIterator[bytes]:
        parts: list[bytes] = []
        async for part in self._stream:
            parts.append(part)
            yield part
        self._told(b"".join(parts))

    def close(self) -> None:
        self._stream.close()

    async def aclose(self) -> None:
        await self._stream.aclose()


class Listening:
    """Hears what the clients in this process ask of the application, in it or in a server that a test started."""

    def __init__(self, told: Callable[[Exchange], None], left_out: Counter[str]) -> None:
        self._told = told
        self._left_out = left_out
        self._servers: set[tuple[str, int | None]] = set()

    def begin(self, patch: pytest.MonkeyPatch) -> None:
        """Listen until *patch* is undone."""
        in_process, over_tcp = httpx2.ASGITransport.handle_async_request, httpx2.HTTPTransport.handle_request
        async_over_tcp, start = httpx2.AsyncHTTPTransport.handle_async_request, ServerProcess.start

        @functools.wraps(in_process)
        async def heard_in_process(transport: httpx2.ASGITransport, request: httpx2.Request) -> httpx2.Response:
            return self._hear(request, await in_process(transport, request))

        @functools.wraps(over_tcp)
        def heard(transport: httpx2.HTTPTransport, request: httpx2.Request) -> httpx2.Response:
            response = over_tcp(transport, request)
            return self._hear(request, response) if self._ours(request) else response

        @functools.wraps(async_over_tcp)
        async def heard_async(transport: httpx2.AsyncHTTPTransport, request: httpx2.Request) -> httpx2.Response:
            response = await async_over_tcp(transport, request)
            return self._hear(request, response) if self._ours(request) else response

        @functools.wraps(start)
        def started(process: ServerProcess) -> None:
            start(process)
            url = httpx2.URL(process.url)
            self._servers.add((url.host, url.port))

        patch.setattr(httpx2.ASGITransport, "handle_async_request", heard_in_process)
        patch.setattr(httpx2.HTTPTransport, "handle_request", heard)
        patch.setattr(httpx2.AsyncHTTPTransport, "handle_async_request", heard_async)
        patch.setattr(ServerProcess, "start", started)

    def _ours(self, request: httpx2.Request) -> bool:
        return (request.url.host, request.url.port) in self._servers

    def _hear(self, request: httpx2.Request, response: httpx2.Response) -> httpx2.Response:
        if not isinstance(request.stream, httpx2.ByteStream):
            self._left_out["with a body sent piece by piece"] += 1
            return response
        test, _, _ = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")
        exchange = Exchange(
            test=test,
            method=request.method,
            target=request.url.raw_path.decode("ascii"),
            asked=request.headers.raw,
            body=b"".join(request.stream),
            status=response.status_code,
            answered=response.headers.raw,
            content=b"",
        )
        told = self._told
        response.stream = _Heard(response.stream, lambda content: told(replace(exchange, content=content)))
        return response


_PASSAGE: Final = pytest.StashKey[Passage]()
_ENDING: Final = pytest.StashKey[ExitStack]()
_SAID: Final = pytest.StashKey[Verdicts]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add what the judge needs."""
    group = parser.getgroup("prism")
    group.addoption("--prism-report", type=Path, help="Where the verdict is written, as JSON.")
    group.addoption("--prism-seeded", action="store_true", help="Judge by a document that is wrong on purpose.")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Start Prism and begin to listen."""
    ending = session.config.stash[_ENDING] = ExitStack()
    folder = Path(ending.enter_context(tempfile.TemporaryDirectory(prefix="prism-")))
    document = served_document(folder)
    if session.config.getoption("--prism-seeded"):
        document["components"]["schemas"]["OrderStatus"]["enum"] = ["LOST"]
    passage = session.config.stash[_PASSAGE] = Passage(document, folder)
    patch = ending.enter_context(pytest.MonkeyPatch.context())
    Listening(passage.take, passage.verdicts.left_out).begin(patch)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the run where Prism found something."""
    passage = session.config.stash.get(_PASSAGE, None)
    if passage is not None:
        verdicts = session.config.stash[_SAID] = passage.end()
        report: Path | None = session.config.getoption("--prism-report")
        if report is not None:
            report.write_text(
                json.dumps({"summary": verdicts.summary(), "judged": verdicts.judged, "found": verdicts.lines()})
            )
        if verdicts.found and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
    session.config.stash[_ENDING].close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say what Prism said."""
    verdicts = config.stash.get(_SAID, None)
    if verdicts is not None:
        terminalreporter.section("Prism")
        for line in (*verdicts.lines(), verdicts.summary()):
            terminalreporter.line(line)
