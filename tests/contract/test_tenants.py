"""Two partners who can't see each other: every operation with an id, every list, every scope."""

import re
from typing import Any, Final

import httpx2
import pytest

from fulfillment.infra.env import Env
from fulfillment.kernel.callers import Caller
from tests.contract.contract import Operation, operations
from tests.orders.stored import rows
from tests.world import World, a_line, an_order

pytestmark = pytest.mark.anyio
NOBODY: Final = "2vSGym0bH8qVEwCIGlyFoRgJq1A"
ALL_TABLES: Final = (
    "orders",
    "protocols",
    "holds",
    "idempotency_keys",
    "events",
    "webhook_deliveries",
    "webhook_replays",
    "reservations",
)

# The body that each operation with an id is sent with; ... is none. A new operation needs its line here.
BODIES: Final[dict[str, Any]] = {
    "getOrderById": ...,
    "cancelOrder": ...,
    "getOrderFacts": ...,
    "holdOrder": {"note": "Wait"},
    "releaseHold": ...,
    "getProtocolById": ...,
    "updateProtocol": {"daysSupply": 90},
    "replaceProtocol": "an order",
    "deleteProtocol": ...,
    "createOrderFromProtocol": {},
    "getEvent": ...,
    "getWebhookDelivery": ...,
    "redeliverWebhook": ...,
    "getWebhookReplay": ...,
    "advanceOrder": {"to": "PROCESSING"},
}
# The catalogue is everybody's.
SHARED: Final = frozenset({"getProductById"})
# Whom a request is of, tells its signature: the carrier's, who is no partner.
OTHER_DOORS: Final = frozenset({"operatorReceiveTracking"})


@pytest.fixture
async def served(api: httpx2.AsyncClient) -> list[Operation]:
    """The operations that the server serves below /v1."""
    document = (await api.get("/openapi.json")).json()
    return [operation for operation in operations(document) if "servers" not in document["paths"][operation.path]]


class Victim:
    """A partner with one of everything, and the ids of it."""

    def __init__(self, caller: Caller, ids: dict[str, str], body: dict[str, Any]) -> None:
        self.caller, self.ids, self.body = caller, ids, body


@pytest.fixture
async def victim(api: httpx2.AsyncClient, env: Env, world: World) -> Victim:
    """A partner with an order that is held, a protocol, an event, a delivery, a replay and a key."""
    caller = await world.partner()
    headers = await world.headers(caller)
    epa = await world.product(available=100_000)
    body = an_order(a_line(epa))
    await api.patch("/v1/partners/settings", json={"webhookUrl": "https://example.com/hooks"}, headers=headers)
    order = (await api.post("/v1/orders", json=body, headers=headers | {"Idempotency-Key": "shared-key"})).json()["id"]
    held = await api.post(f"/v1/orders/{order}/hold", json={"note": "Wait"}, headers=headers)
    assert held.status_code in {200, 201}, held.text
    protocol = (await api.post("/v1/protocols", json=body, headers=headers)).json()["id"]
    replay = await api.post("/v1/webhooks/replay", json={"since": "2026-01-01T00:00:00Z"}, headers=headers)
    assert replay.status_code in {200, 201, 202}, replay.text
    ((hold,),) = await rows(env, "SELECT id FROM holds WHERE order_id = %(id)s", id=order)
    event = await rows(env, "SELECT id FROM events WHERE order_id = %(id)s", id=order)
    delivery = await rows(env, "SELECT id FROM webhook_deliveries WHERE order_id = %(id)s", id=order)
    ids = {
        "orderId": order,
        "holdId": hold,
        "protocolId": protocol,
        "eventId": event[0][0],
        "deliveryId": delivery[0][0],
        "replayId": replay.json()["id"],
    }
    return Victim(caller, ids, body)


