"""What a type checker must make of the SDK. Never run: `test_types` has it checked."""

from collections.abc import AsyncIterator, Coroutine, Iterator
from typing import Any, assert_type

from fulfillment.sdk import AsyncClient, Client, Order, OrderCreate, Page, Product, webhooks
from fulfillment.sdk.models import OrderStatus, ShippingMethod


def blocking(client: Client, order: OrderCreate) -> None:
    """The sync client answers directly."""
    assert_type(client.create_order(order, idempotency_key="k"), Order)
    assert_type(client.list_orders(status="SHIPPED", limit=5), Page[Order])
    assert_type(client.iter_products(search="omega"), Iterator[Product])
    assert_type(client.list_shipping_methods(), tuple[ShippingMethod, ...])
    assert_type(client.delete_protocol("p1"), None)
    assert_type(client.get_order_by_id("o1").status, OrderStatus | str)


async def awaited(client: AsyncClient, order: dict[str, Any]) -> None:
    """The async client gives coroutines of the same."""
    assert_type(await assert_type(client.create_order(order), Coroutine[Any, Any, Order]), Order)
    assert_type(await client.list_orders(), Page[Order])
    assert_type(client.iter_orders(), AsyncIterator[Order])
    assert_type(await client.delete_protocol("p1"), None)


def mistakes(client: Client, order: OrderCreate) -> None:
    """Wrong names and wrong types are found: an ignore without an error would be an error itself."""
    client.create_order(order, idempotency_kee="k")  # pyright: ignore[reportCallIssue]
    client.get_order_by_id(5)  # pyright: ignore[reportArgumentType]
    client.cancel_order()  # pyright: ignore[reportCallIssue]
    webhooks.verify("text", "header", "secret")  # pyright: ignore[reportArgumentType]
