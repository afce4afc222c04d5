"""Foreign OAuth clients and foreign verifiers, in Python and in Node, against a real server."""

import json
import os
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from typing import Any, Final

from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.requests_client import OAuth2Session as AuthlibSession
from oauthlib.oauth2 import BackendApplicationClient
from oauthlib.oauth2.rfc6749.errors import InvalidClientError
from requests.auth import HTTPBasicAuth
from requests_oauthlib import OAuth2Session as RequestsSession
from stripe import SignatureVerificationError, WebhookSignature

from fulfillment.webhooks.signing import new_secret, signature
from tests.judges import node
from tests.judges.verdict import Judged
from tests.serving import ServerProcess

_CLIENTS: Final = ("openid-client@6.8.9", "oauth4webapi@3.8.8", "simple-oauth2@5.1.0", "stripe@23.1.0")
_OAUTH: Final = """
import * as openid from "openid-client"
import * as web from "oauth4webapi"
import simple from "simple-oauth2"

const [url, id, secret] = process.argv.slice(2)
const results = {}
async function attempt(name, work) {
  try { results[name] = await work() } catch (error) { results[name] = `${error.name}: ${error.message}` }
}
async function call(token) {
  const answer = await fetch(url + "/v1/orders?limit=1", {headers: {authorization: `Bearer ${token}`}})
  return answer.status
}
const options = {algorithm: "oauth2", execute: [openid.allowInsecureRequests]}
for (const [name, method] of [["basic", openid.ClientSecretBasic], ["post", openid.ClientSecretPost]]) {
  await attempt(`openid-client ${name}`, async () => {
    const config = await openid.discovery(new URL(url), id, undefined, method(secret), options)
    return await call((await openid.clientCredentialsGrant(config)).access_token)
  })
}
await attempt("openid-client wrong secret", async () => {
  const config = await openid.discovery(new URL(url), id, undefined, openid.ClientSecretBasic("wrong"), options)
  try { await openid.clientCredentialsGrant(config); return "accepted" } catch (error) { return 200 }
})
await attempt("simple-oauth2 wrong secret", async () => {
  const auth = {tokenHost: url, tokenPath: "/oauth2/token"}
  const client = new simple.ClientCredentials({client: {id, secret: "wrong"}, auth})
  try { await client.getToken({}); return "accepted" }
  catch (error) { return error.output.statusCode === 401 ? 200 : error.message }
})
await attempt("oauth4webapi wrong secret", async () => {
  const answer = await web.clientCredentialsGrantRequest({issuer: url, token_endpoint: url + "/oauth2/token"},
    {client_id: id}, web.ClientSecretBasic("wrong"), new URLSearchParams(), {[web.allowInsecureRequests]: true})
  try { await web.processClientCredentialsResponse({issuer: url}, {client_id: id}, answer); return "accepted" }
  catch (error) { return error instanceof web.WWWAuthenticateChallengeError ? 200 : error.message }
})
await attempt("oauth4webapi", async () => {
  const insecure = {[web.allowInsecureRequests]: true}
  const issuer = new URL(url)
  const server = await web.processDiscoveryResponse(issuer,
    await web.discoveryRequest(issuer, {algorithm: "oauth2", ...insecure}))
  const client = {client_id: id}
  const answer = await web.clientCredentialsGrantRequest(server, client, web.ClientSecretBasic(secret),
    new URLSearchParams(), insecure)
  return await call((await web.processClientCredentialsResponse(server, client, answer)).access_token)
})
for (const place of ["header", "body"]) {
  await attempt(`simple-oauth2 ${place}`, async () => {
    const client = new simple.ClientCredentials({client: {id, secret},
      auth: {tokenHost: url, tokenPath: "/oauth2/token"}, options: {authorizationMethod: place}})
    return await call((await client.getToken({})).token.access_token)
  })
}
console.log(JSON.stringify(results))
"""
_STRIPE: Final = """
import Stripe from "stripe"
const results = {}
for (const [name, given] of Object.entries(JSON.parse(process.argv[2]))) {
  try { new Stripe("sk_test_none").webhooks.signature.verifyHeader(...given, 300); results[name] = true }
  catch (error) { results[name] = false }
}
console.log(JSON.stringify(results))
"""


