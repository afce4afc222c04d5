"""The engine: leases what is due, sends it partner by partner, and records what came of it, many in a transaction."""

import asyncio
import logging
import math
import random
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from fulfillment.infra.db import ALL_TENANTS, Tx
from fulfillment.infra.env import Env
from fulfillment.infra.http import Poster
from fulfillment.infra.metrics import Metrics
from fulfillment.kernel.errors import FulfillmentError
from fulfillment.partners import service as partners
from fulfillment.webhooks import delivery_queries as queries
from fulfillment.webhooks import domain, sending
from fulfillment.webhooks.domain import CIRCUIT_FAILURES, GONE, Claimed, Outcome
from fulfillment.webhooks.sending import Targets

_LEASE_TIMEOUTS: Final = 4  # a lease, in time-outs: a minute by default
_SPARE_TIMEOUTS: Final = 1 / 3  # of it, for recording
POLL_SECONDS: Final = 0.07  # finds what no notification told of; an empty look costs a millisecond
_PAUSE_SECONDS: Final = 0.01  # between two transactions under load: a longer one carries more at once
_PROBE_SECONDS: Final = 1.0  # between two tries of a receiver whose circuit is open
_PARK_SECONDS: Final = 5.0
_PARK_LIMIT: Final = 2000
_IDLE_SECONDS: Final = 30.0  # after that a partner's lane is forgotten
_FAULT_SECONDS: Final = 1.0
_LATE_SECONDS: Final = 10.0  # longer than any transaction that announces
_RETRY_SECONDS: Final = 0.2  # after the database failed
_WEIGHT: Final = 0.2  # of the newest duration in a lane's average
_AHEAD: Final = 3  # batches held for a fast receiver: what it takes while the next transaction runs must not run out
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Lane:
    """One partner's deliveries in this process."""

    queue: deque[Claimed] = field(default_factory=deque[Claimed])
    running: int = 0
    seconds: float | None = None  # an attempt's duration, averaged
    failures: int = 0  # in a row
    used_at: float = 0.0  # monotonic

    def depth(self, concurrency: int, batch: int) -> int:
        """Return how many deliveries to hold: what the receiver takes in about a second, within bounds."""
        if self.seconds is None or self.failures:
            return concurrency
        return int(max(concurrency, min(_AHEAD * batch, concurrency / max(self.seconds, 0.001))))

    def observe(self, outcome: Outcome) -> None:
        """Note how an attempt went."""
        seconds = outcome.duration_ms / 1000
        self.seconds = seconds if self.seconds is None else self.seconds + _WEIGHT * (seconds - self.seconds)
        self.failures = 0 if outcome.ok else self.failures + 1


