"""What an order's request may look like: every limit from both sides, and what is no JSON number."""

import copy
from typing import Any

import pytest

from fulfillment.infra.web import read_model
from fulfillment.kernel.errors import ValidationFailed
from fulfillment.orders.wire import OrderCreateIn, OrderFromProtocolIn
from tests.world import a_line, an_order

GIVEN = {"morning": 1, "afternoon": 0, "evening": 1, "sleep": 0}


def changed(path: str, value: Any) -> dict[str, Any]:
    """Return a good body with one place changed; ... removes it."""
    body = copy.deepcopy(an_order(a_line(77123129891, 2, administration=dict(GIVEN))))
    *way, last = path.strip("/").split("/")
    at: Any = body
    for step in way:
        at = at[int(step)] if step.isdigit() else at[step]
    key: Any = int(last) if last.isdigit() else last
    if value is ...:
        del at[key]
    else:
        at[key] = value
    return body


GOOD = [
    ("/daysSupply", 60),
    ("/daysSupply", 90),
    ("/daysSupply", 30.0),
    ("/orderType", "SUBSCRIPTION"),
    ("/shippingMethod", "OVERNIGHT"),
    ("/lineItems/0/quantity", 1),
    ("/lineItems/0/quantity", 100),
    ("/lineItems/0/productId", 2**63 - 1),
    ("/lineItems/0/packDescription", None),
    ("/lineItems/0/packDescription", "x" * 200),
    ("/lineItems/0/administration", ...),
    ("/customer/sourceId", "x" * 255),
    ("/customer/firstName", "x" * 100),
    ("/customer/lastName", "Ørsted-O'Brien 王"),
    ("/customer/email", None),
    ("/customer/email", ...),
    ("/customer/phone", None),
    ("/customer/address/line1", "x" * 100),
    ("/customer/address/line2", ""),
    ("/customer/address/line2", None),
    ("/customer/address/city", "x" * 50),
    ("/customer/address/state", "PR"),
    ("/customer/address/state", "AE"),
    ("/customer/address/zipCode", "94301-1234"),
]


@pytest.mark.parametrize(("path", "value"), GOOD)
def test_what_is_within_the_limits_is_read(path: str, value: Any) -> None:
    """The edges of every limit belong to it."""
    read_model(OrderCreateIn, changed(path, value))