def oauth_clients(server: ServerProcess) -> Judged:
    """Let five clients get tokens in their own ways and call with them; a wrong secret has to be told as such."""
    results: dict[str, object] = {name: _said(work, server) for name, work in _PYTHON.items()}
    folder = node.folder_of("clients", _CLIENTS)
    done = node.run_script(folder, _OAUTH, server.url, server.demo["client_id"], server.demo["client_secret"])
    if done.returncode != 0:
        return Judged("the script itself", [done.stderr[-500:]])
    results |= json.loads(done.stdout)
    return Judged(f"{len(results)} ways", [f"{name}: {said}" for name, said in results.items() if said != 200])


def _said(work: Callable[[ServerProcess], int], server: ServerProcess) -> object:
    os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"  # the server is on this machine
    try:
        return work(server)
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def _authlib(server: ServerProcess, method: str, secret: str | None = None) -> int:
    given = secret or server.demo["client_secret"]
    session: Any = AuthlibSession(server.demo["client_id"], given, token_endpoint_auth_method=method)
    with closing(session):
        session.fetch_token(server.url + "/oauth2/token", grant_type="client_credentials")
        return session.get(server.url + "/v1/orders?limit=1").status_code


def _authlib_wrong(server: ServerProcess) -> int:
    try:
        return 1000 + _authlib(server, "client_secret_basic", "wrong")
    except OAuthError as error:
        return 200 if error.error == "invalid_client" else 0


def _requests(server: ServerProcess, *, header: bool, secret: str | None = None) -> int:
    name, given = server.demo["client_id"], secret or server.demo["client_secret"]
    url = server.url + "/oauth2/token"
    with closing(RequestsSession(client=BackendApplicationClient(name))) as session:
        if header:
            session.fetch_token(url, auth=HTTPBasicAuth(name, given))
        else:
            session.fetch_token(url, include_client_id=True, client_secret=given)
        return session.get(server.url + "/v1/orders?limit=1").status_code


def _requests_wrong(server: ServerProcess) -> int:
    try:
        return 1000 + _requests(server, header=True, secret="wrong")
    except InvalidClientError:
        return 200


_PYTHON: Final[dict[str, Callable[[ServerProcess], int]]] = {
    "authlib basic": lambda server: _authlib(server, "client_secret_basic"),
    "authlib post": lambda server: _authlib(server, "client_secret_post"),
    "authlib wrong secret": _authlib_wrong,
    "requests-oauthlib basic": lambda server: _requests(server, header=True),
    "requests-oauthlib post": lambda server: _requests(server, header=False),
    "requests-oauthlib wrong secret": _requests_wrong,
}


def stripe() -> Judged:
    """Let Stripe's libraries for Python and for Node judge signatures of ours, and some that are wrong."""
    found: list[str] = []
    bodies = ('{"order":{"orderId":"1"}}', '{"order":{"orderId":"\u00fc\U0001f9ea"}}', "{}", json.dumps(["x" * 20_000]))
    for body in bodies:
        secret = new_secret()
        header = signature(secret, body.encode(), datetime.now(UTC))
        cases = {
            "good": (body, header, secret),
            "tampered": (body + " ", header, secret),
            "wrong secret": (body, header, secret + "0"),
            "late": (body, signature(secret, body.encode(), datetime.fromtimestamp(_LATE, UTC)), secret),
        }
        found += [f"python, {name}: {body[:30]}" for name, case in cases.items() if _accepts(*case) != (name == "good")]
        done = node.run_script(node.folder_of("clients", _CLIENTS), _STRIPE, json.dumps(cases))
        if done.returncode != 0:
            return Judged("the script itself", [done.stderr[-500:]])
        accepted: dict[str, bool] = json.loads(done.stdout)
        found += [f"node, {name}: {body[:30]}" for name in cases if accepted[name] != (name == "good")]
    return Judged(f"{len(bodies)} bodies, 4 headers each, by Python and by Node", found)


_LATE: Final = 1_700_000_000


def _accepts(body: str, header: str, secret: str) -> bool:
    try:
        return WebhookSignature.verify_header(body, header, secret, tolerance=300)
    except SignatureVerificationError:
        return False
