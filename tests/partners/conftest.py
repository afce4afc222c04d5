"""An HTTP client of the rooms."""

from collections.abc import AsyncGenerator

import httpx2
import pytest

from fulfillment.infra.env import Env
from tests.oauth.rooms import client_of


@pytest.fixture
async def api(env: Env) -> AsyncGenerator[httpx2.AsyncClient]:
    """A client of the application over the test's Env."""
    async with client_of(env) as client:
        yield client