BAD = [
    ("/customer", ...),
    ("/customer", None),
    ("/customer", []),
    ("/daysSupply", ...),
    ("/daysSupply", 31),
    ("/daysSupply", "30"),
    ("/daysSupply", True),
    ("/daysSupply", 30.5),
    ("/lineItems", ...),
    ("/lineItems", []),
    ("/lineItems", {}),
    ("/lineItems", [a_line(1)] * 51),
    ("/shippingMethod", ...),
    ("/shippingMethod", "standard"),
    ("/orderType", "WEEKLY"),
    ("/orderType", None),
    ("/status", "SHIPPED"),
    ("/price", "0.01"),
    ("/partnerId", "x"),
    ("/lineItems/0", None),
    ("/lineItems/0/productId", ...),
    ("/lineItems/0/productId", 0),
    ("/lineItems/0/productId", -1),
    ("/lineItems/0/productId", 2**63),
    ("/lineItems/0/productId", "77123129891"),
    ("/lineItems/0/productId", True),
    ("/lineItems/0/productId", 1.5),
    ("/lineItems/0/productId", float("inf")),
    ("/lineItems/0/quantity", 0),
    ("/lineItems/0/quantity", 101),
    ("/lineItems/0/quantity", "2"),
    ("/lineItems/0/quantity", True),
    ("/lineItems/0/quantity", 2.5),
    ("/lineItems/0/quantity", None),
    ("/lineItems/0/packDescription", ""),
    ("/lineItems/0/packDescription", "  "),
    ("/lineItems/0/packDescription", "x" * 201),
    ("/lineItems/0/packDescription", 7),
    ("/lineItems/0/packDescription", "two\nlines"),
    ("/lineItems/0/price", "0.01"),
    ("/lineItems/0/administration/morning", ...),
    ("/lineItems/0/administration/morning", -1),
    ("/lineItems/0/administration/morning", 101),
    ("/lineItems/0/administration/morning", "1"),
    ("/lineItems/0/administration/noon", 1),
    ("/customer/sourceId", ...),
    ("/customer/sourceId", ""),
    ("/customer/sourceId", "x" * 256),
    ("/customer/sourceId", 7),
    ("/customer/firstName", ""),
    ("/customer/firstName", " "),
    ("/customer/firstName", "x" * 101),
    ("/customer/firstName", "Jo\x07hn"),
    ("/customer/firstName", "Jo\tn"),
    ("/customer/lastName", "Doe\u202eeoD"),
    ("/customer/lastName", "Doe\u0085"),
    ("/customer/email", "john.doe"),
    ("/customer/email", "a@b@c"),
    ("/customer/phone", "call me"),
    ("/customer/id", "1"),
    ("/customer/address", ...),
    ("/customer/address/line1", ""),
    ("/customer/address/line1", "x" * 101),
    ("/customer/address/line1", "437 Lytton\nPalo Alto"),
    ("/customer/address/line2", "x" * 101),
    ("/customer/address/city", ""),
    ("/customer/address/city", "x" * 51),
    ("/customer/address/state", "ca"),
    ("/customer/address/state", "XX"),
    ("/customer/address/state", "California"),
    ("/customer/address/zipCode", "9430"),
    ("/customer/address/zipCode", "94301-12"),
    ("/customer/address/zipCode", "94301\n"),
    ("/customer/address/zipCode", "٩٤٣٠١"),
    ("/customer/address/zipCode", 94301),
    ("/customer/address/country", "US"),
]


@pytest.mark.parametrize(("path", "value"), BAD)
def test_what_is_beyond_them_is_refused_at_its_place(path: str, value: Any) -> None:
    """The one fault's pointer is the place that is wrong."""
    with pytest.raises(ValidationFailed) as caught:
        read_model(OrderCreateIn, changed(path, value))

    assert [fault.pointer for fault in caught.value.errors] == [path]


def test_all_faults_come_at_once() -> None:
    """Three faults in three places give three pointers."""
    body = changed("/daysSupply", 31)
    body["customer"]["address"]["state"] = "XX"
    body["lineItems"][0]["quantity"] = 0

    with pytest.raises(ValidationFailed) as caught:
        read_model(OrderCreateIn, body)

    assert sorted(fault.pointer for fault in caught.value.errors) == [
        "/customer/address/state",
        "/daysSupply",
        "/lineItems/0/quantity",
    ]


def test_a_pointer_escapes_what_it_must() -> None:
    """A member named ``a/b~c`` is pointed at as RFC 6901 writes it."""
    with pytest.raises(ValidationFailed) as caught:
        read_model(OrderCreateIn, changed("/x", 1) | {"x": 1, "a/b~c": 2})

    assert sorted(fault.pointer for fault in caught.value.errors) == ["/a~1b~0c", "/x"]


@pytest.mark.parametrize("value", [[], "x", 7, None, True])
def test_a_body_that_is_no_object_is_refused(value: object) -> None:
    """The fault's pointer is the whole document's."""
    with pytest.raises(ValidationFailed) as caught:
        read_model(OrderCreateIn, value)

    assert [fault.pointer for fault in caught.value.errors] == [""]


@pytest.mark.parametrize("name", ["daysSupply", "shippingMethod", "orderType"])
def test_an_override_of_null_is_refused(name: str) -> None:
    """An order from a protocol may say otherwise, not nothing: the contract's types have no null."""
    with pytest.raises(ValidationFailed) as caught:
        read_model(OrderFromProtocolIn, {name: None})

    assert [fault.pointer for fault in caught.value.errors] == [f"/{name}"]
