"""What the check of a token adds to a request: CPU, inside one process, for a token seen before and for a new one."""

import asyncio
import time

from fulfillment.infra.env import Env
from fulfillment.infra.web import Call
from fulfillment.oauth.authority import authority_of
from fulfillment.oauth.http import authenticate

_TIMES = 2000


def check_us(env: Env, token: str) -> dict[str, float]:
    """Return microseconds of CPU for each of the two."""
    return asyncio.run(_measured(env, token))


async def _measured(env: Env, token: str) -> dict[str, float]:
    try:
        scope = {"type": "http", "method": "GET", "headers": [(b"authorization", b"Bearer " + token.encode())]}
        call = Call(scope, _nothing, env, "bench")
        await authenticate(call)  # loads the clients
        known = authority_of(env).known
        return {"seen": await _each(call), "new": await _each(call, known.clear)}
    finally:
        await env.db.close()


async def _each(call: Call, before=lambda: None) -> float:
    began = time.process_time()
    for _ in range(_TIMES):
        before()
        await authenticate(call)
    return 1e6 * (time.process_time() - began) / _TIMES


async def _nothing() -> dict:
    return {"type": "http.request", "body": b"", "more_body": False}
