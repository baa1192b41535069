"""The pages in a real browser: the journeys with their count of actions, and accessibility."""

from collections.abc import Callable
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, Page, expect
from visiting import ANNA, LEADS, NEW, Visitor

from wizard.house import House
from wizard.model import Client, ClientSecret, Connection
from wizard.sandbox.person import Consent, Console, Person, SignIn
from wizard.sandbox.person.wizard_pages import ConnectionList, ConnectionPage, NewConnection
from wizard.sandbox.server import Sandbox
from wizard.web import Server

PASSWORD = "anna-made-up-password"
FIRST_CONNECTION_ACTIONS = 14
SECOND_CONNECTION_ACTIONS = 4


@pytest.fixture
def context(new_context: Callable[..., BrowserContext]) -> BrowserContext:
    return new_context(permissions=["clipboard-read", "clipboard-write"])


@pytest.fixture
def at_the_wizard(person: Person, server: Server) -> Person:
    """Somebody who has opened the wizard."""
    person.go(server.new_launch_url())
    return person


def onboard(person: Person) -> None:
    """From the empty house to the first receipt, with a client registered on the way."""
    new = NewConnection(person)
    new.choose_data_centre("Europe (eu)")
    new.choose_task("Read CRM leads")
    tab = Person(new.go_to_console(), person.counter)
    SignIn(tab).sign_in(ANNA, PASSWORD)
    console = Console(tab)
    console.create_now()
    tab.fill(console.client_name, new.shown("client name"))
    tab.fill(console.homepage_url, new.shown("homepage URL"))
    copied = person.page.evaluate("navigator.clipboard.readText()")
    tab.paste(console.redirect_uris, copied)
    console.create()
    new.paste_credentials(tab.copy(console.client_id), tab.copy(console.client_secret))
    tab.page.close()
    new.connect()
    Consent(person).accept()
    ConnectionPage(person).wait_until_proved()


def test_the_first_two_connections_take_few_actions(at_the_wizard: Person, house: House) -> None:
    person = at_the_wizard
    onboard(person)
    assert person.page.url == f"{house.settings.base_url}/connections/crm-read-leads"
    expect(ConnectionPage(person).headline).to_contain_text("Zylker GmbH")
    assert person.actions <= FIRST_CONNECTION_ACTIONS, person.counter.log

    person.go(house.settings.base_url)
    before = person.actions
    new = NewConnection(person)
    new.begin()
    new.choose_task("Post to Cliq")
    new.connect()
    Consent(person).accept()
    ConnectionPage(person).wait_until_proved()
    assert person.actions - before <= SECOND_CONNECTION_ACTIONS, person.counter.log
    assert [each.name for each in house.store.connections()] == ["cliq-post", "crm-read-leads"]


def test_the_rungs_appear_while_they_are_climbed(
    at_the_wizard: Person, house: House, registered: dict[str, Any], zoho_sandbox: Sandbox
) -> None:
    stored(house, registered)
    page = ConnectionPage(at_the_wizard)
    page.open(house.settings.base_url, "leads")
    page.press("Connect to Zoho")
    SignIn(at_the_wizard).sign_in(ANNA, PASSWORD)
    zoho_sandbox.admin.fault("slow", endpoint="oauth/user/info", seconds=60)
    Consent(at_the_wizard).accept()
    expect(page.seal).to_have_text("Proving")
    expect(page.rung("access token")).to_contain_text("issued for")
    zoho_sandbox.admin.clear_faults()  # lets the answer go
    page.wait_until_proved()


def test_a_refused_consent_says_so_and_can_be_repeated(
    at_the_wizard: Person, house: House, registered: dict[str, Any]
) -> None:
    stored(house, registered)
    page = ConnectionPage(at_the_wizard)
    page.open(house.settings.base_url, "leads")
    page.press("Connect to Zoho")
    SignIn(at_the_wizard).sign_in(ANNA, PASSWORD)
    Consent(at_the_wizard).reject()
    expect(page.status).to_have_text("Not authorized")
    page.press("Try again at Zoho")
    Consent(at_the_wizard).accept()
    page.wait_until_proved()


