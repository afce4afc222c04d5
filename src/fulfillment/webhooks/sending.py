"""One attempt: where it goes, with which secret, and what came of it."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Final

from fulfillment.infra import telemetry
from fulfillment.infra.caches import Snapshot
from fulfillment.infra.db import ReadTx
from fulfillment.infra.env import Env
from fulfillment.infra.http import Answer, Fault, Poster
from fulfillment.infra.secrets import SecretUnreadable
from fulfillment.kernel.ids import moment_of
from fulfillment.partners import service as partners
from fulfillment.partners.domain import Partner, WebhookNotConfigured
from fulfillment.webhooks import delivery_queries
from fulfillment.webhooks.domain import Claimed, Faults, Outcome
from fulfillment.webhooks.signing import headers_for

SECRET_UNREADABLE: Final = "secret_unreadable"  # ours: the key that sealed it is not in the ring
_LONGEST_DELAY_TIMEOUTS: Final = 4 / 3  # with two attempts it must stay below a lease
_REORDER_SECONDS: Final = 1.5
_PLACES: Final = "webhooks.places"
_MOST_PLACES: Final = 10_000  # kept in memory
_REORDER_CLOCK_SECONDS: Final = 3600.0  # on a test clock, where an order's events lie further apart
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Target:
    """Where a partner's deliveries go at this moment."""

    url: str
    secret: str | None  # None: it can't be unsealed
    clock: datetime | None  # the partner's test clock; None: the real time
    faults: Faults | None


class Targets:
    """Every partner's target, as fresh as the process's memory of the partners."""

    def __init__(self, env: Env) -> None:
        self._env = env
        self._snapshot: Snapshot[Mapping[str, Partner]] | None = None
        self._targets: dict[str, Target | None] = {}
        self._secrets: dict[str, str | None] = {}  # by sealed secret: unsealing costs more than signing
        self.closed: list[str] = []  # partners without a receiver
        self.special: dict[str, Target] = {}  # partners with a test clock or faults

    @property
    def version(self) -> int | None:
        """Return the version of the partners that the targets were made of."""
        return self._snapshot.version if self._snapshot else None

    async def refresh(self) -> None:
        """Read the partners again if they have changed."""
        snapshot = await partners.get_partners(self._env)
        if snapshot is self._snapshot:
            return
        self._snapshot = snapshot
        self._targets = {}
        known = snapshot.value.values()
        self.closed = [partner.id for partner in known if partner.webhook_url is None]
        self.special = {
            partner.id: target
            for partner in known
            if (partner.clock_frozen_at or partner.webhook_faults) and (target := self._find(partner.id))
        }

    async def of(self, partner_id: str) -> Target | None:
        """Return where deliveries of the partner go now; None when it has no receiver."""
        if self._snapshot is None or self._env.caches.peek(partners.PARTNERS) is not self._snapshot:
            await self.refresh()
        return self._find(partner_id)

    def _find(self, partner_id: str) -> Target | None:
        if partner_id not in self._targets and self._snapshot is not None:
            partner = self._snapshot.value.get(partner_id)
            self._targets[partner_id] = None if partner is None else target_of(self._env, partner, self._secrets)
        return self._targets.get(partner_id)


def target_of(env: Env, partner: Partner, unsealed: dict[str, str | None]) -> Target | None:
    """Return where deliveries of *partner* go; None when it has no receiver. Secrets are kept in *unsealed*."""
    if partner.webhook_url is None or partner.webhook_secret is None:
        return None
    if partner.webhook_secret not in unsealed:
        try:
            unsealed[partner.webhook_secret] = partners.webhook_secret_of(env, partner)
        except (SecretUnreadable, WebhookNotConfigured):
            _log.error("webhook.secret_unreadable", extra={"partner_id": partner.id})
            unsealed[partner.webhook_secret] = None
    faults = Faults.of(partner.webhook_faults) if env.settings.sandbox else None
    return Target(partner.webhook_url, unsealed[partner.webhook_secret], partner.clock_frozen_at, faults)


