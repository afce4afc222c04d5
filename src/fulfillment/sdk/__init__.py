"""The Python client of the Juniper Health Order Fulfillment API.

    with Client.from_file("var/demo.json") as juniper:
        for product in juniper.iter_products(search="omega"):
            print(product.name, product.price)

`Client` blocks, `AsyncClient` is awaited; both have one method for each operation. `models` are what goes in
and comes out, `errors` what can be raised, and `webhooks.verify` tells Juniper's requests from others'.
"""

from . import errors, models, webhooks
from .aio import AsyncClient
from .client import Client
from .codec import UNSET, Unset
from .connection import Connection
from .errors import (
    ApiError,
    AuthenticationError,
    ConfigurationError,
    Conflict,
    ConnectionFailed,
    FieldError,
    InsufficientStock,
    JuniperError,
    NotFound,
    OrderNotCancellable,
    PermissionDenied,
    RateLimited,
    ServerError,
    Timeout,
    ValidationError,
)
from .models import (
    Address,
    Administration,
    Customer,
    LineItemCreate,
    Order,
    OrderCreate,
    OrderStatus,
    OrderType,
    Page,
    PartnerSettings,
    PartnerSettingsUpdate,
    Product,
    ProductStatus,
    Protocol,
    ProtocolCreate,
    ProtocolUpdate,
    ShippingMethod,
    ShippingMethodName,
)
from .retries import Retries
from .version import __version__

__all__ = [
    "UNSET",
    "Address",
    "Administration",
    "ApiError",
    "AsyncClient",
    "AuthenticationError",
    "Client",
    "ConfigurationError",
    "Conflict",
    "Connection",
    "ConnectionFailed",
    "Customer",
    "FieldError",
    "InsufficientStock",
    "JuniperError",
    "LineItemCreate",
    "NotFound",
    "Order",
    "OrderCreate",
    "OrderNotCancellable",
    "OrderStatus",
    "OrderType",
    "Page",
    "PartnerSettings",
    "PartnerSettingsUpdate",
    "PermissionDenied",
    "Product",
    "ProductStatus",
    "Protocol",
    "ProtocolCreate",
    "ProtocolUpdate",
    "RateLimited",
    "Retries",
    "ServerError",
    "ShippingMethod",
    "ShippingMethodName",
    "Timeout",
    "Unset",
    "ValidationError",
    "__version__",
    "errors",
    "models",
    "webhooks",
]
