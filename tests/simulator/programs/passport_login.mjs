// A user's program: people sign in with passport-zoho-crm, at Zoho's own addresses.
// Arguments: client id, client secret, redirect URI, email.
import ZohoCRMStrategy from "passport-zoho-crm";
import { authorize } from "./controls.mjs";

const [clientID, clientSecret, redirectURL, email] = process.argv.slice(2);
const Strategy = ZohoCRMStrategy.Strategy ?? ZohoCRMStrategy;
const options = {
  clientID,
  clientSecret,
  callbackURL: redirectURL,
  redirect_URL: redirectURL,
  scope: "AaaServer.profile.READ",
  response_type: "code",
  access_type: "offline",
};
const strategy = new Strategy(options, (accessToken, refreshToken, profile, done) =>
  done(null, { profile, hasToken: accessToken.startsWith("1000.") }),
);

// What passport does around a strategy.
function run(request) {
  return new Promise((resolve, reject) => {
    const handlers = { redirect: resolve, success: resolve, error: reject, fail: reject, pass: reject };
    Object.assign(Object.create(strategy), handlers).authenticate(request, {});
  });
}
const asked = await run({ query: {}, headers: {}, connection: {} });
const callback = new URL(await authorize(asked, email));
const user = await run({ query: Object.fromEntries(callback.searchParams), headers: {}, connection: {} });
console.log(JSON.stringify({ id: String(user.profile.id ?? user.profile._json.ZUID), hasToken: user.hasToken }));
