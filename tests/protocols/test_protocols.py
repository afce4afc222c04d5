"""Protocols over HTTP: kept, changed, found, ordered from, deleted."""

from typing import Any

import httpx2
import pytest

from fulfillment.infra.env import Env
from fulfillment.kernel.callers import Caller
from tests.orders.stored import NOTHING, footprint, reserved, rows, run
from tests.world import World, a_customer, a_line, an_order

pytestmark = pytest.mark.anyio
NOBODY = "2vSGym0bH8qVEwCIGlyFoRgJq1A"


class Partner:
    """A partner's client."""

    def __init__(self, api: httpx2.AsyncClient, headers: dict[str, str], caller: Caller) -> None:
        self._api, self._headers, self.caller = api, headers, caller

    async def __call__(self, method: str, path: str, body: object = ..., **headers: str) -> httpx2.Response:
        """Send a request below /v1/protocols."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        more = {} if body is ... else {"json": body}
        return await self._api.request(method, "/v1/protocols" + path, headers=self._headers | named, **more)

    async def keep(self, body: dict[str, Any]) -> dict[str, Any]:
        """Create a protocol."""
        answer = await self("POST", "", body)
        assert answer.status_code == 201, answer.text
        return answer.json()


@pytest.fixture
async def partner(api: httpx2.AsyncClient, world: World) -> Partner:
    """A partner with a discount of 10 %."""
    caller = await world.partner(discount="0.10")
    return Partner(api, await world.headers(caller), caller)


@pytest.fixture
async def epa(world: World) -> int:
    """A product with plenty of stock."""
    return await world.product(price="0.53", available=100_000)


async def test_a_protocol_is_answered_as_it_was_asked(env: Env, partner: Partner, epa: int) -> None:
    """It has today's prices for the partner, takes no stock and tells nobody."""
    made = await partner.keep(an_order(a_line(epa), orderType="SUBSCRIPTION"))

    assert made["customer"] == a_customer()
    assert (made["daysSupply"], made["orderType"], made["shippingMethod"]) == (30, "SUBSCRIPTION", "STANDARD")
    (line,) = made["lineItems"]
    assert (line["productId"], line["quantity"]) == (epa, 2)
    assert (line["price"], line["discountedPrice"]) == ("0.53", "0.477")
    assert len(made["id"]) == 27
    assert (await partner("GET", f"/{made['id']}")).json() == made
    assert await footprint(env, partner.caller.partner_id) == NOTHING
    assert await reserved(env, epa) == 0


REFUSED = [
    ({"daysSupply": 31}, "/daysSupply", "validation_failed"),
    ({"lineItems": []}, "/lineItems", "validation_failed"),
    ({"lineItems": [a_line(1)]}, "/lineItems/0/productId", "unknown_product"),
    ({"status": "CREATED"}, "/status", "validation_failed"),
]


@pytest.mark.parametrize(("changes", "pointer", "code"), REFUSED)
async def test_a_protocol_is_checked_like_an_order(
    env: Env, partner: Partner, epa: int, changes: dict[str, Any], pointer: str, code: str
) -> None:
    """Shape and products are checked when it is written, replaced and patched; nothing changes."""
    kept = await partner.keep(an_order(a_line(epa)))

    answers = [
        await partner("POST", "", an_order(a_line(epa)) | changes),
        await partner("PUT", f"/{kept['id']}", an_order(a_line(epa)) | changes),
        await partner("PATCH", f"/{kept['id']}", changes),
    ]

    for answer in answers:
        assert (answer.status_code, answer.json()["code"]) == (422, code)
        assert [fault["pointer"] for fault in answer.json()["errors"]] == [pointer]
    assert (await partner("GET", "")).json()["protocols"] == [kept]


async def test_patch_merges(partner: Partner, epa: int) -> None:
    """Only the given fields change; an empty patch changes none; createdAt stays."""
    kept = await partner.keep(an_order(a_line(epa)))

    patched = (await partner("PATCH", f"/{kept['id']}", {"daysSupply": 90, "shippingMethod": "EXPRESS"})).json()
    same = (await partner("PATCH", f"/{kept['id']}", {})).json()

    assert patched == kept | {"daysSupply": 90, "shippingMethod": "EXPRESS"}
    assert same == patched


