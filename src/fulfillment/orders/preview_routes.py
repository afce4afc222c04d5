"""HTTP for previews of orders."""

from typing import Annotated, Final

from fastapi import APIRouter, Query

from fulfillment.infra.web import StrictRoute
from fulfillment.oauth.http import CallDep, CallerDep
from fulfillment.orders import previewing
from fulfillment.orders.http import read_order
from fulfillment.orders.intake import OnDuplicate
from fulfillment.orders.preview_wire import PreviewOut

router: Final = APIRouter(tags=["Orders"], route_class=StrictRoute)

OnDuplicateParam = Annotated[
    OnDuplicate,
    Query(
        alias="onDuplicate",
        description="What to do when the same customer got the same content within the last 14 days.",
    ),
]


@router.post(
    "/orders/preview",
    operation_id="previewOrder",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/OrderCreate"}}},
        }
    },
)
async def preview_order(call: CallDep, caller: CallerDep, on_duplicate: OnDuplicateParam = "accept") -> PreviewOut:
    """Run an order through every check of createOrder without making it: faults, prices, stock, dates, warnings.

    A body that is wrong in shape is refused with 422, as createOrder does. Any other is answered with 200, and
    `valid` says whether createOrder would succeed now; its prices and totals would be the same.
    """
    body = await read_order(call.env, await call.json())
    preview = await previewing.preview_order(call.env, caller, body.to_draft(), on_duplicate=on_duplicate)
    return PreviewOut.of(preview)
