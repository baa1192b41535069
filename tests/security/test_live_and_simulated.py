"""Live and simulated data never mix: not by a copy, a URL or an environment variable."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.harness import Harness
from support.shell import Shell

from wizard import paths
from wizard.assisted_browser import windows
from wizard.errors import WizardError
from wizard.fastpath.commands import cached_token
from wizard.oauth import OAuth
from wizard.services import Services
from wizard.settings import from_environment
from wizard.simulator import authority
from wizard.simulator.configuration import Configuration
from wizard.simulator.server import Simulator
from wizard.transport import Transport, adapter
from wizard.zoho import load


def without_simulator(shell: Shell) -> dict[str, str]:
    return {
        name: text
        for name, text in shell.environment.items()
        if name != "ZOHO_WIZARD_SIMULATOR_URL"
    }


@pytest.fixture
def copied_data(shell_harness: Harness, shell: Shell) -> Harness:
    """A simulator's data directory copied to the live place: database, cache and key."""
    shell_harness.add_verified_connection("crm")
    shell_harness.services.tokens.access_token("crm")
    for folder in ("data", "config"):
        live = Path(shell.environment["ZOHO_WIZARD_HOME"]) / folder
        shutil.copytree(live / "simulator", live, dirs_exist_ok=True)
    return shell_harness


def test_a_simulator_data_directory_in_the_live_place_is_refused_and_its_tokens_stay_inside(
    copied_data: Harness, shell: Shell
) -> None:
    live = without_simulator(shell)
    now = copied_data.now().timestamp()
    assert cached_token("crm", shell.environment, now)
    assert cached_token("crm", live, now) is None
    with pytest.raises(WizardError, match="store-foreign-zoho"):
        Services.open(from_environment(live), shell.simulator.clock)


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
def test_no_token_is_served_for_a_url_that_is_not_a_simulator(
    copied_data: Harness, shell: Shell, address: str
) -> None:
    elsewhere = {**shell.environment, "ZOHO_WIZARD_SIMULATOR_URL": address}
    assert cached_token("crm", elsewhere, copied_data.now().timestamp()) is None
    done = shell.run("token", "crm", ZOHO_WIZARD_SIMULATOR_URL=address)
    assert (done.exit_code, done.stdout) == (2, "")


def test_the_live_table_is_only_https_and_the_simulator_table_only_loopback() -> None:
    live, simulated = load(), load("http://127.0.0.1:8730")
    assert all(base.startswith("https://") for base in live.allowed_base_urls)
    assert all(base.startswith("http://127.0.0.1:8730/") for base in simulated.allowed_base_urls)
    assert not any(live.is_allowed_url(base) for base in simulated.allowed_base_urls)
    assert not any(simulated.is_allowed_url(base) for base in live.allowed_base_urls)


@pytest.fixture
def at_real_names(tmp_path: Path) -> Iterator[tuple[Simulator, Harness]]:
    """A simulator at Zoho's real host names, and services with its environment."""
    with Simulator(Configuration(port=0, real_hostnames=True)) as simulator:
        settings = from_environment(
            {"ZOHO_WIZARD_HOME": str(tmp_path)}, changes=simulator.environment
        )
        with Services.open(settings, simulator.clock) as services:
            yield simulator, Harness(services, simulator, tmp_path)


def test_at_real_names_a_simulated_connection_is_authorized_and_verified_by_the_live_table(
    at_real_names: tuple[Simulator, Harness],
) -> None:
    simulator, harness = at_real_names
    assert harness.services.zoho.data_centers == load().data_centers
    assert harness.services.zoho.instance == simulator.url
    harness.add_verified_connection("crm")
    token = harness.services.tokens.access_token("crm")
    assert harness.services.tokens.api_access("crm").api_domain == "https://www.zohoapis.eu"
    assert token.value
    hosts = {(each["location"], each["host"]) for each in simulator.controls.journal()}
    assert hosts == {("eu", "accounts"), ("eu", "www")}
    live = from_environment({"ZOHO_WIZARD_HOME": str(harness.directory)})
    assert live.paths.data_dir != harness.services.paths.data_dir


def test_at_real_names_nothing_is_sent_once_the_simulator_has_stopped(
    at_real_names: tuple[Simulator, Harness],
) -> None:
    simulator, harness = at_real_names
    harness.add_verified_connection("crm")
    simulator.stop()
    harness.services.token_cache.remove("crm")
    with pytest.raises(WizardError) as caught:
        harness.services.tokens.access_token("crm")
    assert caught.value.failure.code == "network-proxy"


def test_a_live_wizard_is_refused_in_the_environment_of_a_simulator(
    copied_data: Harness, shell: Shell
) -> None:
    live = without_simulator(shell)
    with Simulator(Configuration(port=0, real_hostnames=True)) as simulator:
        environment = {
            name: value
            for name, value in simulator.environment.items()
            if name != "ZOHO_WIZARD_SIMULATOR_URL"
        }
        with pytest.raises(WizardError, match="live-mode-under-simulator"):
            from_environment(live, changes=environment)
        done = shell.run("token", "crm", **environment, ZOHO_WIZARD_SIMULATOR_URL="")
        assert (done.exit_code, done.stdout) == (2, "")
        assert "live-mode-under-simulator" in done.stderr


def test_a_live_wizard_sends_nothing_to_a_simulator_that_the_system_trusts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with Simulator(Configuration(port=0, real_hostnames=True)) as simulator:
        assert simulator.real_host_names
        authority = tmp_path / "trusted.pem"
        authority.write_bytes(simulator.real_host_names.authority_file.read_bytes())
        monkeypatch.setenv("HTTPS_PROXY", simulator.real_host_names.proxy_url)
        monkeypatch.setenv("SSL_CERT_FILE", str(authority))
        table, clock = load(), simulator.clock
        oauth = OAuth(Transport(table, clock), table, clock)
        endpoint = table.data_center("eu").token_endpoint
        with pytest.raises(WizardError) as caught:
            oauth.exchange_code(endpoint, "1000.ID", "canary", "1000.code", None, None, "eu")
        assert (caught.value.failure.code, caught.value.failure.sent) == ("simulated-zoho", False)
        assert simulator.controls.journal() == []


def test_the_wizard_recognizes_the_authority_of_a_simulator() -> None:
    assert authority.ORGANIZATION.encode() == adapter.SIMULATOR_AUTHORITY
    assert authority.FILE_NAME == paths.SIMULATOR_AUTHORITY_FILE
    assert authority.KEY_HASH_LINE == windows.SERVER_KEY_HASH


REQUEST_OVER_HTTP = """
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
def test_no_library_setting_lets_the_live_wizard_send_plain_http(endpoint: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", REQUEST_OVER_HTTP, endpoint],
        env={**os.environ, "AUTHLIB_INSECURE_TRANSPORT": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("host-not-in-table False\n", "")


def test_the_live_pages_load_and_route_nothing_of_the_simulator(tmp_path: Path) -> None:
    asked = (
        "import sys; from wizard.services import Services;"
        "from wizard.settings import from_environment;"
        "from wizard.web.app import create_app; from wizard.web.sessions import LinkTokens;"
        f"services = Services.open(from_environment({{'HOME': {str(tmp_path)!r}}}));"
        "app = create_app(services, link_tokens=LinkTokens()); services.close();"
        "print([name for name in sys.modules if name.startswith('wizard.simulator')],"
        "[rule.rule for rule in app.url_map.iter_rules() if 'simulator' in rule.rule])"
    )
    done = subprocess.run(
        [sys.executable, "-c", asked], env=os.environ, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("[] []\n", "")
