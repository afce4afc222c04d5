"""Requests a minute of one partner and class of operation, over all processes, without a server of their own.

The truth is one row in PostgreSQL for each partner and class (the generic cell rate algorithm in one statement). So
that a request does not cost a round trip, a process takes a block of requests at a time, at most a twentieth of the
limit, and spends it from memory. Blocks double while they are spent at once; what is left of one after five seconds is
given back with the next. Hence the margin (docs/decisions/0008): up to a block for each process may lie unspent where
it is not needed, or be spent five seconds after it was taken; by no more than that is a partner refused early or let
through late.
"""

import asyncio
import logging
import math
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, Final, Literal, LiteralString

from fulfillment.infra.env import Env
from fulfillment.infra.metrics import metrics_of
from fulfillment.infra.settings import Settings
from fulfillment.kernel.errors import FulfillmentError, Kind

OperationClass = Literal["read", "write", "token"]

WINDOW_SECONDS: Final = 60.0
LEASE_SECONDS: Final = 5.0
_BLOCKS: Final = 20  # a process takes a twentieth of the limit at a time
_LOCAL_BUCKETS: Final = 10_000
_NAME: Final = "infra.ratelimit"
_log = logging.getLogger(__name__)

# How many of the asked requests fit is decided and taken at once. The statement's own moment is the database's, so
# processes whose clocks differ agree. A bucket that is full far beyond the window was filled on a clock that has since
# been set back: it is an empty one, or its partner would be refused until the clock is there again.
TAKE: Final[LiteralString] = """
INSERT INTO rate_limits AS bucket (key, full_at, granted)
VALUES (%(key)s, extract(epoch FROM statement_timestamp())::float8 + %(amount)s * %(cost)s::float8, %(amount)s)
    ON CONFLICT (key) DO UPDATE SET (full_at, granted) = (
       SELECT base.at + fits.amount * %(cost)s::float8, fits.amount
         FROM (SELECT greatest(CASE WHEN bucket.full_at
                                         < extract(epoch FROM statement_timestamp())::float8 + 2 * %(window)s::float8
                                    THEN bucket.full_at - %(back)s * %(cost)s::float8 END,
                               extract(epoch FROM statement_timestamp())::float8) AS at) AS base
        CROSS JOIN LATERAL (
          SELECT greatest(0, least(%(amount)s::int, floor(
            (extract(epoch FROM statement_timestamp())::float8 + %(window)s::float8 - base.at)
            / %(cost)s::float8 + 1e-6)::int)) AS amount) AS fits)
RETURNING granted, full_at - extract(epoch FROM statement_timestamp())::float8
"""
DELETE_IDLE: Final = """
DELETE FROM rate_limits WHERE full_at < extract(epoch FROM now()) - 3600
"""


class RateLimited(FulfillmentError):
    """The partner has sent as many requests of this class as it may in a minute."""

    kind = Kind.LIMITED
    code = "rate_limited"
    title = "Too many requests"


@dataclass(slots=True)
class _Bucket:
    """What this process holds of one partner's requests."""

    left: int = 0
    size: int = 1  # of the next block
    spent: int = 0  # of the last one
    spoilt_at: float = 0.0  # monotonic: what is left then is forfeited
    closed_until: float = 0.0  # monotonic: nothing to be had before
    full_in: float = 0.0  # seconds, when last asked
    asked_at: float = 0.0  # monotonic
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a partner may still send, as it is told so in headers."""

    policy: OperationClass
    limit: int  # requests in WINDOW_SECONDS
    remaining: int
    reset_seconds: int  # until the whole limit is there again

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Return the fields of the IETF draft, and the older three that most clients read."""
        limit, left, reset = str(self.limit), str(self.remaining), str(self.reset_seconds)
        return [
            (b"ratelimit-policy", f'"{self.policy}";q={limit};w={WINDOW_SECONDS:.0f}'.encode()),
            (b"ratelimit", f'"{self.policy}";r={left};t={reset}'.encode()),
            (b"ratelimit-limit", limit.encode()),
            (b"ratelimit-remaining", left.encode()),
            (b"ratelimit-reset", reset.encode()),
        ]


