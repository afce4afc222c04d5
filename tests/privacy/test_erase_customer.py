"""Erasing a customer leaves no trace of the person and every trace of the lots."""

import json
from typing import Any

import jsonschema
import psycopg
import pytest

from fulfillment.infra.db import ALL_TENANTS
from fulfillment.infra.env import Env
from fulfillment.kernel.callers import Caller
from fulfillment.orders import service as orders
from fulfillment.partners.domain import PartnerNotFound
from fulfillment.privacy import service
from fulfillment.privacy.service import CustomerHasOpenOrders, Erased
from tests.conftest import client_of
from tests.world import World, a_customer, a_line, an_order

pytestmark = pytest.mark.anyio

ADDRESS = {
    "line1": "9 Canary Marked Way",
    "line2": "Unit Zebra",
    "city": "Quillville",
    "state": "CA",
    "zipCode": "94301",
}
PERSON = {
    "firstName": "Ottokarina",
    "lastName": "Vexelbrunn",
    "email": "ottokarina.vexelbrunn@example.com",
    "phone": "6505550147",
    "address": ADDRESS,
}
MARKS = ("Ottokarina", "Vexelbrunn", "ottokarina", "6505550147", "Canary", "Zebra", "Quillville")


async def ordered(env: Env, caller: Caller, world: World, source_id: str, *, key: str, settled: str) -> str:
    """Make an order over HTTP with an idempotency key, settle it as if it had gone through, and return its id."""
    product = await world.product(available=1000)
    body = an_order(a_line(product), customer=a_customer(sourceId=source_id, **PERSON))
    headers = await world.headers(caller) | {"Idempotency-Key": key}
    async with client_of(env) as client:
        made = await client.post("/v1/orders", json=body, headers=headers)
        kept = await client.post("/v1/protocols", json=body, headers=headers)
    assert (made.status_code, kept.status_code) == (201, 201)
    order_id: str = made.json()["id"]
    parcel = json.dumps([{"id": "p", "trackingNumber": "T1", "checkpoints": [{"location": "Quillville"}]}])
    async with env.db.transaction(ALL_TENANTS) as tx:
        await tx.execute(
            "UPDATE orders SET status = %(status)s, shipments = %(parcel)s, fulfillment = %(info)s,"
            " warnings = %(quoting)s, holds = %(quoting)s WHERE id = %(id)s",
            quoting='[{"message": "Did you mean Zebra?", "note": "Ottokarina"}]',
            status=settled,
            parcel=parcel,
            info='{"trackingNumber":"T1","checkpoints":[{"location":"Quillville"}]}',
            id=order_id,
        )
        await tx.execute(
            "INSERT INTO holds VALUES (%(id)s, %(id)s, %(partner)s, 'OPERATOR', 'Ottokarina', 'x', now(), now())",
            id=order_id,
            partner=caller.partner_id,
        )
    return order_id


def whole_database(dsn: str) -> str:
    """Return every row of every table as text."""
    with psycopg.connect(dsn) as conn:
        conn.execute("SET fulfillment.tenant = '*'")
        tables = conn.execute("SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public'").fetchall()
        rows: list[Any] = []
        for (table,) in tables:
            rows += conn.execute(f"SELECT x::text FROM {table} AS x").fetchall()  # pyright: ignore[reportArgumentType]
            if table == "idempotency_keys":
                rows += conn.execute("SELECT convert_from(body, 'UTF8') FROM idempotency_keys").fetchall()
    return "\n".join(row[0] for row in rows)


async def test_nothing_of_the_person_is_left(env: Env, world: World, dsns: tuple[str, str]) -> None:
    """No table, not even the stored answers of keys, holds a word of the person; each order does before."""
    caller = await world.partner()
    order_id = await ordered(env, caller, world, "cust-1", key="k1", settled="SHIPPED")
    before = whole_database(dsns[1])
    assert [mark for mark in MARKS if mark not in before] == []

    erased = await service.erase_customer(env, caller.partner_id, "cust-1")

    after = whole_database(dsns[1])
    assert [mark for mark in MARKS if mark in after] == []
    assert '"cust-1"' not in after
    assert erased == Erased(erased.pseudonym, 1, 1)
    order = await orders.get_order(env, caller, order_id)
    assert json.loads(order.customer)["sourceId"] == erased.pseudonym
    assert json.loads(order.shipments or "[]")[0]["trackingNumber"] == "T1"


