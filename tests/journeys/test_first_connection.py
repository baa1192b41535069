"""A new user's way to a verified refresh token."""

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, Request, expect
from support.harness import ANNA
from support.user_journey import CONNECTION_NAME, Journey
from support.wizard_pages import NewConnectionPage

from wizard.model import GrantState
from wizard.simulator.simulated_user import ConsentPage, ConsolePage, SimulatedUser

MOST_ACTIONS = 14
"""Manually it takes 28, with the best other tool 23."""
CLIENT_FILE_ACTIONS = 4
"""The file, its passphrase, the button, and the consent."""


@pytest.mark.slow
def test_a_new_user_gets_a_report_with_account_data_center_and_environment(
    journey: Journey,
) -> None:
    journey.open_consent_page().accept()
    page = journey.wait_until_verified()
    expect(page.headline).to_have_text(f"This reaches Zylker GmbH, Production, EU, as {ANNA}")
    for step in (
        "Refresh token works",
        "Account",
        "Read from Zoho CRM",
        "Clock matches",
    ):
        expect(page.step(step)).to_contain_text("passed")


def test_a_new_user_with_a_client_needs_few_actions(journey: Journey) -> None:
    journey.open_consent_page().accept()
    journey.wait_until_verified()
    assert journey.person.actions <= MOST_ACTIONS, journey.person.counter.log


@pytest.mark.slow
def test_a_colleague_with_a_client_file_needs_four_actions(
    journey: Journey, tmp_path: Path
) -> None:
    file, passphrase = tmp_path / "zylker.zoho-client", "four words make one"
    client, files = journey.register_client(), journey.services.client_files
    files.write(file, client.client_id, ["crm-read-leads"], passphrase)
    journey.services.clients.remove(client.client_id)

    journey.open_wizard()
    person, page = journey.person, journey.page
    person.attach(page.get_by_label("Client file", exact=True), file)
    person.paste(page.get_by_label("Passphrase"), passphrase)
    person.click(page.get_by_role("button", name="Import and connect"))
    journey.consent_page(ANNA).accept()
    journey.wait_until_verified()

    assert person.actions == CLIENT_FILE_ACTIONS, person.counter.log


@pytest.mark.slow
def test_the_report_shows_what_is_stored(journey: Journey) -> None:
    journey.open_consent_page().accept()
    journey.wait_until_verified()
    grant, report = (
        journey.services.store.grants.get(CONNECTION_NAME),
        journey.services.store.verification_reports.get(CONNECTION_NAME),
    )
    assert grant is not None
    assert report is not None
    assert (grant.state, grant.generation, grant.location) == (GrantState.VERIFIED, 1, "eu")
    assert report.is_verified
    token = journey.services.tokens.access_token(CONNECTION_NAME)
    assert token.generation == 1
    assert len(journey.code_exchanges()) == 1


@pytest.mark.slow
def test_the_callback_comes_from_another_site_as_in_production(journey: Journey) -> None:
    came: list[Request] = []
    journey.page.on("request", lambda request: came.append(request))
    journey.open_sign_in_page()
    journey.consent_page(ANNA).accept()
    journey.wait_until_verified()
    callback = next(each for each in came if urlsplit(each.url).path == "/callback")
    assert callback.all_headers()["sec-fetch-site"] == "cross-site"


def test_neither_code_nor_state_remains_in_the_address_bar(journey: Journey) -> None:
    journey.open_sign_in_page()
    journey.consent_page(ANNA).accept()
    page = journey.wait_until_verified()
    expect(page.page).to_have_url(f"{journey.base_url}/connections/{CONNECTION_NAME}")
    assert "code=" not in journey.page.evaluate("document.referrer")


def test_one_button_copies_the_redirect_uri_and_opens_the_console(journey: Journey) -> None:
    journey.page.context.grant_permissions(
        ["clipboard-read", "clipboard-write"], origin=journey.base_url
    )
    form = journey.start_new_connection()
    tab = form.go_to_console()
    tab.wait_for_url("**/eu/**")
    journey.page.bring_to_front()
    copied = journey.page.evaluate("navigator.clipboard.readText()")
    assert copied == journey.services.settings.redirect_uri == form.copyable_text("redirect URI")


def test_an_unrequested_callback_is_refused_and_never_exchanged(
    journey: Journey,
) -> None:
    journey.open_wizard()
    journey.person.go(f"{journey.base_url}/callback?code=1000.made.up&state=guessed")
    expect(journey.page.get_by_role("heading", level=1)).to_have_text(
        "This callback doesn’t belong to an authorization started here"
    )
    assert journey.logged_requests() == []


@pytest.mark.slow
def test_a_wrong_secret_is_named_before_the_consent_starts(journey: Journey) -> None:
    form = journey.start_new_connection()
    client_id, secret = journey.register_in_console(form).split()
    form.paste_credentials(client_id, f"{secret[:-4]}0000")
    form.connect()
    expect(form.explanation).to_contain_text("Wrong client secret")
    expect(form.credentials).to_have_value("")
    assert journey.services.store.clients.all() == ()
    assert journey.services.store.connections.all() == ()
    form.paste_credentials(client_id, secret)
    form.connect()
    ConsentPage(journey.person).accept()
    journey.wait_until_verified()


