"""Erasing a customer."""

import hmac
from dataclasses import dataclass

from fulfillment.infra import audit
from fulfillment.infra.env import Env
from fulfillment.kernel.errors import FulfillmentError, Kind
from fulfillment.orders import erasing as orders
from fulfillment.partners import service as partners
from fulfillment.protocols import service as protocols
from fulfillment.warehouse import erasing as warehouse


class CustomerHasOpenOrders(FulfillmentError):
    """An order of the customer is still to be made or sent, and needs the name and the address."""

    kind = Kind.CONFLICT
    code = "customer_has_open_orders"
    title = "The customer has open orders"


@dataclass(frozen=True, slots=True)
class Erased:
    """What an erasure changed."""

    pseudonym: str  # what the orders' customer is called now
    orders: int
    protocols: int


async def erase_customer(env: Env, partner_id: str, source_id: str, *, actor: str = "cli") -> Erased:
    """Remove everything personal of a partner's customer; orders stay, under a pseudonym.

    The same customer gets the same pseudonym each time, so that a recall still counts persons. Doing it again changes
    nothing. What has left is not reached: backups, and what the partner and the carrier hold themselves.

    Args:
        source_id: The customer's id in the partner's system.

    Raises:
        PartnerNotFound: There is no such partner.
        CustomerHasOpenOrders: Ship or cancel them first; nothing was changed.
    """
    partner = await partners.get_partner(env, partner_id)
    pseudonym = _pseudonym(env, partner.id, source_id)
    async with env.db.transaction(partner.id) as tx:
        found = await orders.lock_orders_of(tx, partner.id, source_id)
        still_open = [order_id for order_id, status in found if status not in orders.SETTLED]
        if still_open:
            raise CustomerHasOpenOrders(
                f"{len(still_open)} of the customer's orders are not settled: {', '.join(still_open[:10])}. "
                "Cancel or ship them, then erase."
            )
        removed = await protocols.erase_customer(tx, partner.id, source_id)
        order_ids = [order_id for order_id, _ in found]
        if order_ids:
            await warehouse.erase_checkpoints(tx, order_ids)
            await orders.erase_orders(tx, partner.id, order_ids, pseudonym)
        erased = Erased(pseudonym, len(order_ids), removed)
        if order_ids or removed:
            await audit.record(
                tx,
                actor=actor,
                action="customer.erased",
                object_type="customer",
                object_id=pseudonym,
                before=None,
                after={"partnerId": partner.id, "orders": erased.orders, "protocols": erased.protocols},
                request_id=None,
                at=env.now(),
            )
    return erased


def _pseudonym(env: Env, partner_id: str, source_id: str) -> str:
    # Keyed: without the pepper nobody can try ids until one gives this pseudonym.
    return "erased-" + hmac.digest(env.secrets.pepper, f"{partner_id}\0{source_id}".encode(), "sha256").hex()[:24]
