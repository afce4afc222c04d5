"""The contract's shapes of orders: what comes in is read strictly, what goes out is spliced from frozen JSON text."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from fulfillment.infra import jsontext
from fulfillment.infra.patterns import PRINTABLE
from fulfillment.kernel.money import to_wire as money
from fulfillment.kernel.times import to_wire as moment
from fulfillment.orders.domain import (
    Administration,
    Draft,
    DraftLine,
    Order,
    OrderType,
    allowed_actions,
)
from fulfillment.orders.pricing import PricedLine, Totals
from fulfillment.shipping.addresses import valid_email, valid_phone
from fulfillment.shipping.states import STATES

MAX_LINES: Final = 50
MAX_QUANTITY: Final = 100
_INT64: Final = 2**63 - 1


def _given(value: object) -> object:
    if value is None:
        raise ValueError("It can be left out, not null")
    return value


def _state(value: str) -> str:
    if value not in STATES:
        raise ValueError("It is not a USPS state code such as CA")
    return value


def _email(value: str) -> str:
    if not valid_email(value):
        raise ValueError("It is not an e-mail address")
    return value


def _phone(value: str) -> str:
    if not valid_phone(value):
        raise ValueError("It is not a phone number")
    return value


def _text(least: int, most: int) -> Any:
    return Annotated[str, StringConstraints(strict=True, min_length=least, max_length=most, pattern=PRINTABLE)]


_NOT_NULL: Final = BeforeValidator(_given)
# `infra.jsontext` reads 2.0 as 2; text and truth values are no numbers.
Whole = Annotated[int, Field(strict=True)]
Pills = Annotated[int, Field(strict=True, ge=0, le=MAX_QUANTITY)]
DaysSupply = Literal[30, 60, 90]
ShippingMethodName = Literal["STANDARD", "EXPRESS", "OVERNIGHT"]
OrderTypeName = Literal["ONE_TIME", "SUBSCRIPTION"]
PackDescription = _text(1, 200)


class _Wire(BaseModel):
    # A field we don't know is a field the clinician believes we know: refuse it, never ignore it.
    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=False)


class AddressIn(_Wire):
    """The contract's Address."""

    line1: _text(1, 100)  # pyright: ignore[reportInvalidTypeForm]
    line2: _text(0, 100) | None = None  # pyright: ignore[reportInvalidTypeForm]
    city: _text(1, 50)  # pyright: ignore[reportInvalidTypeForm]
    state: Annotated[str, StringConstraints(strict=True), AfterValidator(_state)]
    zipCode: Annotated[str, StringConstraints(strict=True, pattern=r"^[0-9]{5}(-[0-9]{4})?$")]


class CustomerIn(_Wire):
    """The contract's Customer."""

    sourceId: _text(1, 255)  # pyright: ignore[reportInvalidTypeForm]
    firstName: _text(1, 100)  # pyright: ignore[reportInvalidTypeForm]
    lastName: _text(1, 100)  # pyright: ignore[reportInvalidTypeForm]
    email: Annotated[str, StringConstraints(strict=True, max_length=254), AfterValidator(_email)] | None = None
    phone: Annotated[str, StringConstraints(strict=True, max_length=32), AfterValidator(_phone)] | None = None
    address: AddressIn


class AdministrationIn(_Wire):
    """The contract's Administration."""

    morning: Pills
    afternoon: Pills
    evening: Pills
    sleep: Pills

    def to_domain(self) -> Administration:
        """Return it as the domain's."""
        return Administration(self.morning, self.afternoon, self.evening, self.sleep)


class LineItemIn(_Wire):
    """The contract's LineItemInput."""

    productId: Annotated[int, Field(strict=True, ge=1, le=_INT64)]
    quantity: Annotated[int, Field(strict=True, ge=1, le=MAX_QUANTITY)]
    packDescription: PackDescription | None = None  # pyright: ignore[reportInvalidTypeForm]
    administration: AdministrationIn | None = None

    def to_draft(self) -> DraftLine:
        """Return the line as asked for."""
        return DraftLine(
            self.productId,
            self.quantity,
            self.packDescription,
            self.administration.to_domain() if self.administration else None,
        )


class OrderCreateIn(_Wire):
    """The contract's OrderCreate, and ProtocolCreate."""

    customer: CustomerIn
    daysSupply: DaysSupply
    lineItems: Annotated[list[LineItemIn], Field(min_length=1, max_length=MAX_LINES)]
    shippingMethod: ShippingMethodName
    orderType: OrderTypeName = "ONE_TIME"

    def to_draft(self, protocol_id: str | None = None) -> Draft:
        """Return the order as asked for."""
        return Draft(
            customer=self.customer.model_dump(),
            days_supply=self.daysSupply,
            lines=tuple(line.to_draft() for line in self.lineItems),
            shipping_method=self.shippingMethod,
            order_type=OrderType(self.orderType),
            protocol_id=protocol_id,
        )


