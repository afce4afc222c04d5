"""Pages, and the iterators that follow them."""

import pytest

from fulfillment.sdk import Client, errors
from tests.sdk.samples import ORDER, PRODUCT, PROTOCOL
from tests.sdk.server import Play, ScriptedServer

FEED = {"type": "order.created", "createdAt": "2026-01-01T00:00:00Z", "orderId": "o1", "orderSequence": 1}


@pytest.mark.parametrize(
    ("operation", "path", "member", "row", "filters", "query"),
    [
        ("iter_orders", "/v1/orders", "orders", ORDER, {"status": "SHIPPED"}, {"status": ["SHIPPED"]}),
        ("iter_protocols", "/v1/protocols", "protocols", PROTOCOL, {"search": "Doe"}, {"search": ["Doe"]}),
        ("iter_products", "/v1/products", "products", PRODUCT, {"search": "omega"}, {"search": ["omega"]}),
        ("iter_events", "/v1/events", "events", FEED, {"order_id": "o1"}, {"orderId": ["o1"]}),
    ],
)
def test_all_pages_are_followed(
    server: ScriptedServer,
    client: Client,
    operation: str,
    path: str,
    member: str,
    row: dict[str, object],
    filters: dict[str, object],
    query: dict[str, list[str]],
):
    """An iterator asks for each page with the cursor of the one before, with the same filters and limit."""
    ids: list[object] = [1, 2, 3] if member == "products" else ["a", "b", "c"]
    rows = [{**row, "id": id} for id in ids]
    server.plays(
        Play(200, {member: rows[:2], "cursor": "c=2&"}),
        Play(200, {member: rows[2:], "cursor": None}),
    )

    found = list(getattr(client, operation)(limit=2, **filters))

    assert [item.id for item in found] == ids
    assert [seen.path for seen in server.seen] == [path, path]
    assert [dict(seen.query) for seen in server.seen] == [
        {**query, "limit": ["2"]},
        {**query, "limit": ["2"], "cursor": ["c=2&"]},
    ]


def test_an_empty_page_ends(server: ScriptedServer, client: Client):
    """A feed that always has a cursor ends at the first empty page."""
    server.plays(Play(200, {"events": [{**FEED, "id": "e1"}], "cursor": "1"}), Play(200, {"events": [], "cursor": "1"}))

    assert [event.id for event in client.iter_events()] == ["e1"]

    assert len(server.seen) == 2


def test_no_page_before_it_is_reached(server: ScriptedServer):
    """An iterator that is left early has not fetched the pages behind."""
    server.plays(Play(200, {"orders": [ORDER, ORDER], "cursor": "next"}))

    with Client(f"{server.url}/v1", f"{server.url}/oauth2/token", "i", "s") as client:
        next(client.iter_orders())

    assert len(server.seen) == 1


def test_one_page(server: ScriptedServer, client: Client):
    """A page holds its items in order, its length, the cursor, and the envelope as it came."""
    server.plays(Play(200, {"orders": [ORDER], "cursor": "more", "extra": 1}))

    page = client.list_orders(cursor="here", direction="previous")

    assert [order.id for order in page] == [ORDER["id"]]
    assert len(page) == 1
    assert page.cursor == "more"
    assert page.raw["extra"] == 1
    assert server.seen[0].query == {"cursor": ["here"], "direction": ["previous"]}


def test_a_bare_array(server: ScriptedServer, client: Client):
    """Shipping methods come as a bare array."""
    server.plays(Play(200, [{"name": "EXPRESS", "description": "2 days", "price": "15.00"}]))

    assert [method.name for method in client.list_shipping_methods()] == ["EXPRESS"]


@pytest.mark.parametrize("body", [{"cursor": None}, {"orders": {}}, "text", None])
def test_no_page_in_the_answer(server: ScriptedServer, client: Client, body: object):
    """An answer that is no page is named as such."""
    server.plays(Play(200, body))

    with pytest.raises(errors.UnexpectedAnswer):
        client.list_orders()
