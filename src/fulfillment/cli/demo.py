"""fulfillment demo: a whole order through a running server, told line by line, with a receiver of its own."""

import secrets
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter

from fulfillment.cli.exits import Exit
from fulfillment.cli.options import DataDir
from fulfillment.infra import settings as settings_module
from fulfillment.kernel.errors import FulfillmentError, Kind
from fulfillment.sdk import (
    Address,
    Administration,
    Client,
    Customer,
    LineItemCreate,
    NotFound,
    Order,
    OrderCreate,
    OrderNotCancellable,
    PartnerSettingsUpdate,
    Product,
    ShippingMethodName,
    webhooks,
)

_PATIENCE_SECONDS: Final = 15.0
_MOST_STEPS: Final = 20


class DemoFailed(FulfillmentError):
    """The story did not go as it should."""

    kind = Kind.CONFLICT
    code = "demo_failed"
    title = "The demo failed"


def demo(
    *,
    file: Annotated[Path | None, Parameter(help="Credentials; default demo.json in the data dir.")] = None,
    data_dir: DataDir = None,
) -> int:
    """Walk a whole order through a running sandbox and tell the story; its webhooks are received and verified here.

    Exit status 0: all of it went as it should.
    """
    path = file or settings_module.load(data_dir=data_dir).data_dir / "demo.json"
    with Client.from_file(path) as juniper, _listening(juniper) as mailbox:
        _tell(juniper, mailbox)
    return Exit.DONE


class Mailbox:
    """The webhooks that came in, each checked with the partner's secret."""

    def __init__(self) -> None:
        self.secret = ""
        self.events: list[webhooks.Event] = []
        self.forged = 0  # requests whose signature did not fit
        self._heard = threading.Condition()

    def take_in(self, body: bytes, header: str) -> bool:
        """Keep an event whose signature fits; return whether it does."""
        try:
            event = webhooks.verify(body, header, self.secret)
        except webhooks.SignatureInvalid:
            self.forged += 1
            return False
        with self._heard:
            self.events.append(event)
            self._heard.notify_all()
        return True

    def wait_for(self, order_id: str, status: str, tracking: str | None = None) -> webhooks.Event:
        """Return the webhook that says so, as soon as it is there.

        Raises:
            DemoFailed: It did not come in time.
        """
        until = time.monotonic() + _PATIENCE_SECONDS
        with self._heard:
            while True:
                for event in self.events:
                    info = event.fulfillment_info
                    fits = tracking is None or (info is not None and info.tracking_status == tracking)
                    if event.order_id == order_id and event.status == status and fits:
                        return event
                if not self._heard.wait(until - time.monotonic()):
                    late = f"No webhook said {tracking or status} within {_PATIENCE_SECONDS:.0f} seconds."
                    raise DemoFailed(f"{late} Is a worker running?")


def _handler_of(mailbox: Mailbox) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", "0")))
            accepted = mailbox.take_in(body, self.headers.get(webhooks.SIGNATURE_HEADER, ""))
            self.send_response(204 if accepted else 400)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: the story is told elsewhere."""
            del format, args

    return Handler


@contextmanager
def _listening(juniper: Client) -> Generator[Mailbox]:
    """Give a mailbox that the partner's webhooks go to; afterwards they go where they went before."""
    mailbox = Mailbox()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(mailbox))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    before = juniper.get_partner_settings().webhook_url
    try:
        url = f"http://127.0.0.1:{server.server_address[1]}/webhooks"
        juniper.update_partner_settings(PartnerSettingsUpdate(webhook_url=url))
        mailbox.secret = juniper.get_webhook_secret().webhook_secret
        yield mailbox
    finally:
        juniper.update_partner_settings(PartnerSettingsUpdate(webhook_url=before))
        server.shutdown()
        server.server_close()


def _tell(juniper: Client, mailbox: Mailbox) -> None:
    settings = juniper.get_partner_settings()
    _say(f"We are {settings.name}, with a discount of {settings.discount}.")
    _say(f"A receiver listens at {settings.webhook_url} and checks every signature.")
    product = _choose(juniper)
    wanted = _wanted(product)
    _preview(juniper, wanted)
    order = _create(juniper, mailbox, wanted)
    _cancel_in_time(juniper, mailbox, wanted)
    _bring(juniper, mailbox, order)
    _cancel_too_late(juniper, order)
    _check(mailbox.forged == 0, "a webhook came with a wrong signature")
    _say(f"Done: {len(mailbox.events)} webhooks came, every signature was right.")