async def test_the_lot_trace_stays(env: Env, world: World, dsns: tuple[str, str]) -> None:
    """Which lot went into which order is told as before, and two orders of one person share one pseudonym."""
    caller = await world.partner()
    ids = [await ordered(env, caller, world, "cust-2", key=f"t{number}", settled="SHIPPED") for number in range(2)]
    with psycopg.connect(dsns[1]) as conn:
        before = conn.execute("SELECT * FROM reservations WHERE order_id = ANY (%s) ORDER BY 1, 2", (ids,)).fetchall()

    erased = await service.erase_customer(env, caller.partner_id, "cust-2")

    with psycopg.connect(dsns[1]) as conn:
        conn.execute("SET fulfillment.tenant = '*'")
        after = conn.execute("SELECT * FROM reservations WHERE order_id = ANY (%s) ORDER BY 1, 2", (ids,)).fetchall()
        names = conn.execute("SELECT DISTINCT customer_source_id FROM orders WHERE id = ANY (%s)", (ids,)).fetchall()
    assert after == before
    assert names == [(erased.pseudonym,)]


async def test_a_key_still_guards(env: Env, world: World) -> None:
    """After the erasure the same key makes no second order, and its answer names nobody."""
    caller = await world.partner()
    product = await world.product(available=1000)
    body = an_order(a_line(product), customer=a_customer(sourceId="cust-3", **PERSON))
    headers = await world.headers(caller) | {"Idempotency-Key": "again"}
    async with client_of(env) as client:
        first = await client.post("/v1/orders", json=body, headers=headers)
        await client.post(f"/v1/orders/{first.json()['id']}/cancel", headers=await world.headers(caller))
        await service.erase_customer(env, caller.partner_id, "cust-3")
        replayed = await client.post("/v1/orders", json=body, headers=headers)

    assert replayed.status_code == 201
    assert replayed.headers["Idempotent-Replayed"] == "true"
    assert replayed.json()["id"] == first.json()["id"]
    assert [mark for mark in MARKS if mark in replayed.text] == []


async def test_an_erased_customer_is_answered_as_documented(env: Env, world: World) -> None:
    """The served document allows the customer who is nobody now in answers, and the state of none in no request."""
    caller = await world.partner()
    body = an_order(a_line(await world.product(available=1000)), customer=a_customer(sourceId="cust-8", **PERSON))
    headers = await world.headers(caller)
    async with client_of(env) as client:
        place = f"/v1/orders/{(await client.post('/v1/orders', json=body, headers=headers)).json()['id']}"
        await client.post(f"{place}/cancel", headers=headers)
        await service.erase_customer(env, caller.partner_id, "cust-8")
        order = (await client.get(place, headers=headers)).json()
        components = (await client.get("/openapi.json")).json()["components"]

    schema = {"$ref": "#/components/schemas/Customer", "components": components}
    jsonschema.validate(order["customer"], schema, cls=jsonschema.Draft202012Validator)
    state = order["customer"]["address"]["state"]
    assert state not in components["schemas"]["AddressCreate"]["properties"]["state"]["enum"]


async def test_open_orders_are_in_the_way(env: Env, world: World) -> None:
    """Nothing is erased while an order is still to be sent."""
    caller = await world.partner()
    order = await world.order(caller, customer=a_customer(sourceId="cust-4", **PERSON))

    with pytest.raises(CustomerHasOpenOrders, match=order.id):
        await service.erase_customer(env, caller.partner_id, "cust-4")

    assert "Ottokarina" in (await orders.get_order(env, caller, order.id)).customer


async def test_others_are_untouched(env: Env, world: World) -> None:
    """Another customer, and another partner's customer of the same id, stay as they are."""
    caller, stranger = await world.partner(), await world.partner()
    await ordered(env, caller, world, "cust-5", key="o1", settled="SHIPPED")
    other = await ordered(env, caller, world, "cust-6", key="o2", settled="SHIPPED")
    foreign = await ordered(env, stranger, world, "cust-5", key="o3", settled="SHIPPED")

    await service.erase_customer(env, caller.partner_id, "cust-5")

    assert "Ottokarina" in (await orders.get_order(env, caller, other)).customer
    assert "Ottokarina" in (await orders.get_order(env, stranger, foreign)).customer


async def test_again_changes_nothing(env: Env, world: World, dsns: tuple[str, str]) -> None:
    """The second time finds nothing and writes nothing: one entry in the audit log, without a word of the person."""
    caller = await world.partner()
    await ordered(env, caller, world, "cust-7", key="i1", settled="CANCELLED")
    erased = await service.erase_customer(env, caller.partner_id, "cust-7")

    again = await service.erase_customer(env, caller.partner_id, "cust-7")

    assert again == Erased(erased.pseudonym, 0, 0)
    with psycopg.connect(dsns[1]) as conn:
        entries = conn.execute(
            "SELECT actor, action, before, after FROM audit_log WHERE object_id = %s", (erased.pseudonym,)
        ).fetchall()
    assert entries == [("cli", "customer.erased", None, {"partnerId": caller.partner_id, "orders": 1, "protocols": 1})]


async def test_an_unknown_partner(env: Env) -> None:
    """A partner that does not exist is named as such."""
    with pytest.raises(PartnerNotFound):
        await service.erase_customer(env, "nobody", "cust-1")
