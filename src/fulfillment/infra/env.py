"""The outside world in one value: what an operation may touch besides its arguments."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from fulfillment.infra.caches import Caches
from fulfillment.infra.db import Database
from fulfillment.infra.secrets import Secrets
from fulfillment.infra.settings import Settings


def real_time() -> datetime:
    """Return the present moment, aware UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Env:
    """Built once by a composition root (app, worker, CLI) and handed to every operation."""

    settings: Settings
    db: Database
    caches: Caches
    secrets: Secrets
    now: Callable[[], datetime] = real_time
    # What a room keeps for the life of this process (its intake, its notifier), by the room's own name.
    local: dict[str, Any] = field(default_factory=dict[str, Any], compare=False)
