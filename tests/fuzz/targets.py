"""The parsers: what reads what others send, and what it may raise. Anything else is a finding."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from fulfillment.infra import jsontext
from fulfillment.infra.addresses import AddressPolicy, check_url
from fulfillment.infra.cursors import Listing, read_page
from fulfillment.infra.web import read_model, read_query
from fulfillment.kernel.errors import FulfillmentError
from fulfillment.orders.idempotency import read_key
from fulfillment.orders.wire import OrderCreateIn
from fulfillment.shipping import addresses, tracking_numbers
from fulfillment.shipping.calendar import ShippingMethod
from fulfillment.webhooks import signing

_AT: Final = datetime(2026, 11, 23, 12, tzinfo=UTC)
_LISTING: Final = Listing("/v1/orders", "partner", {})
_POLICY: Final = AddressPolicy()


@dataclass(frozen=True, slots=True)
class Target:
    """One parser."""

    name: str
    parse: Callable[[bytes], object]
    seeds: tuple[bytes, ...]
    words: tuple[bytes, ...] = ()  # pieces that lead further in


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _order(data: bytes) -> object:
    return read_model(OrderCreateIn, jsontext.read(data)).to_draft()


def _query(data: bytes) -> object:
    # As the server hands it over: ASCII, whatever else is percent-encoded by the client.
    return read_query(data, ("limit", "cursor", "direction", "status"))


def _cursor(data: bytes) -> object:
    return read_page({"cursor": _text(data), "limit": "5"}, b"k" * 32, _LISTING)


def _key(data: bytes) -> object:
    return read_key([data])


def _signature(data: bytes) -> object:
    body, _, header = data.partition(b"\n")
    return signing.verify(body, header.decode("latin-1"), "0" * 64, now=_AT)


def _address(data: bytes) -> object:
    parts = [*_text(data).split("\n"), "", "", "", "", ""]
    return addresses.check_address(
        line1=parts[0],
        line2=parts[1] or None,
        city=parts[2],
        state=parts[3],
        zip_code=parts[4],
        shipping_method=ShippingMethod.STANDARD,
    )


def _tracking(data: bytes) -> object:
    text = _text(data)
    with contextlib.suppress(FulfillmentError):
        tracking_numbers.check(None, text)
    return tracking_numbers.check("UPS", text)


_ORDER: Final = (
    b'{"customer":{"sourceId":"1","firstName":"John","lastName":"Doe","email":"a@example.com","phone":"6505551234",'
    b'"address":{"line1":"437 Lytton Ave","line2":"","city":"Palo Alto","state":"CA","zipCode":"94301"}},'
    b'"daysSupply":30,"lineItems":[{"productId":77123129891,"quantity":2,"packDescription":"x",'
    b'"administration":{"morning":1,"afternoon":0,"evening":1,"sleep":0}}],"shippingMethod":"STANDARD"}'
)

TARGETS: Final = (
    Target("json", jsontext.read, (_ORDER, b"[1e400,-0,1.5E-3]", b'{"a":"\\ud800"}'), (b"\\u0000", b"1e999", b"[[[[")),
    Target("order", _order, (_ORDER,), (b"null", b"true", b"1e30", b"9" * 40, b'"90"', b"30.0", b"{}", b"[]")),
    Target("query", _query, (b"limit=5&cursor=abc&direction=next", b"status=CREATED"), (b"%00", b"%ff", b"&&", b"=")),
    Target("cursor", _cursor, (b"", b"eyJhIjoxfQ", b"AAAA.BBBB"), (b"=", b".", b"-_")),
    Target("idempotency key", _key, (b'"k-1"', b"4f3c"), (b'\\"', b"\\\\", b"\xff")),
    Target("signature", _signature, (b"{}\nt=1795435200,v1=" + b"0" * 64,), (b"t=", b",v1=", b"v1=", b",")),
    Target("webhook URL", lambda data: check_url(_text(data), _POLICY), (b"https://a.example/x", b"http://[::1]:80/", b"https://[a]@/"),
           (b"@", b"[::ffff:7f00:1]", b"0x7f.1", b"%2e", b"\\", b"//", b"xn--")),
    Target("address", _address, (b"437 Lytton Ave\nSuite 1\nPalo Alto\nCA\n94301", b"PO Box 1\n\nFPO\nAP\n96601"),
           (b"P.O. Box", b"APO", b"AE")),
    Target("tracking number", _tracking, (b"1Z999AA10123456784", b"9400 1000 0000 0000 0000 00", b"785512345678")),
    Target("e-mail", lambda data: addresses.valid_email(_text(data)), (b"a@example.com", b'"a b"@[1.2.3.4]')),
    Target("phone", lambda data: addresses.valid_phone(_text(data)), (b"650-555-1234", b"+44 20 7946 0958 ext 9")),
)  # fmt: skip
