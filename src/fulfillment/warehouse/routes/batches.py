"""HTTP of batches: orders released, picked, packed, labelled and shipped together."""

from collections.abc import Sequence
from typing import Final

from fastapi import APIRouter, Depends

from fulfillment.infra.env import Env
from fulfillment.infra.web import StrictRoute
from fulfillment.oauth.http import CallDep, EnvDep, OperatorDep
from fulfillment.warehouse import wire
from fulfillment.warehouse.domain import Result
from fulfillment.warehouse.routes.common import (
    PagesDep,
    actor_of,
    batch_id_of,
    no_store,
)
from fulfillment.warehouse.service import batching

router: Final = APIRouter(
    prefix="/operator/batches",
    tags=["Operator: Fulfilment"],
    route_class=StrictRoute,
    dependencies=[Depends(no_store)],
)


@router.post("", operation_id="operatorCreateBatch", status_code=201)
async def create_batch(
    env: EnvDep, caller: OperatorDep, call: CallDep, body: wire.BatchIn | None = None
) -> wire.BatchStepOut:
    """Release orders as a batch: those chosen, or all that are due. Each order's result is told."""
    asked = body or wire.BatchIn()
    batch, results = await batching.create_batch(
        env, actor_of(call, caller), asked.orderIds, partner_id=asked.partnerId
    )
    return wire.BatchStepOut.of(batch, results)


@router.get("", operation_id="operatorListBatches")
async def list_batches(
    env: EnvDep,
    caller: OperatorDep,
    pages: PagesDep,
) -> wire.BatchPage:
    """Return a page of batches, newest first."""
    del caller
    found, after = await pages.read({}, lambda request: batching.list_batches(env, request), lambda batch: batch.id)
    return wire.BatchPage(batches=[wire.BatchOut.of(batch) for batch in found], cursor=after)


@router.get("/{batchId}", operation_id="operatorGetBatch")
async def get_batch(batchId: str, env: EnvDep, caller: OperatorDep) -> wire.BatchOut:  # noqa: N803
    """Return a batch, and how many of its orders have which status."""
    del caller
    return wire.BatchOut.of(await batching.get_batch(env, batch_id_of(batchId)))


@router.get("/{batchId}/pick-list", operation_id="operatorPickList")
async def pick_list(batchId: str, env: EnvDep, caller: OperatorDep) -> wire.PickListOut:  # noqa: N803
    """Return what the batch takes from the shelves, by product and lot, first expiry first."""
    del caller
    return wire.PickListOut.of(*await batching.pick_list(env, batch_id_of(batchId)))


@router.get("/{batchId}/pack-list", operation_id="operatorPackList")
async def pack_list(
    batchId: str,  # noqa: N803
    env: EnvDep,
    caller: OperatorDep,
    pages: PagesDep,
) -> wire.PackListPage:
    """Return a page of the batch's orders with their packs: per order, per day, per time of day."""
    del caller
    batch_id = batch_id_of(batchId)
    found, after = await pages.read(
        {},
        lambda request: batching.pack_list(env, batch_id, request),
        lambda packed: packed.order.id,
    )
    return wire.PackListPage(orders=[wire.OrderPacksOut.of(packed) for packed in found], cursor=after)


@router.post("/{batchId}/packs/confirm", operation_id="operatorConfirmBatch")
async def confirm_batch(batchId: str, env: EnvDep, caller: OperatorDep, call: CallDep) -> wire.BatchStepOut:  # noqa: N803
    """Confirm every pack of the batch that nobody confirmed."""
    batch_id = batch_id_of(batchId)
    return await _told(env, batch_id, await batching.confirm_batch(env, actor_of(call, caller), batch_id))


@router.post("/{batchId}/fulfill", operation_id="operatorFulfillBatch")
async def fulfill_batch(
    batchId: str,  # noqa: N803
    env: EnvDep,
    caller: OperatorDep,
    call: CallDep,
    body: wire.FulfillIn | None = None,
) -> wire.BatchStepOut:
    """Close the production of every order of the batch."""
    asked, batch_id = body or wire.FulfillIn(), batch_id_of(batchId)
    actor = actor_of(call, caller, asked.packer)
    return await _told(env, batch_id, await batching.fulfill_batch(env, actor, batch_id, confirm_all=asked.confirmAll))


@router.post("/{batchId}/label", operation_id="operatorLabelBatch")
async def label_batch(
    batchId: str,  # noqa: N803
    env: EnvDep,
    caller: OperatorDep,
    call: CallDep,
    body: wire.BatchLabelsIn | None = None,
) -> wire.BatchStepOut:
    """Make the labels of every order of the batch."""
    asks = {label.orderId: label.to_ask() for label in body.labels} if body else {}
    batch_id = batch_id_of(batchId)
    return await _told(env, batch_id, await batching.label_batch(env, actor_of(call, caller), batch_id, asks))


@router.post("/{batchId}/ship", operation_id="operatorShipBatch")
async def ship_batch(batchId: str, env: EnvDep, caller: OperatorDep, call: CallDep) -> wire.BatchStepOut:  # noqa: N803
    """Note that the carriers have every parcel of the batch."""
    batch_id = batch_id_of(batchId)
    return await _told(env, batch_id, await batching.ship_batch(env, actor_of(call, caller), batch_id))


async def _told(env: Env, batch_id: str, results: Sequence[Result]) -> wire.BatchStepOut:
    return wire.BatchStepOut.of(await batching.get_batch(env, batch_id), results)