async def test_patch_replaces_a_field_as_a_whole(partner: Partner, epa: int) -> None:
    """A given customer or list of lines takes the place of the old one: nothing of it is left."""
    kept = await partner.keep(an_order(a_line(epa)))
    customer = {
        "sourceId": "9",
        "firstName": "Ada",
        "lastName": "Byron",
        "address": {"line1": "1 Main St", "city": "Austin", "state": "TX", "zipCode": "78701"},
    }

    patched = await partner("PATCH", f"/{kept['id']}", {"customer": customer, "lineItems": [a_line(epa, 3)]})

    shown = patched.json()
    assert {name: value for name, value in shown["customer"].items() if value is not None} | {
        "address": {name: value for name, value in shown["customer"]["address"].items() if value is not None}
    } == customer
    assert [line["quantity"] for line in shown["lineItems"]] == [3]
    assert (await partner("GET", f"/{kept['id']}")).json() == shown


@pytest.mark.parametrize("name", ["customer", "daysSupply", "lineItems", "shippingMethod", "orderType"])
async def test_no_field_can_be_removed(partner: Partner, epa: int, name: str) -> None:
    """null is 422: a protocol needs all of its fields."""
    kept = await partner.keep(an_order(a_line(epa)))

    answer = await partner("PATCH", f"/{kept['id']}", {name: None})

    assert answer.status_code == 422
    assert [fault["pointer"] for fault in answer.json()["errors"]] == [f"/{name}"]


async def test_put_replaces_the_whole(partner: Partner, epa: int) -> None:
    """What the new one leaves out has its default again; id and createdAt stay."""
    kept = await partner.keep(an_order(a_line(epa), orderType="SUBSCRIPTION"))

    replaced = (await partner("PUT", f"/{kept['id']}", an_order(a_line(epa, 1), daysSupply=60))).json()

    assert (replaced["id"], replaced["createdAt"]) == (kept["id"], kept["createdAt"])
    assert (replaced["orderType"], replaced["daysSupply"]) == ("ONE_TIME", 60)
    assert [line["quantity"] for line in replaced["lineItems"]] == [1]
    assert (await partner("GET", f"/{kept['id']}")).json() == replaced


async def test_a_protocol_that_cannot_be_ordered_any_more_cannot_be_patched(
    env: Env, partner: Partner, epa: int, world: World
) -> None:
    """The whole is checked anew, whichever part changes."""
    kept = await partner.keep(an_order(a_line(epa)))
    await discontinue(env, epa)

    answer = await partner("PATCH", f"/{kept['id']}", {"daysSupply": 60})

    assert (answer.status_code, answer.json()["code"]) == (422, "product_not_orderable")
    assert (await partner("GET", f"/{kept['id']}")).json()["daysSupply"] == 30


async def discontinue(env: Env, product_id: int) -> None:
    """Take a product out of the catalogue."""
    await run(env, "UPDATE products SET status = 'DISCONTINUED' WHERE id = %(id)s", id=product_id)
    env.caches.drop("catalog")


async def test_an_order_from_a_protocol(env: Env, partner: Partner, epa: int) -> None:
    """It has the protocol's customer and lines, its id, and takes its stock."""
    kept = await partner.keep(an_order(a_line(epa), orderType="SUBSCRIPTION"))

    answer = await partner("POST", f"/{kept['id']}/orders")

    order = answer.json()
    assert answer.status_code == 201
    assert order["protocolId"] == kept["id"]
    assert order["customer"] == kept["customer"]
    assert (order["daysSupply"], order["orderType"], order["shippingMethod"]) == (30, "SUBSCRIPTION", "STANDARD")
    assert await reserved(env, epa) == 60


async def test_overrides(env: Env, partner: Partner, epa: int) -> None:
    """The body may say daysSupply, shippingMethod and orderType otherwise; the protocol stays as it is."""
    kept = await partner.keep(an_order(a_line(epa)))
    changes = {"daysSupply": 90, "shippingMethod": "OVERNIGHT", "orderType": "SUBSCRIPTION"}

    order = (await partner("POST", f"/{kept['id']}/orders", changes)).json()

    assert {name: order[name] for name in changes} == changes
    assert order["shippingCost"] == "29.99"
    assert await reserved(env, epa) == 180
    assert (await partner("GET", f"/{kept['id']}")).json() == kept


@pytest.mark.parametrize(
    "body", [{"customer": a_customer()}, {"lineItems": []}, {"daysSupply": 31}, {"daysSupply": None}, [], "x"]
)
async def test_nothing_else_can_be_overridden(env: Env, partner: Partner, epa: int, body: object) -> None:
    """Anything else in the body is 422, and no order is made."""
    kept = await partner.keep(an_order(a_line(epa)))

    assert (await partner("POST", f"/{kept['id']}/orders", body)).status_code == 422
    assert await footprint(env, partner.caller.partner_id) == NOTHING


