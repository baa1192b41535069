"""A third-party OAuth client (requests-oauthlib) runs the whole code flow.

A plain HTTP client acts as the browser: it signs in and accepts through the pages' own script
requests. Arguments: accounts server, client id, client secret, redirect URI, login id, password.
"""

import json
import re
import sys

import requests
from requests_oauthlib import OAuth2Session

accounts_server, client_id, client_secret, redirect_uri, login_id, password = sys.argv[1:]
SCOPES = ["ZohoCRM.org.READ", "AaaServer.profile.READ"]


def sent(
    browser: requests.Session, page: requests.Response, path: str, **said: object
) -> dict[str, str]:
    """Post JSON with the page's token to a relative path, as a page's script does."""
    token = re.search(r'name="csrf-token" content="([^"]+)"', page.text)
    assert token, page.text
    answer = browser.post(path, json=said, headers={"X-ZCSRF-TOKEN": token[1]}, timeout=10)
    values: dict[str, str] = answer.json()
    return values


def consent(browser: requests.Session, authorization_url: str) -> str:
    """Sign in, accept, and return the callback's URL."""
    page = browser.get(authorization_url, timeout=10)
    signin, _, query = page.url.partition("?")
    for step, name, value in (("lookup", "", ""), ("password", "PASSWORD", password)):
        said = {"LOGIN_ID": login_id} | ({name: value} if name else {})
        answer = sent(browser, page, f"{signin}/{step}?{query}", **said)
    page = browser.get(requests.compat.urljoin(page.url, answer["url"]), timeout=10)
    asked = page.url.partition("?")[2]
    decision = f"{accounts_server}/oauth/v2/auth/decision"
    return sent(browser, page, decision, query=asked, decision="accept")["url"]


with OAuth2Session(client_id, redirect_uri=redirect_uri, scope=SCOPES, pkce="S256") as client:
    url, state = client.authorization_url(
        f"{accounts_server}/oauth/v2/auth", access_type="offline", prompt="consent"
    )
    with requests.Session() as browser:
        callback = consent(browser, url)
    token = client.fetch_token(
        f"{accounts_server}/oauth/v2/token",
        authorization_response=callback,
        client_secret=client_secret,
    )
    who = client.get(f"{accounts_server}/oauth/user/info", timeout=10).json()
    client.refresh_token(
        f"{accounts_server}/oauth/v2/token", client_id=client_id, client_secret=client_secret
    )
    organization = client.get(f"{token['api_domain']}/crm/v8/org", timeout=10).json()
json.dump({"email": who["Email"], "company": organization["org"][0]["company_name"]}, sys.stdout)
