"""The loop: runs every job when it is due, survives any of them failing, stops when told."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from fulfillment.infra.env import Env
from fulfillment.kernel.errors import FulfillmentError

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Job:
    """Work that comes back."""

    name: str  # noun.verbed
    run: Callable[[Env], Awaitable[int]]  # returns how much it did
    every_seconds: float


async def run_forever(env: Env, jobs: Sequence[Job], stopping: asyncio.Event) -> None:
    """Run every job again and again until *stopping* is set."""
    async with asyncio.TaskGroup() as group:
        for job in jobs:
            group.create_task(_repeat(env, job, stopping))


async def _repeat(env: Env, job: Job, stopping: asyncio.Event) -> None:
    while not stopping.is_set():
        began = time.monotonic()
        try:
            done = await job.run(env)
            if done:
                _log.info(job.name, extra={"count": done, "ms": round((time.monotonic() - began) * 1000)})
        except FulfillmentError as error:
            _log.warning("job.postponed", extra={"job": job.name, "code": error.code})
        except Exception as error:  # a job that fails must not stop the others, nor its own next run
            _log.exception("job.failed", extra={"job": job.name, "error": type(error).__name__})
        try:
            await asyncio.wait_for(stopping.wait(), timeout=job.every_seconds)
        except TimeoutError:
            continue
