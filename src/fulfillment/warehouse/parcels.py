"""What is said of parcels: the contract's fulfillmentInfo, and the additive shipments. Pure."""

from collections.abc import Sequence

from fulfillment.infra import jsontext
from fulfillment.kernel.times import to_wire as moment
from fulfillment.shipping.tracking import to_wire as checkpoint_json
from fulfillment.warehouse.domain import Shipment


def fulfillment_json(shipment: Shipment) -> str:
    """Return the contract's fulfillmentInfo as JSON text."""
    return jsontext.write(
        {
            "carrier": shipment.carrier,
            "trackingNumber": shipment.tracking_number,
            "trackingStatus": shipment.tracking_status.value,
            **({"trackingUrl": shipment.tracking_url} if shipment.tracking_url else {}),
            "checkpoints": [checkpoint_json(checkpoint) for checkpoint in shipment.checkpoints],
        }
    ).decode()


def shipments_json(shipments: Sequence[Shipment]) -> str:
    """Return an order's shipments as JSON text."""
    return jsontext.write([shipment_json(shipment) for shipment in shipments]).decode()


def shipment_json(shipment: Shipment) -> dict[str, object]:
    """Return one parcel as an order shows it."""
    return {
        "id": shipment.id,
        "carrier": shipment.carrier,
        "service": shipment.service,
        "trackingNumber": shipment.tracking_number,
        "trackingUrl": shipment.tracking_url,
        "trackingStatus": shipment.tracking_status.value,
        "checkDigit": shipment.check_digit,
        "createdAt": moment(shipment.created_at),
        "shippedAt": moment(shipment.shipped_at) if shipment.shipped_at else None,
        "checkpoints": [checkpoint_json(checkpoint) for checkpoint in shipment.checkpoints],
    }
