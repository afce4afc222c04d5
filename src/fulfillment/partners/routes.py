"""HTTP for partner settings. A route reads the request, calls one service function, and writes the answer."""

from fastapi import APIRouter
from fastapi.responses import Response

from fulfillment.infra import jsontext
from fulfillment.infra.env import Env
from fulfillment.infra.web import StrictRoute
from fulfillment.oauth.http import CallDep, CallerDep, EnvDep
from fulfillment.partners import service, wire
from fulfillment.partners.domain import Partner

router = APIRouter(tags=["Partner Settings"], route_class=StrictRoute)


@router.get("/partners/settings", operation_id="getPartnerSettings")
async def get_partner_settings(env: EnvDep, caller: CallerDep) -> Response:
    """Return the partner's settings."""
    return _answer(await _shown(env, await service.get_settings(env, caller)))


@router.patch("/partners/settings", operation_id="updatePartnerSettings")
async def update_partner_settings(env: EnvDep, caller: CallerDep, call: CallDep) -> Response:
    """Change the given settings."""
    changes = wire.read_update(await call.json(), service.webhook_policy(env.settings))
    partner = await service.update_settings(env, caller, changes, request_id=call.request_id)
    return _answer(await _shown(env, partner))


@router.get("/partners/settings/webhook-secret", operation_id="getWebhookSecret")
async def get_webhook_secret(env: EnvDep, caller: CallerDep, call: CallDep) -> Response:
    """Return the webhook secret."""
    secret = await service.get_webhook_secret(env, caller, request_id=call.request_id)
    return _answer({"webhookSecret": secret})


@router.post("/partners/settings/rotate-webhook-secret", operation_id="rotateWebhookSecret")
async def rotate_webhook_secret(env: EnvDep, caller: CallerDep, call: CallDep) -> Response:
    """Replace the webhook secret; the old one is invalid at once."""
    secret = await service.rotate_webhook_secret(env, caller, request_id=call.request_id)
    return _answer({"webhookSecret": secret})


async def _shown(env: Env, partner: Partner) -> dict[str, object]:
    return {**wire.settings_json(partner), **await service.settings_extra(env, partner)}


def _answer(value: object) -> Response:
    return Response(jsontext.write(value), media_type="application/json", headers={"cache-control": "no-store"})