async def snapshot(env: Env, partner_id: str) -> dict[str, Any]:
    """Return every row of a partner in every tenant table."""
    found: dict[str, Any] = {}
    for table in ALL_TABLES:
        owner = "order_id IN (SELECT id FROM orders WHERE partner_id = %(id)s)"
        where = owner if table == "reservations" else "partner_id = %(id)s"
        statement = f"SELECT to_jsonb(t) FROM {table} AS t WHERE {where} ORDER BY to_jsonb(t)::text"
        found[table] = await rows(env, statement, id=partner_id)  # pyright: ignore[reportArgumentType]
    return found


def with_ids(operation: Operation) -> bool:
    """Say whether an operation of partners names something by its id."""
    return "{" in operation.path and not operation.path.startswith("/operator")


async def test_a_foreign_id_is_a_missing_one(
    api: httpx2.AsyncClient, env: Env, world: World, served: list[Operation], victim: Victim
) -> None:
    """Every operation with another partner's ids: 404, word for word that of no such thing, and nothing happens."""
    headers = await world.headers(await world.partner())
    before = await snapshot(env, victim.caller.partner_id)
    probed: list[str] = []
    for operation in served:
        if not with_ids(operation) or operation.id in SHARED:
            continue
        body = BODIES[operation.id]
        more = {} if body is ... else {"json": victim.body if body == "an order" else body}
        names = re.findall(r"\{([^}]+)\}", operation.path)
        foreign_path = operation.path.format(**{name: victim.ids[name] for name in names})
        missing_path = operation.path.format(**dict.fromkeys(names, NOBODY))

        foreign = await api.request(operation.method, "/v1" + foreign_path, headers=headers, **more)
        missing = await api.request(operation.method, "/v1" + missing_path, headers=headers, **more)

        assert (foreign.status_code, missing.status_code) == (404, 404), operation.id + foreign.text
        assert foreign.json() | {"requestId": ""} == missing.json() | {"requestId": ""}, operation.id
        probed.append(operation.id)

    assert sorted(probed) == sorted(BODIES)
    assert await snapshot(env, victim.caller.partner_id) == before


async def test_the_owner_is_answered(
    api: httpx2.AsyncClient, world: World, served: list[Operation], victim: Victim
) -> None:
    """The same reading requests by the owner succeed: the ids above are good ones."""
    headers = await world.headers(victim.caller)
    for operation in served:
        if with_ids(operation) and operation.id not in SHARED and operation.method == "get":
            path = operation.path.format(**victim.ids)
            assert (await api.get("/v1" + path, headers=headers)).status_code == 200, operation.id


async def test_no_list_shows_anything_of_another(
    api: httpx2.AsyncClient, world: World, served: list[Operation], victim: Victim
) -> None:
    """No reading operation without an id answers with an id of another partner."""
    headers = await world.headers(await world.partner())
    secrets = [*victim.ids.values(), victim.caller.partner_id, victim.caller.client_id]
    for operation in served:
        if operation.method == "get" and "{" not in operation.path and not operation.path.startswith("/operator"):
            query = "?since=2026-01-01T00:00:00Z" if operation.id == "reconcile" else ""
            answer = await api.get("/v1" + operation.path + query, headers=headers)
            assert answer.status_code in {200, 404}, operation.id + answer.text
            assert not [secret for secret in secrets if secret in answer.text], operation.id


async def test_a_foreign_key_is_a_free_one(api: httpx2.AsyncClient, world: World, victim: Victim) -> None:
    """Another partner's idempotency key, with the same body, replays nothing of his."""
    headers = await world.headers(await world.partner()) | {"Idempotency-Key": "shared-key"}

    answer = await api.post("/v1/orders", json=victim.body, headers=headers)

    assert answer.status_code == 201
    assert answer.json()["id"] != victim.ids["orderId"]


