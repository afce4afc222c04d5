"""Receivers of webhooks that behave, and that do not: real servers on real sockets, in own threads."""

import asyncio
import contextlib
import gzip
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Self, cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True, slots=True)
class Received:
    """A request as it came in."""

    method: str
    path: str
    headers: Mapping[str, str]  # names in lower case
    body: bytes


class Connection:
    """One connection to a receiver, as its behaviour sees it."""

    def __init__(self, sock: socket.socket, receiver: "Receiver") -> None:
        self.sock = sock
        self.receiver = receiver
        self._stream = sock.makefile("rb")

    def request(self) -> Received | None:
        """Read and note one whole request; None when the sender has closed."""
        first = self._stream.readline().decode()
        if not first:
            return None
        method, path, _ = first.split(" ", 2)
        headers: dict[str, str] = {}
        while line := self._stream.readline().decode().strip():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        body = self._stream.read(int(headers.get("content-length", "0")))
        received = Received(method, path, headers, body)
        self.receiver.requests.append(received)
        return received

    def send(self, data: bytes) -> None:
        """Send *data* and count it."""
        self.sock.sendall(data)
        self.receiver.sent_bytes += len(data)

    def wait_for_close(self) -> None:
        """Wait until the sender gives up, or the receiver is stopped."""
        while self._stream.read(1):
            pass

    def reset(self) -> None:
        """Close with a reset instead of an orderly end."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._stream.close()
        self.sock.close()


Behaviour = Callable[[Connection], None]


class Receiver:
    """A server on a free port, for the time of a `with`. What it got is in `requests` and `connections`.

    Args:
        behave: Serves one connection, in a thread of its own.
        host: An address of this machine.
        port: 0 takes a free one.
        tls: Makes it an https receiver.
    """

    def __init__(
        self,
        behave: Behaviour,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: ssl.SSLContext | None = None,
        name: str | None = None,
    ) -> None:
        self.requests: list[Received] = []
        self.connections = 0
        self.sent_bytes = 0
        self._behave = behave
        self._tls = tls
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server((host, port), backlog=256)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://{name or host}:{self.port}/hook"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in tuple(self._open):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                self.connections += 1
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        self._open.add(sock)
        with contextlib.suppress(OSError, ValueError), contextlib.ExitStack() as stack:
            stack.callback(self._open.discard, sock)
            wrapped = self._tls.wrap_socket(sock, server_side=True) if self._tls else sock
            connection = Connection(wrapped, self)
            stack.callback(connection.close)
            self._behave(connection)


def head(status: int = 200, **headers: str | int) -> bytes:
    """Return the head of an answer; ``Retry_After=5`` becomes ``Retry-After: 5``."""
    lines = [
        f"HTTP/1.1 {status} Whatever",
        *(f"{key.replace('_', '-')}: {value}" for key, value in headers.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def answering(status: int = 200, body: bytes = b"ok", **headers: str | int) -> Behaviour:
    """Answer every request alike and keep the connection, as a good receiver does."""

    def behave(connection: Connection) -> None:
        while connection.request():
            connection.send(head(status, Content_Length=len(body), **headers) + body)

    return behave


def saying(data: bytes) -> Behaviour:
    """Answer a request with exactly these bytes, then close."""

    def behave(connection: Connection) -> None:
        connection.request()
        connection.send(data)

    return behave


def hanging(connection: Connection) -> None:
    """Take the request and never answer."""
    connection.request()
    connection.wait_for_close()


def mute(connection: Connection) -> None:
    """Take the connection and never say a word."""
    connection.wait_for_close()


def cut_short(connection: Connection) -> None:
    """Promise a hundred bytes, send ten, close."""
    connection.request()
    connection.send(head(Content_Length=100) + b"x" * 10)


def closing(connection: Connection) -> None:
    """Take the request and close without a word."""
    connection.request()


def resetting(connection: Connection) -> None:
    """Take the request and reset the connection."""
    connection.request()
    connection.reset()


def once_per_connection(connection: Connection) -> None:
    """Answer one request, claim to keep the connection, and break it when the next request comes."""
    connection.request()
    connection.send(head(Content_Length=2) + b"ok")
    connection.sock.recv(1)
    connection.reset()


def flooding(total: int) -> Behaviour:
    """Send an answer of *total* bytes as fast as it is taken."""

    def behave(connection: Connection) -> None:
        connection.request()
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 * 1024)
        connection.send(head(Content_Length=total))
        block = bytes(64 * 1024)
        for _ in range(total // len(block)):
            connection.send(block)

    return behave


def dripping(before: bytes, seconds: float = 0.1) -> Behaviour:
    """Send *before* at once, then a byte every so often, without end."""

    def behave(connection: Connection) -> None:
        connection.request()
        connection.send(before)
        while True:
            connection.send(b"x")
            time.sleep(seconds)

    return behave


def gzip_bomb(connection: Connection) -> None:
    """Send 50 KB that unpack to 50 MB."""
    connection.request()
    bomb = gzip.compress(bytes(50_000_000))
    connection.send(head(Content_Encoding="gzip", Content_Length=len(bomb)) + bomb)


class Authority:
    """A certificate authority that lives in a folder and makes TLS contexts for receivers."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Authority {folder.name}")])
        self._certificate = self._builder(self._name, self._key.public_key(), ca=True).sign(self._key, hashes.SHA256())
        self.ca_file = folder / "ca.pem"
        self.ca_file.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def context(self, *names: str) -> ssl.SSLContext:
        """Return a server's context with a certificate of this authority for *names* (or addresses)."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        alternatives = x509.SubjectAlternativeName([_general_name(name) for name in names])
        certificate = (
            self._builder(subject, key.public_key(), ca=False)
            .add_extension(alternatives, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        file = self._folder / f"{names[0]}.pem"
        file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePublicKey, *, ca: bool) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


class FastReceiver:
    """A process at `url` that answers 200 to everything as fast as Python can, for measuring senders."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen([sys.executable, "-m", "tests.receivers"], stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


class _FastAnswers(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's inherits from nothing
        self._unread = b""

    def data_received(self, data: bytes) -> None:
        unread, answers = self._unread + data, 0
        while (end := unread.find(b"\r\n\r\n")) >= 0:
            length = unread[:end].lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
            if len(unread) < end + 4 + int(length):
                break
            unread, answers = unread[end + 4 + int(length) :], answers + 1
        self._unread = unread
        self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" * answers)


async def _serve_fast() -> None:
    server = await asyncio.get_running_loop().create_server(_FastAnswers, "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    import uvloop

    uvloop.run(_serve_fast())
