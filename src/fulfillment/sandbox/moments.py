"""An Env in which one partner's time stands where it is put, for nobody else and without a write.

An advance of a test clock lives through every moment on the way. The database learns of the last one alone: between
two moments nobody else could rely on the clock anyway, and every write of it makes all processes read all partners.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar, cast

from fulfillment.infra.caches import Caches, Snapshot
from fulfillment.infra.db import ReadTx
from fulfillment.infra.env import Env
from fulfillment.partners import service as partners
from fulfillment.partners.domain import Partner

T = TypeVar("T")


class MovedCaches(Caches):
    """The process's memory, but for one partner's clock.

    Args:
        at: Where that clock stands; may be set at any time.
    """

    def __init__(self, env: Env, partner_id: str, at: datetime) -> None:
        super().__init__(env.db)
        self._inner = env.caches
        self._partner_id = partner_id
        self._from: Snapshot[Any] | None = None
        self._moved: Snapshot[Any] | None = None
        self._moved_at = at
        self.at = at

    async def get(self, name: str, load: Callable[[ReadTx], Awaitable[T]]) -> Snapshot[T]:
        """Return the value of *name*, loading it when it is not here."""
        return self._seen(name, await self._inner.get(name, load))

    def peek(self, name: str) -> Snapshot[Any] | None:
        """Return what is here, without loading."""
        found = self._inner.peek(name)
        return None if found is None else self._seen(name, found)

    def drop(self, name: str) -> None:
        """Forget the value of *name*."""
        self._inner.drop(name)

    def _seen(self, name: str, found: Snapshot[Any]) -> Snapshot[Any]:
        if name != partners.PARTNERS:
            return found
        if self._moved is None or found is not self._from or self._moved_at != self.at:
            everyone = cast("Mapping[str, Partner]", found.value)
            moved = replace(everyone[self._partner_id], clock_frozen_at=self.at)
            self._moved = Snapshot(found.version, {**everyone, self._partner_id: moved})
            self._from, self._moved_at = found, self.at
        return self._moved


def moved_env(env: Env, partner_id: str, at: datetime) -> tuple[Env, MovedCaches]:
    """Return an Env in which the partner's clock stands at *at*, and what moves that clock."""
    caches = MovedCaches(env, partner_id, at)
    # What rooms keep for the process's life must not be made from this Env, which ends with the request.
    return replace(env, caches=caches, local=dict(env.local)), caches
