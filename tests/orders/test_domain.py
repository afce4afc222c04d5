"""What may become of an order: all thirty-six moves."""

from itertools import product

import pytest

from fulfillment.orders.domain import (
    EVENT_OF,
    IllegalTransition,
    OrderHeld,
    OrderNotCancellable,
    OrderStatus,
    allowed_actions,
    allowed_moves,
    check_cancel,
    check_move,
)
from tests.orders.builders import an_order

ALLOWED = {
    ("CREATED", "PROCESSING"),
    ("CREATED", "CANCELLED"),
    ("PROCESSING", "FULFILLED"),
    ("FULFILLED", "AWAITING_SHIPMENT"),
    ("AWAITING_SHIPMENT", "SHIPPED"),
}
MOVES = [(before, after) for before, after in product(OrderStatus, OrderStatus)]
GOOD = [move for move in MOVES if (move[0].value, move[1].value) in ALLOWED]
BAD = [move for move in MOVES if (move[0].value, move[1].value) not in ALLOWED]


def test_there_are_thirty_six_moves() -> None:
    """Five of the thirty-six moves between six statuses are allowed."""
    assert (len(MOVES), len(GOOD), len(BAD)) == (36, 5, 31)


@pytest.mark.parametrize(("before", "after"), GOOD)
def test_an_allowed_move_is_accepted(before: OrderStatus, after: OrderStatus) -> None:
    """The move is accepted, and is among those that are named as possible."""
    check_move(an_order(before), after)

    assert after in allowed_moves(before)


@pytest.mark.parametrize(("before", "after"), BAD)
def test_every_other_move_is_refused(before: OrderStatus, after: OrderStatus) -> None:
    """The refusal says from where to where, and which moves there are."""
    with pytest.raises(IllegalTransition, match=f"{before.value} cannot become {after.value}") as caught:
        check_move(an_order(before), after)

    named = caught.value.extra["allowedMoves"]
    assert sorted(named) == sorted(good[1].value for good in GOOD if good[0] is before)  # pyright: ignore


@pytest.mark.parametrize(("before", "after"), [move for move in GOOD if move[1] is not OrderStatus.CANCELLED])
def test_a_hold_keeps_an_order_where_it_is(before: OrderStatus, after: OrderStatus) -> None:
    """An order with an open hold goes no step on."""
    with pytest.raises(OrderHeld):
        check_move(an_order(before, holds='[{"code":"ADDRESS"}]'), after)


def test_a_held_order_can_be_cancelled() -> None:
    """A hold does not keep a CREATED order from being cancelled."""
    check_move(an_order(OrderStatus.CREATED, holds='[{"code":"ADDRESS"}]'), OrderStatus.CANCELLED)


@pytest.mark.parametrize("status", [status for status in OrderStatus if status is not OrderStatus.CREATED])
def test_only_a_created_order_can_be_cancelled(status: OrderStatus) -> None:
    """Past CREATED the refusal tells the status, and the partner is offered no action."""
    with pytest.raises(OrderNotCancellable) as caught:
        check_cancel(an_order(status))

    assert caught.value.extra["orderStatus"] == status.value
    assert list(allowed_actions(an_order(status))) == []


def test_a_created_order_offers_its_cancellation() -> None:
    """A CREATED order can be cancelled and says so."""
    check_cancel(an_order(OrderStatus.CREATED))

    assert list(allowed_actions(an_order(OrderStatus.CREATED))) == ["cancel"]


def test_every_status_has_its_event() -> None:
    """Each of the six statuses has an event named after it."""
    assert {status.value: event for status, event in EVENT_OF.items()} == {
        "CREATED": "order.created",
        "CANCELLED": "order.cancelled",
        "PROCESSING": "order.processing",
        "FULFILLED": "order.fulfilled",
        "AWAITING_SHIPMENT": "order.awaiting_shipment",
        "SHIPPED": "order.shipped",
    }
