"""Partner settings over HTTP: the contract's shapes and statuses."""

import re

import httpx2
import pytest

from fulfillment.kernel.callers import Caller
from fulfillment.kernel.times import to_wire
from tests.conftest import Clock
from tests.world import World

pytestmark = pytest.mark.anyio

SETTINGS = "/v1/partners/settings"
SECRET = "/v1/partners/settings/webhook-secret"
ROTATE = "/v1/partners/settings/rotate-webhook-secret"


@pytest.fixture
async def caller(world: World) -> Caller:
    """A partner with a discount of 10 %."""
    return await world.partner(name="Acme Health", discount="0.10")


@pytest.fixture
async def auth(world: World, caller: Caller) -> dict[str, str]:
    """Its token."""
    return await world.headers(caller)


async def test_new_settings(api: httpx2.AsyncClient, caller: Caller, auth: dict[str, str], clock: Clock):
    """A new partner's settings have every field of the contract; the empty ones are null."""
    answer = await api.get(SETTINGS, headers=auth)

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json() == {
        "id": caller.partner_id,
        "name": "Acme Health",
        "description": None,
        "discount": "10%",
        "discountValue": 0.1,
        "primaryColor": None,
        "secondaryColor": None,
        "logo": None,
        "phone": None,
        "supportEmail": None,
        "website": None,
        "webhookUrl": None,
        "billingAddressLine1": None,
        "billingAddressLine2": None,
        "billingCity": None,
        "billingState": None,
        "billingPostalCode": None,
        "billingCountry": None,
        "createdAt": to_wire(clock()),
        "updatedAt": to_wire(clock()),
    }


async def test_a_change_is_answered_whole(api: httpx2.AsyncClient, auth: dict[str, str]):
    """PATCH answers with all settings, as the next GET does."""
    changes = {
        "primaryColor": "#1a73e8",
        "phone": "555-123-4567",
        "billingCity": "Zürich",
        "webhookUrl": "http://127.0.0.1:9000/hook",
    }

    patched = await api.patch(SETTINGS, json=changes, headers=auth)

    assert patched.status_code == 200
    assert {name: patched.json()[name] for name in changes} == changes
    assert (await api.get(SETTINGS, headers=auth)).json() == patched.json()
    assert "secret" not in patched.text.lower()


async def test_faults_are_a_problem(api: httpx2.AsyncClient, auth: dict[str, str]):
    """Every wrong field is named by its JSON Pointer, and nothing has changed."""
    before = (await api.get(SETTINGS, headers=auth)).json()

    answer = await api.patch(
        SETTINGS, json={"primaryColor": "red", "discount": "50%", "logo": "fine", "color": "x"}, headers=auth
    )

    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "validation_failed"
    assert {fault["pointer"] for fault in answer.json()["errors"]} == {"/primaryColor", "/discount", "/color"}
    assert (await api.get(SETTINGS, headers=auth)).json() == before


@pytest.mark.parametrize(
    ("content", "content_type", "status"),
    [
        (b"", "application/json", 400),
        (b"{", "application/json", 400),
        (b'{"logo": "a", "logo": "b"}', "application/json", 400),
        (b'{"logo": "\\u0000"}', "application/json", 400),
        (b"[]", "application/json", 422),
        (b"null", "application/json", 422),
        (b'{"logo": "a"}', "text/plain", 415),
        (b'{"logo": "a"}', "application/merge-patch+json", 415),
        (b"logo=a", "application/x-www-form-urlencoded", 415),
        (b'{"logo": "' + b"a" * 1024 * 1024 + b'"}', "application/json", 413),
    ],
)
async def test_bodies_that_are_none(
    api: httpx2.AsyncClient, auth: dict[str, str], content: bytes, content_type: str, status: int
):
    """What is not one JSON object in a body of sensible size is refused by its fault."""
    answer = await api.patch(SETTINGS, content=content, headers=auth | {"Content-Type": content_type})

    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


async def test_secrets_need_a_webhook_url(api: httpx2.AsyncClient, auth: dict[str, str]):
    """Without a webhookUrl both secret calls are 404 with a code of their own."""
    answers = [await api.get(SECRET, headers=auth), await api.post(ROTATE, headers=auth)]

    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [
        (404, "webhook_not_configured"),
        (404, "webhook_not_configured"),
    ]


async def test_the_secret_is_shown_and_replaced(api: httpx2.AsyncClient, auth: dict[str, str]):
    """64 hex characters; a rotation gives others, which are then shown."""
    await api.patch(SETTINGS, json={"webhookUrl": "http://127.0.0.1:9000/hook"}, headers=auth)

    first = await api.get(SECRET, headers=auth)
    rotated = await api.post(ROTATE, headers=auth)
    second = await api.get(SECRET, headers=auth)

    assert [answer.status_code for answer in (first, rotated, second)] == [200, 200, 200]
    assert list(first.json()) == ["webhookSecret"]
    assert re.fullmatch(r"[0-9a-f]{64}", first.json()["webhookSecret"])
    assert rotated.json() == second.json() != first.json()
    assert first.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("method", "path"), [("GET", SETTINGS), ("PATCH", SETTINGS), ("GET", SECRET), ("POST", ROTATE)]
)
async def test_nobody_else_gets_in(api: httpx2.AsyncClient, world: World, method: str, path: str):
    """Every operation refuses the anonymous with 401 and an operator with 403."""
    body = {"json": {}} if method == "PATCH" else {}

    anonymous = await api.request(method, path, **body)
    operator = await api.request(method, path, headers=await world.headers(await world.operator()), **body)

    assert (anonymous.status_code, operator.status_code) == (401, 403)


async def test_settings_are_the_callers_own(api: httpx2.AsyncClient, world: World, auth: dict[str, str]):
    """Another partner reads and changes its own settings with the same calls."""
    other = await world.headers(await world.partner(name="Other"))

    await api.patch(SETTINGS, json={"logo": "mine"}, headers=auth)
    read = await api.get(SETTINGS, headers=other)

    assert (read.json()["name"], read.json()["logo"]) == ("Other", None)


@pytest.mark.parametrize("name", ["partnerId", "id", "limit"])
async def test_there_are_no_parameters(api: httpx2.AsyncClient, auth: dict[str, str], name: str):
    """The query chooses no other partner: it is refused."""
    assert (await api.get(SETTINGS, params={name: "x"}, headers=auth)).status_code == 422
