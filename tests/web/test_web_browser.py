"""The pages in a real browser: journeys with their number of actions, and accessibility."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, expect
from support.browser import accessibility_violations
from support.web_visitor import ANNA, LEADS_SCOPE, NEW_CONNECTION_PATH, Visitor
from support.wizard_pages import (
    ConnectionListPage,
    ConnectionPage,
    NewConnectionPage,
)

from wizard.code_samples import languages
from wizard.model import Client, ClientSecret, Connection
from wizard.services import Services
from wizard.simulator.server import Simulator
from wizard.simulator.simulated_user import ConsentPage, ConsolePage, SignInPage, SimulatedUser
from wizard.web.server import Server

PASSWORD = "anna-made-up-password"
FIRST_CONNECTION_ACTIONS = 16
SECOND_CONNECTION_ACTIONS = 5


@pytest.fixture
def context(new_context: Callable[..., BrowserContext]) -> BrowserContext:
    return new_context(permissions=["clipboard-read", "clipboard-write"])


@pytest.fixture
def at_the_wizard(person: SimulatedUser, server: Server) -> SimulatedUser:
    """A user who has opened the wizard."""
    person.go(server.new_browser_link())
    return person


def onboard(person: SimulatedUser) -> None:
    """Connect from an empty data directory, registering a client."""
    new = NewConnectionPage(person)
    new.choose_data_center("Europe (zoho.eu)")
    new.choose_preset("Read CRM leads")
    tab = SimulatedUser(new.go_to_console(), person.counter)
    SignInPage(tab).sign_in(ANNA, PASSWORD)
    console = ConsolePage(tab)
    console.choose_client_type()
    tab.fill(console.client_name, new.copyable_text("client name"))
    tab.fill(console.homepage_url, new.copyable_text("homepage URL"))
    copied = person.page.evaluate("navigator.clipboard.readText()")
    tab.paste(console.redirect_uris, copied)
    console.create()
    new.paste_credentials(tab.copy(console.client_id), tab.copy(console.client_secret))
    tab.page.close()
    new.connect()
    ConsentPage(person).accept()
    ConnectionPage(person).wait_until_verified()


@pytest.mark.slow
def test_the_first_two_connections_take_few_actions(
    at_the_wizard: SimulatedUser, services: Services
) -> None:
    person = at_the_wizard
    onboard(person)
    assert person.page.url == f"{services.settings.base_url}/connections/crm-read-leads"
    expect(ConnectionPage(person).headline).to_contain_text("Zylker GmbH")
    assert person.actions <= FIRST_CONNECTION_ACTIONS, person.counter.log

    person.go(services.settings.base_url)
    before = person.actions
    new = NewConnectionPage(person)
    new.open()
    new.choose_preset("Post to Cliq")
    new.connect()
    ConsentPage(person).accept()
    ConnectionPage(person).wait_until_verified()
    assert person.actions - before <= SECOND_CONNECTION_ACTIONS, person.counter.log
    assert [each.name for each in services.store.connections.all()] == [
        "cliq-post",
        "crm-read-leads",
    ]


@pytest.mark.slow
def test_the_steps_appear_while_they_run(
    at_the_wizard: SimulatedUser,
    services: Services,
    registered: dict[str, Any],
    zoho_simulator: Simulator,
) -> None:
    add_verified_connections(services, registered)
    page = ConnectionPage(at_the_wizard)
    page.open(services.settings.base_url, "leads")
    page.press("Connect to Zoho")
    SignInPage(at_the_wizard).sign_in(ANNA, PASSWORD)
    zoho_simulator.controls.inject_fault("slow", endpoint="oauth/user/info", seconds=60)
    ConsentPage(at_the_wizard).accept()
    expect(page.report_badge).to_have_text("Verifying")
    expect(page.step("access token")).to_contain_text("Valid for")
    zoho_simulator.controls.clear_faults()  # releases the response
    page.wait_until_verified()


@pytest.mark.slow
def test_a_refused_consent_is_reported_and_can_be_repeated(
    at_the_wizard: SimulatedUser, services: Services, registered: dict[str, Any]
) -> None:
    add_verified_connections(services, registered)
    page = ConnectionPage(at_the_wizard)
    page.open(services.settings.base_url, "leads")
    page.press("Connect to Zoho")
    SignInPage(at_the_wizard).sign_in(ANNA, PASSWORD)
    ConsentPage(at_the_wizard).reject()
    expect(page.status).to_have_text("Access denied")
    page.press("Try again")
    ConsentPage(at_the_wizard).accept()
    page.wait_until_verified()


@pytest.mark.slow
def test_going_back_at_zoho_shows_the_open_attempt(
    at_the_wizard: SimulatedUser, services: Services, registered: dict[str, Any]
) -> None:
    add_verified_connections(services, registered)
    page = ConnectionPage(at_the_wizard)
    page.open(services.settings.base_url, "leads")
    page.press("Connect to Zoho")
    SignInPage(at_the_wizard).login_id.wait_for()
    page.open(services.settings.base_url, "leads")
    expect(page.status).to_have_text("Waiting for consent")
    expect(at_the_wizard.page.get_by_text("Did Zoho show an error instead?")).to_be_visible()


@pytest.mark.slow
def test_the_pages_up_to_zoho_work_without_scripts(
    new_context: Callable[..., BrowserContext],
    server: Server,
    services: Services,
    registered: dict[str, Any],
) -> None:
    person = SimulatedUser(new_context(java_script_enabled=False).new_page())
    person.go(server.new_browser_link())
    new = NewConnectionPage(person)
    new.choose_data_center("Europe (zoho.eu)")
    new.choose_preset("Read CRM leads")
    expect(person.page.get_by_role("link", name="Open the API Console")).to_be_visible()
    expect(person.page.get_by_role("button", name="Copy")).to_have_count(0)
    new.paste_credentials(registered["client_id"], registered["secrets"]["eu"])
    new.connect()
    person.page.wait_for_url(f"{services.settings.simulator_url}/**")


@pytest.mark.slow
def test_a_paste_is_gone_from_the_page_after_going_back(
    at_the_wizard: SimulatedUser, registered: dict[str, Any]
) -> None:
    new = NewConnectionPage(at_the_wizard)
    new.choose_preset("Read CRM leads")
    new.paste_credentials(registered["client_id"], registered["secrets"]["eu"])
    at_the_wizard.page.get_by_role("link", name="Status").click()
    at_the_wizard.page.go_back()
    expect(new.credentials).to_have_value("")


def test_a_connection_is_found_by_its_name(
    at_the_wizard: SimulatedUser, services: Services, registered: dict[str, Any]
) -> None:
    add_verified_connections(services, registered, *(f"job-{number}" for number in range(20)))
    at_the_wizard.go(services.settings.base_url)
    search = at_the_wizard.page.get_by_label("Search", exact=True)
    at_the_wizard.fill(search, "job-17")
    search.press("Enter")
    connections = ConnectionListPage(at_the_wizard)
    expect(connections.rows).to_have_count(1)
    connections.open("job-17")
    expect(at_the_wizard.page.get_by_role("heading", name="job-17")).to_be_visible()


@pytest.mark.slow
def test_each_way_to_use_a_connection_is_shown_when_it_is_chosen(
    at_the_wizard: SimulatedUser, services: Services, connected: Visitor
) -> None:
    at_the_wizard.go(f"{services.settings.base_url}/connections/leads")
    ways = at_the_wizard.page.get_by_role("group", name="How your program gets its tokens")
    labels = [*languages(), "itself"]
    expect(ways.get_by_role("radio")).to_have_count(len(labels))
    for name in labels:
        ways.locator(f'label[for="use-{name}"]').click()
        shown = [panel.is_visible() for panel in ways.locator(".panel").all()]
        assert shown == [each == name for each in labels]


@pytest.mark.slow
def test_every_page_is_accessible(
    new_context: Callable[..., BrowserContext],
    server: Server,
    services: Services,
    connected: Visitor,
) -> None:
    page = new_context(viewport={"width": 360, "height": 800}).new_page()
    client_id = services.store.clients.all()[0].client_id
    connection = services.store.connections.get("leads")
    services.store.connections.add(
        Connection(**{**vars(connection), "name": "idle", "generation": 0})
    )
    services.authorization.begin("idle")
    page.goto(services.settings.base_url)
    check_accessibility(page)
    page.goto(server.new_browser_link())
    paths = [
        "/",
        NEW_CONNECTION_PATH,
        f"{NEW_CONNECTION_PATH}?scope=bad",
        f"{NEW_CONNECTION_PATH}?preset=cliq-post",
        f"{NEW_CONNECTION_PATH}?preset=cliq-post&client=new",
    ]
    paths += ["/connections/leads", "/connections/leads/remove", "/connections/idle", "/clients"]
    paths += [
        f"/clients/{client_id}",
        "/clients/new",
        "/status",
        "/help?q=token",
        "/help/programs",
        "/help/codes/throttled",
        "/help/demo",
        "/consent-requests",
        "/nowhere",
    ]
    for path in paths:
        page.goto(f"{services.settings.base_url}{path}")
        for fold in page.locator("summary").all():
            fold.click()
        check_accessibility(page)


def check_accessibility(page: Page) -> None:
    """Check that axe-core finds no violation and that the page fits a phone."""
    assert accessibility_violations(page) == [], page.url
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), page.url


def add_verified_connections(services: Services, registered: dict[str, Any], *names: str) -> None:
    """A client and connections that wait for their consent."""
    client_id = registered["client_id"]
    secrets = (ClientSecret("eu", registered["secrets"]["eu"]),)
    redirect_uri = services.settings.redirect_uri
    services.store.clients.add(Client(client_id, "Test client", "eu", redirect_uri, secrets))
    for name in names or ("leads",):
        services.store.connections.add(
            Connection(name, client_id, tuple(LEADS_SCOPE.split(",")), "eu")
        )
