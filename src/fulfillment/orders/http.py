"""What every way of creating an order over HTTP shares: orders, protocols, previews, bulk."""

from collections.abc import Mapping
from typing import Any, Final

from fulfillment.catalog import service as catalog
from fulfillment.infra.env import Env
from fulfillment.infra.web import Answer, Call, read_model
from fulfillment.kernel.callers import Caller
from fulfillment.kernel.errors import FieldError, ValidationFailed
from fulfillment.orders import packs, wire
from fulfillment.orders.idempotency import Claim, fingerprint
from fulfillment.orders.intake import Created, OnDuplicate

_DUPLICATES: Final[Mapping[str, OnDuplicate]] = {"accept": "accept", "hold": "hold", "reject": "reject"}


def read_on_duplicate(call: Call) -> OnDuplicate:
    """Return what the caller wants of look-alikes.

    Raises:
        ValidationFailed: It is none of accept, hold, reject.
    """
    text = call.query(("onDuplicate",)).get("onDuplicate", "accept")
    if text not in _DUPLICATES:
        raise ValidationFailed(
            "A parameter is not valid.", errors=[FieldError("onDuplicate", "One of: accept, hold, reject.")]
        )
    return _DUPLICATES[text]


def claim_of(caller: Caller, operation: str, path: str, key: str | None, content: Any) -> Claim | None:
    """Return the claim of a request with an Idempotency-Key, or None without."""
    return Claim(caller.partner_id, operation, key, fingerprint(path, content)) if key is not None else None


def created_answer(created: Created) -> Answer:
    """Return 201 with the order's bytes."""
    return Answer(201, created.body, headers=[(b"idempotent-replayed", b"true")] if created.replayed else ())


async def read_order(env: Env, content: object) -> wire.OrderCreateIn:
    """Return an order's body.

    A body that is wrong in shape is still checked against the catalogue where it can be read, so that all of its
    faults come at once.

    Raises:
        ValidationFailed: Every fault with its pointer.
    """
    try:
        return read_model(wire.OrderCreateIn, content)
    except ValidationFailed as error:
        faults = list(error.errors)
        places = {fault.pointer for fault in faults}
        more = [fault for fault in await _line_faults(env, content) if fault.pointer not in places]
        raise ValidationFailed(error.detail, errors=[*faults, *more]) from None


async def _line_faults(env: Env, content: object) -> list[FieldError]:
    items = content.get("lineItems") if isinstance(content, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    if not isinstance(items, list):
        return []
    readable: list[tuple[int, Any]] = []
    for place, item in enumerate(items[: wire.MAX_LINES]):  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        try:
            readable.append((place, read_model(wire.LineItemIn, item).to_draft()))
        except ValidationFailed:
            continue  # its faults are named already
    _, faults = packs.check_lines(readable, (await catalog.get_orderables(env)).value)
    return faults
