"""Many orders in one request: each row is created, refused and repeated by itself."""

import asyncio
import logging
from dataclasses import dataclass
from typing import Any, Final, cast

from fulfillment.catalog import service as catalog
from fulfillment.infra.env import Env
from fulfillment.infra.web import Answer, InternalError, problem
from fulfillment.kernel.callers import Caller
from fulfillment.kernel.errors import FieldError, FulfillmentError, ValidationFailed
from fulfillment.orders import service
from fulfillment.orders.http import claim_of, read_order
from fulfillment.orders.idempotency import read_key
from fulfillment.orders.intake import Created, OnDuplicate
from fulfillment.partners import service as partners
from fulfillment.shipping import service as shipping

MOST: Final = 100
_MEMBERS: Final = frozenset({"idempotencyKey", "order"})
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Row:
    """One order of the request, as it was sent."""

    content: Any
    key: str | None  # its idempotency key, as it was sent


@dataclass(frozen=True, slots=True)
class Ask:
    """How all rows of a request are to be taken."""

    caller: Caller
    request_id: str
    on_duplicate: OnDuplicate


def read_rows(body: object, key: str | None) -> list[Row]:
    """Return the rows of a request's *body*.

    A row is ``{"order": ..., "idempotencyKey": ...}``, or the order itself.

    Args:
        key: The Idempotency-Key of the whole request: a row without its own gets it with ``/`` and its place.

    Raises:
        ValidationFailed: It is not a list of 1 to 100 rows.
    """
    members = cast("dict[str, Any]", body) if isinstance(body, dict) else {}
    rows: object = members.get("orders")
    unknown = sorted(set(members) - {"orders"})
    faults = [FieldError(f"/{name}", "This operation has no such member.") for name in unknown]
    if not isinstance(rows, list) or not 1 <= len(cast("list[Any]", rows)) <= MOST:
        faults.append(FieldError("/orders", f"A list of 1 to {MOST} orders."))
    if faults:
        raise ValidationFailed("The request is not valid.", errors=faults)
    return [_row(row, f"{key}/{place}" if key else None) for place, row in enumerate(cast("list[Any]", rows))]


async def create_orders(env: Env, ask: Ask, rows: list[Row]) -> Answer:
    """Create every order that can be created and return the results in the order of the rows.

    Returns:
        200 when all of them were created, 207 otherwise.
    """
    # In memory beforehand: rows that wait for one of these overtake each other, and orders are to be made in the order
    # of their rows.
    for load in (catalog.get_orderables, partners.get_partners, shipping.get_methods):
        await load(env)
    results = await asyncio.gather(*(_result(env, ask, place, row) for place, row in enumerate(rows)))
    created = sum(status == 201 for status, _ in results)
    body = b'{"created":%d,"failed":%d,"results":[%b]}' % (
        created,
        len(results) - created,
        b",".join(text for _, text in results),
    )
    return Answer(200 if created == len(results) else 207, body)


def _row(row: object, key: str | None) -> Row:
    if not isinstance(row, dict) or "order" not in row:
        return Row(row, key)
    members = cast("dict[str, Any]", row)
    own = members.get("idempotencyKey")
    if set(members) - _MEMBERS or not isinstance(own, str | None):
        return Row(row, key)  # refused as an order, with every member that is none of an order's
    return Row(members["order"], key if own is None else own)


async def _result(env: Env, ask: Ask, place: int, row: Row) -> tuple[int, bytes]:
    try:
        created = await _create(env, ask, row)
    except FulfillmentError as error:
        return _refused(place, problem(error, ask.request_id))
    except Exception as error:  # one row's fault of ours must not hide what became of the others
        _log.exception("bulk.row_failed", extra={"request_id": ask.request_id, "error": type(error).__name__})
        fault = InternalError("Something went wrong on our side. Tell us the request id.")
        return _refused(place, problem(fault, ask.request_id, 500))
    head = b'{"index":%d,"status":201,"replayed":%b,"order":' % (place, b"true" if created.replayed else b"false")
    return 201, head + created.body + b"}"


async def _create(env: Env, ask: Ask, row: Row) -> Created:
    key = row.key
    if key is not None:
        # A row's key and the header of a single create are the same: an order is made once, whichever way it comes.
        key = read_key([key.encode("utf-8")])
    body = await read_order(env, row.content)
    claim = claim_of(ask.caller, "createOrder", "/v1/orders", key, [row.content, ask.on_duplicate])
    return await service.create_order(env, ask.caller, body.to_draft(), claim=claim, on_duplicate=ask.on_duplicate)


def _refused(place: int, answer: Answer) -> tuple[int, bytes]:
    return answer.status, b'{"index":%d,"status":%d,"error":%b}' % (place, answer.status, answer.body)
