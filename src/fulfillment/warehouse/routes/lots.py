"""HTTP of lots: received, adjusted, moved from state to state, traced, recalled."""

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Response

from fulfillment.infra.web import StrictRoute
from fulfillment.inventory.domain import LotState
from fulfillment.oauth.http import CallDep, EnvDep, OperatorDep
from fulfillment.warehouse import recalls, wire
from fulfillment.warehouse.routes.common import (
    PagesDep,
    actor_of,
    lot_id_of,
    no_store,
)
from fulfillment.warehouse.service import recalling, stocking

router: Final = APIRouter(
    prefix="/operator",
    tags=["Operator: Inventory"],
    route_class=StrictRoute,
    dependencies=[Depends(no_store)],
)
recall_router: Final = APIRouter(
    prefix="/operator/lots",
    tags=["Operator: Recall"],
    route_class=StrictRoute,
    dependencies=[Depends(no_store)],
)


@router.post("/lots", operation_id="operatorReceiveLot", status_code=201)
async def receive_lot(body: wire.LotIn, env: EnvDep, caller: OperatorDep, call: CallDep) -> wire.LotOut:
    """Take in a lot."""
    return wire.LotOut.of(await stocking.receive_lot(env, actor_of(call, caller), body.to_new()))


@router.get("/lots", operation_id="operatorListLots")
async def list_lots(
    env: EnvDep,
    caller: OperatorDep,
    pages: PagesDep,
    productId: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None,  # noqa: N803
    state: LotState | None = None,
) -> wire.LotPage:
    """Return a page of lots, newest first."""
    del caller
    filters = {name: str(value) for name, value in (("productId", productId), ("state", state)) if value is not None}
    found, after = await pages.read(
        filters,
        lambda request: stocking.list_lots(env, request, product_id=productId, state=state),
        lambda lot: lot.id,
    )
    return wire.LotPage(lots=[wire.LotOut.of(lot) for lot in found], cursor=after)


@router.get("/lots/{lotId}", operation_id="operatorGetLot")
async def get_lot(lotId: str, env: EnvDep, caller: OperatorDep) -> wire.LotOut:  # noqa: N803
    """Return a lot."""
    del caller
    return wire.LotOut.of(await stocking.get_lot(env, lot_id_of(lotId)))


@router.get("/lots/{lotId}/movements", operation_id="operatorListMovements")
async def list_movements(
    lotId: str,  # noqa: N803
    env: EnvDep,
    caller: OperatorDep,
    pages: PagesDep,
) -> wire.MovementPage:
    """Return a page of the lot's ledger, newest first."""
    del caller
    lot_id = lot_id_of(lotId)
    found, after = await pages.read(
        {},
        lambda request: stocking.list_movements(env, lot_id, request),
        lambda movement: movement.id,
    )
    return wire.MovementPage(movements=[wire.MovementOut.of(movement) for movement in found], cursor=after)


@router.post("/lots/{lotId}/adjust", operation_id="operatorAdjustLot")
async def adjust_lot(
    lotId: str,  # noqa: N803
    body: wire.AdjustIn,
    env: EnvDep,
    caller: OperatorDep,
    call: CallDep,
) -> wire.LotOut:
    """Correct what the lot has on hand."""
    actor = actor_of(call, caller)
    lot = await stocking.adjust_lot(env, actor, lot_id_of(lotId), body.quantity, body.reason, scrapped=body.scrapped)
    return wire.LotOut.of(lot)


@router.post("/lots/{lotId}/state", operation_id="operatorChangeLotState")
async def change_lot_state(
    lotId: str,  # noqa: N803
    body: wire.LotStateIn,
    env: EnvDep,
    caller: OperatorDep,
    call: CallDep,
) -> wire.LotOut:
    """Move the lot to another state."""
    actor = actor_of(call, caller)
    lot = await stocking.change_lot_state(env, actor, lot_id_of(lotId), LotState(body.state), body.reason)
    return wire.LotOut.of(lot)


@router.post("/inventory/reconcile", operation_id="operatorReconcile")
async def reconcile(
    env: EnvDep, caller: OperatorDep, call: CallDep, body: wire.ReconcileIn | None = None
) -> wire.ReconciledOut:
    """Prove every lot's counters against its ledger, and repair them unless it is a dry run."""
    dry_run = body.dryRun if body else True
    found = await stocking.reconcile(env, actor_of(call, caller), dry_run=dry_run)
    return wire.ReconciledOut(dryRun=dry_run, differences=[wire.DifferenceOut.of(one) for one in found])


@recall_router.post("/{lotId}/recall", operation_id="operatorRecallLot")
async def recall_lot(
    lotId: str,  # noqa: N803
    body: wire.RecallIn,
    env: EnvDep,
    caller: OperatorDep,
    call: CallDep,
) -> wire.RecallOut:
    """Recall the lot, or with dryRun only say whom it would reach."""
    actor = actor_of(call, caller)
    trace = await recalling.recall_lot(env, actor, lot_id_of(lotId), dry_run=body.dryRun, reason=body.reason)
    return wire.RecallOut(dryRun=body.dryRun, **wire.TraceOut.of(trace).model_dump())


@recall_router.get("/{lotId}/trace", operation_id="operatorTraceLot")
async def trace_lot(lotId: str, env: EnvDep, caller: OperatorDep) -> wire.TraceOut:  # noqa: N803
    """Return everyone who reserved, was packed, or was sent pills of the lot."""
    del caller
    return wire.TraceOut.of(await recalling.trace_lot(env, lot_id_of(lotId)))


@recall_router.get(
    "/{lotId}/trace.csv",
    operation_id="operatorTraceLotCsv",
    response_class=Response,
    responses={200: {"description": "The trace as CSV", "content": {"text/csv": {"schema": {"type": "string"}}}}},
)
async def trace_lot_csv(lotId: str, env: EnvDep, caller: OperatorDep) -> Response:  # noqa: N803
    """Return the lot's trace as CSV, one row for each order."""
    del caller
    trace = await recalling.trace_lot(env, lot_id_of(lotId))
    return Response(
        recalls.csv_of(trace),
        media_type="text/csv; charset=utf-8",
        headers={"content-disposition": f'attachment; filename="lot-{lotId}.csv"', "cache-control": "no-store"},
    )