def make_poster(env: Env) -> Poster:
    """Return the way out under the settings. An async context manager."""
    settings = env.settings
    return Poster(
        partners.webhook_policy(settings),
        total_seconds=settings.webhook_timeout_seconds,
        connect_seconds=settings.webhook_connect_seconds,
        ca_file=settings.webhook_ca_file,
        group_limit=settings.webhook_partner_concurrency,
    )


async def attempt(env: Env, poster: Poster, target: Target, claimed: Claimed) -> Outcome:
    """Send *claimed* once, signed at this moment, and return what came of it."""
    if target.faults is None:
        answer = await _post(env, poster, target, claimed)
    else:
        answer = await _post_badly(env, poster, target, target.faults, claimed)
    return Outcome(
        claimed,
        target.clock or env.now(),
        answer.duration_ms,
        answer.status,
        answer.error_class,
        answer.excerpt,
        answer.ok,
        answer.retry_after_seconds,
    )


async def _post(env: Env, poster: Poster, target: Target, claimed: Claimed) -> Answer:
    body = claimed.payload
    if target.secret is None or body is None:
        return Answer(None, SECRET_UNREADABLE, 0, b"", None)
    headers = headers_for(
        target.secret,
        body,
        env.now(),
        webhook_id=claimed.id,
        event_id=claimed.event_id,
        event_type=claimed.event_type,
        sequence=claimed.order_sequence,
        attempt=claimed.attempts + 1,
    )
    with telemetry.outgoing("webhook.delivery", event_id=claimed.event_id, partner_id=claimed.partner_id) as trace:
        headers.update(trace)
        return await poster.post(target.url, body, headers, group=claimed.partner_id)


async def put_off_until(env: Env, target: Target, claimed: Claimed) -> datetime | None:
    """Return when a delivery that is to be late on a test clock may leave; None: now, or not by the clock."""
    faults = target.faults
    if target.clock is None or faults is None or not (faults.delay_seconds or faults.reorder):
        return None
    chance = await _chance(env, faults, claimed, 0)
    *_, place = (chance.random() for _ in range(3))  # the third, as for what is sent at once
    delay = faults.delay_seconds + (place * _REORDER_CLOCK_SECONDS if faults.reorder else 0)
    later = moment_of(claimed.id) + timedelta(seconds=round(delay))
    return later if later > target.clock else None


async def note_places(env: Env, tx: ReadTx, faults: Faults, claimed: Sequence[Claimed]) -> None:
    """Learn the places of one partner's events, by which chance decides what becomes of their deliveries."""
    places: dict[tuple[str, str], int] = env.local.setdefault(_PLACES, {})
    missing = [one.event_id for one in claimed if (faults.since, one.event_id) not in places]
    if not missing:
        return
    if len(places) > _MOST_PLACES:
        places.clear()
    for event_id, place in await delivery_queries.select_places(tx, claimed[0].partner_id, faults.since, missing):
        places[(faults.since, event_id)] = place


async def _chance(env: Env, faults: Faults, claimed: Claimed, attempts: int | None = None) -> Random:
    # By the event's place among its partner's, since ids are never the same twice.
    key = (faults.since, claimed.event_id)
    places: dict[tuple[str, str], int] = env.local.setdefault(_PLACES, {})
    if key not in places:  # the faults were set after it was claimed
        async with env.db.reading(claimed.partner_id) as tx:
            await note_places(env, tx, faults, [claimed])
    place = places[key]
    return Random(f"{faults.seed}/{place}/{claimed.attempts if attempts is None else attempts}")  # noqa: S311


async def _post_badly(env: Env, poster: Poster, target: Target, faults: Faults, claimed: Claimed) -> Answer:
    chance = await _chance(env, faults, claimed)
    dropped, twice, place = chance.random() < faults.drop, chance.random() < faults.duplicate, chance.random()
    delay = faults.delay_seconds + (place * _REORDER_SECONDS if faults.reorder else 0)
    if target.clock is None:  # else it was put off by the clock's time: `put_off_until`
        await asyncio.sleep(min(delay, _LONGEST_DELAY_TIMEOUTS * env.settings.webhook_timeout_seconds))
    if dropped:
        return Answer(None, Fault.RESET, 0, b"", None)
    if twice:
        await _post(env, poster, target, claimed)
    return await _post(env, poster, target, claimed)
