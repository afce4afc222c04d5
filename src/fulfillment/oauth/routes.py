"""HTTP for tokens: the token endpoint, served around the framework, and the server's metadata."""

from typing import Final

from fastapi import APIRouter
from fastapi.responses import Response

from fulfillment.infra import jsontext
from fulfillment.infra.web import STATUS_OF, Answer, BodyTooLarge, Call, HotRoute, StrictRoute, read_body
from fulfillment.oauth import service, wire
from fulfillment.oauth.domain import BASIC_CHALLENGE, InvalidClient, TokenRefused
from fulfillment.oauth.http import EnvDep

_MAX_FORM_BYTES: Final = 16 * 1024
_NO_CACHE: Final = (b"pragma", b"no-cache")  # beside Cache-Control: no-store, which every answer has

router = APIRouter(tags=["OAuth"], route_class=StrictRoute)


async def issue_token(call: Call) -> Answer:
    """Exchange a client's credentials for an access token."""
    try:
        body = await read_body(call.scope, call.receive, _MAX_FORM_BYTES)
        request = wire.read_token_request(call.scope["headers"], call.scope["query_string"], body)
        token, client = await service.issue_token(
            call.env, request.client_id, request.secret, scope=request.scope, address=_address(call)
        )
    except BodyTooLarge as error:
        return _refused(call, TokenRefused(error.detail), STATUS_OF[error.kind])
    except TokenRefused as error:
        return _refused(call, error, STATUS_OF[error.kind])
    call.caller = client.caller
    body = wire.token_answer(token, call.env.settings.token_ttl_seconds, client.caller.scope)
    return Answer(200, body, headers=(_NO_CACHE,))


def _refused(call: Call, error: TokenRefused, status: int) -> Answer:
    call.context["code"] = error.code
    headers: list[tuple[bytes, bytes]] = [_NO_CACHE]
    if isinstance(error, InvalidClient):
        headers.append((b"www-authenticate", BASIC_CHALLENGE.encode()))
    if error.retry_after_seconds is not None:
        headers.append((b"retry-after", str(error.retry_after_seconds).encode()))
    return Answer(status, wire.refusal(error), headers=headers)


def _address(call: Call) -> str:
    client = call.scope.get("client")
    return client[0] if client else ""


HOT: Final = (HotRoute("POST", wire.TOKEN_PATH, issue_token),)


@router.get(
    "/.well-known/oauth-authorization-server",
    operation_id="getAuthorizationServerMetadata",
    openapi_extra={"security": []},
)
async def get_authorization_server_metadata(env: EnvDep) -> Response:
    """Tell OAuth clients how this server gives tokens (RFC 8414)."""
    return Response(
        jsontext.write(wire.metadata(env.settings)),
        media_type="application/json",
        headers={"cache-control": "public, max-age=300"},
    )
