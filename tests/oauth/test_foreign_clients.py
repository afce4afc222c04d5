"""OAuth clients that others wrote, against the real server on a real socket: it runs in a thread of its own."""

import socket
import threading
import time
from collections.abc import Generator
from contextlib import closing
from typing import Any

import pytest
import requests
import uvicorn
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.requests_client import OAuth2Session as AuthlibSession
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata
from oauthlib.oauth2 import BackendApplicationClient
from oauthlib.oauth2.rfc6749.errors import InvalidClientError, InvalidScopeError
from requests.auth import HTTPBasicAuth
from requests_oauthlib import OAuth2Session as RequestsSession

from fulfillment.infra.caches import Caches
from fulfillment.infra.db import Database
from fulfillment.infra.env import Env
from fulfillment.infra.secrets import Secrets
from fulfillment.infra.settings import Settings
from fulfillment.kernel.callers import Caller
from tests.oauth.rooms import front_of
from tests.world import World

pytestmark = pytest.mark.anyio

_SECONDS = 10


@pytest.fixture
def url(env: Env, dsns: tuple[str, str]) -> Generator[str]:
    """The address of a server over the test's database."""
    listener = socket.create_server(("127.0.0.1", 0))
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    server = uvicorn.Server(
        uvicorn.Config(front_of(_env(dsns, env.settings, env.secrets, address)), log_config=None, lifespan="off")
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    deadline = time.monotonic() + _SECONDS
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.01)
    with closing(listener):
        yield address
        server.should_exit = True
        thread.join(_SECONDS)
    assert not thread.is_alive()


def _env(dsns: tuple[str, str], settings: Settings, secrets: Secrets, address: str) -> Env:
    db = Database(dsns[0])
    return Env(settings.model_copy(update={"public_url": address}), db, Caches(db), secrets)


@pytest.fixture
async def caller(world: World) -> Caller:
    """A partner's client."""
    return await world.partner()


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
async def test_authlib_discovers_and_gets_in(url: str, world: World, caller: Caller, method: str):
    """authlib finds the token endpoint in the metadata, which it finds valid, and reads settings with its token."""
    metadata = requests.get(f"{url}/.well-known/oauth-authorization-server", timeout=_SECONDS).json()
    AuthorizationServerMetadata({**metadata, "issuer": "https" + metadata["issuer"][4:]}).validate_issuer()
    assert metadata["issuer"] == url
    assert method in metadata["token_endpoint_auth_methods_supported"]

    with closing(AuthlibSession(caller.client_id, world.secret(caller), token_endpoint_auth_method=method)) as session:
        token: dict[str, Any] = session.fetch_token(metadata["token_endpoint"], grant_type="client_credentials")
        answer = session.get(f"{url}/v1/partners/settings")

    assert token["token_type"] == "Bearer"
    assert token["expires_in"] == 3600
    assert answer.json()["id"] == caller.partner_id


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
async def test_authlib_understands_the_refusal(url: str, caller: Caller, method: str):
    """A wrong secret reaches authlib's caller as invalid_client, with our sentence."""
    with (
        closing(AuthlibSession(caller.client_id, "wrong", token_endpoint_auth_method=method)) as session,
        pytest.raises(OAuthError, match=r"invalid_client: The client is not known, or its secret is wrong\."),
    ):
        session.fetch_token(f"{url}/oauth2/token", grant_type="client_credentials")


@pytest.mark.parametrize("by_header", [True, False])
async def test_requests_oauthlib_gets_in(
    url: str, world: World, caller: Caller, by_header: bool, monkeypatch: pytest.MonkeyPatch
):
    """requests-oauthlib gets a token both ways and reads settings with it."""
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")  # loopback has no TLS
    secret = world.secret(caller)
    way: dict[str, Any] = (
        {"auth": HTTPBasicAuth(caller.client_id, secret)}
        if by_header
        else {"client_secret": secret, "include_client_id": True}
    )

    with RequestsSession(client=BackendApplicationClient(client_id=caller.client_id)) as session:
        token = session.fetch_token(f"{url}/oauth2/token", **way)
        answer = session.get(f"{url}/v1/partners/settings")

    assert token["expires_in"] == 3600
    assert answer.json()["id"] == caller.partner_id


async def test_requests_oauthlib_understands_the_refusals(
    url: str, world: World, caller: Caller, monkeypatch: pytest.MonkeyPatch
):
    """oauthlib raises its own class for each error."""
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")

    url += "/oauth2/token"

    client = BackendApplicationClient(client_id=caller.client_id)
    with RequestsSession(client=client) as session, pytest.raises(InvalidClientError):
        session.fetch_token(url, auth=HTTPBasicAuth(caller.client_id, "wrong"))
    client = BackendApplicationClient(client_id=caller.client_id, scope=["operator"])
    with RequestsSession(client=client, scope=["operator"]) as session, pytest.raises(InvalidScopeError):
        session.fetch_token(url, auth=HTTPBasicAuth(caller.client_id, world.secret(caller)))