class OrderFromProtocolIn(_Wire):
    """What an order from a protocol may say otherwise."""

    daysSupply: Annotated[DaysSupply | None, _NOT_NULL] = None
    shippingMethod: Annotated[ShippingMethodName | None, _NOT_NULL] = None
    orderType: Annotated[OrderTypeName | None, _NOT_NULL] = None

    @classmethod
    def read(cls, value: object) -> Self:
        """Return *value*; no body is an empty one."""
        return cls.model_validate({} if value is None else value)


class ProtocolUpdateIn(_Wire):
    """The contract's ProtocolUpdate: the given fields only."""

    customer: Annotated[CustomerIn | None, _NOT_NULL] = None
    daysSupply: Annotated[DaysSupply | None, _NOT_NULL] = None
    lineItems: Annotated[Annotated[list[LineItemIn], Field(min_length=1, max_length=MAX_LINES)] | None, _NOT_NULL] = (
        None
    )
    shippingMethod: Annotated[ShippingMethodName | None, _NOT_NULL] = None
    orderType: Annotated[OrderTypeName | None, _NOT_NULL] = None


def administration_json(administration: Administration) -> dict[str, int]:
    """Return the contract's Administration."""
    return {
        "morning": administration.morning,
        "afternoon": administration.afternoon,
        "evening": administration.evening,
        "sleep": administration.sleep,
    }


def line_json(priced: PricedLine) -> str:
    """Return the contract's LineItem as JSON text.

    Written piece by piece: `json.dumps` of the same object takes three times as long, and a create writes each line.
    """
    line = priced.line
    given = line.administration
    placed = (
        f',"administration":{{"morning":{given.morning},"afternoon":{given.afternoon},'
        f'"evening":{given.evening},"sleep":{given.sleep}}}'
        if given is not None
        else ""
    )
    product = line.product
    described = jsontext.quoted(line.pack_description) if line.pack_description is not None else "null"
    return (
        f'{{"productId":{product.id},"quantity":{line.quantity},"packDescription":{described},'
        f'"price":"{money(priced.price)}","discountedPrice":"{money(priced.discounted_price)}",'
        f'"external":{"true" if product.external else "false"},"name":{jsontext.quoted(product.name)}{placed}}}'
    )


def document_json(
    draft: Draft, lines: Sequence[PricedLine], totals: Totals, discount: str, created_at: datetime
) -> str:
    """Return the part of an order's answer that never changes, as JSON text."""
    items = ",".join([line_json(line) for line in lines])
    protocol = f'"{draft.protocol_id}"' if draft.protocol_id is not None else "null"
    return (
        f'{{"discount":"{discount}","daysSupply":{draft.days_supply},"orderType":"{draft.order_type}",'
        f'"shippingMethod":"{draft.shipping_method}","lineItems":[{items}],"protocolId":{protocol},'
        f'"subtotal":"{money(totals.subtotal)}","handlingFee":"{money(totals.handling_fee)}",'
        f'"volumeDiscount":"{money(totals.volume_discount)}","shippingCost":"{money(totals.shipping_cost)}",'
        f'"total":"{money(totals.total)}","createdAt":"{moment(created_at)}"}}'
    )


def totals_json(totals: Totals) -> dict[str, str]:
    """Return the contract's totals."""
    return {
        "subtotal": money(totals.subtotal),
        "handlingFee": money(totals.handling_fee),
        "volumeDiscount": money(totals.volume_discount),
        "shippingCost": money(totals.shipping_cost),
        "total": money(totals.total),
    }


def order_json(order: Order) -> str:
    """Return the contract's Order: the frozen text, and around it what changes."""
    actions = ",".join(f'"{action}"' for action in allowed_actions(order))
    until = f'"{moment(order.release_at)}"' if order.release_at else "null"
    return (
        f'{{"id":"{order.id}","customer":{order.customer},"status":"{order.status}",{order.document[1:-1]},'
        f'"fulfillmentInfo":{order.fulfillment or "null"},"shipments":{order.shipments or "[]"},'
        f'"holds":{order.holds or "[]"},"warnings":{order.warnings or "[]"},"allowedActions":[{actions}],'
        f'"cancellableUntil":{until},"sequence":{order.sequence},"updatedAt":"{moment(order.updated_at)}"}}'
    )


def event_json(order: Order) -> str:
    """Return the contract's OrderStatusEvent as it is sent."""
    return (
        f'{{"order":{{"orderId":"{order.id}","status":"{order.status}",'
        f'"fulfillmentInfo":{order.fulfillment or "null"},"createdAt":"{moment(order.created_at)}",'
        f'"updatedAt":"{moment(order.updated_at)}"}}}}'
    )


def preview_lines(lines: Sequence[PricedLine]) -> list[dict[str, object]]:
    """Return priced lines for a preview: as in an order, and each line's total."""
    return [json.loads(line_json(line)) | {"lineTotal": money(line.total)} for line in lines]


def holds_json(holds: Sequence[Mapping[str, object]]) -> str | None:
    """Return the open holds as an order shows them; None when there are none."""
    return jsontext.write(list(holds)).decode() if holds else None
