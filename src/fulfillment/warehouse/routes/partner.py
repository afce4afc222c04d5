"""HTTP of what a partner does with its own order in the warehouse: hold it, let it go on, read its facts."""

from typing import Final

from fastapi import APIRouter, Depends

from fulfillment.infra.web import StrictRoute
from fulfillment.oauth.http import CallDep, CallerDep, EnvDep
from fulfillment.warehouse import wire
from fulfillment.warehouse.routes.common import hold_id_of, no_store, order_id_of
from fulfillment.warehouse.service import holding, reading

router: Final = APIRouter(prefix="/orders", tags=["Orders"], route_class=StrictRoute, dependencies=[Depends(no_store)])


@router.post("/{orderId}/hold", operation_id="holdOrder")
async def hold_order(
    orderId: str,  # noqa: N803
    env: EnvDep,
    caller: CallerDep,
    call: CallDep,
    body: wire.PartnerHoldIn | None = None,
) -> wire.PartnerOrderOut:
    """Hold the order: until the hold is released it is neither released nor shipped."""
    note = body.note if body else ""
    order = await holding.hold_own_order(env, caller, order_id_of(orderId), note, request_id=call.request_id)
    return wire.PartnerOrderOut.model_validate(wire.partner_order(order))


@router.post("/{orderId}/holds/{holdId}/release", operation_id="releaseHold")
async def release_hold(
    orderId: str,  # noqa: N803
    holdId: str,  # noqa: N803
    env: EnvDep,
    caller: CallerDep,
    call: CallDep,
) -> wire.PartnerOrderOut:
    """Release a hold of the codes PARTNER_REQUEST or DUPLICATE_SUSPECTED; the others are the operator's."""
    order = await holding.release_own_hold(
        env, caller, order_id_of(orderId), hold_id_of(holdId), request_id=call.request_id
    )
    return wire.PartnerOrderOut.model_validate(wire.partner_order(order))


@router.get("/{orderId}/facts", operation_id="getOrderFacts")
async def get_order_facts(orderId: str, env: EnvDep, caller: CallerDep) -> wire.FactsOut:  # noqa: N803
    """Return the order's combined Supplement Facts: per time of day and per day, %DV recomputed, allergens united."""
    facts = await reading.get_facts(env, caller, order_id_of(orderId))
    return wire.FactsOut.model_validate({"orderId": orderId, **facts.to_wire()})