async def test_an_order_from_a_protocol_is_checked_anew(env: Env, partner: Partner, epa: int) -> None:
    """A product that has been discontinued since is 422, and no order is made."""
    kept = await partner.keep(an_order(a_line(epa)))
    await discontinue(env, epa)

    answer = await partner("POST", f"/{kept['id']}/orders")

    assert (answer.status_code, answer.json()["code"]) == (422, "product_not_orderable")
    assert await footprint(env, partner.caller.partner_id) == NOTHING


async def test_an_order_is_priced_anew(env: Env, partner: Partner, epa: int) -> None:
    """It costs what the products cost on the day of the order; the protocol shows it too."""
    kept = await partner.keep(an_order(a_line(epa)))
    await run(env, "UPDATE products SET list_price = 1 WHERE id = %(id)s", id=epa)
    env.caches.drop("catalog")

    order = (await partner("POST", f"/{kept['id']}/orders")).json()

    assert order["lineItems"][0]["discountedPrice"] == "0.90"
    assert (await partner("GET", f"/{kept['id']}")).json()["lineItems"][0]["discountedPrice"] == "0.90"


async def test_deleting_leaves_its_orders(env: Env, partner: Partner, epa: int) -> None:
    """The protocol is gone, a second deletion is 404, and its order keeps its protocolId."""
    kept = await partner.keep(an_order(a_line(epa)))
    order = (await partner("POST", f"/{kept['id']}/orders")).json()

    deleted = await partner("DELETE", f"/{kept['id']}")
    again = await partner("DELETE", f"/{kept['id']}")

    assert (deleted.status_code, deleted.content) == (204, b"")
    assert (again.status_code, again.json()["code"]) == (404, "protocol_not_found")
    assert (await partner("GET", f"/{kept['id']}")).status_code == 404
    stored = await rows(env, "SELECT protocol_id FROM orders WHERE id = %(id)s", id=order["id"])
    assert stored == [(kept["id"],)]


async def test_a_key_replays_though_the_protocol_is_gone(env: Env, partner: Partner, epa: int) -> None:
    """The stored answer comes after deletion; another key finds no protocol, another body is another request."""
    kept = await partner.keep(an_order(a_line(epa)))
    path = f"/{kept['id']}/orders"
    first = await partner("POST", path, {}, Idempotency_Key="k")
    await partner("DELETE", f"/{kept['id']}")

    replayed = await partner("POST", path, {}, Idempotency_Key="k")
    without_body = await partner("POST", path, Idempotency_Key="k")
    fresh = await partner("POST", path, {}, Idempotency_Key="other")
    reused = await partner("POST", path, {"daysSupply": 90}, Idempotency_Key="k")

    assert (replayed.content, replayed.headers["Idempotent-Replayed"]) == (first.content, "true")
    assert without_body.content == first.content
    assert fresh.status_code == 404
    assert (reused.status_code, reused.json()["code"]) == (422, "idempotency_key_reused")
    assert (await footprint(env, partner.caller.partner_id))["orders"] == 1


async def test_a_key_belongs_to_its_operation(env: Env, api: httpx2.AsyncClient, partner: Partner, epa: int) -> None:
    """The same key for an order and for an order from a protocol makes two orders; of another protocol it is reused."""
    one, two = await partner.keep(an_order(a_line(epa))), await partner.keep(an_order(a_line(epa)))
    headers = partner._headers | {"Idempotency-Key": "k"}  # pyright: ignore[reportPrivateUsage]

    direct = await api.post("/v1/orders", json=an_order(a_line(epa)), headers=headers)
    first = await partner("POST", f"/{one['id']}/orders", {}, Idempotency_Key="k")
    other = await partner("POST", f"/{two['id']}/orders", {}, Idempotency_Key="k")

    assert (direct.status_code, first.status_code) == (201, 201)
    assert other.json()["code"] == "idempotency_key_reused"


