"""A partner's receiver, as a process of its own: fails three requests in ten until told to heal, and logs all."""

import argparse
import asyncio
import base64
import json
import os
import random
import signal
import time
from typing import Final

from aiohttp import web

HANG_SECONDS: Final = 3.0  # longer than the sender waits
_HEADERS: Final = (
    "X-Juniper-Signature",
    "X-Juniper-Webhook-Id",
    "X-Juniper-Event-Id",
    "X-Juniper-Event-Type",
    "X-Juniper-Sequence",
)


class Receiver:
    """Answers, fails, hangs and resets; one line of JSON for each arrival, written before its answer."""

    def __init__(self, log: str, share: float, seed: int) -> None:
        self._log = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._chance = random.Random(seed)
        self.share = share  # of the requests that fail

    async def receive(self, request: web.Request) -> web.StreamResponse:
        """Take one delivery."""
        body = await request.read()
        kind = self._kind()
        line = {
            "at": time.time(),
            "path": request.path,
            "body": base64.b64encode(body).decode(),
            "outcome": kind,
            **{name: request.headers.get(name) for name in _HEADERS},
        }
        os.write(self._log, json.dumps(line).encode() + b"\n")
        if kind == "hang":
            await asyncio.sleep(HANG_SECONDS)
        if kind == "reset" and request.transport is not None:
            request.transport.abort()
        return web.Response(status=200 if kind == "ok" else 500)

    def _kind(self) -> str:
        if self._chance.random() >= self.share:
            return "ok"
        return self._chance.choices(("error", "reset", "hang"), (60, 35, 5))[0]

    def heal(self) -> None:
        """Fail no more."""
        self.share = 0.0


async def _main(arguments: argparse.Namespace) -> None:
    receiver = Receiver(arguments.log, arguments.share, arguments.seed)
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, receiver.heal)
    app = web.Application()
    app.router.add_post("/{partner}", receiver.receive)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", arguments.port, backlog=1024).start()
    print("ready", flush=True)
    await asyncio.Event().wait()


def main() -> None:
    """Listen until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--log", required=True)
    parser.add_argument("--share", type=float, required=True)
    parser.add_argument("--seed", type=int, required=True)
    asyncio.run(_main(parser.parse_args()))


if __name__ == "__main__":
    main()
