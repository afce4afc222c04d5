"""What the catalogue's answers need of the rooms beside and above it: the partner's discount, and what is left."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Final

from fulfillment.catalog.service import Neighbours
from fulfillment.infra.env import Env
from fulfillment.inventory import service
from fulfillment.kernel.callers import Caller
from fulfillment.partners import service as partners


async def discount_of(env: Env, caller: Caller) -> Decimal:
    """Return the caller's discount, a fraction."""
    return (await partners.get_partner(env, caller.partner_id)).discount


async def available_to(env: Env, caller: Caller, product_ids: Sequence[int]) -> Mapping[int, int]:
    """Return what the caller may order of each product in its present, which its test clock may have moved."""
    partner = await partners.get_partner(env, caller.partner_id)
    return await service.get_available(env, product_ids, partner.clock_frozen_at or env.now())


NEIGHBOURS: Final = Neighbours(discount_of, available_to)
