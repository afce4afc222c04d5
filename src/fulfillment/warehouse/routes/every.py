"""Every router of the warehouse, for the composition root."""

from typing import Final

from fastapi import APIRouter

from fulfillment.warehouse.routes import batches, following, lots, orders, papers, partner

ROUTERS: Final[tuple[APIRouter, ...]] = (
    orders.router,
    batches.router,
    lots.router,
    lots.recall_router,
    papers.router,
    following.router,
    partner.router,
)
