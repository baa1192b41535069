// A user's program: openid-client discovers Zoho, and checks an ID token, at Zoho's own addresses.
// Arguments: client id, client secret, redirect URI, email.
import * as openid from "openid-client";
import { authorize } from "./controls.mjs";

const [id, secret, redirect_uri, email] = process.argv.slice(2);
const config = await openid.discovery(
  new URL("https://accounts.zoho.eu/.well-known/openid-configuration"),
  id,
  secret,
  openid.ClientSecretPost(secret),
);
const verifier = openid.randomPKCECodeVerifier();
const nonce = openid.randomNonce();
const asked = openid.buildAuthorizationUrl(config, {
  redirect_uri,
  scope: "openid email",
  access_type: "offline",
  code_challenge: await openid.calculatePKCECodeChallenge(verifier),
  code_challenge_method: "S256",
  nonce,
});
const callback = new URL(await authorize(asked.href, email));
const tokens = await openid.authorizationCodeGrant(config, callback, {
  pkceCodeVerifier: verifier,
  expectedNonce: nonce,
  idTokenExpected: true,
});
const claims = tokens.claims();
const known = await openid.fetchUserInfo(config, tokens.access_token, claims.sub);
console.log(JSON.stringify({ issuer: claims.iss, email: known.email }));
