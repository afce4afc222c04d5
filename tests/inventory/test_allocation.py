"""Which lots an amount is taken from."""

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fulfillment.inventory.allocation import LotBook, LotView, Pick, allocate, fefo, sellable

EPA = 77123129891
RECEIVED = datetime(2026, 1, 1, tzinfo=UTC)
REQUIRED = date(2027, 6, 1)


def lot(id_, free, expiry: date | None = date(2028, 1, 1), **more):
    """Return a lot with dull defaults."""
    given = {"product_id": EPA, "lot_number": id_, "received_at": RECEIVED} | more
    return LotView(id=id_, free=free, expiry=expiry, **given)


LOTS = st.lists(
    st.builds(
        lot,
        st.text("abcdefgh", min_size=1, max_size=4),
        st.integers(0, 400),
        st.none() | st.dates(date(2027, 5, 25), date(2027, 6, 8)),
        received_at=st.datetimes(datetime(2026, 1, 1), datetime(2026, 1, 3), timezones=st.just(UTC)),  # noqa: DTZ001
    ),
    max_size=7,
    unique_by=lambda each: each.id,
)
DAY_QUANTITY = st.sampled_from([1, 2, 3, 6])


def test_the_earliest_expiry_goes_first():
    """Of two lots that both cover the amount, the one that expires earlier is taken."""
    later, earlier = lot("later", 100, date(2028, 2, 1)), lot("earlier", 100, date(2028, 1, 1))

    assert allocate([later, earlier], 60, REQUIRED) == (Pick("earlier", 60),)


def test_a_lot_that_breaks_the_promise_is_left():
    """A lot that expires the day before the required date is not taken, though it is the first to expire."""
    short, good = lot("short", 100, date(2027, 5, 31)), lot("good", 100, date(2027, 6, 1))

    assert allocate([short, good], 60, REQUIRED) == (Pick("good", 60),)


def test_one_lot_is_preferred_over_an_earlier_split():
    """An order gets one lot where one covers it, though an earlier-expiring one has something left."""
    scraps, whole = lot("scraps", 59, date(2027, 7, 1)), lot("whole", 60, date(2028, 1, 1))

    assert allocate([scraps, whole], 60, REQUIRED) == (Pick("whole", 60),)


def test_a_split_goes_by_expiry():
    """Where no lot covers all, the earliest-expiring is emptied first."""
    lots = [lot("second", 50, date(2028, 1, 1)), lot("first", 40, date(2027, 7, 1))]

    assert allocate(lots, 60, REQUIRED) == (Pick("first", 40), Pick("second", 20))


def test_a_split_never_parts_a_day():
    """Of 41 pills at 2 a day only 40 are taken from the first lot, so that no pouch mixes two lots."""
    lots = [lot("first", 41, date(2027, 7, 1)), lot("second", 50)]

    assert allocate(lots, 60, REQUIRED, day_quantity=2) == (Pick("first", 40), Pick("second", 20))


def test_remainders_of_a_day_are_no_stock():
    """Two lots of 29 hold 58 pills, but only 56 of them in whole days of 2: too few for 58."""
    lots = [lot("a", 29), lot("b", 29)]

    assert allocate(lots, 58, REQUIRED, day_quantity=2) is None
    assert allocate(lots, 56, REQUIRED, day_quantity=2) == (Pick("a", 28), Pick("b", 28))


def test_no_expiry_goes_last():
    """A lot that never expires is taken only when those that do are not enough."""
    never, dated = lot("never", 100, None), lot("dated", 100, date(2035, 1, 1))

    assert allocate([never, dated], 60, REQUIRED) == (Pick("dated", 60),)


def test_ties_go_to_the_older_receipt_then_the_lot_number():
    """Lots of the same expiry are taken in the order of receipt, and of lot number within one receipt."""
    b, a = lot("b", 10, lot_number="L-2"), lot("a", 10, lot_number="L-1")
    older = lot("z", 10, lot_number="L-9", received_at=datetime(2025, 12, 31, tzinfo=UTC))

    assert [each.id for each in fefo([b, a, older])] == ["z", "a", "b"]


