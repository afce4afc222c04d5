"""None of the sandbox exists in production."""

import httpx2
import pytest

from fulfillment.app import create_app
from fulfillment.infra.env import Env
from fulfillment.infra.settings import Settings
from fulfillment.sandbox import service
from tests.world import World

pytestmark = pytest.mark.anyio

PATHS = [
    ("GET", "/v1/sandbox/scenarios"),
    ("GET", "/v1/sandbox/clock"),
    ("POST", "/v1/sandbox/clock"),
    ("POST", "/v1/sandbox/clock/advance"),
    ("PUT", "/v1/sandbox/auto-advance"),
    ("PUT", "/v1/sandbox/webhook-faults"),
    ("DELETE", "/v1/sandbox/webhook-faults"),
    ("POST", f"/v1/sandbox/orders/{'x' * 27}/advance"),
]


async def test_in_production_there_is_no_sandbox(env: Env, settings: Settings, world: World) -> None:
    """Every path of the sandbox is 404, nothing of it is in the OpenAPI file, and the worker does nothing."""
    headers = await world.headers(await world.partner())
    object.__setattr__(env, "settings", settings.model_copy(update={"environment": "production"}))
    front = create_app(env)
    transport = httpx2.ASGITransport(app=front, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://fulfillment.test") as api:
        answers = [await api.request(method, path, headers=headers) for method, path in PATHS]

    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(404, "path_not_found")] * len(PATHS)
    operations = [operation for item in front.document["paths"].values() for operation in item.values()]
    assert [path for path in front.document["paths"] if "sandbox" in path] == []
    assert [one for one in operations if isinstance(one, dict) and "Sandbox" in one.get("tags", ())] == []
    assert await service.advance_due(env) == 0


async def test_in_the_sandbox_every_path_is_documented(env: Env) -> None:
    """The sandbox's OpenAPI file has each operation, with its id and its tag."""
    document = create_app(env).document

    for method, path in PATHS:
        operation = document["paths"][path.removeprefix("/v1").replace("x" * 27, "{orderId}")][method.lower()]
        assert operation["tags"] == ["Sandbox"]
        assert operation["operationId"]
