"""Customer orders from creation to shipment."""

from collections.abc import Sequence
from typing import Literal

from ..calls import Call, create, get, loose, operation, page_of, paged, segment
from ..codec import Json
from ..models import Order, OrderCreate, OrderStatus, Page

Direction = Literal["next", "previous"]
OnDuplicate = Literal["reject", "hold", "accept"]


class Orders:
    """Operations on orders."""

    @operation
    def create_order(
        self,
        order: OrderCreate | Json,
        *,
        idempotency_key: str | None = None,
        on_duplicate: OnDuplicate | None = None,
    ) -> Call[Order]:
        """Create an order, once, however often the network makes us ask.

        Args:
            order: The order, as a dataclass or in the wire's form.
            idempotency_key: Give your own to make the call repeatable over a restart of your program too.
            on_duplicate: What becomes of the same content for the same customer within 14 days.

        Raises:
            ValidationError: The order is wrong; ``errors`` names every fault.
            InsufficientStock: Too little is left of a product; nothing was taken.
        """
        return create("createOrder", "/orders", Order.from_wire, order, idempotency_key, onDuplicate=on_duplicate)

    @operation
    def list_orders(
        self,
        *,
        status: OrderStatus | str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
        direction: Direction | None = None,
    ) -> Call[Page[Order]]:
        """Return one page of orders, newest first."""
        params = {"status": status, "limit": limit, "cursor": cursor, "direction": direction}
        return get("listOrders", "/orders", page_of(Order.from_wire, "orders"), **params)

    @paged
    def iter_orders(self, *, status: OrderStatus | str | None = None, limit: int | None = None) -> Call[Page[Order]]:
        """Go through all orders, newest first, *limit* a page."""
        return get("listOrders", "/orders", page_of(Order.from_wire, "orders"), status=status, limit=limit)

    @operation
    def get_order_by_id(self, order_id: str) -> Call[Order]:
        """Return an order.

        Raises:
            NotFound: You have no such order.
        """
        return get("getOrderById", f"/orders/{segment(order_id)}", Order.from_wire)

    @operation
    def cancel_order(self, order_id: str) -> Call[Order]:
        """Cancel an order that has not entered processing, and return it.

        It is not sent again by itself: a second cancel is refused, and would hide that the first one worked.
        After a ConnectionFailed, read the order.

        Raises:
            OrderNotCancellable: It has entered processing, or is cancelled already.
            NotFound: You have no such order.
        """
        return Call("cancelOrder", "POST", f"/orders/{segment(order_id)}/cancel", Order.from_wire)

    @operation
    def preview_order(self, order: OrderCreate | Json) -> Call[Json]:
        """Run an order through every check without making it: faults, prices, stock, dates, warnings."""
        return Call("previewOrder", "POST", "/orders/preview", loose, body=order, repeatable=True)

    @operation
    def create_orders_bulk(
        self, orders: Sequence[OrderCreate | Json], *, idempotency_key: str | None = None
    ) -> Call[Json]:
        """Create up to 100 orders, each with its own result."""
        return create("createOrdersBulk", "/orders/bulk", loose, {"orders": orders}, idempotency_key)

    @operation
    def get_order_facts(self, order_id: str) -> Call[Json]:
        """Return the combined supplement facts of an order's packs."""
        return get("getOrderFacts", f"/orders/{segment(order_id)}/facts", loose)
