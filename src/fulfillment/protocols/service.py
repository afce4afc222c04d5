"""What can be done with protocols. One function for each operation."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from fulfillment.infra.db import Tx
from fulfillment.infra.env import Env
from fulfillment.kernel.callers import Caller
from fulfillment.kernel.ids import new_id
from fulfillment.kernel.pages import PageRequest
from fulfillment.orders import service as orders
from fulfillment.orders.domain import Draft
from fulfillment.orders.idempotency import Claim
from fulfillment.orders.intake import Created, OnDuplicate
from fulfillment.partners import service as partners
from fulfillment.protocols import queries, wire
from fulfillment.protocols.domain import Protocol, ProtocolNotFound


async def create_protocol(env: Env, caller: Caller, draft: Draft) -> Protocol:
    """Keep *draft* as a template; no stock is taken.

    Raises:
        ValidationFailed, UnknownProduct, ProductNotOrderable: A line can't be made.
    """
    (await orders.line_check(env))(draft)
    at = orders.now_of(env, await partners.get_partner(env, caller.partner_id))
    protocol = wire.protocol_of(draft, new_id(at), caller.partner_id, at)
    async with env.db.transaction(caller.partner_id) as tx:
        await queries.insert_protocol(tx, protocol)
    return protocol


async def get_protocol(env: Env, caller: Caller, protocol_id: str) -> Protocol:
    """Return the partner's protocol.

    Raises:
        ProtocolNotFound: The partner has no such protocol.
    """
    async with env.db.reading(caller.partner_id) as tx:
        return _found(await queries.select_protocol(tx, caller.partner_id, protocol_id))


async def list_protocols(env: Env, caller: Caller, search: str | None, request: PageRequest) -> Sequence[Protocol]:
    """Return the partner's protocols of one page and one more, in reading order."""
    words = (search or "").casefold().split()
    async with env.db.reading(caller.partner_id) as tx:
        if not words:
            return await queries.select_page(tx, caller.partner_id, request)
        return await queries.select_page_of_name(tx, caller.partner_id, words, request)


async def replace_protocol(env: Env, caller: Caller, protocol_id: str, draft: Draft) -> Protocol:
    """Put *draft* in the place of the protocol.

    Raises:
        ProtocolNotFound: The partner has no such protocol.
        ValidationFailed, UnknownProduct, ProductNotOrderable: A line can't be made.
    """
    (await orders.line_check(env))(draft)
    at = orders.now_of(env, await partners.get_partner(env, caller.partner_id))
    async with env.db.transaction(caller.partner_id) as tx:
        found = _found(await queries.lock_protocol(tx, caller.partner_id, protocol_id))
        changed = replace(wire.protocol_of(draft, found.id, caller.partner_id, at), created_at=found.created_at)
        await queries.update_protocol(tx, changed)
    return changed


async def update_protocol(env: Env, caller: Caller, protocol_id: str, changes: Mapping[str, Any]) -> Protocol:
    """Merge *changes* (the contract's ProtocolUpdate, given fields only) into the protocol.

    The whole is checked anew: a protocol that can't be ordered any more can't be kept by changing another part of it.

    Raises:
        ProtocolNotFound: The partner has no such protocol.
        ValidationFailed, UnknownProduct, ProductNotOrderable: A line can't be made.
    """
    at = orders.now_of(env, await partners.get_partner(env, caller.partner_id))
    check = await orders.line_check(env)
    async with env.db.transaction(caller.partner_id) as tx:
        found = _found(await queries.lock_protocol(tx, caller.partner_id, protocol_id))
        changed = replace(wire.merged(found, changes), updated_at=at)
        check(wire.draft_of(changed))
        await queries.update_protocol(tx, changed)
    return changed


async def delete_protocol(env: Env, caller: Caller, protocol_id: str) -> None:
    """Remove the protocol; orders made from it keep its id.

    Raises:
        ProtocolNotFound: The partner has no such protocol.
    """
    async with env.db.transaction(caller.partner_id) as tx:
        if not await queries.delete_protocol(tx, caller.partner_id, protocol_id):
            raise _not_found()


async def create_order(
    env: Env,
    caller: Caller,
    protocol_id: str,
    overrides: Mapping[str, Any],
    *,
    claim: Claim | None = None,
    on_duplicate: OnDuplicate = "accept",
) -> Created:
    """Create an order from the protocol, checked and priced anew.

    Args:
        overrides: daysSupply, shippingMethod and orderType where they are to differ.

    Raises:
        ProtocolNotFound: The partner has no such protocol, and the key has got no answer from it before.
        FulfillmentError: As `orders.create_order`.
    """
    try:
        protocol = await get_protocol(env, caller, protocol_id)
    except ProtocolNotFound:
        answer = await orders.find_answer(env, claim)
        if answer is None:
            raise
        return answer
    draft = wire.draft_of(protocol, overrides)
    return await orders.create_order(env, caller, draft, claim=claim, on_duplicate=on_duplicate)


async def erase_customer(tx: Tx, partner_id: str, source_id: str) -> int:
    """Remove the protocols of a customer of the partner; return how many there were."""
    return await queries.delete_protocols_of(tx, partner_id, source_id)


def _found(protocol: Protocol | None) -> Protocol:
    if protocol is None:
        raise _not_found()
    return protocol


def _not_found() -> ProtocolNotFound:
    return ProtocolNotFound("You have no protocol with this id.")
