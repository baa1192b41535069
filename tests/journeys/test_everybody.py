"""The wizard's pages are for everybody: with any eyes, by light and dark, without scripts."""

from collections.abc import Callable

import pytest
from browsing import violations
from core import ANNA, BOB
from journey import NAME, Journey
from playwright.sync_api import BrowserContext, Page, Request, expect

from wizard.sandbox.person import Consent, Person
from wizard.sandbox.person.wizard_pages import ConnectionPage, NewConnection


def look(page: Page) -> None:
    """Nothing that axe-core knows keeps anybody out, in either colour scheme."""
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert violations(page) == [], f"{page.url} in {scheme}"


def test_every_page_of_a_first_connection_is_for_everybody(journey: Journey) -> None:
    page = journey.page
    journey.enter()
    look(page)
    form = journey.choose()
    look(page)
    client_id, secret = journey.register(form).split()
    form.paste_credentials(client_id, f"{secret[:-4]}0000")
    form.connect()
    expect(form.finding).to_be_visible()
    look(page)
    form.paste_credentials(client_id, secret)
    form.connect()
    consent = Consent(journey.person)
    expect(consent.accept_button).to_be_visible()
    journey.person.back()
    expect(ConnectionPage(journey.person).status).to_have_text("Waiting for consent")
    look(page)
    ConnectionPage(journey.person).press("Go to Zoho again")
    consent.reject()
    expect(ConnectionPage(journey.person).finding).to_be_visible()
    look(page)
    ConnectionPage(journey.person).press("Try again at Zoho")
    consent.accept()
    journey.arrived()
    look(page)


def test_the_pages_of_what_went_wrong_are_for_everybody(journey: Journey) -> None:
    client = journey.client("Zylker")
    journey.admin.enable(client.client_id, "in")
    journey.to_sign_in()
    journey.consent_page(BOB).accept()
    page = ConnectionPage(journey.person)
    expect(page.finding).to_contain_text("India")
    look(journey.page)
    for path in ("/callback?code=1000.a.b&state=unknown", "/launch/used", "/nowhere"):
        journey.person.go(f"{journey.base_url}{path}")
        look(journey.page)


def test_a_connection_that_reaches_somebody_else_shows_both_sides_to_everybody(
    journey: Journey,
) -> None:
    journey.proved(NAME, ANNA)
    done = journey.authorize(NAME, "carla@zylker.example", "20091000001")
    assert done.generation is not None
    journey.climb(NAME, done.generation)
    journey.enter(f"/connections/{NAME}")
    expect(journey.page.get_by_role("button", name="Discard the new one")).to_be_visible()
    look(journey.page)


@pytest.fixture
def without_scripts(
    journey: Journey, new_context: Callable[..., BrowserContext]
) -> Callable[[], Person]:
    """Make a person whose browser runs no scripts, and has entered the wizard."""

    def enter() -> Person:
        person = Person(new_context(java_script_enabled=False).new_page())
        journey.enter("/", person)
        return person

    return enter


def test_the_first_connection_needs_nothing_of_the_wizards_script(journey: Journey) -> None:
    journey.page.context.route("**/static/wizard.js", lambda route: route.abort())
    journey.to_consent().accept()
    page = ConnectionPage(journey.person)
    expect(page.seal).to_be_visible()
    journey.house.climber.stop()
    journey.page.reload()
    page.wait_until_proved()


def test_a_browser_without_scripts_goes_to_zoho_comes_back_and_sees_the_proof_end(
    journey: Journey, without_scripts: Callable[[], Person]
) -> None:
    person = without_scripts()
    asked: list[Request] = []
    person.page.on("request", lambda request: asked.append(request))
    made = journey.admin.register_client(ANNA, [journey.house.settings.redirect_uri])
    form = NewConnection(person)
    form.choose_data_centre("Europe (eu)")
    form.choose_task("Read CRM leads")
    form.paste_credentials(made["client_id"], made["secrets"]["eu"])
    form.connect()
    authorization = next(each.url for each in asked if "/oauth/v2/auth?" in each.url)
    callback = journey.admin.authorize(authorization, ANNA)
    journey.admin.fault("slow", endpoint="oauth/user/info", seconds=60)
    person.go(callback)
    page = ConnectionPage(person)
    expect(page.seal).to_contain_text("Proving")
    journey.admin.clear_faults()  # lets the answer go
    page.wait_until_proved()
    expect(page.headline).to_contain_text(ANNA)


def test_a_browser_without_scripts_is_offered_no_button_that_needs_one(
    journey: Journey, without_scripts: Callable[[], Person]
) -> None:
    journey.proved(NAME)
    person = without_scripts()
    for path in ("/connections/new?task=cliq-post", f"/connections/{NAME}", "/clients/new"):
        person.go(f"{journey.base_url}{path}")
        expect(person.page.get_by_role("heading", level=1)).to_be_visible()
        expect(person.page.get_by_role("button", name="Copy")).to_have_count(0)


def test_a_keyboard_is_enough_to_choose_a_task(journey: Journey) -> None:
    journey.enter()
    keyboard = journey.page.keyboard
    keyboard.press("Tab")
    expect(journey.page.get_by_role("link", name="Skip to the content")).to_be_focused()
    keyboard.press("Enter")
    keyboard.press("Tab")
    expect(NewConnection(journey.person).data_centre).to_be_focused()
    keyboard.press("Tab")
    keyboard.press("Tab")
    keyboard.press("Enter")
    expect(journey.page.get_by_role("heading", name="Read CRM leads", level=1)).to_be_visible()
