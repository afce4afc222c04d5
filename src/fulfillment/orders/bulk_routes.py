"""HTTP for many orders in one request."""

from typing import Final

from fastapi import APIRouter
from fastapi.responses import Response

from fulfillment.infra.web import StrictRoute
from fulfillment.oauth.http import CallDep, CallerDep
from fulfillment.orders import bulk
from fulfillment.orders.domain import InvalidIdempotencyKey
from fulfillment.orders.idempotency import read_key
from fulfillment.orders.preview_routes import OnDuplicateParam

router: Final = APIRouter(tags=["Orders"], route_class=StrictRoute)

_LONGEST_KEY: Final = 250  # a row's place has room behind it
_KEY: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "Of the whole request: a row without a key of its own gets this one with / and its place.",
    "schema": {"type": "string", "minLength": 1, "maxLength": _LONGEST_KEY, "pattern": "^[!-~]+$"},
}
_ORDER: Final = {"$ref": "#/components/schemas/OrderCreate"}
_BODY: Final = {
    "type": "object",
    "required": ["orders"],
    "additionalProperties": False,
    "properties": {
        "orders": {
            "type": "array",
            "minItems": 1,
            "maxItems": bulk.MOST,
            "items": {
                "anyOf": [
                    {
                        "type": "object",
                        "required": ["order"],
                        "properties": {
                            "idempotencyKey": {
                                "type": ["string", "null"],
                                "description": "As the header Idempotency-Key of createOrder",
                            },
                            "order": _ORDER,
                        },
                    },
                    _ORDER,
                ]
            },
        }
    },
}
_RESULT: Final = {
    "type": "object",
    "required": ["created", "failed", "results"],
    "properties": {
        "created": {"type": "integer"},
        "failed": {"type": "integer"},
        "results": {
            "type": "array",
            "description": "In the order of the rows",
            "items": {
                "type": "object",
                "required": ["index", "status"],
                "properties": {
                    "index": {"type": "integer"},
                    "status": {"type": "integer", "description": "What createOrder would have answered"},
                    "replayed": {"type": "boolean", "description": "The row's key had been used: nothing new was made"},
                    "order": {"$ref": "#/components/schemas/Order"},
                    "error": {"$ref": "#/components/schemas/Problem"},
                },
            },
        },
    },
}


def _answers(description: str) -> dict[str, object]:
    return {"description": description, "content": {"application/json": {"schema": _RESULT}}}


@router.post(
    "/orders/bulk",
    operation_id="createOrdersBulk",
    response_class=Response,
    openapi_extra={
        "parameters": [_KEY],
        "requestBody": {"required": True, "content": {"application/json": {"schema": _BODY}}},
        "responses": {"200": _answers("All were created"), "207": _answers("At least one was refused")},
    },
)
async def create_orders_bulk(call: CallDep, caller: CallerDep, on_duplicate: OnDuplicateParam = "accept") -> Response:
    """Create up to 100 orders. Each is created, refused and repeated by itself.

    The results come in the order of the rows, each with the status and the body that createOrder would have answered.
    A row's key is an Idempotency-Key of createOrder: a row sent again, in whatever request, is never made twice.
    """
    key = read_key(call.headers(b"idempotency-key"))
    if key is not None and len(key) > _LONGEST_KEY:
        raise InvalidIdempotencyKey(f"An Idempotency-Key of a whole request has {_LONGEST_KEY} characters at most.")
    rows = bulk.read_rows(await call.json(), key)
    answer = await bulk.create_orders(call.env, bulk.Ask(caller, call.request_id, on_duplicate), rows)
    return Response(answer.body, answer.status, media_type="application/json")
