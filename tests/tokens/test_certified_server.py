"""Refresh tokens that a certified authorization server rotates: the unmodified npm oidc-provider in
place of a data center."""

import json
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.harness import settings_for
from support.third_party_environments import node_modules

from wizard.errors import WizardError
from wizard.importing import VerifiedCredentials
from wizard.model import GrantState, Identifier, Token
from wizard.services import Services

PROGRAM = Path(__file__).parent / "programs" / "rotating_provider.mjs"

pytestmark = [pytest.mark.slow, pytest.mark.needs("npm")]


@dataclass
class Certified:
    """Services whose connection "crm" has a refresh token of the certified server."""

    services: Services
    url: str
    first: str

    def token(self) -> str:
        """A new access token."""
        self.services.token_cache.remove("crm")
        return self.services.tokens.access_token("crm").value

    def requests(self) -> int:
        """How many token requests have reached the server."""
        return int(self.call_server("requests"))

    def call_server(self, path: str) -> bytes:
        with urllib.request.urlopen(f"{self.url}/{path}", timeout=10) as answer:
            said: bytes = answer.read()
        return said

    def stored(self) -> str:
        grant = self.services.store.grants.get("crm")
        assert grant is not None
        return grant.refresh_token


@pytest.fixture
def certified(tmp_path: Path) -> Iterator[Certified]:
    # Node looks for packages in the folders above the program.
    (tmp_path / "node_modules").symlink_to(node_modules("oidc-provider"))
    program = shutil.copy(PROGRAM, tmp_path)
    with (
        (tmp_path / "provider.log").open("w") as log,
        subprocess.Popen(["node", program], stdout=subprocess.PIPE, stderr=log) as provider,
    ):
        assert provider.stdout is not None
        try:
            begun = json.loads(next(line for line in provider.stdout if line.startswith(b"{")))
            with Services.open(settings_for(tmp_path, begun["url"])) as services:
                yield _connected(services, **begun)
        finally:
            provider.terminate()


def _connected(
    services: Services, url: str, client_id: str, client_secret: str, refresh_token: str
) -> Certified:
    place, scope = services.zoho.data_center("eu"), ("ZohoCRM.org.READ",)
    verified = VerifiedCredentials(
        Identifier(client_id), Token(client_secret), Token(refresh_token), place, scope
    )
    grant = services.importer.import_connection(
        verified, "crm", redirect_uri="http://localhost/callback"
    )
    services.tokens.activate_grant(grant, 0)
    return Certified(services, url, refresh_token)


def test_a_connection_survives_many_rotations(certified: Certified) -> None:
    refresh_tokens = {certified.first}
    access_tokens = set()
    for _ in range(5):
        access_tokens.add(certified.token())
        refresh_tokens.add(certified.stored())
    assert len(access_tokens) == 5
    assert len(refresh_tokens) == 6
    assert certified.requests() == 5


def test_a_lost_response_costs_one_more_request_and_is_named(
    certified: Certified,
) -> None:
    certified.token()
    certified.call_server("lose")
    codes = []
    for _ in range(3):
        with pytest.raises(WizardError) as error:
            certified.token()
        codes.append(error.value.failure.code)
    assert codes == ["network-reset", "refresh-token-rejected", "refresh-token-rejected"]
    assert certified.requests() == 3
    grant = certified.services.store.grants.get("crm")
    assert grant is not None
    assert grant.state is GrantState.NEEDS_REAUTHORIZATION
    finding = certified.services.diagnosis.status_of("crm").explanation
    assert finding is not None
    assert finding.causes[0].code == "rotated-token-lost"
