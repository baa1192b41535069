"""An installed wheel, and data directories with many connections."""

import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import insert
from support.harness import ANNA, SCOPE, Harness
from support.ports import free_port

from bench.measurements import clean_environment
from wizard.model import (
    AccessToken,
    Account,
    Client,
    ClientSecret,
    Connection,
    Grant,
    GrantState,
    Identifier,
    Organization,
    StepEvidence,
    StepState,
)
from wizard.services import Services, utc_now
from wizard.settings import Settings, from_environment
from wizard.simulator.grants import Permission
from wizard.simulator.server import Simulator
from wizard.simulator.settings import Clock
from wizard.store import Store, StoreContents, schema
from wizard.vault import Vault

ROOT = Path(__file__).parents[2]
STEPS = ("refresh", "identity", "organization", "read:crm", "scope", "clock")
GRANTS_PER_CLIENT = 10
"""Grants of one user and one client; Zoho keeps twenty."""


@dataclass(frozen=True)
class Installation:
    """A working directory, and the wizard installed from its wheel."""

    directory: Path
    bin: Path

    @property
    def python(self) -> str:
        return str(self.bin / "python")

    @property
    def wizard(self) -> str:
        return str(self.bin / "zoho-wizard")

    def settings(self, name: str, simulator_url: str, database_url: str = "") -> Settings:
        """Settings with a data directory of its own, and the key of a new shared database."""
        settings = from_environment(
            {
                **clean_environment(),
                "ZOHO_WIZARD_HOME": str(self.directory / name),
                "ZOHO_WIZARD_SIMULATOR_URL": simulator_url,
                "ZOHO_WIZARD_PORT": str(free_port()),
                "ZOHO_WIZARD_DATABASE_URL": database_url,
            }
        )
        if database_url:
            settings.paths.prepare()
            Vault.open(settings.paths, for_new_store=True)
        return settings

    def environment(self, settings: Settings) -> dict[str, str]:
        """The environment of a process with those settings."""
        port = {"ZOHO_WIZARD_PORT": str(settings.port)}
        return {**clean_environment(), **settings.service_environment, **port}

    @contextmanager
    def harness(
        self, name: str, database_url: str = "", clock: Clock | None = None
    ) -> Iterator[Harness]:
        """Services with a simulated Zoho, both on `clock`, by default this machine's."""
        with Simulator(clock=clock) as simulator:
            settings = self.settings(name, simulator.url, database_url)
            with Services.open(settings, simulator.clock) as services:
                yield Harness(services, simulator, self.directory / name)


def install(directory: Path) -> Installation:
    """Build the wheel and install it with a current pip in a new environment."""
    made, dist = directory / "venv", directory / "dist"
    pip = [str(made / "bin" / "python"), "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([sys.executable, "-m", "venv", made], check=True)
    subprocess.run([*pip, "install", "--upgrade", "pip>=26"], check=True)
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", dist, ROOT], check=True)
    (wheel,) = dist.glob("*.whl")
    subprocess.run([*pip, "install", f"{wheel}[assist,postgresql]"], check=True)
    return Installation(directory, made / "bin")


def expire_access_token(services: Services, name: str) -> None:
    """Let the cached access token of connection `name` have expired a moment ago."""
    cached = services.token_cache.get(name)
    assert cached is not None
    ended = utc_now() - timedelta(seconds=1)
    services.token_cache.put(replace(cached, expires_at=ended, refresh_at=ended))


def store_connections(store: Store, grants: list[Grant], clients: list[Client]) -> None:
    """Store verified connections, each with its report."""
    now, at = utc_now(), [(each.connection, each.generation) for each in grants]
    requests = tuple(
        Connection(each.connection, each.client_id, each.scope, each.location, 1, created_at=now)
        for each in grants
    )
    store.transfers.import_contents(StoreContents(tuple(clients), requests, tuple(grants)))
    climbs: list[dict[str, Any]] = [
        {"connection": name, "generation": generation, "started_at": now, "finished_at": now}
        for name, generation in at
    ]
    steps = [
        {"connection": connection, "generation": generation, "name": step, "at": now}
        | {
            "state": StepState.PASSED,
            "evidence": (StepEvidence("data-center", {"location": "eu"}),),
        }
        for connection, generation in at
        for step in STEPS
    ]
    with store.database.write() as c:
        c.execute(insert(schema.verification_reports), climbs)
        c.execute(insert(schema.verification_steps), steps)


def make_grants(count: int) -> tuple[list[Grant], list[Client]]:
    """Verified grants of one client that no Zoho knows."""
    client = Client("1000.X", "Zylker", "eu", "http://localhost/", (ClientSecret("eu", "secret"),))
    reaches = Organization("crm", Identifier("20090000001"), "Zylker GmbH", "Production")
    grants = [
        Grant(
            connection=f"crm-{number:05}",
            generation=1,
            client_id=client.client_id,
            refresh_token=f"1000.{number:064x}",
            scope=SCOPE,
            location="eu",
            state=GrantState.VERIFIED,
            granted_at=utc_now(),
            account=Account(Identifier("100"), ANNA, "Anna Berg"),
            organizations=(reaches,),
        )
        for number in range(count)
    ]
    return grants, [replace(client, created_at=utc_now())]


def issue_grants(
    harness: Harness, count: int, per_client: int = GRANTS_PER_CLIENT
) -> tuple[list[Grant], list[Client]]:
    """Verified grants that the simulated Zoho knows, `of_one` per client."""
    first = harness.add_verified_connection("first")
    assert first.account is not None
    bound = {each.product: str(each.id) for each in first.organizations}
    clients = [_client(harness, number) for number in range(-(-count // per_client))]
    grants = []
    for number in range(count):
        client_id = clients[number // per_client].client_id
        allowed = Permission(client_id, int(first.account.zuid), "eu", list(SCOPE), bound)
        token = harness.simulator.world.grants.issue_refresh_token(allowed).refresh_token
        name = f"crm-{number:04}"
        grants.append(
            replace(first, connection=name, client_id=client_id, refresh_token=token, generation=1)
        )
    harness.services.tokens.remove_connection("first")
    return grants, clients


def cache_access_tokens(harness: Harness, names: Iterable[str]) -> None:
    """Cache a valid access token for each connection without a token request."""
    world, store = harness.simulator.world, harness.services.store
    for name in names:
        grant = store.grants.get(name)
        assert grant is not None
        permission = world.grants.refresh_tokens[grant.refresh_token].permission
        made, place = (
            world.grants.issue_access_token(permission),
            harness.services.zoho.data_center("eu"),
        )
        ends = harness.now() + timedelta(hours=1)
        where = (place.api_domain, grant.location, name, grant.generation)
        harness.services.token_cache.put(
            AccessToken(made.access_token, ends, *where, issued_at=harness.now())
        )


def _client(harness: Harness, number: int) -> Client:
    uri = harness.services.settings.redirect_uri
    made = harness.controls.register_client(ANNA, [uri], name=f"Zylker {number}")
    secret = ClientSecret("eu", made["secrets"]["eu"])
    return Client(made["client_id"], made["name"], "eu", uri, (secret,), created_at=utc_now())
