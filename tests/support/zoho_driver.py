"""Drives the simulated Zoho over HTTP: one client of one user."""

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import requests
from playwright.sync_api import Page

from wizard.simulator.server import Simulator

ANNA, BOB, CARLA = "anna@zylker.example", "bob@zylker.example", "carla@zylker.example"
DORA, NILS, MEI = "dora@zylker.example", "nils@zylker.example", "mei@zylker.example"
REDIRECT_URI = "http://localhost:8723/callback"
SCOPE = "ZohoCRM.org.READ,AaaServer.profile.READ"


@dataclass
class ZohoDriver:
    """A running simulator with a client that anna registered in eu; requests go over HTTP."""

    simulator: Simulator
    client: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.controls, self.world, self.url = (
            self.simulator.controls,
            self.simulator.world,
            self.simulator.url,
        )
        self.client = self.controls.register_client(ANNA, [REDIRECT_URI])

    @property
    def client_id(self) -> str:
        client_id: str = self.client["client_id"]
        return client_id

    @property
    def credentials(self) -> dict[str, str]:
        return {"client_id": self.client_id, "client_secret": self.client["secrets"]["eu"]}

    def url_for(self, path: str, location: str = "eu", host: str = "accounts") -> str:
        return f"{self.url}/{location}/{host}{path}"

    def authorization_url(self, location: str = "eu", **changes: str) -> str:
        query = {
            "client_id": self.client_id,
            "response_type": "code",
            "redirect_uri": REDIRECT_URI,
            "scope": SCOPE,
            "access_type": "offline",
            "prompt": "consent",
        }
        kept = {name: value for name, value in {**query, **changes}.items() if value}
        return self.url_for(f"/oauth/v2/auth?{urlencode(kept)}", location)

    def authorize(self, email: str = ANNA, organization_id: str = "", **changes: str) -> str:
        url = self.authorization_url(**changes)
        return self.controls.authorize(url, email, organization_id)

    def authorization_code(
        self, email: str = ANNA, organization_id: str = "", **changes: str
    ) -> str:
        return query_parameters(self.authorize(email, organization_id, **changes))["code"]

    def request_token(self, location: str = "eu", **parameters: str) -> requests.Response:
        """Send a token request with the client's credentials; "" leaves a parameter out."""
        said = {name: value for name, value in {**self.credentials, **parameters}.items() if value}
        return requests.post(self.url_for("/oauth/v2/token", location), data=said, timeout=10)

    def exchange(self, code: str, location: str = "eu", **changes: str) -> requests.Response:
        said = {"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT_URI}
        return self.request_token(location, **{**said, **changes})

    def refresh(
        self, refresh_token: str, location: str = "eu", **changes: str
    ) -> requests.Response:
        said = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        return self.request_token(location, **{**said, **changes})

    def issue_tokens(
        self, email: str = ANNA, organization_id: str = "", **changes: str
    ) -> dict[str, Any]:
        """Return the token response of a whole consent, offline by default."""
        answer = self.exchange(self.authorization_code(email, organization_id, **changes))
        tokens: dict[str, Any] = answer.json()
        assert "access_token" in tokens, answer.text
        return tokens

    def call_api(
        self, token: str, path: str = "/crm/v8/org", host: str = "www", location: str = "eu"
    ) -> requests.Response:
        headers = {"Authorization": f"Zoho-oauthtoken {token}"}
        return requests.get(self.url_for(path, location, host), headers=headers, timeout=10)

    def is_accepted(self, token: str) -> bool:
        return self.call_api(token).status_code == 200

    def open_page(self, email: str | None, url: str) -> requests.Response:
        """Open a page as a browser that is signed in as `email`; follow no redirect."""
        cookies = {}
        if email:
            user = self.world.users.get(email)
            session = self.world.sessions.begin(user.location)
            session.zuid = user.zuid
            cookies["zoho_simulator_session"] = session.session_id
        return requests.get(url, cookies=cookies, allow_redirects=False, timeout=10)


def query_parameters(url: str) -> dict[str, str]:
    """Return the query of a URL, each name's first value."""
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


def captcha_letters(page: Page, simulator: Simulator) -> str:
    """Read the captcha's picture, once the browser shows it."""
    page.wait_for_function("() => document.querySelector('img.captcha')?.naturalWidth > 0")
    return next(
        each.captcha_letters
        for each in simulator.world.sessions.by_id.values()
        if each.captcha_letters
    )
