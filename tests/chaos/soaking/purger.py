"""A worker that purges from a clock ahead of the others': a day is the least that a setting keeps, a soak is shorter.

    python -m tests.chaos.soaking.purger --ahead SECONDS --every SECONDS

Its jobs and its loop are the worker's own, and so are the settings; the present it is told is a later one.
"""

import argparse
import asyncio
import signal
from dataclasses import replace
from datetime import timedelta
from typing import Final

import uvloop

from fulfillment.infra import clock, logs
from fulfillment.infra import settings as settings_module
from fulfillment.infra.composing import make_env
from fulfillment.worker.jobs import JOBS
from fulfillment.worker.loop import run_forever

PURGES: Final = ("events.purged", "requests.purged", "idempotency_keys.purged")


async def _main(ahead: timedelta, every_seconds: float) -> None:
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    env = make_env(settings_module.load())
    later = replace(env, now=lambda: env.now() + ahead)
    jobs = [replace(job, every_seconds=every_seconds) for job in JOBS if job.name in PURGES]
    async with clock.kept(env):
        await run_forever(later, jobs, stopping)
    await env.db.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ahead", type=float, required=True)
    parser.add_argument("--every", type=float, required=True)
    arguments = parser.parse_args()
    logs.configure("info", "json")
    uvloop.run(_main(timedelta(seconds=arguments.ahead), arguments.every))
