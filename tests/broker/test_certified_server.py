"""Refresh tokens that a certified authorization server rotates: npm oidc-provider, unmodified, in
the place of a data center."""

import json
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from core import settings_for
from npm import installed

from wizard.adoption import Proved
from wizard.errors import WizardError
from wizard.house import House
from wizard.model import GrantState

PROVIDER = "oidc-provider@9.13.3"
PROGRAM = Path(__file__).parent / "programs" / "rotating_provider.mjs"

pytestmark = [pytest.mark.slow, pytest.mark.needs("npm")]


@dataclass
class Certified:
    """A house whose connection "crm" has a refresh token of the certified server."""

    house: House
    url: str
    first: str

    def token(self) -> str:
        """A new access token."""
        self.house.cache.drop("crm")
        return self.house.broker.access_token("crm").value

    def requests(self) -> int:
        """How many token requests have reached the server."""
        return int(self.told("requests"))

    def told(self, path: str) -> bytes:
        with urllib.request.urlopen(f"{self.url}/{path}", timeout=10) as answer:
            said: bytes = answer.read()
        return said

    def stored(self) -> str:
        grant = self.house.store.grant("crm")
        assert grant is not None
        return grant.refresh_token


@pytest.fixture
def certified(pytestconfig: pytest.Config, tmp_path: Path) -> Iterator[Certified]:
    place = installed(pytestconfig, "oidc-provider", PROVIDER)
    # Node looks for packages beside the program, so the program goes to where they are.
    program = shutil.copy(PROGRAM, place)
    with (
        (tmp_path / "provider.log").open("w") as log,
        subprocess.Popen(["node", program], stdout=subprocess.PIPE, stderr=log) as provider,
    ):
        assert provider.stdout is not None
        try:
            begun = json.loads(next(line for line in provider.stdout if line.startswith(b"{")))
            with House.open(settings_for(tmp_path, begun["url"])) as house:
                yield _connected(house, **begun)
        finally:
            provider.terminate()


def _connected(
    house: House, url: str, client_id: str, client_secret: str, refresh_token: str
) -> Certified:
    place, scope = house.zoho.data_centre("eu"), ("ZohoCRM.org.READ",)
    proved = Proved(client_id, client_secret, refresh_token, place, scope)
    grant = house.adoption.adopt(proved, "crm", redirect_uri="http://localhost/callback")
    house.broker.install(grant, 0)
    return Certified(house, url, refresh_token)


def test_a_connection_outlives_many_rotations(certified: Certified) -> None:
    refresh_tokens = {certified.first}
    access_tokens = set()
    for _ in range(5):
        access_tokens.add(certified.token())
        refresh_tokens.add(certified.stored())
    assert len(access_tokens) == 5
    assert len(refresh_tokens) == 6
    assert certified.requests() == 5


def test_a_lost_answer_costs_one_more_request_and_is_named_as_what_it_is(
    certified: Certified,
) -> None:
    certified.token()
    certified.told("lose")
    codes = []
    for _ in range(3):
        with pytest.raises(WizardError) as error:
            certified.token()
        codes.append(error.value.failure.code)
    assert codes == ["network-reset", "grant-dead", "grant-dead"]
    assert certified.requests() == 3
    grant = certified.house.store.grant("crm")
    assert grant is not None
    assert grant.state is GrantState.DEAD
    finding = certified.house.diagnosis.step_of("crm").finding
    assert finding is not None
    assert finding.causes[0].code == "rotated-token-lost"
