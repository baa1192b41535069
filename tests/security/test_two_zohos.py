"""What is live and what is made up never mix: not by a copy, an address or an environment."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from core import Core
from shell import Shell

from wizard.__main__ import cached_token
from wizard.errors import WizardError
from wizard.house import House
from wizard.settings import from_environment
from wizard.zoho import load


def without_sandbox(shell: Shell) -> dict[str, str]:
    return {name: text for name, text in shell.environment.items() if name != "ZOHO_WIZARD_ZOHO"}


@pytest.fixture
def copied(stored: Core, shell: Shell) -> Core:
    """A sandbox's home, copied whole into the live one's place: database, cache and key."""
    stored.proved("crm")
    stored.house.broker.access_token("crm")
    for room in ("data", "config"):
        live = Path(shell.environment["ZOHO_WIZARD_HOME"]) / room
        shutil.copytree(live / "sandbox", live, dirs_exist_ok=True)
    return stored


def test_a_sandboxs_home_in_the_live_ones_place_is_refused_and_its_tokens_stay_inside(
    copied: Core, shell: Shell
) -> None:
    live = without_sandbox(shell)
    now = copied.now().timestamp()
    assert cached_token("crm", shell.environment, now)
    assert cached_token("crm", live, now) is None
    with pytest.raises(WizardError, match="store-foreign-zoho"):
        House.open(from_environment(live), shell.sandbox.clock)


@pytest.mark.parametrize(
    "address",
    [
        "https://accounts.zoho.eu",
        "http://localhost:8730",
        "http://192.0.2.1:8730",
        "http://0.0.0.0:8730",
        "http://[::]:8730",
        "/",
    ],
)
def test_no_token_is_handed_out_for_an_address_that_is_no_sandbox(
    copied: Core, shell: Shell, address: str
) -> None:
    elsewhere = {**shell.environment, "ZOHO_WIZARD_ZOHO": address}
    assert cached_token("crm", elsewhere, copied.now().timestamp()) is None
    done = shell.run("token", "crm", ZOHO_WIZARD_ZOHO=address)
    assert (done.code, done.out) == (2, "")


def test_the_live_table_is_https_alone_and_the_sandboxs_is_loopback_alone() -> None:
    live, made_up = load(), load("http://127.0.0.1:8730")
    assert all(base.startswith("https://") for base in live.bases)
    assert all(base.startswith("http://127.0.0.1:8730/") for base in made_up.bases)
    assert not any(live.allows(base) for base in made_up.bases)
    assert not any(made_up.allows(base) for base in live.bases)


ASK_IN_THE_CLEAR = """
import sys
from datetime import UTC, datetime
from wizard.errors import WizardError
from wizard.oauth import OAuth
from wizard.transport import Transport
from wizard.zoho import load
clock = lambda: datetime.now(UTC)
oauth = OAuth(Transport(load(), clock), load(), clock)
try:
    oauth.exchange_code(sys.argv[1], "1000.ID", "canary", "1000.code", None, None, "eu")
except WizardError as error:
    print(error.failure.code, error.failure.sent)
"""


@pytest.mark.parametrize(
    "endpoint", ["http://accounts.zoho.eu/oauth/v2/token", "http://127.0.0.1:9/oauth/v2/token"]
)
def test_no_switch_of_a_library_lets_the_live_wizard_speak_in_the_clear(endpoint: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ASK_IN_THE_CLEAR, endpoint],
        env={**os.environ, "AUTHLIB_INSECURE_TRANSPORT": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("host-not-in-table False\n", "")


def test_nothing_of_the_sandbox_is_loaded_or_routed_by_the_live_pages(tmp_path: Path) -> None:
    asked = (
        "import sys; from wizard.house import House; from wizard.settings import from_environment;"
        "from wizard.web import LaunchTokens, create_app;"
        f"house = House.open(from_environment({{'HOME': {str(tmp_path)!r}}}));"
        "app = create_app(house, launch=LaunchTokens()); house.close();"
        "print([name for name in sys.modules if name.startswith('wizard.sandbox')],"
        "[rule.rule for rule in app.url_map.iter_rules() if 'sandbox' in rule.rule])"
    )
    done = subprocess.run(
        [sys.executable, "-c", asked], env=os.environ, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("[] []\n", "")
