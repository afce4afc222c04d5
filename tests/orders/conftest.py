"""What tests of orders may use beside the rest."""

from collections.abc import AsyncGenerator
from dataclasses import replace

import pytest

from fulfillment.infra.caches import Caches
from fulfillment.infra.db import Database
from fulfillment.infra.env import Env


@pytest.fixture
async def other_env(env: Env, dsns: tuple[str, str]) -> AsyncGenerator[Env]:
    """A second process over the same database: its own connections, memory and intake."""
    db = Database(dsns[0], size=8)
    yield replace(env, db=db, caches=Caches(db), local={})
    await db.close()
