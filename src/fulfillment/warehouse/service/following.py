"""Parcels followed: checkpoints added, carriers' messages read once, partners told when something is new."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

from fulfillment.infra.db import ALL_TENANTS
from fulfillment.infra.env import Env
from fulfillment.orders import service as orders
from fulfillment.orders.domain import Order
from fulfillment.shipping import inbound
from fulfillment.shipping.inbound import TrackingEventInvalid, TrackingUpdate
from fulfillment.shipping.tracking import Checkpoint, merge
from fulfillment.warehouse import parcels, queries
from fulfillment.warehouse.domain import Outcome, Shipment, ShipmentNotFound, SignatureInvalid, Step
from fulfillment.warehouse.service.locking import Locked, locked_order

AFTERSHIP_HEADER = "aftership-hmac-sha256"
EASYPOST_HEADER = "x-hmac-signature"


async def add_checkpoints(
    env: Env, order_id: str, checkpoints: Sequence[Checkpoint], *, tracking_number: str | None = None
) -> Step:
    """Add to what is known of an order's parcel, in whatever order the news comes; an event only for what is new.

    Args:
        tracking_number: Which parcel; None: the first.

    Raises:
        OrderNotFound: There is none.
        ShipmentNotFound: It has no such parcel.
    """
    async with locked_order(env, order_id) as locked:
        return await _follow(locked, checkpoints, tracking_number)


async def receive_message(env: Env, body: Mapping[str, object]) -> Sequence[tuple[str, str]]:
    """Take in a carrier's message in the shape of AfterShip or EasyPost.

    Returns:
        (tracking number, what became of it) of each parcel it tells of: "updated", "unchanged", "duplicate" for a
        message that came before, "unknown" for a parcel that is not ours. The last is no refusal, and is not
        remembered: the label may just be on its way to us.

    Raises:
        TrackingEventInvalid: It has neither shape.
    """
    results: list[tuple[str, str]] = []
    source, updates = _parsed(env, body)
    for update in updates:
        results.append((update.tracking_number, await _take_in(env, source, update, body)))
    return results


def check_signature(env: Env, body: bytes, headers: Mapping[str, str]) -> bool:
    """Return whether a message carries a carrier's signature; False when there is none, or no secret is set.

    Raises:
        SignatureInvalid: There is one, and it is wrong.
    """
    secret = env.settings.carrier_webhook_secret
    if secret is None:
        return False
    for header, verify in (
        (AFTERSHIP_HEADER, inbound.aftership_signature_ok),
        (EASYPOST_HEADER, inbound.easypost_signature_ok),
    ):
        given = headers.get(header)
        if given is not None:
            if not verify(body, given, secret.get_secret_value()):
                raise SignatureInvalid("The message is not signed with the secret we share.")
            return True
    return False


def _parsed(env: Env, body: Mapping[str, object]) -> tuple[str, Sequence[TrackingUpdate]]:
    if "msg" in body:
        return "aftership", inbound.parse_aftership(body, env.now())
    if "result" in body:
        return "easypost", inbound.parse_easypost(body, env.now())
    raise TrackingEventInvalid("The message has neither the shape of AfterShip (msg) nor that of EasyPost (result).")


async def _take_in(env: Env, source: str, update: TrackingUpdate, body: Mapping[str, object]) -> str:
    async with env.db.reading(ALL_TENANTS) as tx:
        order_id = await queries.select_order_of_number(tx, update.tracking_number)
    if order_id is None:
        return "unknown"
    async with locked_order(env, order_id) as locked:
        # In the transaction of what it changes: a message that failed half way may come again.
        if not await queries.insert_message(locked.tx, _key(source, update, body), locked.now):
            return "duplicate"
        step = await _follow(locked, update.checkpoints, update.tracking_number)
    return "updated" if step.outcome is Outcome.DONE else "unchanged"


def _key(source: str, update: TrackingUpdate, body: Mapping[str, object]) -> str:
    said = update.event_id or json.dumps(body, sort_keys=True)
    digest = hashlib.sha256(f"{said}\n{update.tracking_number}".encode()).hexdigest()
    return f"{source}:{digest}"


async def _follow(locked: Locked, checkpoints: Sequence[Checkpoint], tracking_number: str | None) -> Step:
    shipments = (await queries.select_shipments(locked.tx, [locked.order.id])).get(locked.order.id, [])
    place = _place_of(shipments, tracking_number)
    merged = merge(shipments[place].checkpoints, checkpoints)
    if not merged.changed:
        return Step(locked.order, Outcome.UNCHANGED)
    followed = replace(
        shipments[place],
        checkpoints=merged.checkpoints,
        tracking_status=merged.status,
        updated_at=locked.at,
    )
    await queries.update_shipment(locked.tx, followed)
    shipments[place] = followed
    order = locked.order._replace(
        fulfillment=parcels.fulfillment_json(shipments[0]),
        shipments=parcels.shipments_json(shipments),
    )
    if (order.fulfillment, order.shipments) == (locked.order.fulfillment, locked.order.shipments):
        return Step(locked.order, Outcome.UNCHANGED)
    return Step(await _told(locked, order), Outcome.DONE)


async def _told(locked: Locked, order: Order) -> Order:
    return await orders.note_change(locked.tx, locked.partner, order, "order.tracking_updated", locked.at)


def _place_of(shipments: Sequence[Shipment], tracking_number: str | None) -> int:
    for place, shipment in enumerate(shipments):
        if tracking_number in (None, shipment.tracking_number):
            return place
    raise ShipmentNotFound("The order has no parcel with this number.")