def _choose(juniper: Client) -> Product:
    for product in juniper.iter_products(search="omega", limit=20):
        enough = product.inventory is None or product.inventory.available >= 1000
        if product.status == "ACTIVE" and not product.external and enough:
            _say(f'A search for "omega" finds {product.name}: ${product.price} a pill for us.')
            return product
    raise DemoFailed("The catalogue has no fish oil in stock. A new data dir gets the demo catalogue.")


def _wanted(product: Product) -> OrderCreate:
    return OrderCreate(
        customer=Customer(
            # A customer of this run alone, so that a second demo is not taken for a repeated order.
            source_id=f"demo-{secrets.token_hex(4)}",
            first_name="John",
            last_name="Doe",
            address=Address(line1="437 Lytton Ave", city="Palo Alto", state="CA", zip_code="94301"),
        ),
        days_supply=30,
        line_items=(
            LineItemCreate(
                product_id=product.id,
                quantity=2,
                pack_description="Whole Body Wellness",
                administration=Administration(morning=1, evening=1),
            ),
        ),
        shipping_method=ShippingMethodName.STANDARD,
    )


def _preview(juniper: Client, wanted: OrderCreate) -> None:
    found = juniper.preview_order(wanted)
    _check(found["valid"], "the preview finds faults")
    standard = next(way for way in found["shippingMethods"] if way["name"] == "STANDARD")
    _say(
        f"A preview: {found['packs']['pills']} pills, ${found['totals']['total']} in all; it would ship on "
        f"{standard['shipsOn']} and arrive by {standard['arrivesBy']}. Nothing is reserved."
    )


def _create(juniper: Client, mailbox: Mailbox, wanted: OrderCreate) -> Order:
    key = secrets.token_hex(16)
    order = juniper.create_order(wanted, idempotency_key=key)
    _say(f"The order is {order.id}: {order.status}, ${order.total}.")
    again = juniper.create_order(wanted, idempotency_key=key)
    _check(again.id == order.id, "the same key made a second order")
    _say("Sent again with the same Idempotency-Key it is the same order, not a second one.")
    mailbox.wait_for(order.id, "CREATED")
    _say("   webhook: CREATED, signature verified")
    return order


def _cancel_in_time(juniper: Client, mailbox: Mailbox, wanted: OrderCreate) -> None:
    other = juniper.create_order(wanted)
    cancelled = juniper.cancel_order(other.id)
    mailbox.wait_for(other.id, "CANCELLED")
    _say(f"A second order is cancelled in time: {cancelled.status}, its stock is back.")


def _bring(juniper: Client, mailbox: Mailbox, order: Order) -> None:
    for _ in range(_MOST_STEPS):
        try:
            moved = juniper.advance_order(order.id, steps=1)
        except NotFound:
            raise DemoFailed("The server is not a sandbox: orders move only as the warehouse moves them.") from None
        for made in moved["made"]:
            now = juniper.get_order_by_id(order.id)
            info = now.fulfillment_info
            _say(f"{_WORDS.get(made['step'], made['step'])}{_parcel(now)}")
            tracking = info.tracking_status if info and now.status == "SHIPPED" else None
            mailbox.wait_for(order.id, str(now.status), tracking)
            _say(f"   webhook: {now.status}{f', {tracking}' if tracking else ''}, signature verified")
        if moved["next"] is None:
            break
    info = juniper.get_order_by_id(order.id).fulfillment_info
    _check(info is not None and info.tracking_status == "Delivered", "the order was not delivered")


_WORDS: Final = {
    "release": "The warehouse releases the order into production",
    "pack": "The packs are made and checked",
    "label": "The label is printed",
    "ship": "The carrier takes the parcel",
    "hub": "The parcel reaches a hub",
    "out_for_delivery": "The parcel is out for delivery",
    "delivered": "The parcel is delivered",
}


def _parcel(order: Order) -> str:
    info = order.fulfillment_info
    return f": {info.carrier} {info.tracking_number}." if info and order.status == "AWAITING_SHIPMENT" else "."


def _cancel_too_late(juniper: Client, order: Order) -> None:
    try:
        juniper.cancel_order(order.id)
    except OrderNotCancellable as error:
        _say(f"To cancel it now is too late: {error.status} {error.code}.")
        return
    raise DemoFailed("A shipped order was cancelled.")


def _check(fact: bool, otherwise: str) -> None:
    if not fact:
        raise DemoFailed(f"Expected otherwise: {otherwise}.")


_say: Final[Callable[[str], None]] = print
