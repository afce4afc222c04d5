"""Objects of the contract in the wire's form, written by hand from the contract's own examples."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from tests.sdk.server import Play
from tests.world import EVERY_SETTING

ORDER_ID = "2vSGym0bH8qVEwCIGlyFoRgJq1A"

ADMINISTRATION: dict[str, Any] = {"morning": 1, "afternoon": 0, "evening": 1, "sleep": 0}
CUSTOMER: dict[str, Any] = {
    "sourceId": "1234567890",
    "firstName": "John",
    "lastName": "Doe",
    "email": "john.doe@example.com",
    "phone": "1234567890",
    "address": {
        "line1": "437 Lytton",
        "line2": "Suite 100",
        "city": "Palo Alto",
        "state": "CA",
        "zipCode": "94301",
    },
}
LINE_ITEM_CREATE: dict[str, Any] = {
    "productId": 77123129891,
    "quantity": 2,
    "packDescription": "Whole Body Wellness",
    "administration": ADMINISTRATION,
}
ORDER_CREATE: dict[str, Any] = {
    "customer": CUSTOMER,
    "daysSupply": 30,
    "lineItems": [LINE_ITEM_CREATE],
    "shippingMethod": "STANDARD",
    "orderType": "ONE_TIME",
}
FULFILLMENT_INFO: dict[str, Any] = {
    "carrier": "UPS",
    "trackingNumber": "1Z9999999999999999",
    "trackingStatus": "InTransit",
    "trackingUrl": "https://www.ups.com/track?tracknum=1Z9999999999999999",
    "checkpoints": [
        {
            "checkpointTime": "2023-10-02T08:00:00Z",
            "location": "Los Angeles, CA, USA",
            "message": "Shipment picked up",
            "tag": "InTransit",
        }
    ],
}
ORDER: dict[str, Any] = {
    "id": ORDER_ID,
    "customer": CUSTOMER,
    "discount": "10%",
    "daysSupply": 30,
    "orderType": "ONE_TIME",
    "shippingMethod": "STANDARD",
    "status": "SHIPPED",
    "fulfillmentInfo": FULFILLMENT_INFO,
    "lineItems": [{**LINE_ITEM_CREATE, "price": "0.53", "discountedPrice": "0.477"}],
    "protocolId": None,
    "subtotal": "28.62",
    "handlingFee": "0.00",
    "volumeDiscount": "0.00",
    "shippingCost": "5.95",
    "total": "34.57",
    "createdAt": "2023-10-01T12:00:00Z",
    "updatedAt": "2023-10-05T14:30:00Z",
}
PROTOCOL: dict[str, Any] = {
    "id": "2vSGym0bH8qVEwCIGlyFoRgJq1B",
    "customer": CUSTOMER,
    "daysSupply": 90,
    "orderType": "SUBSCRIPTION",
    "shippingMethod": "EXPRESS",
    "lineItems": [{**LINE_ITEM_CREATE, "price": "0.53", "discountedPrice": "0.477"}],
    "createdAt": "2023-10-01T12:00:00Z",
    "updatedAt": "2023-10-05T14:30:00Z",
}
PRODUCT: dict[str, Any] = {
    "id": 77123129891,
    "name": "Elite EPA",
    "description": "Fish oil",
    "packDescription": "Whole Body Wellness",
    "price": "0.477",
    "external": False,
    "productImage": None,
    "recommendedUsage": ADMINISTRATION,
    "form": "softgel",
    "certifications": ["kosher", "halal"],
    "allergens": ["gluten_free"],
    "supplementFactsPanel": {
        "servingSize": 2,
        "type": "softgel",
        "otherIngredients": ["Fish oil", "Gelatin"],
        "ingredients": [{"name": "EPA", "amount": "500", "unit": "mg", "dailyValue": "**"}],
    },
    "status": "ACTIVE",
    "inventory": {"available": 1200, "unit": "pill"},
    "updatedAt": "2023-10-01T12:00:00Z",
}
SHIPPING_METHOD: dict[str, Any] = {
    "name": "STANDARD",
    "description": "5-8 business days",
    "price": "5.95",
}
SETTINGS: dict[str, Any] = {
    "id": "2NxK7vPqYtR5mJnLkH3wZcB",
    "name": "Acme Health",
    "description": "Leading telehealth provider",
    "discount": "10%",
    "discountValue": 0.1,
    **EVERY_SETTING,
    "billingAddressLine2": None,
    "createdAt": "2023-10-01T12:00:00Z",
    "updatedAt": "2023-10-05T14:30:00Z",
}
SECRET: dict[str, Any] = {"webhookSecret": "0123456789abcdef" * 4}
EVENT: dict[str, Any] = {
    "order": {
        "orderId": ORDER_ID,
        "status": "SHIPPED",
        "fulfillmentInfo": FULFILLMENT_INFO,
        "createdAt": "2023-10-01T12:00:00Z",
        "updatedAt": "2023-10-05T14:30:00Z",
    }
}


def order(**changes: object) -> dict[str, Any]:
    """Return a whole order, changed as asked."""
    return {**deepcopy(ORDER), **changes}


def problem(status: int, code: str, headers: Mapping[str, str] | None = None, **more: object) -> Play:
    """Return the answer that carries a problem document."""
    body = {"type": f"/problems/{code}", "title": "A title", "status": status, "code": code, **more}
    return Play(status, body, {"Content-Type": "application/problem+json", **(headers or {})})
