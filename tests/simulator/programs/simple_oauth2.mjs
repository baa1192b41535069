// A user's program: simple-oauth2 gets and refreshes tokens, at Zoho's own addresses.
// Arguments: client id, client secret, redirect URI, email.
import https from "node:https";
import { AuthorizationCode } from "simple-oauth2";
import { authorize } from "./controls.mjs";

const [id, secret, redirect_uri, email] = process.argv.slice(2);
const client = new AuthorizationCode({
  client: { id, secret },
  auth: {
    tokenHost: "https://accounts.zoho.eu",
    tokenPath: "/oauth/v2/token",
    authorizePath: "/oauth/v2/auth",
  },
  options: { authorizationMethod: "body" },
  http: { agent: https.globalAgent }, // by default, it has an agent that ignores proxies
});
const asked = client.authorizeURL({ redirect_uri, scope: "ZohoCRM.org.READ", access_type: "offline" });
const callback = new URL(await authorize(asked, email));
const token = await client.getToken({ code: callback.searchParams.get("code"), redirect_uri });
const next = await token.refresh();
const headers = { Authorization: `Zoho-oauthtoken ${next.token.access_token}` };
const answer = await (await fetch(`${token.token.api_domain}/crm/v8/org`, { headers })).json();
console.log(JSON.stringify({ company: answer.org[0].company_name }));
