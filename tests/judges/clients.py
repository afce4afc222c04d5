"""Foreign OAuth clients and a foreign verifier, in Node, against a real server."""

import json
from datetime import UTC, datetime
from typing import Final

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
const [body, header, secret] = process.argv.slice(2)
const results = {}
const ask = (name, ...given) => {
  try { new Stripe("sk_test_none").webhooks.signature.verifyHeader(...given, 300); results[name] = true }
  catch (error) { results[name] = false }
}
ask("good", body, header, secret)
ask("tampered", body + " ", header, secret)
ask("wrong secret", body, header, secret + "0")
ask("late", body, header.replace(/t=(\\d+)/, (_, t) => `t=${t - 1000}`), secret)
console.log(JSON.stringify(results))
"""


def oauth_clients(server: ServerProcess) -> Judged:
    """Let three clients get tokens in their own ways, and call with them."""
    folder = node.folder_of("clients", _CLIENTS)
    done = node.run_script(folder, _OAUTH, server.url, server.demo["client_id"], server.demo["client_secret"])
    if done.returncode != 0:
        return Judged("the script itself", [done.stderr[-500:]])
    results: dict[str, object] = json.loads(done.stdout)
    return Judged(f"{len(results)} ways", [f"{name}: {said}" for name, said in results.items() if said != 200])


def stripe_in_node() -> Judged:
    """Let Stripe's library for Node judge a signature of ours, and three that are wrong."""
    secret, body = new_secret(), '{"order":{"orderId":"ü"}}'
    header = signature(secret, body.encode(), datetime.now(UTC))
    done = node.run_script(node.folder_of("clients", _CLIENTS), _STRIPE, body, header, secret)
    if done.returncode != 0:
        return Judged("the script itself", [done.stderr[-500:]])
    results: dict[str, bool] = json.loads(done.stdout)
    return Judged("4 headers", [name for name, accepted in results.items() if accepted != (name == "good")])
