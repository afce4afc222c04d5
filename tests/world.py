"""Builders with dull defaults: what a test needs to exist before it begins."""

import itertools
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

from fulfillment.catalog import service as catalog
from fulfillment.catalog.domain import NewProduct, ProductStatus, Usage
from fulfillment.infra.db import ALL_TENANTS
from fulfillment.infra.env import Env
from fulfillment.inventory import service as inventory
from fulfillment.inventory.domain import LotState, NewLot
from fulfillment.kernel.callers import Caller, Scope
from fulfillment.oauth import service as oauth
from fulfillment.orders import service as orders
from fulfillment.orders.domain import Draft, Order
from fulfillment.orders.wire import OrderCreateIn
from fulfillment.partners import service as partners

EVERY_SETTING: Final = {  # the contract's own examples
    "primaryColor": "#1a73e8",
    "secondaryColor": "#ffffff",
    "logo": "https://example.com/logo.png",
    "phone": "555-123-4567",
    "supportEmail": "support@partner.com",
    "website": "https://partner.com",
    "webhookUrl": "https://partner.com/webhooks/orders",
    "billingAddressLine1": "123 Main St",
    "billingAddressLine2": "Suite 100",
    "billingCity": "San Francisco",
    "billingState": "CA",
    "billingPostalCode": "94102",
    "billingCountry": "US",
}
_PRODUCTS: Final = itertools.count(1)  # of the whole run: tests of one module share a database


def a_customer(**changes: Any) -> dict[str, Any]:
    """Return a customer as a request names one."""
    return {
        "sourceId": "1234567890",
        "firstName": "John",
        "lastName": "Doe",
        "email": "john.doe@example.com",
        "phone": "6505551234",
        "address": {
            "line1": "437 Lytton Ave",
            "line2": "Suite 100",
            "city": "Palo Alto",
            "state": "CA",
            "zipCode": "94301",
        },
    } | changes


def a_line(product_id: int, quantity: int = 2, **changes: Any) -> dict[str, Any]:
    """Return a line of a pack item as a request names one; all pills in the morning."""
    return {
        "productId": product_id,
        "quantity": quantity,
        "packDescription": "Whole Body Wellness",
        "administration": {"morning": quantity, "afternoon": 0, "evening": 0, "sleep": 0},
    } | changes


def an_order(*lines: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return an order's (or a protocol's) request body."""
    return {
        "customer": a_customer(),
        "daysSupply": 30,
        "lineItems": list(lines),
        "shippingMethod": "STANDARD",
    } | changes


def a_draft(*lines: dict[str, Any], **changes: Any) -> Draft:
    """Return what the body of `an_order` asks for."""
    return OrderCreateIn.model_validate(an_order(*lines, **changes)).to_draft()


@dataclass(slots=True)
class World:
    """Makes things in an Env's database."""

    env: Env
    _secrets: dict[str, str] = field(default_factory=dict[str, str])
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    async def partner(self, *, name: str | None = None, discount: str = "0.10") -> Caller:
        """Make a partner with one client and return it as the caller."""
        partner = await partners.create_partner(
            self.env, name=name or f"Partner {next(self._numbers)}", discount=Decimal(discount)
        )
        return await self.client(partner.id)

    async def client(self, partner_id: str) -> Caller:
        """Make a further client of a partner."""
        client_id, secret = await oauth.create_client(self.env, partner_id=partner_id, scope=Scope.PARTNER)
        self._secrets[client_id] = secret
        return Caller(client_id, Scope.PARTNER, partner_id)

    async def operator(self) -> Caller:
        """Make an operator's client."""
        client_id, secret = await oauth.create_client(self.env, partner_id=None, scope=Scope.OPERATOR)
        self._secrets[client_id] = secret
        return Caller(client_id, Scope.OPERATOR, "")

    def secret(self, caller: Caller) -> str:
        """Return the client secret of a caller made here."""
        return self._secrets[caller.client_id]

    async def token(self, caller: Caller) -> str:
        """Return an access token of a caller made here."""
        token, _ = await oauth.issue_token(
            self.env, caller.client_id, self.secret(caller), scope="", address="127.0.0.1"
        )
        return token

    async def headers(self, caller: Caller) -> dict[str, str]:
        """Return the Authorization header of a caller made here."""
        return {"Authorization": f"Bearer {await self.token(caller)}"}

    async def product(
        self,
        id: int | None = None,
        *,
        price: str = "0.50",
        external: bool = False,
        status: str = "ACTIVE",
        name: str | None = None,
        usage: Usage | None = (1, 0, 1, 0),
        pack_description: str | None = "Whole Body Wellness",
        search_terms: tuple[str, ...] = (),
        facts: dict[str, object] | None = None,
        contains_allergens: tuple[str, ...] = (),
        available: int | None = None,
    ) -> int:
        """Make a product and return its id; with *available*, one lot of so many pills or units."""
        number = next(_PRODUCTS)
        product_id = 70_000_000_000 + number if id is None else id
        product = NewProduct(
            id=product_id,
            name=name or f"Product {number}",
            list_price=Decimal(price),
            external=external,
            status=ProductStatus(status),
            pack_description=None if external else pack_description,
            recommended_usage=None if external else usage,
            contains_allergens=contains_allergens,
            search_terms=search_terms,
            supplement_facts=facts,
        )
        await catalog.import_products(self.env, [product])
        if available:
            await self.lot(product_id, available)
        return product_id

    async def lot(
        self, product_id: int, quantity: int, expiry_days: int | None = 720, *, state: str = "APPROVED"
    ) -> str:
        """Receive a lot that expires so many days from now (None: never) and return its id."""
        at = self.env.now()
        expiry = None if expiry_days is None else at.date() + timedelta(days=expiry_days)
        lot = NewLot(product_id, f"L{next(_PRODUCTS)}", expiry, quantity, state=LotState(state))
        async with self.env.db.transaction(ALL_TENANTS) as tx:
            return (await inventory.receive_lot(tx, lot, "test", at)).id

    async def available(self, product_id: int) -> int:
        """Return what partners may order of a product."""
        return (await inventory.get_available(self.env, [product_id], self.env.now())).get(product_id, 0)

    async def order(self, caller: Caller, *lines: dict[str, Any], **changes: Any) -> Order:
        """Make an order; without lines, of one new product with plenty of stock."""
        asked = lines or (a_line(await self.product(available=100_000)),)
        created = await orders.create_order(self.env, caller, a_draft(*asked, **changes))
        return await orders.get_order(self.env, caller, created.order_id)