def test_who_presses_back_at_zoho_finds_the_open_attempt(
    at_the_wizard: Person, house: House, registered: dict[str, Any]
) -> None:
    stored(house, registered)
    page = ConnectionPage(at_the_wizard)
    page.open(house.settings.base_url, "leads")
    page.press("Connect to Zoho")
    SignIn(at_the_wizard).login_id.wait_for()
    page.open(house.settings.base_url, "leads")
    expect(page.status).to_have_text("Waiting for consent")
    expect(at_the_wizard.page.get_by_text("What stood on Zoho’s page?")).to_be_visible()


def test_it_works_up_to_zoho_without_scripts(
    new_context: Callable[..., BrowserContext],
    server: Server,
    house: House,
    registered: dict[str, Any],
) -> None:
    person = Person(new_context(java_script_enabled=False).new_page())
    person.go(server.new_launch_url())
    new = NewConnection(person)
    new.choose_data_centre("Europe (eu)")
    new.choose_task("Read CRM leads")
    expect(person.page.get_by_role("link", name="Open the API console")).to_be_visible()
    expect(person.page.get_by_role("button", name="Copy")).to_have_count(0)
    new.paste_credentials(registered["client_id"], registered["secrets"]["eu"])
    new.connect()
    person.page.wait_for_url(f"{house.settings.sandbox_url}/**")


def test_a_paste_does_not_wait_in_the_page_for_who_presses_back(
    at_the_wizard: Person, registered: dict[str, Any]
) -> None:
    new = NewConnection(at_the_wizard)
    new.choose_task("Read CRM leads")
    new.paste_credentials(registered["client_id"], registered["secrets"]["eu"])
    at_the_wizard.page.get_by_role("link", name="Status").click()
    at_the_wizard.page.go_back()
    expect(new.credentials).to_have_value("")


def test_a_connection_is_found_by_its_name(
    at_the_wizard: Person, house: House, registered: dict[str, Any]
) -> None:
    stored(house, registered, *(f"job-{number}" for number in range(20)))
    at_the_wizard.go(house.settings.base_url)
    search = at_the_wizard.page.get_by_label("Find a connection")
    at_the_wizard.fill(search, "job-17")
    search.press("Enter")
    connections = ConnectionList(at_the_wizard)
    expect(connections.rows).to_have_count(1)
    connections.open("job-17")
    expect(at_the_wizard.page.get_by_role("heading", name="job-17")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_keeps_anybody_out(
    new_context: Callable[..., BrowserContext],
    server: Server,
    house: House,
    connected: Visitor,
    scheme: Any,
) -> None:
    page = new_context(color_scheme=scheme, viewport={"width": 360, "height": 800}).new_page()
    client_id = house.store.clients()[0].client_id
    wish = house.store.connection("leads")
    house.store.add_connection(Connection(**{**vars(wish), "name": "idle", "generation": 0}))
    house.authorization.begin("idle")
    page.goto(house.settings.base_url)
    look(page)
    page.goto(server.new_launch_url())
    paths = [
        "/",
        NEW,
        f"{NEW}?scope=bad",
        f"{NEW}?task=cliq-post",
        f"{NEW}?task=cliq-post&client=new",
    ]
    paths += ["/connections/leads", "/connections/leads/remove", "/connections/idle", "/clients"]
    paths += [f"/clients/{client_id}", "/clients/new", "/status", "/help/throttled", "/nowhere"]
    for path in paths:
        page.goto(f"{house.settings.base_url}{path}")
        for fold in page.locator("summary").all():
            fold.click()
        look(page)


def look(page: Page) -> None:
    """No violation that axe-core knows, and nothing wider than a phone."""
    found = Axe().run(page)
    assert found.violations_count == 0, f"{page.url}: {found.generate_report()}"
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), page.url


def stored(house: House, registered: dict[str, Any], *names: str) -> None:
    """A client and connections that wait for their consent."""
    client_id = registered["client_id"]
    secrets = (ClientSecret("eu", registered["secrets"]["eu"]),)
    redirect_uri = house.settings.redirect_uri
    house.store.add_client(Client(client_id, "Test client", "eu", redirect_uri, secrets))
    for name in names or ("leads",):
        house.store.add_connection(Connection(name, client_id, tuple(LEADS.split(",")), "eu"))
