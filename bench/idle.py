"""What ten thousand idle connections cost a running API process: memory for each, and what others notice.

    .venv/bin/python bench/idle.py URL PID [CONNECTIONS]

URL is a running server's on loopback (its connections must not be bounded below), PID its API process.
"""

import asyncio
import resource
import statistics
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

REQUEST = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def main(url: str, pid: int, count: int) -> None:
    """Open the connections, one request on each, hold them, and measure."""
    place = urlsplit(url)
    host, port = place.hostname or "127.0.0.1", place.port or 80
    before, quiet = resident(pid), await latency(host, port)
    held: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
    for start in range(0, count, 200):
        held += await asyncio.gather(*(opened(host, port) for _ in range(min(200, count - start))))
    after, crowded = resident(pid), await latency(host, port)
    alive = sum(not reader.at_eof() for reader, _ in held)
    print(f"{alive} of {count} connections held, {(after - before) / count / 1024:.1f} KiB each")
    print(f"resident before {before / 2**20:.0f} MiB, after {after / 2**20:.0f} MiB")
    print(f"p50 of others: {quiet * 1000:.2f} ms before, {crowded * 1000:.2f} ms beside them")
    for _, writer in held:
        writer.close()


async def opened(host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Return a connection that has had an answer."""
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(REQUEST)
    await reader.readuntil(b"}")
    return reader, writer


async def latency(host: str, port: int) -> float:
    """Return the median seconds of two hundred requests on one connection."""
    reader, writer = await asyncio.open_connection(host, port)
    found: list[float] = []
    for _ in range(200):
        began = time.perf_counter()
        writer.write(REQUEST)
        await reader.readuntil(b"}")
        found.append(time.perf_counter() - began)
    writer.close()
    return statistics.median(found)


def resident(pid: int) -> int:
    """Return a process's resident bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()


if __name__ == "__main__":
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 10_000))
