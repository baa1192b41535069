"""Settings from the environment."""

import pytest
from support.claims import over_rows

from wizard.errors import WizardError, explain
from wizard.model import SimulatorProxy
from wizard.settings import from_environment

HOME = {"HOME": "/h", "LANG": "C"}


def test_by_default_the_wizard_is_live_and_on_its_own_port() -> None:
    settings = from_environment(HOME)
    assert settings.simulator_url is None
    assert settings.base_url == "http://localhost:8723"
    assert settings.redirect_uri == "http://localhost:8723/callback"
    assert settings.browser_path is None
    assert not settings.paths.simulator_url


def test_one_url_selects_the_simulator_with_another_data_directory_and_port() -> None:
    settings = from_environment({**HOME, "ZOHO_WIZARD_SIMULATOR_URL": "http://127.0.0.1:8730/"})
    assert settings.simulator_url == "http://127.0.0.1:8730"
    assert settings.port == 8733
    assert settings.paths.simulator_url


def test_port_and_browser_are_read() -> None:
    settings = from_environment(
        {**HOME, "ZOHO_WIZARD_PORT": "9000", "ZOHO_WIZARD_BROWSER": "/usr/bin/browser"}
    )
    assert (settings.port, settings.browser_path) == (9000, "/usr/bin/browser")


def test_an_unknown_setting_is_refused_with_the_nearest_known_one() -> None:
    with pytest.raises(WizardError) as caught:
        from_environment({**HOME, "ZOHO_WIZARD_PROT": "9000"})
    finding = explain(caught.value.failure)
    assert finding.exit_code == 2
    assert "ZOHO_WIZARD_PROT" in finding.title
    assert "ZOHO_WIZARD_PORT" in finding.fix


@over_rows("port", ["0", "65536", "-1", "abc", "80 ", "٣", "1e3", "9" * 5000])
def test_an_invalid_port_is_refused(port: str) -> None:
    with pytest.raises(WizardError, match="bad-port"):
        from_environment({**HOME, "ZOHO_WIZARD_PORT": port})


@over_rows(
    "url",
    [
        "https://accounts.zoho.eu",
        "http://accounts.zoho.eu:8730",
        "https://127.0.0.1:8730",
        "http://localhost:8730",
        "http://127.0.0.1",
        "http://127.0.0.1:8730/eu",
        "http://user@127.0.0.1:8730",
        "http://127.0.0.1:8730@evil.example",
        "http://127.0.0.1:99999",
        "http://127.0.0.1:8730?x",
        "127.0.0.1:8730",
        "simulator",
        "http://[::1",
    ],
)
def test_only_a_loopback_ip_address_can_be_a_simulator(url: str) -> None:
    with pytest.raises(WizardError, match="bad-simulator-url"):
        from_environment({**HOME, "ZOHO_WIZARD_SIMULATOR_URL": url})


def test_a_simulator_on_ipv6_is_accepted() -> None:
    settings = from_environment({**HOME, "ZOHO_WIZARD_SIMULATOR_URL": "http://[::1]:8730"})
    assert settings.simulator_url == "http://[::1]:8730"


def test_a_simulator_is_reached_at_real_host_names_only_with_its_authority_and_local_proxy() -> (
    None
):
    at_real_names = {
        "ZOHO_WIZARD_SIMULATOR_URL": "http://127.0.0.1:8730",
        "HTTPS_PROXY": "http://127.0.0.1:9999",
        "SSL_CERT_FILE": "/tmp/run/zoho-simulator-authority.pem",
    }
    found = from_environment(at_real_names)
    assert found.simulator_proxy == SimulatorProxy(
        "http://127.0.0.1:9999", "/tmp/run/zoho-simulator-authority.pem"
    )
    assert found.service_environment == at_real_names
    for changes in (
        {"HTTPS_PROXY": ""},
        {"HTTPS_PROXY": "http://proxy.example:3128"},
        {"HTTPS_PROXY": "http://127.0.0.1:9999@proxy.example:3128"},
        {"SSL_CERT_FILE": "/etc/ssl/company.pem"},
    ):
        assert from_environment(at_real_names, changes=changes).simulator_proxy is None, changes
