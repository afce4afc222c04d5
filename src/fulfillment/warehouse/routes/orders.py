"""HTTP of the operator's orders: their way, their packs, their holds."""

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query

from fulfillment.infra.web import StrictRoute
from fulfillment.oauth.http import CallDep, EnvDep, OperatorDep
from fulfillment.orders.domain import OrderStatus
from fulfillment.orders.operating import Filter
from fulfillment.warehouse import parcels, wire
from fulfillment.warehouse.domain import LabelAsk
from fulfillment.warehouse.routes.common import (
    PagesDep,
    actor_of,
    hold_id_of,
    no_store,
    noted,
    order_id_of,
)
from fulfillment.warehouse.service import holding, reading, recalling, repicking, stepping

router: Final = APIRouter(
    prefix="/operator/orders",
    tags=["Operator: Fulfilment"],
    route_class=StrictRoute,
    dependencies=[Depends(no_store)],
)


@router.get("", operation_id="operatorListOrders", dependencies=[noted("orders.listed", "order")])
async def list_orders(
    env: EnvDep,
    caller: OperatorDep,
    call: CallDep,
    pages: PagesDep,
    status: OrderStatus | None = None,
    held: bool | None = None,
    due: Annotated[bool | None, Query(description="Only what may be released now")] = None,
    partner: Annotated[str | None, Query(pattern=r"^[0-9A-Za-z]{27}$")] = None,
) -> wire.OperatorOrderPage:
    """Return a page of all partners' orders, newest first."""
    del caller
    wanted = Filter(partner, status.value if status else None, held, env.now() if due else None)
    given = {"status": status, "held": held, "due": due, "partner": partner}
    filters = {name: call.query(_PARAMETERS)[name] for name, value in given.items() if value is not None}
    found, after = await pages.read(
        filters,
        lambda request: reading.list_orders(env, wanted, request),
        lambda viewed: viewed.order.id,
    )
    return wire.OperatorOrderPage(orders=[wire.OperatorOrderOut.of(viewed) for viewed in found], cursor=after)


@router.get("/{orderId}", operation_id="operatorGetOrder", dependencies=[noted("order.read", "order", "orderId")])
async def get_order(orderId: str, env: EnvDep, caller: OperatorDep) -> wire.OperatorOrderOut:  # noqa: N803
    """Return any partner's order."""
    del caller
    return wire.OperatorOrderOut.of(await reading.get_order(env, order_id_of(orderId)))


@router.post("/{orderId}/release", operation_id="operatorReleaseOrder")
async def release_order(orderId: str, env: EnvDep, caller: OperatorDep, call: CallDep) -> wire.StepOut:  # noqa: N803
    """Release an order into production, also before its cut-off. Without stock it is held: outcome "held"."""
    step = await stepping.release_order(env, actor_of(call, caller), order_id_of(orderId))
    return wire.outcome_of(step, await reading.get_order(env, orderId))


@router.post("/{orderId}/repick", operation_id="operatorRepickOrder")
async def repick_order(orderId: str, env: EnvDep, caller: OperatorDep, call: CallDep) -> wire.StepOut:  # noqa: N803
    """Replace the order's lots that may not leave, and release the holds that they had caused."""
    step = await repicking.repick_order(env, actor_of(call, caller), order_id_of(orderId))
    return wire.outcome_of(step, await reading.get_order(env, orderId))


@router.get("/{orderId}/packs", operation_id="operatorListPacks")
async def list_packs(orderId: str, env: EnvDep, caller: OperatorDep) -> wire.OrderPacksOut:  # noqa: N803
    """Return the order's packs, each with its lots, and which are confirmed."""
    del caller
    viewed = await reading.get_order(env, order_id_of(orderId))
    packs, confirmed = await reading.packs_of_order(env, orderId)
    return wire.OrderPacksOut(
        orderId=orderId,
        status=viewed.order.status.value,
        packs=[wire.PackOut.of(pack, confirmed) for pack in packs],
    )


@router.post("/{orderId}/packs/confirm", operation_id="operatorConfirmPacks")
async def confirm_packs(
    orderId: str,  # noqa: N803
    body: wire.ConfirmIn,
    env: EnvDep,
    caller: OperatorDep,
    call: CallDep,
) -> wire.ConfirmedOut:
    """Confirm packs that were made and checked: those scanned, or with confirmAll all that are left."""
    wire.check_confirmation(body)
    scans = [pack.to_scan() for pack in body.packs] if body.packs is not None else None
    actor = actor_of(call, caller, body.packer)
    step, confirmed, packs = await stepping.confirm_packs(env, actor, order_id_of(orderId), scans)
    return wire.ConfirmedOut(orderId=orderId, outcome=step.outcome.value, packs=packs, confirmed=confirmed)


