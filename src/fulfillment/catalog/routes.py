"""HTTP for products. A route reads the request, calls one service function, and writes the answer."""

import re
from collections.abc import Mapping
from datetime import date
from typing import Final

from fulfillment.catalog import service, wire
from fulfillment.catalog.domain import ProductNotFound, ProductQuery, ProductStatus
from fulfillment.catalog.service import Neighbours
from fulfillment.infra.cursors import Listing, cursors_of, read_page
from fulfillment.infra.web import Answer, Call, HotRoute
from fulfillment.kernel.errors import FieldError, ValidationFailed
from fulfillment.kernel.pages import PageRequest
from fulfillment.oauth.http import partner_caller

_PATH: Final = "/v1/products"
_FILTERS: Final = ("status", "updatedAfter", "updatedBefore", "search")
_KNOWN: Final = ("limit", "cursor", "direction", *_FILTERS)
_LONGEST_SEARCH: Final = 200  # characters
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_ID: Final = re.compile(r"[1-9]\d{0,18}", re.ASCII)


def hot(neighbours: Neighbours) -> tuple[HotRoute, ...]:
    """Return the products' operations, which need to know of discounts and stock."""

    async def list_products(call: Call) -> Answer:
        """Return a page of products: newest first, or best first when searched."""
        caller = await partner_caller(call)
        query = call.query(_KNOWN)
        listing = Listing(_PATH, caller.partner_id, {name: query[name] for name in _FILTERS if name in query})
        key = call.env.secrets.cursor_key
        asked = read_product_query(query, read_page(query, key, listing))
        page = await service.list_products(call.env, caller, asked, neighbours)
        cursor, links = cursors_of(page, asked.page, key, listing)
        headers = _link_header(call.env.settings.base_url, links)
        return Answer(200, wire.products_json(page.items, cursor).encode(), headers=headers)

    async def get_product_by_id(call: Call) -> Answer:
        """Return one product."""
        caller = await partner_caller(call)
        call.query(())
        offer = await service.get_product(call.env, caller, read_product_id(call.path_id), neighbours)
        return Answer(200, wire.product_json(offer).encode())

    return (
        HotRoute("GET", _PATH, list_products),
        HotRoute("GET", _PATH + "/{productId}", get_product_by_id),
    )


def read_product_id(text: str) -> int:
    """Return a product's id.

    Raises:
        ProductNotFound: It can't be one.
    """
    if _ID.fullmatch(text) is None:
        raise ProductNotFound("There is no product with this id.")
    return int(text)


def read_product_query(query: Mapping[str, str], page: PageRequest) -> ProductQuery:
    """Return the list that *query* asks for.

    Raises:
        ValidationFailed: A status or a day is none, or the search is too long; all faults are named.
    """
    faults: list[FieldError] = []
    search = query.get("search", "")
    if len(search) > _LONGEST_SEARCH:
        faults.append(FieldError("search", f"At most {_LONGEST_SEARCH} characters."))
    status = _read_status(query.get("status"), faults)
    after = _read_day("updatedAfter", query, faults)
    before = _read_day("updatedBefore", query, faults)
    if faults:
        raise ValidationFailed("The filters are not valid.", errors=faults)
    return ProductQuery(page, status, after, before, search)


def _read_status(text: str | None, faults: list[FieldError]) -> ProductStatus | None:
    if text is None:
        return None
    try:
        return ProductStatus(text)
    except ValueError:
        names = ", ".join(status.value for status in ProductStatus)
        faults.append(FieldError("status", f"One of: {names}."))
        return None


def _read_day(name: str, query: Mapping[str, str], faults: list[FieldError]) -> date | None:
    text = query.get(name)
    if text is None:
        return None
    try:
        if _DATE.fullmatch(text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    faults.append(FieldError(name, "A day, such as 2023-10-01."))
    return None


def _link_header(base_url: str, links: list[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    if not links:
        return []
    text = ", ".join(f'<{base_url}{_PATH}?{query}>; rel="{rel}"' for rel, query in links)
    return [(b"link", text.encode())]
