"""HTTP for a partner's own requests of the last days."""

import re
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from fastapi.responses import Response

from fulfillment.infra import jsontext, requestlog
from fulfillment.infra.cursors import Listing, cursors_of, link_headers, read_page, to_page
from fulfillment.infra.requestlog import LoggedRequest, RequestFilter
from fulfillment.infra.web import StrictRoute
from fulfillment.kernel.errors import FieldError, ValidationFailed
from fulfillment.kernel.times import to_wire as moment
from fulfillment.oauth.http import CallDep, CallerDep

router: Final = APIRouter(tags=["Request Log"], route_class=StrictRoute)
_PATH: Final = "/v1/request-log"
_STATUS: Final = re.compile(r"[1-5](?:[0-9]{2}|xx)")
_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_REQUEST: Final = {
    "type": "object",
    "required": ["requestId", "method", "route", "status", "code", "durationMs", "clientId", "createdAt"],
    "properties": {
        "requestId": {"type": "string", "description": "The X-Request-Id it was answered with"},
        "method": {"type": "string"},
        "route": {
            "type": "string",
            "description": "The path with its parameters' names",
            "example": "/v1/orders/{orderId}",
        },
        "status": {"type": "integer"},
        "code": {"type": ["string", "null"], "description": "The problem's, when it was one"},
        "durationMs": {"type": "number"},
        "clientId": {"type": "string"},
        "createdAt": {"type": "string", "format": "date-time"},
    },
}
_ANSWER: Final = {
    "description": "A page, newest first",
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["requests", "cursor"],
                "properties": {
                    "requests": {"type": "array", "items": _REQUEST},
                    "cursor": {"type": ["string", "null"]},
                },
            }
        }
    },
}


@router.get(
    "/request-log",
    operation_id="listRequests",
    response_class=Response,
    openapi_extra={"responses": {"200": _ANSWER}},
)
async def list_requests(
    call: CallDep,
    caller: CallerDep,
    limit: Annotated[str | None, Query(description="1 to 100, default 10")] = None,
    cursor: Annotated[str | None, Query(description="Where the last page ended")] = None,
    direction: Annotated[str | None, Query(description="next or previous")] = None,
    status: Annotated[str | None, Query(description="A status such as 409, or a class such as 4xx")] = None,
    method: Annotated[str | None, Query(description="An HTTP method")] = None,
) -> Response:
    """Return your own requests of the last days, newest first: how each was answered, without any content."""
    given = {"limit": limit, "cursor": cursor, "direction": direction, "status": status, "method": method}
    query = {name: value for name, value in given.items() if value is not None}
    wanted = read_filter(query)
    filters = {name: query[name] for name in ("status", "method") if name in query}
    listing = Listing(_PATH, caller.partner_id, filters)
    request = read_page(query, call.env.secrets.cursor_key, listing)
    async with call.env.db.reading(caller.partner_id) as tx:
        found = await requestlog.select_page(tx, caller.partner_id, wanted, request)
    page = to_page(found, request, lambda one: (one.id,))
    next_cursor, links = cursors_of(page, request, call.env.secrets.cursor_key, listing)
    body = jsontext.write({"requests": [_json(one) for one in page.items], "cursor": next_cursor})
    headers = {name.decode(): value.decode() for name, value in link_headers(call.env.settings.base_url + _PATH, links)}
    return Response(body, media_type="application/json", headers=headers | {"cache-control": "no-store"})


def read_filter(query: dict[str, str]) -> RequestFilter:
    """Return what the parameters status and method narrow the list to.

    Raises:
        ValidationFailed: One of them is out of shape.
    """
    faults: list[FieldError] = []
    status, method = query.get("status"), query.get("method")
    if status is not None and _STATUS.fullmatch(status) is None:
        faults.append(FieldError("status", "A status such as 409, or a class such as 4xx."))
    if method is not None and method not in _METHODS:
        faults.append(FieldError("method", f"One of: {', '.join(_METHODS)}."))
    if faults:
        raise ValidationFailed("A parameter is not valid.", errors=faults)
    if status is None:
        return RequestFilter(method=method)
    return RequestFilter(int(status.replace("xx", "00")), int(status.replace("xx", "99")), method)


def _json(one: LoggedRequest) -> dict[str, Any]:
    return {
        "requestId": one.id,
        "method": one.method,
        "route": one.route,
        "status": one.status,
        "code": one.code,
        "durationMs": one.duration_us / 1000,
        "clientId": one.client_id,
        "createdAt": moment(one.created_at),
    }
