"""The wizard with a simulator at Zoho's real host names: its own table, its check of the callback,
and the assisted browser's check of the host, as with the real Zoho.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser
from support.assisted_windows import open_assisted_window
from support.harness import ANNA
from support.user_journey import CONNECTION_NAME, Journey, start_journey

from wizard.assisted_browser.windows import simulator_arguments
from wizard.settings import from_environment
from wizard.simulator.configuration import Configuration
from wizard.simulator.server import Simulator
from wizard.simulator.simulated_user import SignInPage, SimulatedUser, find_browser, launch


@pytest.fixture
def at_real_names(browser: Browser, tmp_path: Path) -> Iterator[Journey]:
    """A journey in a browser that uses the simulator's proxy."""
    executable = find_browser(None, Path(browser.browser_type.executable_path), headless=True)
    with Simulator(Configuration(port=0, real_hostnames=True)) as simulator:
        settings = from_environment(
            {"ZOHO_WIZARD_HOME": str(tmp_path)}, changes=simulator.environment
        )
        started = launch(
            browser.browser_type, executable, real_host_names=simulator.real_host_names
        )
        person = SimulatedUser(started.new_page())
        with start_journey(simulator, tmp_path, person, settings) as journey:
            yield journey
        started.close()


@pytest.mark.slow
def test_a_connection_is_authorized_in_the_browser_and_verified(at_real_names: Journey) -> None:
    journey = at_real_names
    journey.open_sign_in_page()
    journey.page.wait_for_url("https://accounts.zoho.eu/signin?**")
    journey.consent_page(ANNA).accept()
    journey.wait_until_verified()
    grant = journey.services.store.grants.get(CONNECTION_NAME)
    assert grant is not None
    assert grant.location == "eu"


@pytest.mark.slow
def test_the_assisted_browser_accepts_at_the_host_of_the_table(at_real_names: Journey) -> None:
    journey = at_real_names
    journey.add_verified_connection()
    window = open_assisted_window(journey, journey.page)
    expected, started = window.expected_consent()
    assert expected.url.startswith("https://accounts.zoho.eu/oauth/v2/auth?")
    ended = window.consent(expected, started)
    done = journey.services.authorization.complete_pasted(
        started.attempt.id, started.cookie_value, ended.callback_url
    )
    assert done.generation == 2
    assert window.user.prompt_reasons == ["sign-in"]


def test_the_assisted_window_trusts_the_simulators_certificate(
    at_real_names: Journey, browser: Browser
) -> None:
    settings = at_real_names.services.settings
    window = browser.browser_type.launch(
        executable_path=find_browser(
            None, Path(browser.browser_type.executable_path), headless=True
        ),
        chromium_sandbox=False,
        args=list(simulator_arguments(settings.simulator_proxy)),
    )
    page = window.new_page()
    page.goto("https://accounts.zoho.in/signin")
    assert SignInPage(SimulatedUser(page)).login_id.is_visible()
    window.close()
