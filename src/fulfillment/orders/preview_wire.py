"""The shape of a preview."""

import json
from datetime import date, datetime
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from fulfillment.kernel.errors import FieldError
from fulfillment.kernel.money import to_wire as money
from fulfillment.kernel.times import to_wire as moment
from fulfillment.orders import wire
from fulfillment.orders.previewing import Preview, PreviewedLine, Stock, Way
from fulfillment.orders.pricing import Totals


class _Out(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class PreviewErrorOut(_Out):
    """Why creation would be refused."""

    code: str
    pointer: str
    message: str

    @classmethod
    def of(cls, fault: FieldError) -> Self:
        """Return the shape of *fault*."""
        return cls(code=fault.code or "validation_failed", pointer=fault.pointer, message=fault.message)


class PreviewStockOut(_Out):
    """What is there of a line's product, against what all lines of that product need."""

    requested: int = Field(description="Of all lines of this product together")
    available: int = Field(description="In lots that last to the end of the supply")
    sufficient: bool
    unit: Literal["pills", "units"]

    @classmethod
    def of(cls, stock: Stock) -> Self:
        """Return the shape of *stock*."""
        return cls(
            requested=stock.requested,
            available=stock.available,
            sufficient=stock.sufficient,
            unit="units" if stock.unit == "units" else "pills",
        )


class PreviewAdministrationOut(_Out):
    """Pills at each time of day."""

    morning: int
    afternoon: int
    evening: int
    sleep: int


class PreviewLineOut(_Out):
    """A line as the order would have it; of one that can't be made only what was asked for."""

    product_id: int
    quantity: int
    name: str | None = None
    external: bool | None = None
    pack_description: str | None = None
    administration: PreviewAdministrationOut | None = None
    price: str | None = None
    discounted_price: str | None = None
    line_total: str | None = None
    stock: PreviewStockOut | None = None

    @classmethod
    def of(cls, line: PreviewedLine) -> Self:
        """Return the shape of *line*."""
        if line.priced is None or line.stock is None:
            return cls(product_id=line.product_id, quantity=line.quantity)
        return cls(
            **json.loads(wire.line_json(line.priced)),
            line_total=money(line.priced.total),
            stock=PreviewStockOut.of(line.stock),
        )


class PreviewTotalsOut(_Out):
    """The order's totals, as creation would answer them."""

    subtotal: str
    handling_fee: str
    volume_discount: str
    shipping_cost: str
    total: str

    @classmethod
    def of(cls, totals: Totals | None) -> Self | None:
        """Return the shape of *totals*."""
        return None if totals is None else cls.model_validate(wire.totals_json(totals))


class PreviewPacksOut(PreviewAdministrationOut):
    """Pills of one day's packs, by time of day."""

    total: int = Field(description="Pills a day")
    days: int
    pills: int = Field(description="Pills of the whole order")


class PreviewFindingOut(_Out):
    """One thing that looks wrong with the address."""

    code: str
    pointer: str
    message: str
    suggestion: str | None
    blocking: bool = Field(description="It can't be delivered like this: the order would be held")


class PreviewAddressOut(_Out):
    """What the address rules say, with the order's own shipping method."""

    verdict: Literal["verified", "warning", "undeliverable"]
    findings: list[PreviewFindingOut]
    usps_only: bool


class PreviewWayOut(_Out):
    """What a shipping method would mean for this order."""

    name: str
    description: str
    price: str
    ships_on: date
    arrives_from: date
    arrives_by: date
    deliverable: bool
    total: str | None = Field(description="The order's total with this method; null where a line can't be made")

    @classmethod
    def of(cls, way: Way) -> Self:
        """Return the shape of *way*."""
        return cls(
            name=way.method.name,
            description=way.method.description,
            price=money(way.method.price),
            ships_on=way.ships_on,
            arrives_from=way.arrives.earliest,
            arrives_by=way.arrives.latest,
            deliverable=way.deliverable,
            total=money(way.totals.total) if way.totals else None,
        )


class PreviewWarningOut(_Out):
    """Something that somebody should see; it refuses nothing."""

    code: str
    message: str
    pointer: str | None = None
    product_ids: list[int] = Field(default_factory=list[int])
    details: dict[str, Any] = Field(default_factory=dict[str, Any])


class PreviewOut(_Out):
    """What would become of an order."""

    valid: bool = Field(description="Whether createOrder would succeed now with the same body and parameters")
    errors: list[PreviewErrorOut]
    holds: list[str] = Field(description="The codes of the holds that creation would put on the order")
    line_items: list[PreviewLineOut] = Field(description="In the request's order")
    totals: PreviewTotalsOut | None
    packs: PreviewPacksOut
    address: PreviewAddressOut
    cancellable_until: str | None = Field(description="Null when orders are released by hand")
    shipping_methods: list[PreviewWayOut]
    warnings: list[PreviewWarningOut]

    @classmethod
    def of(cls, preview: Preview) -> Self:
        """Return the shape of *preview*."""
        day, address = preview.day, preview.address
        return cls(
            valid=preview.valid,
            errors=[PreviewErrorOut.of(fault) for fault in preview.errors],
            holds=[code.value for code in preview.holds],
            line_items=[PreviewLineOut.of(line) for line in preview.lines],
            totals=PreviewTotalsOut.of(preview.totals),
            packs=PreviewPacksOut(
                **wire.administration_json(day),
                total=day.total,
                days=preview.days_supply,
                pills=day.total * preview.days_supply,
            ),
            address=PreviewAddressOut(
                verdict=address.verdict,
                findings=[
                    PreviewFindingOut(
                        code=finding.code,
                        pointer=finding.pointer,
                        message=finding.message,
                        suggestion=finding.suggestion,
                        blocking=finding.blocking,
                    )
                    for finding in address.findings
                ],
                usps_only=address.usps_only,
            ),
            cancellable_until=_moment(preview.cancellable_until),
            shipping_methods=[PreviewWayOut.of(way) for way in preview.ways],
            warnings=_warnings(preview),
        )


def _moment(at: datetime | None) -> str | None:
    return moment(at) if at else None


def _warnings(preview: Preview) -> list[PreviewWarningOut]:
    found = [PreviewWarningOut.model_validate(warning.to_wire()) for warning in preview.facts]
    twin = preview.twin
    if twin is not None:
        found.append(
            PreviewWarningOut(
                code="duplicate_suspected",
                message=f"The customer got the same content with order {twin.order_id} on {twin.created_at.date()}.",
                pointer="/customer/sourceId",
                details={"orderId": twin.order_id, "createdAt": moment(twin.created_at)},
            )
        )
    return found
