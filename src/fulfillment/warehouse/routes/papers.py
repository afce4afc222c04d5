"""HTTP of the printed documents, of one order or of a whole batch."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from fastapi import APIRouter, Response

from fulfillment.infra.env import Env
from fulfillment.infra.web import StrictRoute
from fulfillment.oauth.http import EnvDep, OperatorDep
from fulfillment.warehouse.routes.common import batch_id_of, noted, order_id_of
from fulfillment.warehouse.service import printing
from fulfillment.warehouse.service.printing import Kind

router: Final = APIRouter(prefix="/operator", tags=["Operator: Documents"], route_class=StrictRoute)
_PDF: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "A PDF",
        "content": {"application/pdf": {"schema": {"type": "string", "contentMediaType": "application/pdf"}}},
    }
}


def _order_route(kind: Kind, operation_id: str, summary: str) -> None:
    @router.get(
        f"/orders/{{orderId}}/documents/{kind.value}.pdf",
        operation_id=operation_id,
        dependencies=[noted(f"{kind.value}.printed", "order", "orderId")],
        description=summary,
        response_class=Response,
        responses=_PDF,
    )
    async def document(orderId: str, env: EnvDep, caller: OperatorDep) -> Response:  # noqa: N803  # pyright: ignore[reportUnusedFunction]
        """Return one order's document."""
        del caller
        return _pdf(await printing.order_document(env, order_id_of(orderId), kind), kind.value, orderId)


def _batch_route(name: str, operation_id: str, summary: str, draw: Callable[[Env, str], Awaitable[bytes]]) -> None:
    @router.get(
        f"/batches/{{batchId}}/documents/{name}.pdf",
        operation_id=operation_id,
        dependencies=[noted(f"{name}.printed", "batch", "batchId")],
        description=summary,
        response_class=Response,
        responses=_PDF,
    )
    async def document(batchId: str, env: EnvDep, caller: OperatorDep) -> Response:  # noqa: N803  # pyright: ignore[reportUnusedFunction]
        """Return a batch's documents in one file."""
        del caller
        return _pdf(await draw(env, batch_id_of(batchId)), name, batchId)


def _of(kind: Kind) -> Callable[[Env, str], Awaitable[bytes]]:
    return lambda env, batch_id: printing.batch_document(env, batch_id, kind)


def _pdf(content: bytes, name: str, id_: str) -> Response:
    headers = {"content-disposition": f'inline; filename="{name}-{id_}.pdf"', "cache-control": "no-store"}
    return Response(content, media_type="application/pdf", headers=headers)


_order_route(Kind.PACKING_SLIP, "operatorPackingSlip", "The packing slip, in the partner's brand.")
_order_route(Kind.PACK_LABELS, "operatorPackLabels", "The labels of the order's pouches, in the order of making.")
_order_route(Kind.SHIPPING_LABEL, "operatorShippingLabel", "The labels of the simulated carrier.")
_batch_route("pick-list", "operatorPickListPdf", "What the batch takes from the shelves.", printing.pick_list_document)
_batch_route("packing-slips", "operatorPackingSlips", "The packing slips of the batch.", _of(Kind.PACKING_SLIP))
_batch_route("pack-labels", "operatorBatchPackLabels", "The pouches' labels of the batch.", _of(Kind.PACK_LABELS))
_batch_route("labels", "operatorBatchLabels", "The shipping labels of the batch.", _of(Kind.SHIPPING_LABEL))
