"""HTTP for shipping methods."""

from typing import Final

from fastapi import APIRouter

from fulfillment.infra.web import StrictRoute
from fulfillment.oauth.http import CallerDep, EnvDep
from fulfillment.shipping import service
from fulfillment.shipping.wire import ShippingMethodOut

router: Final = APIRouter(tags=["Shipping"], route_class=StrictRoute)


@router.get("/shipping-methods", operation_id="listShippingMethods")
async def list_shipping_methods(env: EnvDep, caller: CallerDep) -> list[ShippingMethodOut]:
    """Return the ways of shipping and their prices."""
    return [ShippingMethodOut.of(method) for method in (await service.get_methods(env)).value.values()]
