"""The wizard's pages are accessible in light and dark mode and without scripts."""

from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, Page, Request, expect
from support.browser import accessibility_violations
from support.diagnosis import reject_all
from support.harness import ANNA, BOB
from support.user_journey import CONNECTION_NAME, Journey
from support.wizard_pages import ConnectionPage, NewConnectionPage

from wizard.simulator.simulated_user import ConsentPage, SimulatedUser


def check_accessibility(page: Page) -> None:
    assert accessibility_violations(page) == [], page.url


@pytest.mark.slow
def test_every_page_of_a_first_connection_is_accessible(journey: Journey) -> None:
    page = journey.page
    journey.open_wizard()
    check_accessibility(page)
    form = journey.start_new_connection()
    check_accessibility(page)
    client_id, secret = journey.register_in_console(form).split()
    form.paste_credentials(client_id, f"{secret[:-4]}0000")
    form.connect()
    expect(form.explanation).to_be_visible()
    check_accessibility(page)
    form.paste_credentials(client_id, secret)
    form.connect()
    consent = ConsentPage(journey.person)
    expect(consent.accept_button).to_be_visible()
    journey.person.back()
    expect(ConnectionPage(journey.person).status).to_have_text("Waiting for consent")
    check_accessibility(page)
    ConnectionPage(journey.person).press("Go to Zoho again")
    consent.reject()
    expect(ConnectionPage(journey.person).explanation).to_be_visible()
    check_accessibility(page)
    ConnectionPage(journey.person).press("Try again")
    consent.accept()
    journey.wait_until_verified()
    check_accessibility(page)


@pytest.mark.slow
def test_the_pages_of_failures_are_accessible(journey: Journey) -> None:
    client = journey.register_client("Zylker")
    journey.controls.enable_data_center(client.client_id, "in")
    journey.open_sign_in_page()
    journey.consent_page(BOB).accept()
    page = ConnectionPage(journey.person)
    expect(page.explanation).to_contain_text("India")
    check_accessibility(journey.page)
    for path in ("/callback?code=1000.a.b&state=unknown", "/browser-link/used", "/nowhere"):
        journey.person.go(f"{journey.base_url}{path}")
        check_accessibility(journey.page)


@pytest.mark.slow
def test_a_connection_with_a_different_account_shows_both_accounts_accessibly(
    journey: Journey,
) -> None:
    journey.add_verified_connection(CONNECTION_NAME, ANNA)
    done = journey.authorize(CONNECTION_NAME, "carla@zylker.example", "20091000001")
    assert done.generation is not None
    journey.verify(CONNECTION_NAME, done.generation)
    journey.open_wizard(f"/connections/{CONNECTION_NAME}")
    expect(journey.page.get_by_role("button", name="Discard the new one")).to_be_visible()
    check_accessibility(journey.page)


@pytest.fixture
def without_scripts(
    journey: Journey, new_context: Callable[..., BrowserContext]
) -> Callable[[], SimulatedUser]:
    """Create a user whose browser runs no scripts and is signed in to the wizard."""

    def enter() -> SimulatedUser:
        person = SimulatedUser(new_context(java_script_enabled=False).new_page())
        journey.open_wizard("/", person)
        return person

    return enter


@pytest.mark.slow
def test_the_first_connection_works_without_the_wizard_script(journey: Journey) -> None:
    journey.page.context.route("**/static/wizard.js", lambda route: route.abort())
    journey.open_consent_page().accept()
    page = ConnectionPage(journey.person)
    expect(page.report_badge).to_be_visible()
    journey.services.verification_worker.stop()
    journey.page.reload()
    page.wait_until_verified()


def test_a_browser_without_scripts_authorizes_and_sees_the_verification_finish(
    journey: Journey, without_scripts: Callable[[], SimulatedUser]
) -> None:
    person = without_scripts()
    asked: list[Request] = []
    person.page.on("request", lambda request: asked.append(request))
    made = journey.controls.register_client(ANNA, [journey.services.settings.redirect_uri])
    form = NewConnectionPage(person)
    form.choose_data_center("Europe (zoho.eu)")
    form.choose_preset("Read CRM leads")
    form.paste_credentials(made["client_id"], made["secrets"]["eu"])
    form.connect()
    authorization = next(each.url for each in asked if "/oauth/v2/auth?" in each.url)
    callback = journey.controls.authorize(authorization, ANNA)
    journey.controls.inject_fault("slow", endpoint="oauth/user/info", seconds=60)
    person.go(callback)
    page = ConnectionPage(person)
    expect(page.report_badge).to_contain_text("Verifying")
    journey.controls.clear_faults()  # releases the response
    page.wait_until_verified()
    expect(page.headline).to_contain_text(ANNA)


def test_a_browser_without_scripts_sees_no_button_that_needs_one(
    journey: Journey, without_scripts: Callable[[], SimulatedUser]
) -> None:
    journey.add_verified_connection(CONNECTION_NAME)
    person = without_scripts()
    for path in (
        "/connections/new?preset=cliq-post",
        f"/connections/{CONNECTION_NAME}",
        "/clients/new",
    ):
        person.go(f"{journey.base_url}{path}")
        expect(person.page.get_by_role("heading", level=1)).to_be_visible()
        expect(person.page.get_by_role("button", name="Copy")).to_have_count(0)


@pytest.mark.slow
def test_a_browser_without_scripts_shows_a_sample_by_keyboard_and_renames_a_connection(
    journey: Journey, without_scripts: Callable[[], SimulatedUser]
) -> None:
    journey.add_verified_connection(CONNECTION_NAME)
    person = without_scripts()
    connection, page = ConnectionPage(person), person.page
    connection.open(journey.base_url, CONNECTION_NAME)
    expect(page.get_by_text("import subprocess")).to_be_hidden()
    page.get_by_role("radio", name="Shell").press("ArrowRight")
    expect(page.get_by_text("import subprocess")).to_be_visible()
    connection.expand("Rename")
    person.fill(page.get_by_label("New name"), "sales")
    connection.press("Rename")
    expect(page.get_by_role("heading", level=1)).to_have_text("sales")


@pytest.mark.slow
def test_the_page_of_connections_that_stopped_together_is_accessible_on_a_phone(
    journey: Journey,
) -> None:
    reject_all(journey, "books", "crm", "desk")
    journey.page.set_viewport_size({"width": 360, "height": 740})
    journey.open_wizard("/connections/crm")
    page = journey.page
    button = page.get_by_role("link", name="Re-authorize 3 connections")
    expect(button).to_be_in_viewport()
    for each in page.locator("main details").all():
        each.evaluate("each => each.open = true")
    check_accessibility(page)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.slow
def test_a_preset_can_be_chosen_with_the_keyboard(journey: Journey) -> None:
    journey.open_wizard()
    keyboard = journey.page.keyboard
    keyboard.press("Tab")
    expect(journey.page.get_by_role("link", name="Skip to content")).to_be_focused()
    keyboard.press("Enter")
    keyboard.press("Tab")
    form = NewConnectionPage(journey.person)
    expect(form.data_center).to_be_focused()
    keyboard.press("Tab")
    keyboard.press("Tab")
    expect(form.preset_search).to_be_focused()
    keyboard.type("zohocrm.modules.leads.READ")
    expect(form.preset("Read CRM leads")).to_be_visible()
    expect(form.preset("Post to Cliq")).to_be_hidden()
    keyboard.press("Tab")
    expect(form.preset("Read CRM leads")).to_be_focused()
    keyboard.press("Space")
    keyboard.press("Enter")
    expect(journey.page.get_by_role("heading", name="Register a client", level=1)).to_be_visible()
