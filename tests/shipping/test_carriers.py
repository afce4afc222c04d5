"""Who carries what, and the two ways to a label."""

from random import Random

import pytest

from fulfillment.shipping.calendar import ShippingMethod
from fulfillment.shipping.carriers import (
    CarrierNotServing,
    Label,
    LabelIncomplete,
    LabelRequest,
    ManualCarrier,
    Recipient,
    SimulatedCarrier,
    services_for,
)
from fulfillment.shipping.tracking_numbers import TrackingNumberInvalid

HOME = Recipient("Jane Roe", "437 Lytton", None, "Palo Alto", "CA", "94301")
BOX = Recipient("Jane Roe", "PO Box 12", None, "Palo Alto", "CA", "94301")
BASE = Recipient("Jane Roe", "PSC 3 Box 4120", None, "APO", "AE", "09021")
HAWAII = Recipient("Jane Roe", "1 A St", None, "Honolulu", "HI", "96801")


def request(recipient=HOME, method=ShippingMethod.STANDARD, **more):
    """Return a request for a label."""
    return LabelRequest("2vSGym0bH8qVEwCIGlyFoRgJq1A", method, recipient, **more)


def carriers(method, recipient):
    """Return the names of the carriers that serve it."""
    return {str(each.carrier) for each in services_for(method, recipient)}


def test_a_label_by_hand_is_the_typed_number_checked():
    """The operator's number comes back as the carrier writes it, with its link."""
    label = ManualCarrier().make_label(
        request(carrier="ups", service="Ground", tracking_number="1z 5r89 3903 5756 7127")
    )

    assert label == Label(
        "UPS",
        "Ground",
        "1Z5R89390357567127",
        "https://www.ups.com/track?tracknum=1Z5R89390357567127",
        "valid",
    )


def test_a_carrier_we_do_not_know_gets_a_label_without_a_link():
    """A local courier's number is stored unchecked, under the courier's own name."""
    label = ManualCarrier().make_label(request(carrier=" Pony Express ", tracking_number="77"))

    assert label == Label("Pony Express", None, "77", None, "unknown")


def test_a_label_by_hand_needs_carrier_and_number():
    """Both are named at once when both are missing."""
    with pytest.raises(LabelIncomplete) as refused:
        ManualCarrier().make_label(request(carrier=" "))

    assert [each.pointer for each in refused.value.errors] == ["/carrier", "/trackingNumber"]


def test_a_mistyped_number_makes_no_label():
    """The check digit is wrong, so the number is refused."""
    with pytest.raises(TrackingNumberInvalid):
        ManualCarrier().make_label(request(carrier="UPS", tracking_number="1Z5R89390357567128"))


@pytest.mark.parametrize("recipient", [BOX, BASE])
def test_only_the_post_goes_to_boxes_and_bases(recipient):
    """UPS refuses PO boxes and military addresses; the fast methods reach neither."""
    assert carriers(ShippingMethod.STANDARD, recipient) == {"USPS"}
    assert carriers(ShippingMethod.OVERNIGHT, recipient) == set()
    with pytest.raises(CarrierNotServing, match="UPS does not deliver"):
        ManualCarrier().make_label(request(recipient, carrier="UPS", tracking_number="1Z5R89390357567127"))


def test_each_method_has_its_carriers():
    """Fast methods go by UPS and FedEx; OnTrac stays on the mainland."""
    assert carriers(ShippingMethod.STANDARD, HOME) == {"USPS", "UPS", "FedEx", "OnTrac"}
    assert carriers(ShippingMethod.STANDARD, HAWAII) == {"USPS", "UPS", "FedEx"}
    assert carriers(ShippingMethod.EXPRESS, HOME) == {"UPS", "FedEx"}
    assert carriers(ShippingMethod.OVERNIGHT, HOME) == {"UPS", "FedEx"}


@pytest.mark.parametrize("method", list(ShippingMethod))
def test_a_simulated_label_looks_real(method):
    """It comes from a carrier that serves the method, with a number whose check digit is right."""
    made = [SimulatedCarrier(Random(seed)).make_label(request(method=method)) for seed in range(30)]

    assert {each.carrier for each in made} <= carriers(method, HOME)
    assert {each.check_digit for each in made} == {"valid"}
    assert all(each.tracking_url and each.tracking_number in each.tracking_url for each in made)


def test_a_simulated_label_follows_the_seed():
    """The same seed and request make the same label."""
    assert SimulatedCarrier(Random(5)).make_label(request()) == SimulatedCarrier(Random(5)).make_label(request())


def test_a_simulated_label_keeps_what_the_operator_chose():
    """Carrier, service and number given are used as they are."""
    chosen = request(carrier="FedEx", service="Ground", tracking_number="986578788855")

    label = SimulatedCarrier(Random(1)).make_label(chosen)

    assert (label.carrier, label.service, label.tracking_number) == ("FedEx", "Ground", "986578788855")


def test_a_simulated_carrier_can_be_dhl_when_asked():
    """DHL is never chosen for a parcel within the US, but may be named."""
    assert SimulatedCarrier(Random(1)).make_label(request(carrier="DHL")).carrier == "DHL"


@pytest.mark.parametrize("more", [{"carrier": "Pony Express"}, {"recipient": BOX, "carrier": "UPS"}])
def test_a_simulated_carrier_refuses_what_it_can_t_be(more):
    """A carrier without rules of ours, and one that does not go there, are refused."""
    with pytest.raises(CarrierNotServing):
        SimulatedCarrier(Random(1)).make_label(request(**more))


def test_no_carrier_is_no_label():
    """EXPRESS to a PO box is brought by nobody."""
    with pytest.raises(CarrierNotServing, match="No carrier brings EXPRESS"):
        SimulatedCarrier(Random(1)).make_label(request(BOX, ShippingMethod.EXPRESS))


def test_a_request_does_not_show_the_recipient():
    """Printed or logged, a request names no person and no street."""
    shown = repr(request())

    assert not any(part in shown for part in ("Jane", "Lytton", "Palo Alto", "94301"))
