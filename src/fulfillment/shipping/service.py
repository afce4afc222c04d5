"""What can be asked of shipping: the methods and their prices."""

from collections.abc import Mapping

from fulfillment.infra.caches import Snapshot
from fulfillment.infra.env import Env
from fulfillment.shipping import queries
from fulfillment.shipping.domain import Method


async def get_methods(env: Env) -> Snapshot[Mapping[str, Method]]:
    """Return the methods by name, in the order they are shown in, with the version they are of."""
    return await env.caches.get("shipping", queries.select_methods)
