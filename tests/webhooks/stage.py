"""What tests of deliveries share: a partner with a receiver, its events, and an engine that works when told."""

import itertools
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from fulfillment.infra.addresses import Lookup, system_lookup
from fulfillment.infra.db import ALL_TENANTS
from fulfillment.infra.env import Env
from fulfillment.infra.http import Poster
from fulfillment.kernel.callers import Caller
from fulfillment.kernel.ids import new_id
from fulfillment.partners import service as partners
from fulfillment.webhooks import service as webhooks
from fulfillment.webhooks.delivering import Deliverer
from fulfillment.webhooks.domain import NewEvent
from tests.world import World

STATUSES = ("CREATED", "PROCESSING", "FULFILLED", "AWAITING_SHIPMENT", "SHIPPED")


def payload(order_id: str, status: str) -> str:
    """The contract's body of an event."""
    return (
        f'{{"order":{{"orderId":"{order_id}","status":"{status}","fulfillmentInfo":null,'
        '"createdAt":"2023-10-01T12:00:00.000Z","updatedAt":"2023-10-01T12:00:00.000Z"}}'
    )


def an_event(env: Env, partner_id: str, order_id: str, sequence: int, **changes: Any) -> NewEvent:
    """The event of an order's step."""
    status = STATUSES[(sequence - 1) % len(STATUSES)]
    at = changes.pop("created_at", env.now())
    return NewEvent(
        **{
            "id": new_id(at),
            "partner_id": partner_id,
            "type": f"order.{status.lower()}",
            "payload": payload(order_id, status),
            "created_at": at,
            "order_id": order_id,
            "order_sequence": sequence,
        }
        | changes
    )


class Stage:
    """One partner and its deliveries."""

    def __init__(self, env: Env, caller: Caller) -> None:
        self.env = env
        self.caller = caller
        self._sequences: dict[str, itertools.count[int]] = {}

    @classmethod
    async def with_receiver(cls, env: Env, url: str) -> "Stage":
        """Make a partner whose webhooks go to *url*."""
        caller = await World(env).partner()
        stage = cls(env, caller)
        await stage.set_url(url)
        return stage

    @property
    def partner_id(self) -> str:
        """The partner."""
        return self.caller.partner_id

    async def set_url(self, url: str | None) -> None:
        """Change where its webhooks go."""
        await partners.update_settings(self.env, self.caller, {"webhook_url": url})

    async def secret(self) -> str:
        """Its webhook secret."""
        return await partners.get_webhook_secret(self.env, self.caller)

    async def happen(self, *orders: str, **changes: Any) -> list[NewEvent]:
        """Announce the next event of each of *orders* (several of one: one after the other)."""
        events = [
            an_event(
                self.env,
                self.partner_id,
                order,
                next(self._sequences.setdefault(order, itertools.count(1))),
                **changes,
            )
            for order in orders
        ]
        async with self.env.db.transaction(self.partner_id) as tx:
            await webhooks.announce(tx, events)
        return events

    def new_order(self) -> str:
        """An id."""
        return new_id(self.env.now())

    async def deliver(self, lookup: Lookup = system_lookup) -> int:
        """Deliver what is due now; return the attempts."""
        async with self.engine(lookup) as engine:
            return await engine.drain()

    @asynccontextmanager
    async def engine(self, lookup: Lookup = system_lookup) -> AsyncGenerator[Deliverer]:
        """An engine for this partner alone."""
        settings = self.env.settings
        async with Poster(
            partners.webhook_policy(settings),
            total_seconds=settings.webhook_timeout_seconds,
            connect_seconds=settings.webhook_connect_seconds,
            ca_file=settings.webhook_ca_file,
            group_limit=settings.webhook_partner_concurrency,
            lookup=lookup,
        ) as poster:
            yield Deliverer(self.env, poster, only=self.partner_id)

    async def deliveries(self) -> Sequence[dict[str, Any]]:
        """Its deliveries as stored, oldest first."""
        async with self.env.db.reading(self.partner_id) as tx:
            return await tx.all(
                "SELECT * FROM webhook_deliveries WHERE partner_id = %(id)s ORDER BY order_id, order_sequence, id",
                id=self.partner_id,
            )

    async def delivery(self) -> dict[str, Any]:
        """Its only delivery as stored."""
        (found,) = await self.deliveries()
        return found

    async def statuses(self) -> list[str]:
        """The statuses of its deliveries, by order and sequence."""
        return [row["status"] for row in await self.deliveries()]

    async def attempts(self) -> Sequence[dict[str, Any]]:
        """Its attempts as stored, by delivery and number."""
        async with self.env.db.reading(self.partner_id) as tx:
            return await tx.all(
                "SELECT * FROM webhook_attempts WHERE partner_id = %(id)s ORDER BY delivery_id, attempt",
                id=self.partner_id,
            )

    async def endpoint(self) -> dict[str, Any]:
        """How its receiver does, as stored."""
        async with self.env.db.reading(ALL_TENANTS) as tx:
            return await tx.one("SELECT * FROM webhook_endpoints WHERE partner_id = %(id)s", id=self.partner_id)
