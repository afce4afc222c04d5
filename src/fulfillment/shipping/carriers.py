"""Who carries what, and the port through which labels are made, with its two adapters. Pure.

A label made by an adapter that talks to a carrier over the network is its own affair: such an adapter keeps
this port and is called in a thread.
"""

from dataclasses import dataclass, field
from random import Random
from typing import Final, Protocol

from fulfillment.kernel.errors import FieldError, FulfillmentError, Kind
from fulfillment.shipping.addresses import po_box_line
from fulfillment.shipping.calendar import ShippingMethod
from fulfillment.shipping.states import STATES, StateKind
from fulfillment.shipping.tracking_numbers import CarrierName, carrier_named, check, generate, tracking_url


@dataclass(frozen=True, slots=True)
class CarrierService:
    """One way to send a parcel."""

    carrier: CarrierName
    name: str


@dataclass(frozen=True, slots=True)
class Recipient:
    """Where a parcel goes. Personal data, so it stays out of every representation."""

    name: str = field(repr=False)
    line1: str = field(repr=False)
    line2: str | None = field(repr=False)
    city: str = field(repr=False)
    state: str
    zip_code: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class LabelRequest:
    """What a label is made from."""

    order_id: str
    shipping_method: ShippingMethod
    recipient: Recipient
    carrier: str | None = None  # what the operator chose; a simulated carrier may choose itself
    service: str | None = None
    tracking_number: str | None = None  # what the operator typed; a simulated carrier makes its own


@dataclass(frozen=True, slots=True)
class Label:
    """A parcel's identity with its carrier."""

    carrier: str
    service: str | None
    tracking_number: str
    tracking_url: str | None
    check_digit: str  # "valid", or "unknown" for a number whose rule we don't know


class LabelIncomplete(FulfillmentError):
    """The operator's label lacks what only the operator knows."""

    kind = Kind.INVALID
    code = "label_incomplete"
    title = "The label is not complete"


class CarrierNotServing(FulfillmentError):
    """The carrier does not go to this address, or not with this method."""

    kind = Kind.INVALID
    code = "carrier_not_serving"
    title = "The carrier does not serve this shipment"


class Carrier(Protocol):
    """Makes labels."""

    def make_label(self, request: LabelRequest) -> Label:
        """Return the label of a parcel.

        Raises:
            LabelIncomplete: The request lacks what this carrier needs.
            CarrierNotServing: The carrier can't deliver there.
            TrackingNumberInvalid: The number given can't be the carrier's.
        """
        ...


class ManualCarrier:
    """The operator has the label from the carrier's own counter or site and types its number."""

    def make_label(self, request: LabelRequest) -> Label:
        """Return the label with the typed number, checked by shape and check digit."""
        missing = [
            FieldError(pointer, message)
            for pointer, value, message in (
                ("/carrier", request.carrier, "Name the carrier."),
                ("/trackingNumber", request.tracking_number, "Type the tracking number."),
            )
            if not (value and value.strip())
        ]
        if missing or request.carrier is None or request.tracking_number is None:
            raise LabelIncomplete("A label by hand needs carrier and tracking number.", errors=missing)
        carrier = request.carrier.strip()
        named = carrier_named(carrier)
        _check_serving(named, request)
        return _label(named or carrier, request.service, request.tracking_number)


class SimulatedCarrier:
    """The sandbox's carrier: the same choice of services, with numbers that only look real."""

    def __init__(self, random: Random) -> None:
        self._random: Final = random

    def make_label(self, request: LabelRequest) -> Label:
        """Return a label of a carrier that serves the request; the number is generated unless given."""
        wanted = carrier_named(request.carrier) if request.carrier else None
        if request.carrier and wanted is None:
            known = ", ".join(CarrierName)
            raise CarrierNotServing(f"The simulated carrier can be one of {known}.")
        _check_serving(wanted, request)
        offered = services_for(request.shipping_method, request.recipient)
        # A carrier the operator names need not be one we would have chosen (DHL, say).
        chosen = [each for each in offered if wanted in (None, each.carrier)]
        service = self._random.choice(chosen) if chosen else None
        carrier = service.carrier if service else wanted
        if carrier is None:
            raise CarrierNotServing(f"No carrier brings {request.shipping_method} parcels to this address.")
        number = request.tracking_number or generate(carrier, self._random)
        return _label(carrier, request.service or (service.name if service else None), number)


def services_for(method: ShippingMethod, recipient: Recipient) -> tuple[CarrierService, ...]:
    """Return the services that bring a parcel there with the method; () where none does."""
    return tuple(each for each in SERVICES[method] if _reaches(each.carrier, recipient))


SERVICES: Final = {
    ShippingMethod.STANDARD: (
        CarrierService(CarrierName.USPS, "Ground Advantage"),
        CarrierService(CarrierName.UPS, "Ground"),
        CarrierService(CarrierName.FEDEX, "Home Delivery"),
        CarrierService(CarrierName.ONTRAC, "Ground"),
    ),
    ShippingMethod.EXPRESS: (
        CarrierService(CarrierName.UPS, "2nd Day Air"),
        CarrierService(CarrierName.FEDEX, "2Day"),
    ),
    ShippingMethod.OVERNIGHT: (
        CarrierService(CarrierName.UPS, "Next Day Air"),
        CarrierService(CarrierName.FEDEX, "Standard Overnight"),
    ),
}


def _check_serving(carrier: CarrierName | None, request: LabelRequest) -> None:
    # A carrier we don't know may go anywhere.
    if carrier is not None and not _reaches(carrier, request.recipient):
        raise CarrierNotServing(f"{carrier} does not deliver to this address; the USPS does.")


def _reaches(carrier: CarrierName, recipient: Recipient) -> bool:
    """Return whether the carrier delivers there: PO boxes and military addresses are the USPS's alone."""
    if carrier is CarrierName.USPS:
        return True
    state = STATES.get(recipient.state)
    if state is None or state.kind is StateKind.MILITARY:
        return False
    if po_box_line(recipient.line1, recipient.line2):
        return False
    return carrier is not CarrierName.ONTRAC or state.contiguous


def _label(carrier: str, service: str | None, number: str) -> Label:
    found = check(carrier, number)
    return Label(carrier, service, found.number, tracking_url(carrier, found.number), found.check_digit)
