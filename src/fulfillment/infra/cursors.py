"""Page cursors: signed, and good only for the partner, list and filters they were made for."""

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar
from urllib.parse import urlencode

from fulfillment.kernel.errors import FieldError, FulfillmentError, Kind, ValidationFailed
from fulfillment.kernel.pages import DEFAULT_LIMIT, MAX_LIMIT, Direction, Page, PageRequest

T = TypeVar("T")
_TAG_BYTES = 16
_COMPACT = json.JSONEncoder(separators=(",", ":"))


class InvalidCursor(FulfillmentError):
    """The cursor was not made by us for this list, these filters and this caller."""

    kind = Kind.INVALID
    code = "invalid_cursor"
    title = "Invalid cursor"


@dataclass(frozen=True, slots=True)
class Listing:
    """One list as one caller filters it: what a cursor is bound to."""

    name: str  # the operation's path
    tenant: str
    filters: Mapping[str, str]  # as given in the query, without limit, cursor and direction

    def _binding(self) -> bytes:
        return _binding_of(self.name, self.tenant, tuple(sorted(self.filters.items())))


@lru_cache(1024)  # a page needs it for each of its cursors, a partner for each page
def _binding_of(name: str, tenant: str, filters: tuple[tuple[str, str], ...]) -> bytes:
    return json.dumps([name, tenant, filters]).encode()


def seal(key: bytes, listing: Listing, sort_key: Sequence[str], direction: Direction) -> str:
    """Return a cursor for the page that lies in *direction* behind *sort_key*."""
    text = _COMPACT.encode([direction.value[0], *sort_key]).encode()
    return base64.urlsafe_b64encode(_tag(key, listing, text) + text).rstrip(b"=").decode()


def unseal(key: bytes, listing: Listing, cursor: str) -> tuple[tuple[str, ...], Direction]:
    """Return the sort key and the direction of *cursor*.

    Raises:
        InvalidCursor: It was changed, or belongs to another list, filter or caller.
    """
    try:
        raw = base64.b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError, ValueError):
        raise _refusal() from None
    if base64.urlsafe_b64encode(raw).rstrip(b"=").decode() != cursor:
        raise _refusal()  # one page has one cursor: not another with other spare bits
    tag, text = raw[:_TAG_BYTES], raw[_TAG_BYTES:]
    if not hmac.compare_digest(tag, _tag(key, listing, text)):
        raise _refusal()
    letter, *sort_key = json.loads(text)
    return tuple(sort_key), Direction.NEXT if letter == "n" else Direction.PREVIOUS


def read_page(query: Mapping[str, str], key: bytes, listing: Listing) -> PageRequest:
    """Return the page that *query* (limit, cursor, direction) asks for.

    Raises:
        ValidationFailed: limit or direction is out of bounds.
        InvalidCursor: The cursor is not of this listing.
    """
    faults: list[FieldError] = []
    limit_text = query.get("limit", str(DEFAULT_LIMIT))
    limit = int(limit_text) if limit_text.isascii() and limit_text.isdigit() and len(limit_text) < 6 else 0
    if not 1 <= limit <= MAX_LIMIT:
        faults.append(FieldError("limit", f"A whole number from 1 to {MAX_LIMIT}."))
    direction_text = query.get("direction")
    if direction_text not in {None, "next", "previous"}:
        faults.append(FieldError("direction", "One of: next, previous."))
    if faults:
        raise ValidationFailed("The page asked for is not valid.", errors=faults)
    cursor = query.get("cursor")
    if cursor is None:
        return PageRequest(limit, Direction(direction_text or "next"))
    sort_key, direction = unseal(key, listing, cursor)
    return PageRequest(limit, Direction(direction_text) if direction_text else direction, sort_key)


def to_page(rows: Sequence[T], request: PageRequest, key_of: Callable[[T], tuple[str, ...]]) -> Page[T]:
    """Return the page of *rows*, of which the list read one more than the limit, in the order it reads.

    Reading towards newer items returns them oldest first; a page is always newest first.
    """
    more = len(rows) > request.limit
    items = list(rows[: request.limit])
    if request.direction is Direction.PREVIOUS:
        items.reverse()
        older = key_of(items[-1]) if items and request.after is not None else request.after
        return Page(items, older, key_of(items[0]) if more else None)
    behind = request.after is not None
    return Page(
        items, key_of(items[-1]) if more else None, (key_of(items[0]) if items else request.after) if behind else None
    )


def cursors_of(
    page: Page[T], request: PageRequest, key: bytes, listing: Listing
) -> tuple[str | None, list[tuple[str, str]]]:
    """Return the body's cursor, which goes on in the direction asked for, and the targets of the Link header.

    Returns:
        The cursor or None at the end, and (rel, query string) pairs.
    """
    sealed = {
        Direction.NEXT: seal(key, listing, page.next, Direction.NEXT) if page.next else None,
        Direction.PREVIOUS: seal(key, listing, page.previous, Direction.PREVIOUS) if page.previous else None,
    }
    links: list[tuple[str, str]] = []
    for direction, rel in ((Direction.NEXT, "next"), (Direction.PREVIOUS, "prev")):
        cursor = sealed[direction]
        if cursor is not None:
            # A cursor's letters need no escape, and to look for them takes as long as to sign it.
            own = f"limit={request.limit}&cursor={cursor}&direction={direction.value}"
            links.append((rel, f"{urlencode(listing.filters)}&{own}" if listing.filters else own))
    return sealed[request.direction], links


def link_headers(url: str, links: Sequence[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    """Return the RFC 8288 Link header of a page's neighbours; none when it has none."""
    if not links:
        return []
    return [(b"link", ", ".join(f'<{url}?{query}>; rel="{rel}"' for rel, query in links).encode())]


def _tag(key: bytes, listing: Listing, text: bytes) -> bytes:
    return hmac.digest(key, listing._binding() + b"\n" + text, hashlib.sha256)[:_TAG_BYTES]  # pyright: ignore[reportPrivateUsage]


def _refusal() -> InvalidCursor:
    return InvalidCursor(
        "The cursor is not one of this list with these filters. Start again without it.",
        errors=[FieldError("cursor", "Not a cursor of this list with these filters.")],
    )