@router.post("/{orderId}/fulfill", operation_id="operatorFulfillOrder")
async def fulfill_order(
    orderId: str,  # noqa: N803
    env: EnvDep,
    caller: OperatorDep,
    call: CallDep,
    body: wire.FulfillIn | None = None,
) -> wire.StepOut:
    """Close the order's production. Its pills leave their lots here."""
    asked = body or wire.FulfillIn()
    actor = actor_of(call, caller, asked.packer)
    step = await stepping.fulfill_order(env, actor, order_id_of(orderId), confirm_all=asked.confirmAll)
    return wire.outcome_of(step, await reading.get_order(env, orderId))


@router.post("/{orderId}/label", operation_id="operatorLabelOrder")
async def make_label(
    orderId: str,  # noqa: N803
    env: EnvDep,
    caller: OperatorDep,
    call: CallDep,
    body: wire.LabelIn | None = None,
) -> wire.StepOut:
    """Make the order's label: the operator's number, or in the sandbox one of the simulated carrier."""
    ask = body.to_ask() if body else LabelAsk()
    step = await stepping.make_label(env, actor_of(call, caller), order_id_of(orderId), ask)
    return wire.outcome_of(step, await reading.get_order(env, orderId))


@router.post("/{orderId}/shipments", operation_id="operatorAddShipment", status_code=201)
async def add_shipment(
    orderId: str,  # noqa: N803
    body: wire.LabelIn,
    env: EnvDep,
    caller: OperatorDep,
    call: CallDep,
) -> dict[str, object]:
    """Make the label of a further parcel of an order that has one."""
    _, shipment = await stepping.add_shipment(env, actor_of(call, caller), order_id_of(orderId), body.to_ask())
    return parcels.shipment_json(shipment)


@router.post("/{orderId}/ship", operation_id="operatorShipOrder")
async def ship_order(
    orderId: str,  # noqa: N803
    env: EnvDep,
    caller: OperatorDep,
    call: CallDep,
    body: wire.ShipIn | None = None,
) -> wire.StepOut:
    """Note that the carrier has the parcel."""
    asked = body or wire.ShipIn()
    step = await stepping.ship_order(
        env,
        actor_of(call, caller),
        order_id_of(orderId),
        carrier=asked.carrier,
        tracking_number=asked.trackingNumber,
    )
    return wire.outcome_of(step, await reading.get_order(env, orderId))


@router.get("/{orderId}/lots", operation_id="operatorOrderLots", tags=["Operator: Recall"])
async def order_lots(orderId: str, env: EnvDep, caller: OperatorDep) -> wire.OrderLotsOut:  # noqa: N803
    """Return the lots of the order's pills."""
    del caller
    lots = await recalling.lots_of_order(env, order_id_of(orderId))
    return wire.OrderLotsOut(orderId=orderId, lots=[wire.OrderLotOut.of(one) for one in lots])


@router.post("/{orderId}/holds", operation_id="operatorHoldOrder", status_code=201)
async def hold_order(
    orderId: str,  # noqa: N803
    body: wire.HoldIn,
    env: EnvDep,
    caller: OperatorDep,
    call: CallDep,
) -> wire.OperatorOrderOut:
    """Hold the order: until the hold is released it makes no further step."""
    await holding.hold_order(env, actor_of(call, caller), order_id_of(orderId), body.code, body.note)
    return wire.OperatorOrderOut.of(await reading.get_order(env, orderId))


@router.post("/{orderId}/holds/{holdId}/release", operation_id="operatorReleaseHold")
async def release_hold(
    orderId: str,  # noqa: N803
    holdId: str,  # noqa: N803
    env: EnvDep,
    caller: OperatorDep,
    call: CallDep,
) -> wire.OperatorOrderOut:
    """Release one hold of the order."""
    await holding.release_hold(env, actor_of(call, caller), order_id_of(orderId), hold_id_of(holdId))
    return wire.OperatorOrderOut.of(await reading.get_order(env, orderId))


_PARAMETERS: Final = ("status", "held", "due", "partner", "limit", "cursor", "direction")
