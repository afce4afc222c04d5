"""Reusable order templates."""

from ..calls import Call, create, get, nothing, operation, page_of, paged, segment
from ..codec import Json
from ..models import (
    Order,
    OrderCreate,
    OrderType,
    Page,
    Protocol,
    ProtocolUpdate,
    ShippingMethodName,
)
from .orders import Direction


class Protocols:
    """Operations on protocols."""

    @operation
    def create_protocol(self, protocol: OrderCreate | Json) -> Call[Protocol]:
        """Keep an order template. Takes no stock.

        The contract has no idempotency key here, so that the call is not sent again by itself.

        Raises:
            ValidationError: The protocol is wrong; ``errors`` names every fault.
        """
        return Call("createProtocol", "POST", "/protocols", Protocol.from_wire, body=protocol)

    @operation
    def list_protocols(
        self,
        *,
        search: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
        direction: Direction | None = None,
    ) -> Call[Page[Protocol]]:
        """Return one page of protocols; *search* is a customer's name, and forgives typos."""
        params = {"search": search, "limit": limit, "cursor": cursor, "direction": direction}
        return get("listProtocols", "/protocols", page_of(Protocol.from_wire, "protocols"), **params)

    @paged
    def iter_protocols(self, *, search: str | None = None, limit: int | None = None) -> Call[Page[Protocol]]:
        """Go through all protocols, *limit* a page."""
        return get(
            "listProtocols",
            "/protocols",
            page_of(Protocol.from_wire, "protocols"),
            search=search,
            limit=limit,
        )

    @operation
    def get_protocol_by_id(self, protocol_id: str) -> Call[Protocol]:
        """Return a protocol.

        Raises:
            NotFound: You have no such protocol.
        """
        return get("getProtocolById", f"/protocols/{segment(protocol_id)}", Protocol.from_wire)

    @operation
    def update_protocol(self, protocol_id: str, changes: ProtocolUpdate | Json) -> Call[Protocol]:
        """Change the given fields of a protocol and return the whole."""
        return Call(
            "updateProtocol",
            "PATCH",
            f"/protocols/{segment(protocol_id)}",
            Protocol.from_wire,
            body=changes,
            repeatable=True,
        )

    @operation
    def replace_protocol(self, protocol_id: str, protocol: OrderCreate | Json) -> Call[Protocol]:
        """Replace a whole protocol and return it."""
        return Call(
            "replaceProtocol",
            "PUT",
            f"/protocols/{segment(protocol_id)}",
            Protocol.from_wire,
            body=protocol,
            repeatable=True,
        )

    @operation
    def delete_protocol(self, protocol_id: str) -> Call[None]:
        """Delete a protocol. The orders made from it stay.

        When the answer to a first attempt was lost, the second finds nothing: NotFound then means deleted.

        Raises:
            NotFound: You have no such protocol.
        """
        return Call("deleteProtocol", "DELETE", f"/protocols/{segment(protocol_id)}", nothing, repeatable=True)

    @operation
    def create_order_from_protocol(
        self,
        protocol_id: str,
        *,
        days_supply: int | None = None,
        shipping_method: ShippingMethodName | str | None = None,
        order_type: OrderType | str | None = None,
        idempotency_key: str | None = None,
    ) -> Call[Order]:
        """Create an order from a protocol, once; what is given stands in for the protocol's own.

        Raises:
            ValidationError: The protocol's products can't be ordered any more.
            InsufficientStock: Too little is left of a product; nothing was taken.
            NotFound: You have no such protocol.
        """
        overrides = {"daysSupply": days_supply, "shippingMethod": shipping_method, "orderType": order_type}
        return create(
            "createOrderFromProtocol",
            f"/protocols/{segment(protocol_id)}/orders",
            Order.from_wire,
            {name: value for name, value in overrides.items() if value is not None},
            idempotency_key,
        )
