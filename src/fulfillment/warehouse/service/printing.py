"""Documents printed for one order or a whole batch: read in one transaction, drawn in a thread beside the loop."""

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

from fulfillment.documents.model import Brand, Document
from fulfillment.infra.db import ALL_TENANTS
from fulfillment.infra.env import Env
from fulfillment.orders import operating
from fulfillment.orders import service as orders
from fulfillment.orders.domain import Order, OrderNotFound, OrderStatus
from fulfillment.partners.domain import Partner
from fulfillment.warehouse import packing, paperwork, queries
from fulfillment.warehouse.domain import DocumentNotAvailable, Shipment
from fulfillment.warehouse.packing import LotUse
from fulfillment.warehouse.service import batching
from fulfillment.warehouse.service.locking import contents, partners_of, today, uses_of
from fulfillment.warehouse.service.reading import facts_of

Progress = Callable[[int, int], None]  # done, total

_LOGO_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}\.(png|jpg|jpeg)")
_UNRELEASED = (OrderStatus.CREATED, OrderStatus.CANCELLED)


class Kind(StrEnum):
    """What can be printed for an order."""

    PACKING_SLIP = "packing-slip"
    PACK_LABELS = "pack-labels"
    SHIPPING_LABEL = "shipping-label"


async def order_document(env: Env, order_id: str, kind: Kind, progress: Progress | None = None) -> bytes:
    """Return one order's document as a PDF.

    Raises:
        OrderNotFound: There is none.
        DocumentNotAvailable: It is not released, has no label, or the label is a carrier's own.
        BarcodeNotPossible: A text of it can't be a barcode.
    """
    return await _print(env, [order_id], kind, progress)


async def batch_document(env: Env, batch_id: str, kind: Kind, progress: Progress | None = None) -> bytes:
    """Return the documents of a whole batch as one PDF, in the order of the orders' ids.

    Args:
        progress: Hears (done, total) after each, from another thread.

    Raises:
        BatchNotFound: There is none.
        DocumentNotAvailable, BarcodeNotPossible: One of them can't be printed.
    """
    await batching.get_batch(env, batch_id)
    async with env.db.reading(ALL_TENANTS) as tx:
        order_ids = await queries.select_batch_orders(tx, batch_id)
    return await _print(env, order_ids, kind, progress)


async def pick_list_document(env: Env, batch_id: str) -> bytes:
    """Return a batch's pick list as a PDF.

    Raises:
        BatchNotFound: There is none.
        BarcodeNotPossible: A lot number can't be a barcode.
    """
    batch, rows, packs = await batching.pick_list(env, batch_id)
    picks = paperwork.picks_of(
        batch.id,
        today(env, batch.created_at),
        sum(batch.orders.values()),
        packs,
        [(LotUse(row.lot, row.quantity), row.product_name, row.external, row.orders) for row in rows],
    )
    return await asyncio.to_thread(_render, [picks])


async def _print(env: Env, order_ids: Sequence[str], kind: Kind, progress: Progress | None) -> bytes:
    drawn = await _documents(env, order_ids, kind)
    return await asyncio.to_thread(_render, drawn, progress)


def _render(drawn: Sequence[Document], progress: Progress | None = None) -> bytes:
    # Imported with the first document: what draws takes memory and time that an API process seldom needs.
    from fulfillment.documents import batch

    return batch.render(drawn, progress)


async def _documents(env: Env, order_ids: Sequence[str], kind: Kind) -> list[Document]:
    async with env.db.reading(ALL_TENANTS) as tx:
        found = await operating.select_orders(tx, order_ids)
        if set(order_ids) - set(found):
            raise OrderNotFound("There is no order with this id.")
        everyone = await partners_of(env, found.values())
        if kind is Kind.SHIPPING_LABEL:
            return _labels(env, found, await queries.select_shipments(tx, order_ids))
        uses = await uses_of(tx, list(order_ids))
        if kind is Kind.PACK_LABELS:
            return _each(env, found, everyone, lambda order, brand, who: _roll(order, brand, who, uses[order.id]))
        facts = await facts_of(tx, list(found.values()))
    return _each(
        env,
        found,
        everyone,
        lambda order, brand, who: paperwork.slip_of(
            order, who, contents(order), uses[order.id], brand, facts[order.id], today(env, order.created_at)
        ),
    )


def _each(
    env: Env,
    found: Mapping[str, Order],
    everyone: Mapping[str, Partner],
    draw: Callable[[Order, Brand, Mapping[str, Any]], Document],
) -> list[Document]:
    brands = {
        partner_id: paperwork.brand_of(everyone[partner_id], _logo(env, everyone[partner_id]))
        for partner_id in {order.partner_id for order in found.values()}
    }

    def of(order: Order) -> list[Document]:
        if order.status in _UNRELEASED:
            raise _not_available(order, f"The order is {order.status}: its lots are not assigned.")
        return [draw(order, brands[order.partner_id], orders.customer_of(order))]

    return _available(found, of)


def _available(found: Mapping[str, Order], of: Callable[[Order], list[Document]]) -> list[Document]:
    """Return the documents of the orders that have them; of a batch, some may not be so far."""
    drawn: list[Document] = []
    refusal: DocumentNotAvailable | None = None
    for order in found.values():
        try:
            drawn.extend(of(order))
        except DocumentNotAvailable as error:
            refusal = error
    if not drawn and refusal is not None:
        raise refusal
    return drawn


def _roll(order: Order, brand: Brand, customer: Mapping[str, Any], uses: Sequence[LotUse]) -> Document:
    packs = packing.packs_of(order.id, contents(order), order.days_supply, uses)
    roll = paperwork.roll_of(order, f"{customer['firstName']} {customer['lastName']}", packs, brand)
    if not roll.labels:
        raise _not_available(order, "The order has no packs: all of it goes beside them.")
    return roll


def _labels(env: Env, found: Mapping[str, Order], shipments: Mapping[str, Sequence[Shipment]]) -> list[Document]:
    def of(order: Order) -> list[Document]:
        own = shipments.get(order.id, ())
        if not own:
            raise _not_available(order, f"The order is {order.status}: it has no label.")
        simulated = [shipment for shipment in own if shipment.simulated]
        if not simulated:
            raise _not_available(order, "Its label is the carrier's own.")
        customer = orders.customer_of(order)
        return [
            paperwork.label_of(order, customer, shipment, today(env, shipment.created_at)) for shipment in simulated
        ]

    return _available(found, of)


def _not_available(order: Order, detail: str) -> DocumentNotAvailable:
    return DocumentNotAvailable(detail, extra={"orderId": order.id, "orderStatus": order.status.value})


def _logo(env: Env, partner: Partner) -> bytes | None:
    """Return the picture of a logo that is a file of ours. A logo that is a URL is never fetched to print."""
    if partner.logo is None or _LOGO_KEY.fullmatch(partner.logo) is None:
        return None
    path: Path = env.settings.data_dir / "logos" / partner.logo
    try:
        return path.read_bytes()
    except OSError:
        return None
