"""The site of a sandbox without a database: none of its pages asks for one."""

import tempfile
from collections.abc import AsyncGenerator
from pathlib import Path

import httpx2
import pytest
from pydantic import SecretStr

from fulfillment.app import create_app
from fulfillment.infra.composing import make_env
from fulfillment.infra.settings import Settings
from fulfillment.infra.web import Front


def front_of(**settings: object) -> Front:
    """Return the whole application with these settings, over a database that nobody asks."""
    with tempfile.TemporaryDirectory() as folder:
        given = {"data_dir": Path(folder), "database_url": SecretStr("postgresql:///unused"), **settings}
        return create_app(make_env(Settings().model_copy(update=given)))


@pytest.fixture(scope="session")
def front() -> Front:
    """The application of a sandbox, once for all tests: its pages are made once."""
    return front_of()


@pytest.fixture
async def site(front: Front) -> AsyncGenerator[httpx2.AsyncClient]:
    """A client of the application."""
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=front), base_url="http://fulfillment.test"
    ) as client:
        yield client
