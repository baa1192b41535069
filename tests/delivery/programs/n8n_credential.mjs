// A user's program: n8n's own OAuth client, unmodified, with the credential that was delivered. As
// n8n does, it refreshes when Zoho rejects the stored access token.
// Arguments: token endpoint and API domain (unused), the file, the id in it. Prints the
// organization's name.
import fs from "node:fs";
import { ClientOAuth2 } from "@n8n/client-oauth2";

const [file, id] = process.argv.slice(4);
const credential = JSON.parse(fs.readFileSync(file, "utf8"));
if (credential.id !== id || credential.type !== "zohoOAuth2Api" || !credential.name) process.exit(1);
const { clientId, clientSecret, accessTokenUrl, authentication, scope, oauthTokenData } = credential.data;
const client = new ClientOAuth2({
  clientId,
  clientSecret,
  accessTokenUri: accessTokenUrl,
  authentication,
  scopes: scope.split(" "),
});
const read = async (token) => {
  const { url, headers } = token.sign({ url: `${oauthTokenData.api_domain}/crm/v8/org`, headers: {} });
  return fetch(url, { headers });
};
const token = client.createToken(oauthTokenData);
let response = await read(token);
if (response.status === 401) response = await read(await token.refresh());
console.log((await response.json()).org[0].company_name);
