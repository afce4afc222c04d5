"""Builders with dull defaults: what a test needs to exist before it begins."""

import itertools
from dataclasses import dataclass, field
from decimal import Decimal

from fulfillment.infra.env import Env
from fulfillment.kernel.callers import Caller, Scope
from fulfillment.oauth import service as oauth
from fulfillment.partners import service as partners


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