@pytest.mark.slow
@pytest.mark.parametrize(
    "shape",
    [
        "{secret}\n{client_id}",
        '{{"client_id": "{client_id}", "client_secret": "{secret}"}}',
        "ZOHO_CLIENT_ID='{client_id}'\nZOHO_CLIENT_SECRET = \"{secret}\" ",
    ],
    ids=["swapped", "json", "env"],
)
def test_id_and_secret_are_parsed_in_any_format(journey: Journey, shape: str) -> None:
    made = journey.controls.register_client(ANNA, [journey.services.settings.redirect_uri])
    form = journey.start_new_connection()
    form.paste_credentials(shape.format(client_id=made["client_id"], secret=made["secrets"]["eu"]))
    form.connect()
    journey.page.wait_for_url("**/eu/accounts/signin**")
    (client,) = journey.services.store.clients.all()
    assert client.client_id == made["client_id"]
    assert client.secret_for("eu") == made["secrets"]["eu"]


@pytest.mark.slow
def test_two_consecutive_pastes_are_on_separate_lines(
    journey: Journey,
) -> None:
    journey.page.context.grant_permissions(
        ["clipboard-read", "clipboard-write"], origin=journey.base_url
    )
    made = journey.controls.register_client(ANNA, [journey.services.settings.redirect_uri])
    form = journey.start_new_connection()
    for text in (made["client_id"], made["secrets"]["eu"]):
        journey.page.evaluate("text => navigator.clipboard.writeText(text)", text)
        form.credentials.press("ControlOrMeta+V")
        expect(form.credentials).to_have_value(re.compile(rf"{re.escape(text)}\n$"))
    form.connect()
    journey.page.wait_for_url("**/eu/accounts/signin**")


@pytest.mark.slow
def test_a_name_that_zoho_refuses_is_fixed_in_the_console_form(journey: Journey) -> None:
    form = journey.start_new_connection()
    console = ConsolePage(journey.open_console(form))
    console.choose_client_type()
    console.user.fill(console.client_name, "My app (test)!")
    console.user.fill(console.homepage_url, form.copyable_text("homepage URL"))
    console.user.paste(console.redirect_uris, form.copyable_text("redirect URI"))
    console.create()
    expect(console.errors).to_contain_text("no special characters")
    console.user.fill(console.client_name, form.copyable_text("client name"))
    console.create()
    form.paste_credentials(console.copy_id_and_secret())
    form.connect()
    expect(ConsentPage(journey.person).accept_button).to_be_visible()


@pytest.mark.slow
def test_no_page_shows_a_secret_or_token(journey: Journey, page: Page) -> None:
    journey.open_sign_in_page()
    journey.consent_page(ANNA).accept()
    journey.wait_until_verified()
    grant = journey.services.store.grants.get(CONNECTION_NAME)
    (client,) = journey.services.store.clients.all()
    assert grant is not None
    hidden = [
        grant.refresh_token,
        journey.services.tokens.access_token(CONNECTION_NAME).value,
        *(each.value for each in client.secrets),
    ]
    for path in (
        f"/connections/{CONNECTION_NAME}",
        "/clients",
        f"/clients/{client.client_id}",
        "/status",
    ):
        journey.person.go(f"{journey.base_url}{path}")
        painted = page.content()
        assert not [each for each in hidden if each in painted], path


@pytest.mark.slow
def test_every_scope_is_described_on_both_sides_of_the_consent(journey: Journey) -> None:
    form = journey.start_new_connection()
    journey.person.click(journey.page.get_by_text("3 scopes"))
    scopes = journey.page.get_by_role("listitem").filter(has_text="AaaServer.profile.READ")
    expect(scopes).to_contain_text("always requested")
    expect(journey.page.get_by_text("ZohoCRM.modules.leads.READ")).to_be_visible()
    form.paste_credentials(journey.register_in_console(form))
    form.connect()
    expect(journey.page.get_by_role("heading", name="CRM")).to_be_visible()


@pytest.mark.slow
def test_scopes_can_be_entered_instead_of_choosing_a_preset(journey: Journey) -> None:
    journey.open_wizard()
    form = NewConnectionPage(journey.person)
    form.choose_scopes("ZohoCRM modules")
    expect(form.explanation).to_contain_text("isn’t a valid scope")
    expect(form.scopes).to_have_value("ZohoCRM modules")
    journey.person.fill(form.scopes, "ZohoCRM.modules.contacts.READ, ZohoCRM.org.READ")
    journey.person.click(journey.page.get_by_role("button", name="Continue"))
    form.paste_credentials(journey.register_in_console(form))
    form.connect()
    ConsentPage(journey.person).accept()
    journey.wait_until_verified()
    (connection,) = journey.services.store.connections.all()
    assert set(connection.scope) == {
        "ZohoCRM.modules.contacts.READ",
        "ZohoCRM.org.READ",
        "AaaServer.profile.READ",
    }


def test_the_first_page_starts_the_setup_for_a_new_user(journey: Journey) -> None:
    journey.open_wizard()
    expect(journey.page.get_by_role("heading", name="Connect your program to Zoho")).to_be_visible()


def test_a_one_time_link_works_once(journey: Journey, person: SimulatedUser) -> None:
    link = journey.server.new_browser_link()
    person.go(link)
    person.go(link)
    expect(person.page.get_by_role("heading", level=1)).to_contain_text("was already used")
