import createClient, { type Middleware } from "openapi-fetch";
import type { paths } from "./juniper.js";

export interface Credentials {
  api_url: string; // with /v1
  token_url: string;
  client_id: string;
  client_secret: string;
}

/** Return a client whose requests carry a token; it is fetched when needed and shared until shortly before its end. */
export function connect(credentials: Credentials) {
  let token: Promise<{ text: string; until: number }> | undefined;

  async function fetchToken() {
    const { token_url, client_id, client_secret } = credentials;
    const form = new URLSearchParams({ grant_type: "client_credentials", client_id, client_secret });
    const answer = await fetch(token_url, { method: "POST", body: form });
    if (!answer.ok) throw new Error(`no token: ${answer.status}`);
    const { access_token, expires_in } = (await answer.json()) as { access_token: string; expires_in: number };
    return { text: access_token, until: Date.now() + (expires_in - 60) * 1000 };
  }

  const authorize: Middleware = {
    async onRequest({ request }) {
      let known = await token?.catch(() => undefined);
      if (!known || known.until < Date.now()) known = await (token = fetchToken());
      request.headers.set("Authorization", `Bearer ${known.text}`);
    },
  };

  const juniper = createClient<paths>({ baseUrl: credentials.api_url });
  juniper.use(authorize);
  return juniper;
}
