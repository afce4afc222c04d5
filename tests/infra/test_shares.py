"""Connections spread over the processes of one socket."""

import os
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fulfillment.infra import shares
from fulfillment.infra.shares import Shares
from tests.serving import ServerProcess, serving

OTHER = """
import sys
from fulfillment.infra.shares import Shares
mine = Shares(int(sys.argv[1]))
print(mine.least(), flush=True)
for line in sys.stdin:
    mine.tell(int(line)) if line.strip() else mine.leave()
    print("told", flush=True)
"""


@pytest.fixture
def descriptor() -> Iterator[int]:
    """Rows that nobody has written to."""
    made = shares.create()
    yield made
    os.close(made)


@pytest.fixture
def other(descriptor: int) -> "Iterator[Callable[[], subprocess.Popen[str]]]":
    """Start other processes of the rows."""
    started: list[subprocess.Popen[str]] = []

    def start() -> "subprocess.Popen[str]":
        started.append(
            subprocess.Popen(
                [sys.executable, "-c", OTHER, str(descriptor)],
                pass_fds=(descriptor,),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def said(process: "subprocess.Popen[str]", line: str | None = None) -> str:
    """Tell a process a line, and return the one it says."""
    assert process.stdin is not None
    assert process.stdout is not None
    if line is not None:
        process.stdin.write(f"{line}\n")
        process.stdin.flush()
    return process.stdout.readline().strip()


def test_each_sees_who_has_fewest(descriptor: int, other: "Callable[[], subprocess.Popen[str]]"):
    """A process sees the fewest connections of the others, not its own; who leaves, or was killed, counts no more."""
    own = Shares(descriptor)
    own.tell(5)
    assert own.least() is None

    first = other()
    assert said(first) == "5"
    second = other()
    assert said(second) == "0"
    said(first, "7")
    said(second, "9")
    assert own.least() == 7
    said(first, "")
    assert own.least() == 9
    second.kill()
    second.wait()
    assert own.least() is None


def test_more_processes_than_rows_disturb_nobody(descriptor: int):
    """Rows are a hint: whoever finds none free goes on all the same."""
    everybody = [Shares(descriptor) for _ in range(80)]
    for count, each in enumerate(everybody):
        each.tell(count)

    assert everybody[0].least() == 1


def test_a_process_alone_has_no_others():
    """Without rows there is nobody to give way to."""
    alone = Shares(None)
    alone.tell(3)
    alone.leave()

    assert alone.least() is None


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    """A server of two processes."""
    with serving("--no-worker", "--processes", "2") as started:
        yield started


def test_kept_connections_are_spread(server: ServerProcess):
    """Of sixteen clients that come one after the other and stay, each of two processes has about half."""
    host, text = server.url.removeprefix("http://").split(":")
    address = host, int(text)
    _wait_for_both(address)

    clients = [_stay(address) for _ in range(16)]
    held = _held(address[1])
    for client in clients:
        client.close()

    assert sum(held.values()) == 16
    assert min(held.values()) >= 4
    assert len(held) == 2


def _wait_for_both(address: tuple[str, int]) -> None:
    """Wait until both processes take connections: the server serves as soon as one of them does."""
    clients: list[socket.socket] = []
    until = time.monotonic() + 30
    while len(_held(address[1])) < 2 and time.monotonic() < until:
        clients.append(_stay(address))
    for client in clients:
        client.close()
    while _held(address[1]) and time.monotonic() < until:
        time.sleep(0.03)


def _stay(address: tuple[str, int]) -> socket.socket:
    client = socket.create_connection(address)
    time.sleep(0.05)  # longer than a process gives way for another that may be slow to wake
    return client


def _held(port: int) -> "Counter[str]":
    """Return how many connections to a port each process holds, by the kernel's account."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    standing = {f"socket:[{row[9]}]" for row in rows if row[3] == "01" and int(row[1].split(":")[1], 16) == port}
    held: Counter[str] = Counter()
    for entry in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            held[entry.parts[2]] += os.readlink(entry) in standing
        except OSError:
            continue
    return +held