def test_too_little_is_none():
    """One pill short of the amount, nothing is allocated."""
    assert allocate([lot("a", 30), lot("b", 29)], 60, REQUIRED) is None


def test_sellable_counts_only_what_keeps_the_promise():
    """Stock that expires too early is not for sale."""
    lots = [lot("short", 100, date(2027, 5, 31)), lot("good", 30), lot("never", 5, None)]

    assert sellable(lots, REQUIRED) == 35
    assert LotBook(lots).sellable(EPA, REQUIRED) == 35


@pytest.mark.parametrize(("amount", "day_quantity"), [(0, 1), (-1, 1), (61, 2)])
def test_an_amount_is_a_positive_number_of_whole_days(amount, day_quantity):
    """Nothing, less than nothing, or half a day's pills can't be asked for."""
    with pytest.raises(ValueError, match="positive number of days"):
        allocate([lot("a", 100)], amount, REQUIRED, day_quantity=day_quantity)
    with pytest.raises(ValueError, match="positive number of days"):
        LotBook([lot("a", 100)]).take(EPA, amount, REQUIRED, day_quantity)


@given(lots=LOTS, days=st.integers(1, 200), day_quantity=DAY_QUANTITY)
def test_an_allocation_keeps_every_rule(lots, days, day_quantity):
    """No broken promise, never beyond what is free, the exact sum, whole days, FEFO, one lot if possible."""
    amount = days * day_quantity
    good = sorted(
        (each for each in lots if each.expiry is None or each.expiry >= REQUIRED),
        key=lambda each: (each.expiry is None, each.expiry or REQUIRED, each.received_at, each.lot_number),
    )
    whole_days = {each.id: each.free // day_quantity for each in good}

    picks = allocate(lots, amount, REQUIRED, day_quantity=day_quantity)

    assert (picks is None) == (sum(whole_days.values()) < days)
    if picks is None:
        return
    covering = [each.id for each in good if each.free >= amount]
    assert sum(pick.amount for pick in picks) == amount
    assert all(0 < pick.amount <= whole_days[pick.lot_id] * day_quantity for pick in picks)
    assert all(pick.amount % day_quantity == 0 for pick in picks)
    if covering:
        assert [pick.lot_id for pick in picks] == covering[:1]
    else:
        # First expired, first out: a lot is only begun when all before it are empty of whole days.
        order = [each.id for each in good if whole_days[each.id]]
        assert [pick.lot_id for pick in picks] == order[: len(picks)]
        assert all(pick.amount == whole_days[pick.lot_id] * day_quantity for pick in picks[:-1])


ORDERS = st.lists(st.tuples(st.integers(1, 60), DAY_QUANTITY, st.booleans()), max_size=12)


@given(lots=LOTS, orders=ORDERS)
def test_the_book_decides_as_allocate_does(lots, orders):
    """Order after order, some undone, the book takes what `allocate` would from the lots as they are."""
    book = LotBook(lots)
    now = list(lots)

    for days, day_quantity, undone in orders:
        amount = days * day_quantity
        expected = allocate(now, amount, REQUIRED, day_quantity=day_quantity)
        picks = book.take(EPA, amount, REQUIRED, day_quantity)

        assert picks == (None if expected is None else list(expected))
        if picks and undone:
            book.undo(picks)
        elif picks:
            taken = dict(picks)
            now = [replace(each, free=each.free - taken.get(each.id, 0)) for each in now]
        assert {each.id: book.free(each.id) for each in lots} == {each.id: each.free for each in now}


def test_the_book_keeps_products_apart():
    """What one product has is nothing to another, and an unknown product has nothing."""
    book = LotBook([lot("a", 10), lot("b", 10, product_id=2)])

    assert book.take(EPA, 10, REQUIRED) == [("a", 10)]
    assert book.take(EPA, 1, REQUIRED) is None
    assert book.take(3, 1, REQUIRED) is None
    assert book.sellable(3, REQUIRED) == 0
    assert book.free("b") == 10
