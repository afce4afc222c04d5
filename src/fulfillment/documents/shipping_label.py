"""The shipping label of the simulated carrier: 4 by 6 inches, for a printer of 203 dpi."""

from fulfillment.documents.barcodes import Barcode, code_128, data_matrix
from fulfillment.documents.branding import BLACK, WHITE, Colour
from fulfillment.documents.layout import Paper
from fulfillment.documents.model import Address, ShippingLabel
from fulfillment.documents.typography import Style, cut, shrunk, width, wrap
from fulfillment.documents.wording import address_lines, region, street_lines, us_date

WIDTH, HEIGHT = 288.0, 432.0
SANDBOX = "SANDBOX – NOT VALID FOR SHIPMENT"
_EDGE = 9.0
_ROOM = WIDTH - 2 * _EDGE
_PAD = 8.0
_SERVICE_TOP, _TO_TOP, _ROUTING_TOP, _TRACKING_TOP, _FOOT_TOP = 76.0, 116.0, 222.0, 302.0, 398.0
_SMALL = Style(7, colour=BLACK)
_LABEL = Style(6.6, bold=True, colour=BLACK)
_FAINT = Colour(0xDD, 0xDD, 0xDD)


def render(label: ShippingLabel) -> bytes:
    """Return the label of one parcel.

    Raises:
        BarcodeNotPossible: The tracking number or the routing can't be a barcode of the label's size.
    """
    paper = Paper(f"Shipping label {label.tracking_number}")
    draw(paper, label)
    return paper.finish()


def draw(paper: Paper, label: ShippingLabel) -> None:
    """Draw *label* as one page."""
    tracking, routing = code_128(label.tracking_number), data_matrix(label.routing)
    paper.begin(WIDTH, HEIGHT)
    if label.sandbox:
        # First, so that everything else lies above it and no barcode is crossed.
        paper.watermark(WIDTH / 2 + 12, 170, "SANDBOX", Style(44, bold=True, colour=_FAINT), 16)
    paper.box(_EDGE, _EDGE, _ROOM, HEIGHT - 2 * _EDGE, stroke=BLACK, line=1.4)
    _draw_from(paper, label)
    _draw_service(paper, label)
    _draw_to(paper, label.ship_to)
    _draw_routing(paper, label, routing)
    _draw_tracking(paper, label, tracking)
    _draw_foot(paper, label)
    paper.end()


def _draw_from(paper: Paper, label: ShippingLabel) -> None:
    left, room = _EDGE + _PAD, 150.0
    paper.text(left, _EDGE + 12, "FROM", _LABEL)
    lines = [label.ship_from.name, *address_lines(label.ship_from)]
    paper.lines(left, _EDGE + 22, [cut(line, _SMALL, room) for line in lines][:5], _SMALL)
    right = WIDTH - _EDGE - _PAD
    paper.fitted(right, _EDGE + 16, label.carrier, Style(11, bold=True, colour=BLACK), 92, "right")
    about = [us_date(label.shipped_on), *([label.weight] if label.weight else [])]
    paper.lines(right, _EDGE + 28, about, _SMALL, "right")


def _draw_service(paper: Paper, label: ShippingLabel) -> None:
    paper.box(_EDGE, _SERVICE_TOP, _ROOM, _TO_TOP - _SERVICE_TOP, fill=BLACK)
    service = label.service.upper()
    style = Style(22, bold=True, colour=WHITE)
    paper.fitted(WIDTH / 2, (_SERVICE_TOP + _TO_TOP) / 2 + 8, service, style, _ROOM - 2 * _PAD, "center")


def _draw_to(paper: Paper, ship_to: Address) -> None:
    left, room = _EDGE + _PAD + 8, _ROOM - 2 * _PAD - 8
    paper.text(_EDGE + _PAD, _TO_TOP + 13, "SHIP TO", _LABEL)
    name = shrunk(ship_to.name, Style(13, bold=True, colour=BLACK), room, 10)
    y = paper.lines(left, _TO_TOP + 29, wrap(ship_to.name, name, room, most=2), name)
    street = Style(11.5, colour=BLACK)
    for words in street_lines(ship_to):
        paper.fitted(left, y, words, street, room, smallest=7)
        y += street.leading
    _draw_city(paper, left, y + 1, ship_to, room)


def _draw_city(paper: Paper, x: float, y: float, ship_to: Address, room: float) -> None:
    """Draw the city, cut if it must be, and the state and ZIP code always whole."""
    end = f", {region(ship_to)}"
    style = shrunk(f"{ship_to.city}{end}", Style(13, bold=True, colour=BLACK), room, 8)
    paper.text(x, y, cut(ship_to.city, style, room - width(end, style)) + end, style)


def _draw_routing(paper: Paper, label: ShippingLabel, routing: Barcode) -> None:
    paper.rule(_EDGE, _ROUTING_TOP, _ROOM, 1, BLACK)
    side = paper.matrix(_EDGE + 4, _ROUTING_TOP + 5, routing, 72)
    left = _EDGE + side + 14
    room = WIDTH - _EDGE - _PAD - left
    paper.text(left, _ROUTING_TOP + 16, "ROUTING", _LABEL)
    area = f"{label.ship_to.state} {label.ship_to.postal_code[:5]}"
    paper.fitted(left, _ROUTING_TOP + 42, area, Style(24, bold=True, colour=BLACK), room)
    if label.reference:
        paper.text(left, _ROUTING_TOP + 58, "REFERENCE", _LABEL)
        paper.fitted(left, _ROUTING_TOP + 68, label.reference, Style(8), room)


def _draw_tracking(paper: Paper, label: ShippingLabel, tracking: Barcode) -> None:
    paper.rule(_EDGE, _TRACKING_TOP, _ROOM, 3, BLACK)
    paper.text(_EDGE + _PAD, _TRACKING_TOP + 14, "TRACKING NUMBER", _LABEL)
    paper.linear(_EDGE + 2, _TRACKING_TOP + 19, tracking, _ROOM - 4, 56)
    style = Style(12, bold=True, colour=BLACK)
    paper.fitted(WIDTH / 2, _TRACKING_TOP + 89, label.tracking_number, style, _ROOM - 2 * _PAD, "center")


def _draw_foot(paper: Paper, label: ShippingLabel) -> None:
    height = HEIGHT - _EDGE - _FOOT_TOP
    if label.sandbox:
        paper.box(_EDGE, _FOOT_TOP, _ROOM, height, fill=BLACK)
        words, style = SANDBOX, Style(13, bold=True, colour=WHITE)
    else:
        paper.rule(_EDGE, _FOOT_TOP, _ROOM, 1, BLACK)
        words, style = f"{label.carrier}  ·  {label.service}", Style(9, bold=True, colour=BLACK)
    paper.fitted(WIDTH / 2, _FOOT_TOP + height / 2 + 4, words, style, _ROOM - 2 * _PAD, "center")
