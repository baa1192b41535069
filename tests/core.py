"""The house and the simulated Zoho side by side, on one clock: the ground of the core's tests."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from wizard.authorization import Begun, Completed
from wizard.home import Home
from wizard.house import House
from wizard.model import Client, Connection, Grant, Rung
from wizard.sandbox.server import Sandbox
from wizard.settings import Settings

ANNA, BOB, CARLA = "anna@zylker.example", "bob@zylker.example", "carla@zylker.example"
PRODUCTION, OUTLET = "20091000001", "20091000002"
"""Two of carla's organizations in CRM."""
SCOPE = ("AaaServer.profile.READ", "ZohoCRM.modules.leads.READ", "ZohoCRM.org.READ")


def settings_for(directory: Path, sandbox_url: str) -> Settings:
    """Settings for a house in `directory` that knows only the sandbox."""
    home = Home(str(directory / "data"), str(directory / "config"), sandbox=sandbox_url)
    return Settings(home=home, sandbox_url=sandbox_url, port=8733, browser=None)


@dataclass
class Core:
    """A house, its Zoho, and what a person would do between the two."""

    house: House
    sandbox: Sandbox
    directory: Path
    registered: dict[str, Any] = field(default_factory=dict)

    @property
    def admin(self) -> Any:
        return self.sandbox.admin

    def advance(self, **span: float) -> None:
        """Let time pass for both."""
        seconds = {"seconds": 1, "minutes": 60, "hours": 3600}
        self.admin.advance(sum(seconds[unit] * count for unit, count in span.items()))

    def client(self, name: str = "Zylker", owner: str = ANNA, **facts: Any) -> Client:
        """Register a client at Zoho and in the house."""
        uri = self.house.settings.redirect_uri
        made = self.admin.register_client(owner, [uri], name=name, **facts)
        self.registered = made
        (location, secret), *_ = made["secrets"].items()
        text = f"{made['client_id']}\n{secret}"
        return self.house.clients.register(text, name=name, redirect_uri=uri, location=location)

    def connection(
        self, name: str = "crm", client: Client | None = None, scope: tuple[str, ...] = SCOPE
    ) -> Connection:
        """A connection without a grant, with a client of its own unless one is given."""
        client = client or self.client(name)
        self.house.store.add_connection(
            Connection(name, client.client_id, scope, client.location, created_at=self.now())
        )
        return self.house.store.connection(name)

    def consent(self, begun: Begun, email: str = ANNA, organization: str = "") -> str:
        """Sign in and accept; the address the browser ends on."""
        return str(self.admin.authorize(begun.url, email, organization))

    def finish(self, begun: Begun, callback: str) -> Completed:
        """Bring a callback back in the browser that began."""
        return self.house.authorization.complete(
            query(callback), {begun.cookie_name: begun.cookie_value}
        )

    def authorize(self, name: str, email: str = ANNA, organization: str = "") -> Completed:
        """Begin, accept and come back."""
        begun = self.house.authorization.begin(name)
        return self.finish(begun, self.consent(begun, email, organization))

    def climb(self, name: str, generation: int) -> list[Rung]:
        """Climb the ladder to its end."""
        return list(self.house.validation.climb(name, generation))

    def proved(self, name: str = "crm", email: str = ANNA, organization: str = "") -> Grant:
        """A connection with a proved grant."""
        self.connection(name)
        done = self.authorize(name, email, organization)
        assert done.generation is not None, done.failure
        self.climb(name, done.generation)
        grant = self.house.store.grant(name)
        assert grant is not None
        return grant

    def now(self) -> Any:
        return self.house.clock()

    def asked(self, path: str = "/oauth/v2/token", **parameters: str) -> list[dict[str, Any]]:
        """The requests for `path` in the sandbox's journal that carried these parameters."""
        return [
            entry
            for entry in self.admin.journal()
            if entry["path"].endswith(path)
            and all(entry["parameters"].get(key) == [value] for key, value in parameters.items())
        ]

    def exchanges(self, location: str = "") -> list[dict[str, Any]]:
        """The codes that reached a token endpoint, pre-flights left out."""
        posts = self.asked(grant_type="authorization_code")
        return [
            entry
            for entry in posts
            if "code_verifier" in entry["parameters"] and entry["location"].startswith(location)
        ]

    def refreshes(self) -> list[dict[str, Any]]:
        """The refreshes that reached a token endpoint."""
        return self.asked(grant_type="refresh_token")


def query(address: str) -> list[tuple[str, str]]:
    """The parameters of an address, as they came."""
    return parse_qsl(urlsplit(address).query, keep_blank_values=True)


@pytest.fixture
def core(zoho_sandbox: Sandbox, tmp_path: Path) -> Iterator[Core]:
    """A fresh house beside a fresh simulated Zoho, on Zoho's clock."""
    settings = settings_for(tmp_path, zoho_sandbox.url)
    # Waiting lets the common clock go on, and costs a test no time.
    with House.open(settings, zoho_sandbox.clock, zoho_sandbox.clock.advance) as house:
        yield Core(house, zoho_sandbox, tmp_path)
