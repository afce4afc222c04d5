"""A real HTTP server on loopback that plays scripted answers and remembers what it was asked."""

import json
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, Self
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Seen:
    """One request as it arrived."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]  # by lower-case names
    body: bytes

    @property
    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Play:
    """One answer to give. A status of 0 closes the connection without one."""

    status: int = 200
    body: object = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass
class ScriptedServer:
    """Gives tokens on /oauth2/token, and the scripted answers, in order, on everything else.

    When the script has ended, its last answer is given again.
    """

    script: deque[Play] = field(default_factory=deque[Play])
    token_script: deque[Play] = field(default_factory=deque[Play])
    seen: list[Seen] = field(default_factory=list[Seen])
    tokens_seen: list[Seen] = field(default_factory=list[Seen])
    revoked: set[str] = field(default_factory=set[str])  # tokens to refuse
    expires_in: int = 3600
    on_token: Callable[[], None] = lambda: None
    lock: threading.Lock = field(default_factory=threading.Lock)
    port: int = 0

    def plays(self, *answers: Play) -> None:
        """Set what is answered next."""
        self.script = deque(answers)

    @property
    def url(self) -> str:
        """Where the server is."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        """Start to listen."""
        scripted = self

        class Handler(_Handler):
            server_of_test: ClassVar[ScriptedServer] = scripted

        self._http = _Listener(("127.0.0.1", 0), Handler)
        self.port = self._http.server_address[1]
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop listening."""
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def answer(self, seen: Seen) -> Play:
        """Remember a request and choose its answer."""
        if seen.path == "/oauth2/token":
            self.on_token()
            return self._token(seen)
        with self.lock:
            self.seen.append(seen)
            if seen.headers.get("authorization", "").removeprefix("Bearer ") in self.revoked:
                return Play(401, {"code": "invalid_token", "title": "Invalid token", "status": 401})
            return self.script.popleft() if len(self.script) > 1 else self.script[0]

    def _token(self, seen: Seen) -> Play:
        with self.lock:
            self.tokens_seen.append(seen)
            if self.token_script:
                return self.token_script.popleft()
            number = len(self.tokens_seen)
        return Play(200, {"access_token": f"token-{number}", "expires_in": self.expires_in, "token_type": "Bearer"})


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64  # with the default of 5, the sixth of many at once waits a second


class _Handler(BaseHTTPRequestHandler):
    server_of_test: ClassVar[ScriptedServer]
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def _play(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", "0")))
        parts = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        play = self.server_of_test.answer(Seen(self.command, parts.path, parse_qs(parts.query), headers, body))
        if play.status == 0:
            self.close_connection = True
            return
        content = play.body if isinstance(play.body, bytes) else _json(play.body)
        self.send_response(play.status)
        for name, value in {"X-Request-Id": "req-1", **play.headers}.items():
            self.send_header(name, value)
        if play.status != 204:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if play.status != 204:
            self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _play

    def log_message(self, format: str, *args: object) -> None:
        """Keep the test's output quiet."""


def _json(body: object) -> bytes:
    return b"" if body is None else json.dumps(body).encode()
