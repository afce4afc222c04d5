"""The worker's composition root: builds the Env, delivers webhooks and runs the jobs until told to stop."""

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack

from fulfillment.infra import clock, logs, telemetry
from fulfillment.infra import settings as settings_module
from fulfillment.infra.composing import make_env
from fulfillment.infra.env import Env
from fulfillment.infra.exposing import exposing
from fulfillment.infra.metrics import metrics_of
from fulfillment.infra.settings import Settings
from fulfillment.webhooks import sending
from fulfillment.webhooks.delivering import Deliverer
from fulfillment.webhooks.listening import listen
from fulfillment.worker.jobs import JOBS
from fulfillment.worker.loop import run_forever
from fulfillment.worker.measuring import questions

_log = logging.getLogger(__name__)


async def work(env: Env, stopping: asyncio.Event, ready: Callable[[], None]) -> None:
    """Deliver and run the jobs until *stopping* is set; deliveries under way are finished first."""
    async with AsyncExitStack() as stack:
        stack.push_async_callback(env.db.close)
        await stack.enter_async_context(clock.kept(env))
        poster = await stack.enter_async_context(sending.make_poster(env))
        deliverer = Deliverer(env, poster, metrics=metrics_of(env))
        await stack.enter_async_context(exposing(env, questions(env)))
        helpers = [
            asyncio.create_task(env.caches.watch()),
            asyncio.create_task(listen(env.db.dsn, deliverer.wake)),
        ]
        stack.callback(lambda: [helper.cancel() for helper in helpers])
        async with asyncio.TaskGroup() as group:
            group.create_task(deliverer.run(stopping))
            group.create_task(run_forever(env, JOBS, stopping))
            ready()


async def _main(settings: Settings, ready: Callable[[], None]) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    await work(make_env(settings), stopping, ready)


def main() -> int:
    """Run one worker on FULFILLMENT_DATABASE_URL, already migrated."""
    import uvloop

    parser = argparse.ArgumentParser(prog="fulfillment worker")
    parser.add_argument("--ready-fd", type=int, help="where to write a line once it runs")
    arguments = parser.parse_args()
    settings = settings_module.load()
    logs.configure(settings.log_level, settings.log_format)
    telemetry.configure("fulfillment-worker")

    def ready() -> None:
        if arguments.ready_fd is not None:
            with contextlib.suppress(OSError):  # nobody waits for it any more
                os.write(arguments.ready_fd, b"ready\n")
                os.close(arguments.ready_fd)

    uvloop.run(_main(settings, ready))
    return 0


if __name__ == "__main__":
    sys.exit(main())
