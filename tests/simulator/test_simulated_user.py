"""The simulated user: its browser, the count of its actions, and that it stays on this machine."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Error, Page
from support.zoho_driver import query_parameters

from wizard.simulator.configuration import Configuration
from wizard.simulator.server import Simulator
from wizard.simulator.simulated_user import (
    ActionCounter,
    BrowserNotFoundError,
    ConsentPage,
    ConsolePage,
    NotLoopbackError,
    SignInPage,
    SimulatedUser,
    find_browser,
    first_existing,
    launch,
)

ANNA = "anna@zylker.example"


def register(person: SimulatedUser, simulator: Simulator) -> int:
    """Register a client as Anna; return the number of actions."""
    before = person.actions
    person.go(f"{simulator.url}/eu/api-console/add/server-based")
    if "/signin" in person.page.url:
        SignInPage(person).sign_in(ANNA, simulator.world.users.get(ANNA).password)
    console = ConsolePage(person)
    person.fill(console.client_name, "Lead reader")
    person.fill(console.homepage_url, "http://localhost:8723")
    person.fill(console.redirect_uris, "http://localhost:8723/callback")
    console.create()
    console.copy_id_and_secret()
    return person.actions - before


def test_every_click_field_and_copy_is_one_action(
    person: SimulatedUser, zoho_simulator: Simulator
) -> None:
    assert register(person, zoho_simulator) == 5
    assert [entry.split()[0] for entry in person.counter.log] == [
        "fill",
        "fill",
        "fill",
        "click",
        "copy",
    ]


@pytest.mark.slow
def test_the_counter_rises_when_a_step_is_added(
    person: SimulatedUser, zoho_simulator: Simulator
) -> None:
    without = register(person, zoho_simulator)
    console = ConsolePage(person)
    console.open_tab("Settings")
    console.toggle_data_center("in")
    assert person.actions == without + 2


@pytest.mark.slow
def test_two_tabs_of_one_user_share_a_counter(page: Page, zoho_simulator: Simulator) -> None:
    counter = ActionCounter()
    for tab in (page, page.context.new_page()):
        person = SimulatedUser(tab, counter)
        person.go(zoho_simulator.url)
        person.click(tab.get_by_role("button", name="Forward 1 hour"))
    assert counter.actions == 2


@pytest.mark.slow
def test_copied_text_can_be_pasted(person: SimulatedUser, zoho_simulator: Simulator) -> None:
    register(person, zoho_simulator)
    text = ConsolePage(person).copy_id_and_secret()
    person.go(f"{zoho_simulator.url}/_simulator/")
    field = person.page.get_by_label("Path contains")
    person.paste(field, text)
    assert field.input_value() == text.replace("\n", " ")


@pytest.mark.parametrize(
    "url", ["https://accounts.zoho.com/signin", "http://127.0.0.1.evil.example/", "file:///etc"]
)
def test_the_simulated_user_opens_only_this_machine(person: SimulatedUser, url: str) -> None:
    with pytest.raises(NotLoopbackError, match="not on this machine"):
        person.go(url)
    assert person.page.url == "about:blank"


def test_the_simulated_user_types_nothing_on_a_foreign_page(person: SimulatedUser) -> None:
    person.page.set_content('<label>Enter password<input id="password" type="password"></label>')
    with pytest.raises(NotLoopbackError):
        SignInPage(person).enter_password("made-up")
    assert person.page.locator("#password").input_value() == ""
    assert person.counter.sign_in_actions == 0


@pytest.fixture
def executable(tmp_path: Path) -> Path:
    path = tmp_path / "chromium"
    path.touch(mode=0o755)
    return path


def test_the_choice_of_the_user_comes_first(executable: Path, tmp_path: Path) -> None:
    others = tmp_path / "playwrights"
    others.touch()
    assert find_browser(executable, others) == executable


def test_a_chosen_browser_that_is_missing_is_refused_and_named(tmp_path: Path) -> None:
    with pytest.raises(BrowserNotFoundError, match=r"no browser at .*nowhere.* Install Chrome"):
        find_browser(tmp_path / "nowhere", tmp_path / "playwrights")


def test_the_playwright_browser_comes_before_installed_ones(executable: Path) -> None:
    assert find_browser(None, executable) == executable


def test_the_first_existing_candidate_is_used(executable: Path, tmp_path: Path) -> None:
    assert first_existing([tmp_path / "missing", executable, tmp_path]) == executable


def test_without_a_browser_the_advice_shows_how_to_install_one(tmp_path: Path) -> None:
    with pytest.raises(BrowserNotFoundError, match="apt install chromium"):
        first_existing([tmp_path / "missing"])


def test_without_a_window_a_headless_browser_comes_first(
    executable: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    light = tmp_path / "bin" / "chromium-headless-shell"
    light.parent.mkdir()
    light.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(light.parent))
    assert find_browser(None, executable, headless=True) == light
    assert find_browser(None, executable) == executable
    assert find_browser(executable, tmp_path, headless=True) == executable


@pytest.fixture
def at_real_names(browser: Browser) -> Iterator[tuple[Simulator, Browser]]:
    """A simulator with real host names, and a browser started with its proxy."""
    with Simulator(Configuration(port=0, real_hostnames=True)) as simulator:
        executable = find_browser(None, Path(browser.browser_type.executable_path), headless=True)
        started = launch(
            browser.browser_type, executable, real_host_names=simulator.real_host_names
        )
        yield simulator, started
        started.close()


@pytest.mark.slow
def test_at_real_names_it_signs_in_only_with_the_proxy_of_the_simulators_run(
    at_real_names: tuple[Simulator, Browser], person: SimulatedUser
) -> None:
    simulator, started = at_real_names
    client = simulator.controls.register_client(ANNA, ["http://localhost:8723/callback"])
    asked = "scope=ZohoCRM.org.READ&response_type=code&redirect_uri=http://localhost:8723/callback"
    url = f"https://accounts.zoho.com/oauth/v2/auth?client_id={client['client_id']}&{asked}"
    with pytest.raises(NotLoopbackError):
        person.go(url)

    page = started.new_page()
    user = SimulatedUser(page)
    user.go(url)
    SignInPage(user).sign_in(ANNA, simulator.world.users.get(ANNA).password)
    assert page.url.startswith("https://accounts.zoho.eu/oauth/v2/auth?"), "where Anna's account is"
    page.route("http://localhost:8723/**", lambda route: route.fulfill(body="done"))
    ConsentPage(user).accept()
    assert page.url.startswith("http://localhost:8723/callback?code=")
    assert query_parameters(page.url)["accounts-server"] == "https://accounts.zoho.eu"


def test_at_real_names_it_types_into_no_page_whose_certificate_it_has_not_seen(
    at_real_names: tuple[Simulator, Browser],
) -> None:
    _, started = at_real_names
    page = started.new_page()
    page.goto("https://accounts.zoho.eu/signin")
    with pytest.raises(NotLoopbackError):
        SignInPage(SimulatedUser(page)).enter_login_id(ANNA)


def test_a_browser_of_one_run_trusts_no_other_run(
    at_real_names: tuple[Simulator, Browser], browser: Browser
) -> None:
    simulator, _ = at_real_names
    with Simulator(Configuration(port=0, real_hostnames=True)) as other:
        assert simulator.real_host_names
        assert other.real_host_names
        key_hash = other.real_host_names.authority.server_key_hash
        mixed = browser.browser_type.launch(
            executable_path=find_browser(
                None, Path(browser.browser_type.executable_path), headless=True
            ),
            chromium_sandbox=False,
            args=[
                f"--proxy-server={simulator.real_host_names.proxy_url}",
                f"--ignore-certificate-errors-spki-list={key_hash}",
            ],
        )
        with pytest.raises(Error, match="ERR_CERT_AUTHORITY_INVALID"):
            mixed.new_page().goto("https://accounts.zoho.eu/signin")
        mixed.close()