class Deliverer:
    """One process's engine. Any number of processes may run one: a lease keeps them apart.

    Every turn is one transaction: it records what has ended since the last one and leases more. No transaction is
    open while anything is sent. A process that dies leaves its leases to end by themselves.

    Args:
        poster: The way out, open.
        only: Work for this partner alone.
        metrics: Counts deliveries by result, and receivers switched off.
    """

    def __init__(self, env: Env, poster: Poster, *, only: str | None = None, metrics: Metrics | None = None) -> None:
        self._env = env
        self._poster = poster
        self._only = only
        self._metrics = metrics or Metrics()
        self._targets = Targets(env)
        self._lanes: dict[str, Lane] = {}
        self._done: list[Outcome] = []
        self._unsent: list[Claimed] = []
        self._later: dict[str, datetime] = {}  # by the id of an unsent one that is to be late: when it may leave
        self._failing: set[str] = set()  # partners with failures since the last parking
        self._parked_at = time.monotonic()
        self._latest: datetime | None = None  # moment of the last claim
        self._late_at = math.inf  # monotonic: when what began before the clock was set back is committed
        self._wake = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False
        settings = env.settings
        timeout = timedelta(seconds=settings.webhook_timeout_seconds)
        self._lease = _LEASE_TIMEOUTS * timeout
        self._needed = (1 + _SPARE_TIMEOUTS) * timeout  # of a lease, to send and record
        self._troubled: set[str] = set()  # partners whose receivers failed when last recorded
        self.turns = 0  # transactions so far
        self.attempts = 0  # recorded so far

    @property
    def outstanding(self) -> int:
        """Return how many deliveries are held: leased, under way, or ended and not recorded."""
        held = sum(len(lane.queue) + lane.running for lane in self._lanes.values())
        return held + len(self._done) + len(self._unsent)

    def wake(self) -> None:
        """Say that something may be due."""
        self._wake.set()

    async def run(self, stopping: asyncio.Event) -> None:
        """Deliver until *stopping* is set; then finish what is under way and give the rest back."""
        watching = asyncio.create_task(self._watch(stopping))
        try:
            while not self._stopping or self.outstanding:
                began = time.monotonic()
                try:
                    busy = await self.turn() > 0
                except FulfillmentError as error:
                    _log.warning("webhooks.postponed", extra={"code": error.code})
                    await asyncio.sleep(_RETRY_SECONDS)
                    continue
                except Exception as error:  # a fault of ours: what was leased comes back when its lease ends
                    _log.error("webhooks.failed", extra={"error": type(error).__name__}, exc_info=error)
                    await asyncio.sleep(_FAULT_SECONDS)
                    continue
                await self._rest(busy, began)
        finally:
            watching.cancel()
            for task in tuple(self._tasks):
                task.cancel()

    async def drain(self) -> int:
        """Deliver what is due now until nothing is, and return how many attempts that took."""
        before = self.attempts
        while True:
            busy = await self.turn()
            if self.outstanding:
                await self._wait(self._lease.total_seconds())
            elif not busy and not await self._is_under_way():
                return self.attempts - before
            elif not busy:
                await asyncio.sleep(_PAUSE_SECONDS)  # another process is sending one of them

    async def turn(self) -> int:
        """Record what has ended, lease what is due, start sending it, and return how many that were in all.

        Raises:
            DatabaseUnavailable: Nothing was recorded or leased; the next turn tries again.
        """
        await self._targets.refresh()
        ended, self._done = self._done, []
        unsent, self._unsent = self._unsent, []
        self.turns += 1
        try:
            async with self._env.db.transaction(ALL_TENANTS) as tx:
                await tx.configure(queries.CONFIGURE)
                await self._record(tx, ended, unsent)
                claimed = [] if self._stopping else await self._claim(tx)
                await self._note_places(tx, claimed)
                version = await queries.select_partners_version(tx) if claimed else self._targets.version
        except BaseException:
            self._done[:0] = ended
            self._unsent[:0] = unsent
            raise
        for one in unsent:
            self._later.pop(one.id, None)
        self._count(ended)
        if version != self._targets.version:
            self._env.caches.drop(partners.PARTNERS)
        self._dispatch(claimed)
        return len(claimed) + len(ended)

    def _count(self, recorded: Sequence[Outcome]) -> None:
        made = [outcome for outcome in recorded if outcome.tells]
        delivered = sum(outcome.ok for outcome in made)
        for result, count in (("delivered", delivered), ("failed", len(made) - delivered)):
            if count:
                self._metrics.count("fulfillment_webhook_deliveries_total", count, result=result)
        self.attempts += len(made)

    async def _note_places(self, tx: Tx, claimed: Sequence[Claimed]) -> None:
        for partner_id in sorted({one.partner_id for one in claimed} & set(self._targets.special)):
            faults = self._targets.special[partner_id].faults
            if faults is not None:
                own = [one for one in claimed if one.partner_id == partner_id]
                await sending.note_places(self._env, tx, faults, own)

    async def _watch(self, stopping: asyncio.Event) -> None:
        await stopping.wait()
        self._stopping = True
        for lane in self._lanes.values():
            self._give_up(lane)
        self._wake.set()

    async def _rest(self, busy: bool, began: float) -> None:
        if busy:
            await asyncio.sleep(max(0.0, _PAUSE_SECONDS - (time.monotonic() - began)))
        await self._wait(POLL_SECONDS)

    async def _wait(self, seconds: float) -> None:
        if not self._done and not self._wake.is_set():
            try:
                async with asyncio.timeout(seconds):
                    await self._wake.wait()
            except TimeoutError:
                return
        self._wake.clear()

    async def _is_under_way(self) -> bool:
        async with self._env.db.transaction(ALL_TENANTS) as tx:
            return await queries.is_under_way(tx, self._only or "", self._env.now())

    async def _claim(self, tx: Tx) -> list[Claimed]:
        now = self._env.now()
        if self._failing and time.monotonic() - self._parked_at > _PARK_SECONDS:
            await queries.park(tx, sorted(self._failing), now, _PARK_LIMIT)
            self._failing.clear()
            self._parked_at = time.monotonic()
        set_back = self._latest is None or now < self._latest  # or while nothing ran
        if set_back or time.monotonic() > self._late_at:
            await queries.hasten(tx, now, self._only)
            self._late_at = time.monotonic() + _LATE_SECONDS if set_back else math.inf
        self._latest = now
        return await queries.claim(tx, now=now, lease=now + self._lease, **self._rooms())

    def _rooms(self) -> dict[str, object]:
        settings = self._env.settings
        self._forget_idle_lanes()
        special = self._targets.special
        rows: list[tuple[str, int, datetime | None, bool]] = []
        for partner_id in {*self._lanes, *special}:
            lane, target = self._lanes.get(partner_id), special.get(partner_id)
            room = settings.webhook_partner_concurrency
            if lane is not None:
                depth = lane.depth(settings.webhook_partner_concurrency, settings.webhook_batch)
                room = max(0, depth - len(lane.queue) - lane.running)
            reorder = target is not None and target.faults is not None and target.faults.reorder
            rows.append((partner_id, room, target.clock if target else None, reorder))
        names = ("partners", "rooms", "clocks", "reorder")
        columns = zip(*rows, strict=True) if rows else ([], [], [], [])
        return {
            **{name: list(column) for name, column in zip(names, columns, strict=True)},
            "room": settings.webhook_partner_concurrency,
            "limit": settings.webhook_batch,
            "only": self._only,
            "closed": self._targets.closed,
        }

    def _forget_idle_lanes(self) -> None:
        long_ago = time.monotonic() - _IDLE_SECONDS
        for partner_id, lane in tuple(self._lanes.items()):
            if not lane.queue and not lane.running and lane.used_at < long_ago:
                del self._lanes[partner_id]

    def _dispatch(self, claimed: Iterable[Claimed]) -> None:
        now = time.monotonic()
        for delivery in claimed:
            lane = self._lanes.get(delivery.partner_id)
            if lane is None:
                lane = self._lanes[delivery.partner_id] = Lane()
            if lane.queue and lane.failures >= CIRCUIT_FAILURES and not self._on_clock(delivery.partner_id):
                self._unsent.append(delivery)  # the circuit opened while they were leased: one of them may try
                continue
            lane.queue.append(delivery)
            lane.used_at = now
            if lane.running < self._env.settings.webhook_partner_concurrency:
                lane.running += 1
                task = asyncio.create_task(self._send_all(lane))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _send_all(self, lane: Lane) -> None:
        """Send from *lane* until it is empty."""
        try:
            while lane.queue:
                await self._send(lane, lane.queue.popleft())
        except FulfillmentError as error:  # the delivery in hand comes back when its lease ends
            _log.warning("webhook.unsent", extra={"code": error.code})
        finally:
            lane.running -= 1
            self._give_up(lane)  # empty, unless something failed: nobody else may be left to send them
            self._wake.set()

    async def _send(self, lane: Lane, delivery: Claimed) -> None:
        target = await self._targets.of(delivery.partner_id)
        if target is None or delivery.leased_until - self._env.now() < self._needed:
            self._unsent.append(delivery)
            return
        later = await sending.put_off_until(self._env, target, delivery)
        if later is not None:
            self._later[delivery.id] = later
            self._unsent.append(delivery)
            return
        outcome = await sending.attempt(self._env, self._poster, target, delivery)
        if outcome.tells:
            lane.observe(outcome)
        if (
            lane.failures >= CIRCUIT_FAILURES and not self._on_clock(delivery.partner_id)
        ) or outcome.status_code == GONE:
            self._give_up(lane)
        self._done.append(outcome)
        self._wake.set()

    def _on_clock(self, partner_id: str) -> bool:
        """Return whether the partner has a test clock: no circuit opens there, and no wait is left to chance."""
        target = self._targets.special.get(partner_id)
        return target is not None and target.clock is not None

    def _give_up(self, lane: Lane) -> None:
        self._unsent.extend(lane.queue)
        lane.queue.clear()

    async def _record(self, tx: Tx, ended: Sequence[Outcome], unsent: Sequence[Claimed]) -> None:
        if not ended and not unsent:
            return
        written_off = await self._record_streaks(tx, ended)
        async with tx.connection.pipeline():
            await self._record_deliveries(tx, ended)
            await self._give_back(tx, unsent)
        for partner_id, reason in sorted(written_off.items()):
            if partner_id in self._lanes:
                self._give_up(self._lanes[partner_id])
            if await queries.disable_endpoint(tx, partner_id, reason, self._env.now()):
                self._metrics.count("fulfillment_webhook_endpoints_disabled_total", reason=reason)
                _log.warning("webhook.endpoint_disabled", extra={"partner_id": partner_id, "reason": reason})

    async def _give_back(self, tx: Tx, unsent: Sequence[Claimed]) -> None:
        at_once = [(one.partner_id, one.id, one.leased_until) for one in unsent if one.id not in self._later]
        later = [
            (one.partner_id, one.id, one.leased_until, self._later[one.id]) for one in unsent if one.id in self._later
        ]
        if at_once:
            await queries.give_back(tx, _columns(at_once))
        if later:
            await queries.put_off(tx, _columns(later))

    async def _record_streaks(self, tx: Tx, ended: Sequence[Outcome]) -> dict[str, str]:
        """Write how receivers do, where that changed, and return those to switch off, with the reason."""
        by_partner: dict[str, list[Outcome]] = {}
        for outcome in ended:
            if outcome.tells:
                by_partner.setdefault(outcome.claimed.partner_id, []).append(outcome)
        rows: list[tuple[str, int, datetime | None]] = []
        recovered: list[str] = []
        for partner_id, outcomes in sorted(by_partner.items()):
            streak = domain.streak(outcomes)
            troubled = partner_id in self._troubled or any(outcome.claimed.troubled for outcome in outcomes)
            if streak.failures or troubled:
                rows.append((partner_id, streak.failures, streak.since))
                if streak.recovered:
                    recovered.append(partner_id)
            if streak.failures:
                self._failing.add(partner_id)
        if not rows:
            return {}
        now = self._env.now()
        probe_at = now + timedelta(seconds=_PROBE_SECONDS)
        disable_after = timedelta(hours=self._env.settings.webhook_disable_after_hours)
        written_off = {outcome.claimed.partner_id: "gone" for outcome in ended if outcome.status_code == GONE}
        for partner_id, failures, since, status in await queries.record_streaks(
            tx, probe_at, _columns(rows), recovered
        ):
            (self._troubled.add if failures else self._troubled.discard)(partner_id)
            clocked = self._targets.special.get(partner_id)
            present = clocked.clock if clocked is not None and clocked.clock is not None else now
            if status == "ENABLED" and domain.is_written_off(failures, since, present, disable_after):
                written_off.setdefault(partner_id, "failing")
        return written_off

    async def _record_deliveries(self, tx: Tx, ended: Sequence[Outcome]) -> None:
        delivered: list[tuple[object, ...]] = []
        failed: list[tuple[object, ...]] = []
        discarded: list[tuple[str, str]] = []
        attempts: list[tuple[object, ...]] = []
        for outcome in ended:
            one = outcome.claimed
            if one.payload is None:
                discarded.append((one.partner_id, one.id))
                continue
            number = one.attempts + 1
            if outcome.ok:
                delivered.append((one.partner_id, one.id, number, outcome.ended_at))
            else:
                due = self._next_due(outcome, number)
                failed.append((one.partner_id, one.id, number, outcome.ended_at, due, one.leased_until))
            attempts.append(
                (
                    one.id,
                    number,
                    one.partner_id,
                    outcome.ended_at,
                    outcome.duration_ms,
                    outcome.status_code,
                    outcome.error,
                    outcome.excerpt,
                )
            )
        if delivered:
            await queries.record_delivered(tx, _columns(delivered))
        if failed:
            await queries.record_failed(tx, _columns(failed))
        if attempts:
            await queries.insert_attempts(tx, _columns(attempts))
        if discarded:
            await queries.discard(tx, self._env.now(), _columns(discarded))

    def _next_due(self, outcome: Outcome, attempts: int) -> datetime | None:
        if outcome.status_code == GONE:
            return outcome.ended_at  # at once when the receiver is switched on again
        schedule = self._env.settings.webhook_retry_seconds
        # On a test clock a wait is just the schedule's, so that a run can be repeated.
        chance = 0.5 if self._on_clock(outcome.claimed.partner_id) else random.random()  # noqa: S311
        wait = domain.next_wait(schedule, attempts, outcome.retry_after_seconds, chance)
        return None if wait is None else outcome.ended_at + wait


async def deliver_due(env: Env, partner_id: str) -> int:
    """Deliver everything of one partner that is due now, on its test clock if it has one.

    Returns:
        The attempts made, when nothing is due any more: delivered, or put off to a later moment.
    """
    async with sending.make_poster(env) as poster:
        return await Deliverer(env, poster, only=partner_id).drain()


def _columns(rows: Sequence[Sequence[object]]) -> list[list[object]]:
    return [list(column) for column in zip(*rows, strict=True)]
