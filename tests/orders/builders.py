"""Values of the orders room for pure tests."""

from datetime import UTC, datetime
from decimal import Decimal

from fulfillment.catalog.domain import Orderable, ProductStatus
from fulfillment.orders.domain import Administration, DraftLine, Order, OrderStatus
from fulfillment.orders.packs import Line
from fulfillment.orders.pricing import Terms

AT = datetime(2026, 11, 23, 12, tzinfo=UTC)


def an_order(status: OrderStatus, holds: str | None = None) -> Order:
    """Return an order that has come to *status*."""
    return Order(
        id="2vSGym0bH8qVEwCIGlyFoRgJq1A",
        partner_id="2NxK7vPqYtR5mJnLkH3wZcB",
        status=status,
        sequence=1,
        days_supply=30,
        shipping_method="STANDARD",
        customer="{}",
        document="{}",
        warnings=None,
        holds=holds,
        fulfillment=None,
        shipments=None,
        release_at=None,
        created_at=AT,
        updated_at=AT,
    )


def a_product(
    id: int = 1,
    *,
    price: str = "0.50",
    external: bool = False,
    status: str = "ACTIVE",
    usage: tuple[int, int, int, int] | None = (1, 0, 1, 0),
) -> Orderable:
    """Return what the catalogue tells orders of a product."""
    return Orderable(
        id=id,
        name=f"Product {id}",
        list_price=Decimal(price),
        external=external,
        status=ProductStatus(status),
        recommended_usage=usage,
        pack_description=None,
        rank=-id,
        updated_on=AT.date(),
    )


def a_line_of(product: Orderable, quantity: int) -> Line:
    """Return a line that may be made."""
    return Line(product, quantity, "Daily", None if product.external else Administration(morning=quantity))


def terms(discount: str = "0", volume: dict[int, str] | None = None, fee: str = "5.00", shipping: str = "0") -> Terms:
    """Return what a partner pays by."""
    steps = {60: "0.05", 90: "0.10"} if volume is None else volume
    return Terms(
        Decimal(discount), {days: Decimal(part) for days, part in steps.items()}, Decimal(fee), Decimal(shipping)
    )


def asked(product_id: int, quantity: int, given: tuple[int, int, int, int] | None = None, pack: str | None = "Daily"):
    """Return a line as asked for."""
    return DraftLine(product_id, quantity, pack, Administration(*given) if given else None)
