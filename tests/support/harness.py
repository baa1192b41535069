"""The services and the simulated Zoho on one clock, for tests without pages or processes."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from wizard.authorization import CompletedAttempt, StartedAttempt
from wizard.model import Client, Connection, Grant, VerificationStep
from wizard.paths import Paths
from wizard.services import Services
from wizard.settings import Settings
from wizard.simulator.server import Simulator
from wizard.vault import Vault

ANNA, BOB, CARLA = "anna@zylker.example", "bob@zylker.example", "carla@zylker.example"
ERIC = "eric@zylker.example"
FIRST_ORGANIZATION, SECOND_ORGANIZATION = "20091000001", "20091000002"
"""Two of carla's organizations in CRM."""
SCOPE = ("AaaServer.profile.READ", "ZohoCRM.modules.leads.READ", "ZohoCRM.org.READ")


def settings_for(directory: Path, simulator_url: str, database_url: str = "") -> Settings:
    """Settings for services in `directory` that use only the simulator."""
    data, config, cache = (str(directory / each) for each in ("data", "config", "cache"))
    paths = Paths(data, config, cache, simulator_url, given_database_url=database_url)
    return Settings(paths=paths, simulator_url=simulator_url, port=8733, browser_path=None)


def settings_of_machine(harness: "Harness", name: str, database_url: str) -> Settings:
    """The settings of another machine with the same key and the same store."""
    directory = harness.directory / name
    settings = settings_for(directory, harness.simulator.url, database_url)
    settings.paths.prepare()
    shutil.copyfile(harness.services.paths.key_file, settings.paths.key_file)
    Path(settings.paths.key_file).chmod(0o600)
    return settings


@dataclass
class Harness:
    """Services, their Zoho, and the user's actions between the two."""

    services: Services
    simulator: Simulator
    directory: Path
    registered_client: dict[str, Any] = field(default_factory=dict)

    @property
    def controls(self) -> Any:
        return self.simulator.controls

    def advance(self, **duration: float) -> None:
        """Let time pass for both."""
        seconds = {"seconds": 1, "minutes": 60, "hours": 3600}
        self.controls.advance(sum(seconds[unit] * count for unit, count in duration.items()))

    def register_client(self, name: str = "Zylker", owner: str = ANNA, **fields: Any) -> Client:
        """Register a client at Zoho and store it."""
        uri = self.services.settings.redirect_uri
        made = self.controls.register_client(owner, [uri], name=name, **fields)
        self.registered_client = made
        (location, secret), *_ = made["secrets"].items()
        text = f"{made['client_id']}\n{secret}"
        return self.services.clients.register(text, name=name, redirect_uri=uri, location=location)

    def add_connection(
        self, name: str = "crm", client: Client | None = None, scope: tuple[str, ...] = SCOPE
    ) -> Connection:
        """A connection without a grant, with a client of its own unless one is given."""
        client = client or self.register_client(name)
        self.services.store.connections.add(
            Connection(name, client.client_id, scope, client.location, created_at=self.now())
        )
        return self.services.store.connections.get(name)

    def give_consent(
        self, started: StartedAttempt, email: str = ANNA, organization: str = ""
    ) -> str:
        """Sign in and accept; return the final URL."""
        return str(self.controls.authorize(started.url, email, organization))

    def complete_authorization(
        self, started: StartedAttempt, callback_url: str
    ) -> CompletedAttempt:
        """Complete a callback in the browser that started the attempt."""
        return self.services.authorization.complete(
            query_parameters(callback_url), {started.cookie_name: started.cookie_value}
        )

    def authorize(self, name: str, email: str = ANNA, organization: str = "") -> CompletedAttempt:
        """Start, accept and complete an authorization."""
        begun = self.services.authorization.begin(name)
        return self.complete_authorization(begun, self.give_consent(begun, email, organization))

    def verify(self, name: str, generation: int) -> list[VerificationStep]:
        """Run the verification to its end."""
        return list(self.services.verification.verify(name, generation))

    def add_verified_connection(
        self, name: str = "crm", email: str = ANNA, organization: str = ""
    ) -> Grant:
        """A connection with a verified grant."""
        self.add_connection(name)
        done = self.authorize(name, email, organization)
        assert done.generation is not None, done.failure
        self.verify(name, done.generation)
        grant = self.services.store.grants.get(name)
        assert grant is not None
        return grant

    def now(self) -> Any:
        return self.services.clock()

    def logged_requests(
        self, path: str = "/oauth/v2/token", **parameters: str
    ) -> list[dict[str, Any]]:
        """The requests for `path` in the simulator's journal that had these parameters."""
        return [
            entry
            for entry in self.controls.journal()
            if entry["path"].endswith(path)
            and all(entry["parameters"].get(key) == [value] for key, value in parameters.items())
        ]

    def code_exchanges(self, location: str = "") -> list[dict[str, Any]]:
        """The codes that reached a token endpoint, without client checks."""
        posts = self.logged_requests(grant_type="authorization_code")
        return [
            entry
            for entry in posts
            if "code_verifier" in entry["parameters"] and entry["location"].startswith(location)
        ]

    def refresh_requests(self) -> list[dict[str, Any]]:
        """The refreshes that reached a token endpoint."""
        return self.logged_requests(grant_type="refresh_token")


def query_parameters(url: str) -> list[tuple[str, str]]:
    """The parameters of a URL, as they were sent."""
    return parse_qsl(urlsplit(url).query, keep_blank_values=True)


@pytest.fixture
def harness(zoho_simulator: Simulator, tmp_path: Path, database_url: str) -> Iterator[Harness]:
    """New services with a new simulated Zoho, on Zoho's clock."""
    settings = settings_for(tmp_path, zoho_simulator.url, database_url)
    settings.paths.prepare()
    Vault.open(settings.paths, for_new_store=bool(database_url))

    # Waiting advances the shared clock and takes no real time.
    def sleep(seconds: float) -> None:
        zoho_simulator.clock.advance(seconds)

    with Services.open(settings, zoho_simulator.clock, sleep) as services:
        yield Harness(services, zoho_simulator, tmp_path)


def add_eric(harness: Harness) -> None:
    """A different user in the European data center, with one organization."""
    facts = {"product": "crm", "organization_id": "77001", "name": "Eric & Co"}
    harness.controls.add_user(
        ERIC,
        password="made-up-password-of-eric",
        first_name="Eric",
        last_name="Lang",
        location="eu",
        organizations=[facts],
    )