class Limiter:
    """One process's share of the limits."""

    def __init__(self, env: Env) -> None:
        self._env = env
        self._limits: dict[OperationClass, int] = limits_of(env.settings)
        self._buckets: OrderedDict[tuple[str, OperationClass], _Bucket] = OrderedDict()

    async def take(self, partner_id: str, policy: OperationClass) -> Allowance | None:
        """Count one request and return what is left; None where there is no limit.

        Raises:
            RateLimited: Nothing is left. The request is not counted.
        """
        limit = self._limits[policy]
        if not limit:
            return None
        bucket = self._bucket(partner_id, policy)
        now = time.monotonic()
        if bucket.left and now < bucket.spoilt_at:
            return _spend(policy, limit, bucket, now)
        async with bucket.lock:  # many wait for one round trip
            now = time.monotonic()
            if (not bucket.left or now >= bucket.spoilt_at) and now >= bucket.closed_until:
                await self._lease(bucket, partner_id, policy, limit)
                now = time.monotonic()
            if not bucket.left or now >= bucket.spoilt_at:
                raise self._refused(policy, limit, bucket, now)
            return _spend(policy, limit, bucket, now)

    def _bucket(self, partner_id: str, policy: OperationClass) -> _Bucket:
        key = (partner_id, policy)
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = _Bucket()
            if len(self._buckets) > _LOCAL_BUCKETS:
                self._buckets.popitem(last=False)
        return bucket

    async def _lease(self, bucket: _Bucket, partner_id: str, policy: OperationClass, limit: int) -> None:
        most = max(1, limit // _BLOCKS)
        block = bucket.size = min(most, bucket.size * 2) if not bucket.left and bucket.spent else max(1, bucket.spent)
        asked = {
            "key": f"{partner_id}/{policy}",
            "amount": block,
            "back": bucket.left,
            "cost": WINDOW_SECONDS / limit,
            "window": WINDOW_SECONDS,
        }
        try:
            async with self._env.db.connection() as conn:
                row: Any = await (await conn.execute(TAKE, asked)).fetchone()
                granted, full_in = row
        except FulfillmentError as error:
            # Without the database nearly every request fails by itself; a limit must not add to that.
            _log.warning("ratelimit.unknown", extra={"code": error.code})
            granted, full_in = block, 0.0
        now = time.monotonic()
        bucket.left, bucket.spent, bucket.spoilt_at = granted, 0, now + LEASE_SECONDS
        bucket.full_in, bucket.asked_at = full_in, now
        if not granted:
            # Room for one request comes when less than a whole window is owed.
            bucket.closed_until = now + max(0.0, full_in - WINDOW_SECONDS + WINDOW_SECONDS / limit)

    def _refused(self, policy: OperationClass, limit: int, bucket: _Bucket, now: float) -> RateLimited:
        metrics_of(self._env).count("fulfillment_rate_limited_total", policy=policy)
        wait = max(1, math.ceil(bucket.closed_until - now))
        return RateLimited(
            f"At most {limit} requests of the class {policy} in a minute. Wait, then try again.",
            retry_after_seconds=wait,
            headers=_allowance(policy, limit, bucket, now).headers(),
        )


def limits_of(settings: Settings) -> dict[OperationClass, int]:
    """Return the requests a minute of each class; 0: no limit."""
    common = settings.rate_limit_per_minute
    reads, writes = settings.rate_limit_reads_per_minute, settings.rate_limit_writes_per_minute
    tokens = settings.rate_limit_tokens_per_minute
    return {
        "read": common if reads is None else reads,
        "write": common if writes is None else writes,
        "token": common if tokens is None else tokens,
    }


def limiter_of(env: Env) -> Limiter | None:
    """Return the process's limiter; None when nothing is limited."""
    if _NAME not in env.local:
        env.local[_NAME] = Limiter(env) if any(limits_of(env.settings).values()) else None
    limiter: Limiter | None = env.local[_NAME]
    return limiter


async def purge_rate_limits(env: Env) -> int:
    """Remove the buckets that nobody has used for an hour; return how many."""
    async with env.db.connection() as conn:
        return (await conn.execute(DELETE_IDLE)).rowcount


def _spend(policy: OperationClass, limit: int, bucket: _Bucket, now: float) -> Allowance:
    bucket.left -= 1
    bucket.spent += 1
    return _allowance(policy, limit, bucket, now)


def _allowance(policy: OperationClass, limit: int, bucket: _Bucket, now: float) -> Allowance:
    full_in = max(0.0, bucket.full_in - (now - bucket.asked_at))
    elsewhere = int((WINDOW_SECONDS - full_in) * limit / WINDOW_SECONDS) if full_in < WINDOW_SECONDS else 0
    return Allowance(policy, limit, min(limit, bucket.left + elsewhere), math.ceil(full_in))
