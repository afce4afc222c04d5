"""HTTP of tracking, which carriers call themselves; of the audit log."""

from typing import Annotated, Final, cast

from fastapi import APIRouter, Depends, Query, Request

from fulfillment.infra import jsontext
from fulfillment.infra.web import StrictRoute, check_content_type
from fulfillment.oauth.http import CallDep, EnvDep, OperatorDep, operator_caller
from fulfillment.shipping.inbound import TrackingEventInvalid
from fulfillment.warehouse import wire
from fulfillment.warehouse.routes.common import PagesDep, no_store
from fulfillment.warehouse.service import following, reading

router: Final = APIRouter(
    prefix="/operator", tags=["Operator: Shipping"], route_class=StrictRoute, dependencies=[Depends(no_store)]
)
_Word = Annotated[str | None, Query(max_length=200, pattern=r"^[0-9A-Za-z._/-]+$")]
_MESSAGE: Final = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "description": "AfterShip's webhook (msg), or EasyPost's event (result)",
                    "anyOf": [
                        {"required": [name], "properties": {name: {"type": "object"}}} for name in ("msg", "result")
                    ],
                }
            }
        },
    },
    "security": [{"oauth2ClientCredentials": []}, {}],
}


@router.post("/tracking-events", operation_id="operatorReceiveTracking", openapi_extra=_MESSAGE)
async def receive_tracking(request: Request, env: EnvDep, call: CallDep) -> wire.TrackingOut:
    """Take in a carrier's message: signed with the secret we share, or sent with an operator's token."""
    content_type = request.headers.get("content-type")
    check_content_type(content_type.encode("latin-1") if content_type else None)
    body = await request.body()
    if not following.check_signature(env, body, request.headers):
        await operator_caller(call)
    message = jsontext.read(body)
    if not isinstance(message, dict):
        raise TrackingEventInvalid("The message is not an object.")
    results = await following.receive_message(env, cast(dict[str, object], message))
    return wire.TrackingOut(results=[{"trackingNumber": number, "outcome": outcome} for number, outcome in results])


@router.get("/audit-log", operation_id="operatorAuditLog", tags=["Operator: Fulfilment"])
async def audit_log(
    env: EnvDep,
    caller: OperatorDep,
    pages: PagesDep,
    objectType: _Word = None,  # noqa: N803
    objectId: _Word = None,  # noqa: N803
    actor: _Word = None,
) -> wire.AuditPage:
    """Return a page of the audit log, newest first: who did what to which object, before and after."""
    del caller
    given = {"objectType": objectType, "objectId": objectId, "actor": actor}
    filters = {name: value for name, value in given.items() if value is not None}
    found, after = await pages.read(
        filters,
        lambda request: reading.list_audit(env, request, object_type=objectType, object_id=objectId, actor=actor),
        lambda entry: str(entry["id"]),
    )
    return wire.AuditPage(entries=[wire.AuditOut.of(entry) for entry in found], cursor=after)
