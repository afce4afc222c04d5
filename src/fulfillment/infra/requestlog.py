"""Each partner's own requests of the last days: what was called and how it ended. No bodies, queries or paths.

Rows wait in memory for a second at most and are written many in one statement. The log is a service to partners and
nothing else rests on it: while the database is away, or more comes than can be written, rows are dropped.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import psycopg

from fulfillment.infra import arrays
from fulfillment.infra.db import ALL_TENANTS, ReadTx, Tx
from fulfillment.infra.env import Env
from fulfillment.kernel.errors import FulfillmentError
from fulfillment.kernel.pages import Direction, PageRequest

if TYPE_CHECKING:
    from fulfillment.infra.web import Call

_PAUSE_SECONDS: Final = 0.5  # between two writes
_MOST_AT_ONCE: Final = 500  # rows of one statement
_MOST_WAITING: Final = 10_000  # rows; more are dropped
_PURGED_AT_ONCE: Final = 5000
_NAME: Final = "infra.requestlog"
_log = logging.getLogger(__name__)

INSERT_REQUESTS: Final = """
INSERT INTO request_log (partner_id, id, client_id, method, route, status, code, duration_us, created_at)
SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::smallint[], %s::text[],
                     %s::int[], %s::timestamptz[])
    ON CONFLICT DO NOTHING
"""

_MATCHES: Final = """
       partner_id = %(partner_id)s
   AND (%(least)s::int IS NULL OR status BETWEEN %(least)s AND %(most)s)
   AND (%(method)s::text IS NULL OR method = %(method)s)
"""
_COLUMNS: Final = "id, client_id, method, route, status, code, duration_us, created_at"
SELECT_NEXT: Final = f"""
SELECT {_COLUMNS} FROM request_log WHERE {_MATCHES} AND id < %(after)s ORDER BY id DESC LIMIT %(limit)s
"""
SELECT_PREVIOUS: Final = f"""
SELECT {_COLUMNS} FROM request_log WHERE {_MATCHES} AND id > %(after)s ORDER BY id LIMIT %(limit)s
"""

DELETE_OLD: Final = """
DELETE FROM request_log WHERE ctid = ANY (ARRAY(
  SELECT ctid FROM request_log WHERE created_at < %(before)s LIMIT %(limit)s FOR UPDATE SKIP LOCKED))
"""


@dataclass(frozen=True, slots=True)
class LoggedRequest:
    """One request of a partner's client."""

    id: str  # the X-Request-Id it was answered with
    client_id: str
    method: str
    route: str  # the template: /v1/orders/{orderId}
    status: int
    code: str | None  # of the problem, when there was one
    duration_us: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class RequestFilter:
    """What a list of requests is narrowed to; None: not at all."""

    least_status: int | None = None
    most_status: int | None = None
    method: str | None = None


class RequestLog:
    """One process's memory of requests that are still to be written."""

    def __init__(self, env: Env) -> None:
        self._env = env
        self._rows: list[tuple[Any, ...]] = []
        self._task: asyncio.Task[None] | None = None
        self.dropped = 0  # rows so far

    def observe(self, call: "Call", status: int, seconds: float) -> None:
        """Note one answered request of a partner's client; nobody else's is kept."""
        caller = call.caller
        if caller is None or not caller.partner_id:
            return
        if len(self._rows) >= _MOST_WAITING:
            self.dropped += 1
            return
        self._rows.append(
            (
                caller.partner_id,
                call.request_id,
                caller.client_id,
                call.scope["method"][:16],
                call.template,
                status,
                call.context.get("code"),
                min(int(seconds * 1_000_000), 2**31 - 1),
                self._env.now(),
            )
        )
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._write_soon())

    async def flush(self) -> None:
        """Write what waits; what can't be written is dropped."""
        while self._rows:
            rows, self._rows = self._rows[:_MOST_AT_ONCE], self._rows[_MOST_AT_ONCE:]
            try:
                async with self._env.db.transaction(ALL_TENANTS) as tx:
                    await tx.connection.execute(INSERT_REQUESTS, _columns(rows))
            except (FulfillmentError, psycopg.Error) as error:
                self.dropped += len(rows)
                _log.warning("requestlog.dropped", extra={"count": len(rows), "error": type(error).__name__})

    async def _write_soon(self) -> None:
        while self._rows:
            await asyncio.sleep(_PAUSE_SECONDS if len(self._rows) < _MOST_AT_ONCE else 0)
            await self.flush()


def log_of(env: Env) -> RequestLog:
    """Return the process's request log."""
    log = env.local.get(_NAME)
    if log is None:
        log = env.local[_NAME] = RequestLog(env)
    return log


def observer_of(env: Env) -> "Callable[[Call, int, float], None]":
    """Return what the front tells of each answered request."""
    return log_of(env).observe


async def select_page(
    tx: ReadTx, partner_id: str, wanted: RequestFilter, request: PageRequest
) -> Sequence[LoggedRequest]:
    """Return one request more than the page's limit, in reading order; the key is the id."""
    forward = request.direction is Direction.NEXT
    # "~" sorts behind, "" before every id in collation "C": the list's two ends.
    rows = await tx.all(
        SELECT_NEXT if forward else SELECT_PREVIOUS,
        partner_id=partner_id,
        least=wanted.least_status,
        most=wanted.most_status,
        method=wanted.method,
        after=request.after[0] if request.after else ("~" if forward else ""),
        limit=request.limit + 1,
    )
    return [LoggedRequest(**row) for row in rows]


async def purge(env: Env) -> int:
    """Remove the requests that are older than the setting says; return how many. For the worker."""
    before = env.now() - timedelta(days=env.settings.request_log_days)
    total = 0
    while True:
        async with env.db.transaction(ALL_TENANTS) as tx:
            removed = await _delete_old(tx, before)
        total += removed
        if removed < _PURGED_AT_ONCE:
            return total


async def _delete_old(tx: Tx, before: datetime) -> int:
    return await tx.execute(DELETE_OLD, before=before, limit=_PURGED_AT_ONCE)


def _columns(rows: Sequence[tuple[Any, ...]]) -> tuple[arrays.Array, ...]:
    partners, ids, clients, methods, routes, statuses, codes, durations, moments = zip(*rows, strict=True)
    return (
        arrays.texts(partners),
        arrays.texts(ids),
        arrays.texts(clients),
        arrays.texts(methods),
        arrays.texts(routes),
        arrays.smallints(statuses),
        arrays.texts(codes),
        arrays.ints(durations),
        arrays.moments(moments),
    )
