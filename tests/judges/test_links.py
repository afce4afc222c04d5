"""What the judge of links finds, told of links that nobody had to walk."""

from collections import Counter
from types import SimpleNamespace
from typing import Any, Final

import pytest

from tests.judges.links import faults
from tests.judges.walker import Followed

_UNNAMED: Final = "POST /orders"  # an order made directly names no protocol


def a_link(source: str, value: str, good: dict[int, int] | None = None) -> Followed:
    """Return a link from *source*'s 201 to an order, and the answers that good requests over it got."""
    link: Any = SimpleNamespace(
        full_name=f"{source} -> [201] GetOrder -> GET /orders/{{orderId}}",
        source=SimpleNamespace(label=source),
        target=SimpleNamespace(label="GET /orders/{orderId}"),
        status_code="201",
        parameters=[SimpleNamespace(expression=f"$response.body#{value}")],
    )
    return Followed(link, good=Counter(good or {}))


@pytest.mark.parametrize("good", [{200: 1}, {404: 3, 200: 1}, {409: 2}])
def test_a_link_that_led_somewhere_is_no_finding(good: dict[int, int]) -> None:
    """One success is enough; so is a refusal of the moment, which the source may have brought about."""
    assert faults([a_link("POST /orders", "/id", good)]) == []


@pytest.mark.parametrize(
    ("good", "said"),
    [
        ({}, "not followed: there was no time"),
        ({404: 2}, "it was only answered [404]"),
        ({409: 1, 422: 1}, "it was only answered [409, 422]"),
    ],
)
def test_a_link_that_leads_nowhere_is_found(good: dict[int, int], said: str) -> None:
    """Not followed, or answered as if there were no such thing: the finding names the link and says which."""
    (found,) = faults([a_link("POST /orders", "/id", good)])

    assert found == f"POST /orders -> [201] GetOrder -> GET /orders/{{orderId}}: {said}"


def test_a_reason_counts_until_it_is_wrong() -> None:
    """A link that can't be followed is no finding; once it was followed, its reason is one."""
    assert faults([a_link(_UNNAMED, "/protocolId")]) == []

    (found,) = faults([a_link(_UNNAMED, "/protocolId", {200: 1})])

    assert found.endswith("it was followed, though only an order made from a protocol names one")