NAMES = [("John", "Doe"), ("Johanna", "Dorn"), ("Mary", "Smith"), ("José", "García Márquez"), ("Li", "Wu")]
SEARCHES = [
    ("John Doe", ["John Doe"]),
    ("john", ["John Doe"]),
    ("doe", ["John Doe"]),
    ("doe john", ["John Doe"]),
    ("jon doe", ["Johanna Dorn", "John Doe"]),  # nobody is named so: all that are nearly
    ("JOHN", ["John Doe"]),
    ("  mary   smith ", ["Mary Smith"]),
    ("smiht", ["Mary Smith"]),
    ("smth", ["Mary Smith"]),
    ("jhon doe", ["John Doe"]),
    ("Jhon", ["John Doe"]),
    ("joh", ["Johanna Dorn", "John Doe"]),
    ("mary smi", ["Mary Smith"]),
    ("johana", ["Johanna Dorn", "John Doe"]),
    ("García", ["José García Márquez"]),
    ("marquez", ["José García Márquez"]),
    ("Li Wu", ["Li Wu"]),
    ("wu", ["Li Wu"]),
    ("john smith", []),
    ("zzz", []),
    ("%", []),
    ("_", []),
    ("\\", []),
    ("'; DROP TABLE protocols; --", []),
]


@pytest.mark.parametrize(("text", "found"), SEARCHES)
async def test_customers_are_found_by_name(
    api: httpx2.AsyncClient, partner: Partner, epa: int, text: str, found: list[str]
) -> None:
    """By first, last or both names, in any order and case, with a typo; what is like no name finds nobody."""
    for first, last in NAMES:
        await partner.keep(an_order(a_line(epa), customer=a_customer(firstName=first, lastName=last)))

    answer = await api.get("/v1/protocols", params={"search": text}, headers=partner._headers)  # pyright: ignore

    names = [f"{kept['customer']['firstName']} {kept['customer']['lastName']}" for kept in answer.json()["protocols"]]
    assert names == found


async def test_a_blank_search_is_none(api: httpx2.AsyncClient, partner: Partner, epa: int) -> None:
    """An empty box lists all."""
    kept = await partner.keep(an_order(a_line(epa)))

    for text in ("", "  "):
        answer = await api.get("/v1/protocols", params={"search": text}, headers=partner._headers)  # pyright: ignore
        assert [protocol["id"] for protocol in answer.json()["protocols"]] == [kept["id"]]


async def test_a_search_has_pages(api: httpx2.AsyncClient, partner: Partner, epa: int) -> None:
    """The cursor goes on within the search, newest first, and is of no use without it."""
    ids = [(await partner.keep(an_order(a_line(epa))))["id"] for _ in range(5)]
    await partner.keep(an_order(a_line(epa), customer=a_customer(firstName="Mary", lastName="Smith")))
    headers = partner._headers  # pyright: ignore[reportPrivateUsage]

    one = await api.get("/v1/protocols", params={"search": "doe", "limit": 3}, headers=headers)
    cursor = one.json()["cursor"]
    two = await api.get("/v1/protocols", params={"search": "doe", "limit": 3, "cursor": cursor}, headers=headers)
    without = await api.get("/v1/protocols", params={"cursor": cursor}, headers=headers)

    seen = [kept["id"] for page in (one, two) for kept in page.json()["protocols"]]
    assert seen == list(reversed(ids))
    assert two.json()["cursor"] is None
    assert without.json()["code"] == "invalid_cursor"


async def test_too_long_a_search(api: httpx2.AsyncClient, partner: Partner) -> None:
    """Over 200 characters is 422."""
    answer = await api.get("/v1/protocols", params={"search": "x" * 201}, headers=partner._headers)  # pyright: ignore

    assert answer.status_code == 422


@pytest.mark.parametrize("method", ["GET", "PATCH", "PUT", "DELETE", "POST"])
async def test_another_partners_protocol_is_none(
    api: httpx2.AsyncClient, world: World, partner: Partner, epa: int, method: str
) -> None:
    """It can be neither read, changed, deleted nor ordered from; the answer is that of no protocol."""
    kept = await partner.keep(an_order(a_line(epa)))
    caller = await world.partner()
    other = Partner(api, await world.headers(caller), caller)
    suffix = "/orders" if method == "POST" else ""
    body: object = {"PUT": an_order(a_line(epa)), "PATCH": {"daysSupply": 90}, "POST": {}}.get(method, ...)

    foreign = await other(method, f"/{kept['id']}{suffix}", body)
    missing = await other(method, f"/{NOBODY}{suffix}", body)

    assert (foreign.status_code, missing.status_code) == (404, 404)
    assert foreign.json() | {"requestId": ""} == missing.json() | {"requestId": ""}
    assert (await partner("GET", f"/{kept['id']}")).json() == kept
