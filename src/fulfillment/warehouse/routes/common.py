"""What the warehouse's routes share: who acts, ids, pages."""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Annotated, Any, Final, Literal, TypeVar

from fastapi import Depends, Query, Request, Response

from fulfillment.infra.cursors import Listing, cursors_of, link_headers, read_page, to_page
from fulfillment.infra.db import ALL_TENANTS
from fulfillment.infra.web import Call
from fulfillment.inventory.domain import LotNotFound
from fulfillment.kernel.callers import Caller
from fulfillment.kernel.errors import FulfillmentError
from fulfillment.kernel.pages import DEFAULT_LIMIT, MAX_LIMIT, PageRequest
from fulfillment.oauth.http import CallDep, EnvDep, OperatorDep
from fulfillment.orders.domain import HoldNotFound, OrderNotFound
from fulfillment.warehouse.domain import Actor, BatchNotFound
from fulfillment.warehouse.service.locking import record

T = TypeVar("T")

_Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT)]
_Cursor = Annotated[str | None, Query(max_length=2000)]
_Direction = Annotated[Literal["next", "previous"] | None, Query()]
_ID: Final = re.compile(r"[0-9A-Za-z]{27}")


def actor_of(call: Call, caller: Caller, packer: str | None = None) -> Actor:
    """Return who acts, for the audit log."""
    return Actor(caller.client_id, call.request_id, packer)


def noted(action: str, object_type: str, parameter: str | None = None) -> Any:
    """Return the dependency of a route that shows personal data: who asks is in the audit log before they are shown it.

    Args:
        parameter: The path's parameter that names the object; None for a list.
    """

    async def note(request: Request, env: EnvDep, caller: OperatorDep, call: CallDep) -> None:
        object_id = _EVERY if parameter is None else _ID_OF[parameter](request.path_params[parameter])
        async with env.db.transaction(ALL_TENANTS) as tx:
            await record(tx, actor_of(call, caller), action, object_type, object_id, None, None, env.now())

    return Depends(note)


def order_id_of(text: str) -> str:
    """Return an order's id.

    Raises:
        OrderNotFound: It can't be one.
    """
    return _id(text, OrderNotFound("There is no order with this id."))


def lot_id_of(text: str) -> str:
    """Return a lot's id.

    Raises:
        LotNotFound: It can't be one.
    """
    return _id(text, LotNotFound("There is no lot with this id."))


def batch_id_of(text: str) -> str:
    """Return a batch's id.

    Raises:
        BatchNotFound: It can't be one.
    """
    return _id(text, BatchNotFound("There is no batch with this id."))


def hold_id_of(text: str) -> str:
    """Return a hold's id.

    Raises:
        HoldNotFound: It can't be one.
    """
    return _id(text, HoldNotFound("The order has no open hold with this id."))


def _id(text: str, absent: FulfillmentError) -> str:
    if _ID.fullmatch(text) is None:
        raise absent
    return text


_EVERY: Final = "*"
_ID_OF: Final[Mapping[str, Callable[[str], str]]] = {"orderId": order_id_of, "batchId": batch_id_of}


class Pages:
    """A list as it is asked for, page by page; its Link header names a page's neighbours."""

    def __init__(
        self,
        call: CallDep,
        response: Response,
        limit: _Limit = DEFAULT_LIMIT,
        cursor: _Cursor = None,
        direction: _Direction = None,
    ) -> None:
        del limit, cursor, direction  # declared for the document, and read from the query as it came
        self._call, self._response = call, response

    async def read(
        self,
        filters: Mapping[str, str],
        fetch: Callable[[PageRequest], Awaitable[Sequence[T]]],
        key_of: Callable[[T], str],
    ) -> tuple[Sequence[T], str | None]:
        """Return a page's items and the cursor that goes on.

        Args:
            filters: As given in the query, without limit, cursor and direction.
            fetch: Reads one item more than the page's limit.

        Raises:
            InvalidCursor: The cursor is not of this list with these filters.
        """
        env, path = self._call.env, str(self._call.scope["path"])
        query = self._call.query(("limit", "cursor", "direction", *filters))
        listing, key = Listing(path, "*", filters), env.secrets.cursor_key
        request = read_page(query, key, listing)
        page = to_page(await fetch(request), request, lambda item: (key_of(item),))
        cursor, links = cursors_of(page, request, key, listing)
        for name, value in link_headers(env.settings.base_url + path, links):
            self._response.headers[name.decode()] = value.decode()
        return page.items, cursor


PagesDep = Annotated[Pages, Depends()]


async def no_store(response: Response) -> None:
    """Keep answers out of caches."""
    response.headers["cache-control"] = "no-store"
