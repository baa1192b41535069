// A certified authorization server, npm oidc-provider, in the place of one data center: it rotates
// refresh tokens, and revokes everything when a replaced one is used again.
// Prints one line of JSON, after whatever the provider has to say: where it listens, and a client with its first refresh token.
// GET /requests tells how many token requests came; POST /lose cuts off the next token answer,
// after the provider has done what was asked.
import http from "node:http";
import Provider from "oidc-provider";

const HOST = "/eu/accounts";
const TOKEN = "/oauth/v2/token";
const CLIENT = { client_id: "1000.ROTATING", client_secret: "0123456789abcdef0123456789abcdef" };
const SCOPE = "openid offline_access";

const server = http.createServer();
await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
const url = `http://127.0.0.1:${server.address().port}`;
const provider = new Provider(url + HOST, {
  clients: [{
    ...CLIENT,
    token_endpoint_auth_method: "client_secret_post",
    grant_types: ["authorization_code", "refresh_token"],
    redirect_uris: ["http://localhost/callback"],
    application_type: "native",
  }],
  routes: { token: TOKEN },
  rotateRefreshToken: true,
  ttl: { AccessToken: 3600, Grant: 86400, RefreshToken: 86400 },
  findAccount: (_, accountId) => ({ accountId, claims: () => ({ sub: accountId }) }),
});

let requests = 0;
let lose = false;
const answer = provider.callback();
server.on("request", (request, response) => {
  if (request.url === "/requests") return response.end(String(requests));
  if (request.url === "/lose") return response.end(String((lose = true)));
  if (!request.url.startsWith(HOST)) return response.writeHead(404).end();
  if (request.url === HOST + TOKEN) {
    requests += 1;
    if (lose) response.end = () => response.destroy();
    lose = false;
  }
  request.originalUrl = request.url;
  request.url = request.url.slice(HOST.length);
  return answer(request, response);
});

const accountId = "anna";
const client = await provider.Client.find(CLIENT.client_id);
const grant = new provider.Grant({ accountId, clientId: CLIENT.client_id });
grant.addOIDCScope(SCOPE);
const grantId = await grant.save();
const first = new provider.RefreshToken({
  accountId, client, grantId, gty: "authorization_code", scope: SCOPE,
});
console.log(JSON.stringify({ url, ...CLIENT, refresh_token: await first.save() }));