async def test_partners_do_not_enter_the_warehouse(
    api: httpx2.AsyncClient, env: Env, world: World, served: list[Operation], victim: Victim
) -> None:
    """Every operator's operation refuses a partner's token with 403, even for the partner's own order."""
    headers = await world.headers(victim.caller)
    before = await snapshot(env, victim.caller.partner_id)
    ids = victim.ids | {"batchId": NOBODY, "lotId": NOBODY}
    for operation in served:
        if operation.path.startswith("/operator") and operation.id not in OTHER_DOORS:
            more = {"json": {}} if "requestBody" in operation.node else {}
            answer = await api.request(operation.method, "/v1" + operation.path.format(**ids), headers=headers, **more)
            assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_scope"), operation.id
            assert "insufficient_scope" in answer.headers["WWW-Authenticate"]
    assert await snapshot(env, victim.caller.partner_id) == before


async def test_operators_are_no_partners(
    api: httpx2.AsyncClient, env: Env, world: World, served: list[Operation], victim: Victim
) -> None:
    """Every partner's operation refuses an operator's token with 403."""
    headers = await world.headers(await world.operator())
    ids = victim.ids | {"productId": "1"}
    for operation in served:
        if not operation.path.startswith("/operator"):
            more = {"json": {}} if "requestBody" in operation.node else {}
            answer = await api.request(operation.method, "/v1" + operation.path.format(**ids), headers=headers, **more)
            assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_scope"), operation.id


async def test_the_anonymous_are_refused(
    api: httpx2.AsyncClient, env: Env, served: list[Operation], victim: Victim
) -> None:
    """Every operation below /v1 answers 401 with WWW-Authenticate to no token and to a wrong one; nothing happens."""
    before = await snapshot(env, victim.caller.partner_id)
    ids = victim.ids | {"productId": "1", "batchId": NOBODY, "lotId": NOBODY}
    for operation in served:
        for headers in ({}, {"Authorization": "Bearer x.y.z"}):
            more = {"json": {}} if "requestBody" in operation.node else {}
            answer = await api.request(operation.method, "/v1" + operation.path.format(**ids), headers=headers, **more)
            assert answer.status_code == 401, operation.id + answer.text
            assert answer.headers["content-type"] == "application/problem+json", operation.id
            if operation.id not in OTHER_DOORS:
                assert answer.headers["WWW-Authenticate"].startswith("Bearer"), operation.id
    assert await snapshot(env, victim.caller.partner_id) == before


# Names that the server owns, in both spellings.
OWNED: Final = (
    *("id", "partnerId", "partner_id", "status", "price", "discount", "discountedPrice", "total", "subtotal"),
    *("createdAt", "created_at", "updatedAt", "reserved", "sequence", "holds", "protocolId", "releaseAt"),
)


@pytest.mark.parametrize("name", OWNED)
async def test_no_field_of_ours_can_be_assigned(
    api: httpx2.AsyncClient, env: Env, world: World, victim: Victim, name: str
) -> None:
    """Whatever the server owns is refused at each level of every body that a partner writes; nothing is stored."""
    headers = await world.headers(victim.caller)
    before = await snapshot(env, victim.caller.partner_id)
    value = victim.ids["orderId"]
    order, line, customer, address = (an_order(a_line(1)) for _ in range(4))
    order[name] = value
    line["lineItems"][0][name] = value
    customer["customer"][name] = value
    address["customer"]["address"][name] = value
    protocol = f"/v1/protocols/{victim.ids['protocolId']}"

    answers = [
        *[await api.post("/v1/orders", json=body, headers=headers) for body in (order, line, customer, address)],
        *[await api.put(protocol, json=body, headers=headers) for body in (order, line, customer, address)],
        await api.patch(protocol, json={name: value}, headers=headers),
        await api.post(protocol + "/orders", json={name: value}, headers=headers),
        await api.patch("/v1/partners/settings", json={name: value}, headers=headers),
    ]

    for answer in answers:
        assert answer.status_code == 422, answer.text
        assert [fault for fault in answer.json()["errors"] if fault["pointer"].endswith("/" + name)]
    assert await snapshot(env, victim.caller.partner_id) == before
