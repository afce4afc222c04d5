"""Cursors: good for the partner, list and filters they were made for, and for nothing else."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fulfillment.infra.cursors import InvalidCursor, Listing, cursors_of, read_page, seal, to_page, unseal
from fulfillment.kernel.errors import ValidationFailed
from fulfillment.kernel.pages import Direction, PageRequest

KEY = b"k" * 32
LISTING = Listing("/v1/orders", "2NxK7vPqYtR5mJnLkH3wZcB", {"status": "CREATED"})
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
AFTER = ("2vSGym0bH8qVEwCIGlyFoRgJq1A",)


@pytest.mark.parametrize("direction", list(Direction))
def test_a_cursor_says_what_was_put_into_it(direction: Direction) -> None:
    """Sort key and direction come back."""
    assert unseal(KEY, LISTING, seal(KEY, LISTING, AFTER, direction)) == (AFTER, direction)


@pytest.mark.parametrize(
    "other",
    [
        Listing("/v1/protocols", LISTING.tenant, LISTING.filters),
        Listing(LISTING.name, "2NxK7vPqYtR5mJnLkH3wZcC", LISTING.filters),
        Listing(LISTING.name, LISTING.tenant, {}),
        Listing(LISTING.name, LISTING.tenant, {"status": "SHIPPED"}),
        Listing(LISTING.name, LISTING.tenant, {"status": "CREATED", "search": ""}),
    ],
)
def test_a_cursor_is_bound_to_its_listing(other: Listing) -> None:
    """Another list, partner or filter refuses it."""
    with pytest.raises(InvalidCursor):
        unseal(KEY, other, seal(KEY, LISTING, AFTER, Direction.NEXT))


def test_a_cursor_is_bound_to_the_key() -> None:
    """Another environment's key refuses it."""
    with pytest.raises(InvalidCursor):
        unseal(b"j" * 32, LISTING, seal(KEY, LISTING, AFTER, Direction.NEXT))


@given(st.text(max_size=200))
def test_any_text_is_refused(text: str) -> None:
    """No text that we did not make is a cursor, and none raises anything but the refusal."""
    with pytest.raises(InvalidCursor):
        unseal(KEY, LISTING, text)


@given(st.integers(0, 200), st.integers(1, 255))
def test_a_flipped_bit_is_noticed(place: int, change: int) -> None:
    """Any changed byte spoils it."""
    cursor = seal(KEY, LISTING, AFTER, Direction.NEXT)
    raw = bytearray(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    raw[place % len(raw)] ^= change

    with pytest.raises(InvalidCursor):
        unseal(KEY, LISTING, base64.urlsafe_b64encode(bytes(raw)).rstrip(b"=").decode())


@pytest.mark.parametrize("after", ["a", "ab", "abc"])
def test_no_other_text_is_the_same_cursor(after: str) -> None:
    """No character can be changed, not even the last one, whose spare bits say nothing."""
    cursor = seal(KEY, LISTING, (after,), Direction.NEXT)

    for place in range(len(cursor)):
        for letter in ALPHABET:
            if letter != cursor[place]:
                with pytest.raises(InvalidCursor):
                    unseal(KEY, LISTING, cursor[:place] + letter + cursor[place + 1 :])


def test_the_cursor_reveals_no_key() -> None:
    """A cursor is safe in a URL as it is."""
    cursor = seal(KEY, LISTING, AFTER, Direction.NEXT)

    assert set(cursor) <= set(ALPHABET)


def test_limit_and_direction_are_both_named() -> None:
    """Two faults come at once."""
    with pytest.raises(ValidationFailed) as caught:
        read_page({"limit": "0", "direction": "up"}, KEY, LISTING)

    assert [fault.pointer for fault in caught.value.errors] == ["limit", "direction"]


@given(st.integers(1, 40), st.integers(1, 12), st.sampled_from(list(Direction)))
def test_following_the_cursor_visits_each_item_once(count: int, limit: int, direction: Direction) -> None:
    """Over any list, from either end, the pages are the list; each page is newest first."""
    ids = [f"{n:04}" for n in range(count)]  # newest last
    request = PageRequest(limit, direction)
    seen: list[list[str]] = []
    for _ in range(count + 1):
        page = to_page(_read(ids, request), request, lambda item: (item,))
        seen.append(list(page.items))
        cursor, _ = cursors_of(page, request, KEY, LISTING)
        if cursor is None:
            break
        request = read_page({"limit": str(limit), "cursor": cursor}, KEY, LISTING)

    forward = direction is Direction.NEXT
    flat = [item for page in (seen if forward else reversed(seen)) for item in page]
    assert flat == list(reversed(ids))


def _read(ids: list[str], request: PageRequest) -> list[str]:
    """Read one more than the limit, as a query does."""
    forward = request.direction is Direction.NEXT
    after = request.after[0] if request.after else ("~" if forward else "")
    kept = [id_ for id_ in ids if (id_ < after if forward else id_ > after)]
    return sorted(kept, reverse=forward)[: request.limit + 1]
