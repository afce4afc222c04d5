"""What a recall reaches, how it is told, and how it is exported. Pure."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from fulfillment.inventory.domain import Lot, Reservation, ReservationState
from fulfillment.kernel.times import to_wire as moment
from fulfillment.orders.domain import Order, OrderStatus
from fulfillment.warehouse.domain import Shipment
from fulfillment.warehouse.packing import SLOTS, Content

_DANGEROUS: Final = ("=", "+", "-", "@", "\t", "\r", "\n")


class Stage(StrEnum):
    """How far the lot's pills have come with an order."""

    RESERVED = "reserved"  # promised, not in production
    IN_PRODUCTION = "inProduction"  # released, packed or labelled, but still here
    SHIPPED = "shipped"
    REPLACED = "replaced"  # had been packed, and was thrown away


class Action(StrEnum):
    """What the recall did about an order."""

    REPICKED = "repicked"  # it has another lot now
    HELD = "held"
    SHIPPED = "shipped"  # the partner has to tell its customer


@dataclass(frozen=True, slots=True)
class Reached:
    """An order that has, or had, pills of the lot."""

    order_id: str
    partner_id: str
    partner_name: str
    customer_source_id: str
    status: OrderStatus
    stage: Stage
    pills: int  # or units
    times_of_day: tuple[str, ...]  # when the recipient takes them; empty for externals
    ordered_at: datetime
    shipped_at: datetime | None
    carrier: str | None
    tracking_number: str | None
    action: Action | None = None  # what the recall did; None: nothing was done


@dataclass(frozen=True, slots=True)
class Trace:
    """Everyone whom a lot reached, and what is left of it."""

    lot: Lot
    product_name: str
    reached: tuple[Reached, ...]  # by order id

    def at(self, stage: Stage) -> tuple[Reached, ...]:
        """Return those of *stage*."""
        return tuple(one for one in self.reached if one.stage is stage)


def stage_of(state: ReservationState, status: OrderStatus) -> Stage | None:
    """Return how far pills have come, or None when they were given back."""
    if state is ReservationState.REPLACED:
        return Stage.REPLACED
    if state is ReservationState.RELEASED or status is OrderStatus.CANCELLED:
        return None
    if status is OrderStatus.SHIPPED:
        return Stage.SHIPPED
    return Stage.RESERVED if status is OrderStatus.CREATED else Stage.IN_PRODUCTION


def reached_by(
    reservation: Reservation,
    order: Order,
    *,
    source_id: str,
    partner_name: str,
    contents: Mapping[int, Content],
    shipment: Shipment | None,
) -> Reached | None:
    """Return what the trace says of one order, or None when it has nothing of the lot any more."""
    stage = stage_of(reservation.state, order.status)
    if stage is None:
        return None
    slots = contents[reservation.product_id].slots
    return Reached(
        order_id=order.id,
        partner_id=order.partner_id,
        partner_name=partner_name,
        customer_source_id=source_id,
        status=order.status,
        stage=stage,
        pills=reservation.quantity,
        times_of_day=tuple(slot for slot, pills in zip(SLOTS, slots, strict=True) if pills),
        ordered_at=order.created_at,
        shipped_at=shipment.shipped_at if shipment else None,
        carrier=shipment.carrier if shipment else None,
        tracking_number=shipment.tracking_number if shipment else None,
    )


def summary(trace: Trace) -> dict[str, object]:
    """Return the recall in numbers."""
    touched = [one for one in trace.reached if one.stage is not Stage.REPLACED]
    shipped = [one.shipped_at for one in touched if one.stage is Stage.SHIPPED and one.shipped_at is not None]
    return {
        "orders": len(touched),
        "partners": len({one.partner_id for one in touched}),
        "customers": len({(one.partner_id, one.customer_source_id) for one in touched}),
        "pillsOnHand": trace.lot.on_hand,
        "pillsReserved": sum(one.pills for one in trace.at(Stage.RESERVED)),
        "pillsInProduction": sum(one.pills for one in trace.at(Stage.IN_PRODUCTION)),
        "pillsShipped": sum(one.pills for one in trace.at(Stage.SHIPPED)),
        "firstShippedAt": moment(min(shipped)) if shipped else None,
        "lastShippedAt": moment(max(shipped)) if shipped else None,
    }


def event_body(trace: Trace, own: Sequence[Reached], at: datetime) -> dict[str, object]:
    """Return the body of a partner's lot.recalled event, which names its own orders only."""
    lot = trace.lot
    return {
        "lot": {
            "lotId": lot.id,
            "lotNumber": lot.lot_number,
            "productId": lot.product_id,
            "productName": trace.product_name,
            "expiry": lot.expiry.isoformat() if lot.expiry else None,
            "recalledAt": moment(at),
        },
        "orders": [
            {
                "orderId": one.order_id,
                "customerSourceId": one.customer_source_id,
                "status": one.status.value,
                "pills": one.pills,
                "action": one.action.value if one.action else None,
                "shippedAt": moment(one.shipped_at) if one.shipped_at else None,
            }
            for one in own
        ],
    }


def csv_of(trace: Trace) -> str:
    """Return the trace as CSV (RFC 4180), safe to open in a spreadsheet."""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\r\n")
    writer.writerow(_COLUMNS)
    for one in trace.reached:
        writer.writerow([_safe(cell) for cell in _row(trace, one)])
    return written.getvalue()


_COLUMNS: Final = (
    "product_id",
    "product_name",
    "lot_number",
    "partner_id",
    "partner_name",
    "order_id",
    "customer_source_id",
    "stage",
    "status",
    "pills",
    "times_of_day",
    "ordered_at",
    "shipped_at",
    "carrier",
    "tracking_number",
    "action",
)


def _row(trace: Trace, one: Reached) -> tuple[str, ...]:
    return (
        str(trace.lot.product_id),
        trace.product_name,
        trace.lot.lot_number,
        one.partner_id,
        one.partner_name,
        one.order_id,
        one.customer_source_id,
        one.stage.value,
        one.status.value,
        str(one.pills),
        " ".join(one.times_of_day),
        moment(one.ordered_at),
        moment(one.shipped_at) if one.shipped_at else "",
        one.carrier or "",
        one.tracking_number or "",
        one.action.value if one.action else "",
    )


def _safe(cell: str) -> str:
    # A spreadsheet runs a cell that begins so as a formula; names and ids of others come to us as they are.
    return f"'{cell}" if cell.startswith(_DANGEROUS) else cell
