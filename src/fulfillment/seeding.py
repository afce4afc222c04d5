"""The sandbox's first start: a demo catalogue, the demo partner, credentials, and the lines that show a first order."""

import asyncio
import json
import os
import secrets
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from pydantic import SecretStr

from fulfillment.infra.composing import make_env
from fulfillment.infra.db import ALL_TENANTS
from fulfillment.infra.env import Env
from fulfillment.infra.settings import Settings
from fulfillment.inventory import seeding as inventory
from fulfillment.kernel.callers import Scope
from fulfillment.oauth import service as oauth
from fulfillment.partners import service as partners
from fulfillment.sandbox.domain import MAGIC_PRODUCTS
from fulfillment.sandbox.seeding import seed_magic_products

PARTNER: Final = "Acme Health"
DISCOUNT: Final = Decimal("0.10")
_PRODUCT: Final = 77123129891


def first_start(settings: Settings, dsn: str) -> Sequence[str]:
    """Make what the sandbox's database at *dsn* lacks, write demo.json, and return the lines to print.

    Each step looks before it makes, so a start that was killed half way is made good by the next one.
    """
    return asyncio.run(_first_start(settings.model_copy(update={"database_url": SecretStr(dsn)})))


async def _first_start(settings: Settings) -> Sequence[str]:
    env = make_env(settings)
    try:
        demo = await _demo(env)
    finally:
        await env.db.close()
    return _lines(demo, settings.data_dir / "demo.json")


async def _demo(env: Env) -> Mapping[str, Any]:
    path = env.settings.data_dir / "demo.json"
    found = _read(path)
    if found is None or not await _known(env, found):
        await _seed_catalog(env)
        partner_id = await _partner(env)
        partner_client, partner_secret = await oauth.create_client(
            env, partner_id=partner_id, scope=Scope.PARTNER, label="demo"
        )
        operator_client, operator_secret = await oauth.create_client(
            env, partner_id=None, scope=Scope.OPERATOR, label="demo"
        )
        found = {
            "partner_id": partner_id,
            "client_id": partner_client,
            "client_secret": partner_secret,
            "operator_client_id": operator_client,
            "operator_client_secret": operator_secret,
        }
    base = env.settings.base_url
    demo = {"api_url": f"{base}/v1", "token_url": f"{base}/oauth2/token", **found}
    _write(path, demo)
    return demo


async def _seed_catalog(env: Env) -> None:
    # The magic ones first, so that they are the last in every list.
    await seed_magic_products(env)
    async with env.db.reading(ALL_TENANTS) as tx:
        others = await tx.all("SELECT id FROM products WHERE id <> ALL (%(magic)s) LIMIT 1", magic=list(MAGIC_PRODUCTS))
    if not others:
        await inventory.seed_catalog(env)


async def _partner(env: Env) -> str:
    for partner in await partners.list_partners(env):
        if partner.name == PARTNER:
            return partner.id
    made = await partners.create_partner(
        env, name=PARTNER, discount=DISCOUNT, description="Leading telehealth provider"
    )
    return made.id


async def _known(env: Env, demo: Mapping[str, Any]) -> bool:
    live = (await oauth.live_clients(env)).value
    return demo.get("client_id") in live and demo.get("operator_client_id") in live


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return {key: value for key, value in found.items() if key not in {"api_url", "token_url"}}


def _write(path: Path, demo: Mapping[str, Any]) -> None:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(json.dumps(demo, indent=2) + "\n")
    temporary.replace(path)


def _lines(demo: Mapping[str, Any], path: Path) -> Sequence[str]:
    token = (
        f"TOKEN=$(curl -s {demo['token_url']} -d grant_type=client_credentials "
        f"-d client_id={demo['client_id']} -d client_secret={demo['client_secret']} "
        "| python3 -c 'import json,sys; print(json.load(sys.stdin)[\"access_token\"])')"
    )
    order = json.dumps(
        {
            "customer": {
                "sourceId": "1234567890",
                "firstName": "John",
                "lastName": "Doe",
                "address": {"line1": "437 Lytton Ave", "city": "Palo Alto", "state": "CA", "zipCode": "94301"},
            },
            "daysSupply": 30,
            "lineItems": [
                {
                    "productId": _PRODUCT,
                    "quantity": 2,
                    "packDescription": "Whole Body Wellness",
                    "administration": {"morning": 1, "afternoon": 0, "evening": 1, "sleep": 0},
                }
            ],
            "shippingMethod": "STANDARD",
        }
    )
    return (
        "",
        f"Demo partner {PARTNER}: credentials are in {path}. A first order:",
        "",
        f"  {token}",
        f"  curl -s '{demo['api_url']}/products?search=omega&limit=3' -H \"Authorization: Bearer $TOKEN\"",
        f'  curl -s {demo["api_url"]}/orders -H "Authorization: Bearer $TOKEN" '
        f"-H 'Content-Type: application/json' -H \"Idempotency-Key: first-$RANDOM\" -d '{order}'",
        "",
        "Orders wait for the warehouse. To let the partner's move by themselves, a step every 5 seconds:",
        "",
        f'  curl -s -X PUT {demo["api_url"]}/sandbox/auto-advance -H "Authorization: Bearer $TOKEN" '
        "-H 'Content-Type: application/json' -d '{\"stageSeconds\": 5}'",
        "",
    )
