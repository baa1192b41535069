"""What can happen on Zoho's pages, and which page the user sees afterward."""

import pytest
from playwright.sync_api import expect
from support.harness import ANNA, CARLA
from support.user_journey import CONNECTION_NAME, Journey
from support.wizard_pages import ConnectionPage

from wizard.simulator.simulated_user import ConsentPage, ConsolePage, SignInPage

DORA, NILS = "dora@zylker.example", "nils@zylker.example"


@pytest.mark.parametrize(
    ("name", "environment"), [("Zylker Outlet", "Production"), ("Zylker GmbH", "Sandbox")]
)
@pytest.mark.slow
def test_the_organization_chosen_at_consent_is_in_the_report(
    journey: Journey, name: str, environment: str
) -> None:
    journey.open_sign_in_page()
    consent = journey.consent_page(CARLA)
    consent.choose_organization(name, environment)
    consent.accept()
    expect(journey.wait_until_verified().headline).to_have_text(
        f"This reaches {name}, {environment}, EU, as {CARLA}"
    )
    grant = journey.services.store.grants.get(CONNECTION_NAME)
    assert grant is not None
    assert [each.name for each in grant.organizations] == [name]


@pytest.mark.slow
def test_a_user_with_one_organization_is_not_asked_for_it(journey: Journey) -> None:
    journey.open_sign_in_page()
    consent = journey.consent_page(ANNA)
    expect(consent.accept_button).to_be_visible()
    expect(consent.submit_button).to_be_hidden()


@pytest.mark.slow
def test_a_second_factor_blocks_no_consent(journey: Journey) -> None:
    journey.open_sign_in_page()
    dora = journey.simulator.world.users.get(DORA)
    sign_in = SignInPage(journey.person)
    sign_in.enter_login_id(DORA)
    sign_in.enter_password(dora.password)
    sign_in.enter_code("000000")
    expect(sign_in.error).to_be_visible()
    sign_in.enter_code(dora.one_time_code(journey.simulator.clock()))
    sign_in.trust(True)
    ConsentPage(journey.person).accept()
    expect(journey.wait_until_verified().headline).to_contain_text(
        f"Lind & Daughters, Production, EU, as {DORA}"
    )


@pytest.mark.slow
def test_a_refused_consent_can_be_repeated(journey: Journey) -> None:
    journey.open_sign_in_page()
    journey.consent_page(ANNA).reject()
    page = ConnectionPage(journey.person)
    expect(page.status).to_have_text("Access denied")
    expect(page.explanation).to_contain_text("You pressed Reject")
    assert journey.code_exchanges() == []
    assert journey.services.store.grants.get(CONNECTION_NAME) is None
    page.press("Try again")
    ConsentPage(journey.person).accept()
    journey.wait_until_verified()


@pytest.mark.slow
def test_a_missing_product_account_is_explained_and_a_different_user_can_consent(
    journey: Journey,
) -> None:
    journey.open_sign_in_page()
    journey.consent_page(NILS).back_to_app()
    page = ConnectionPage(journey.person)
    expect(page.explanation).to_contain_text("This account has no organization in the product")
    expect(page.explanation).to_contain_text("no_org")
    assert journey.code_exchanges() == []
    page.press("Try again")
    journey.sign_out()
    journey.consent_page(ANNA).accept()
    expect(journey.wait_until_verified().headline).to_contain_text(ANNA)


@pytest.mark.slow
def test_a_wrong_redirect_uri_is_named_after_back_fixed_in_the_console_and_retried(
    journey: Journey,
) -> None:
    form = journey.start_new_connection()
    right = form.copyable_text("redirect URI")
    form.paste_credentials(journey.register_in_console(form, redirect_uri=f"{right}/"))
    form.connect()
    expect(journey.page.get_by_role("heading", name="Invalid Redirect Uri")).to_be_visible()
    assert journey.code_exchanges() == []

    journey.person.back()
    page = ConnectionPage(journey.person)
    expect(page.status).to_have_text("Waiting for consent")
    journey.person.click(
        page.zoho_page_choice("Invalid Redirect Uri").get_by_text("Invalid Redirect Uri")
    )
    expect(page.zoho_page_choice("Invalid Redirect Uri")).to_contain_text(right)

    console = ConsolePage(journey.console_tab())
    console.open_tab("Client Details")
    console.user.paste(console.redirect_uris, right)
    console.update()
    expect(console.page.get_by_role("status").first).to_have_text("Updated.")

    page.press("Go to Zoho again")
    ConsentPage(journey.person).accept()
    journey.wait_until_verified()
    assert len(journey.services.store.connections.all()) == 1


@pytest.mark.slow
def test_a_waiting_connection_lists_the_errors_zoho_may_have_shown(journey: Journey) -> None:
    journey.open_sign_in_page()
    page = ConnectionPage(journey.person)
    page.open(journey.base_url, CONNECTION_NAME)
    for title in (
        "Invalid Client",
        "Invalid Redirect Uri",
        "Invalid OAuth scope",
        "Access Denied",
    ):
        expect(page.zoho_page_choice(title)).to_be_visible()


@pytest.mark.slow
def test_an_abandoned_consent_can_be_continued_from_the_list(journey: Journey) -> None:
    journey.open_sign_in_page()
    journey.person.go(journey.base_url)
    expect(journey.page.get_by_role("listitem").filter(has_text=CONNECTION_NAME)).to_contain_text(
        "Waiting for consent"
    )
    journey.person.click(journey.page.get_by_role("link", name=CONNECTION_NAME))
    ConnectionPage(journey.person).press("Go to Zoho again")
    journey.consent_page(ANNA).accept()
    journey.wait_until_verified()


@pytest.mark.slow
def test_going_back_past_the_sign_in_shows_the_waiting_connection(journey: Journey) -> None:
    journey.open_sign_in_page()
    expect(journey.consent_page(ANNA).accept_button).to_be_visible()
    while not journey.page.url.startswith(journey.base_url):
        journey.person.back()
    page = ConnectionPage(journey.person)
    expect(page.status).to_have_text("Waiting for consent")
    page.press("Go to Zoho again")
    ConsentPage(journey.person).accept()
    journey.wait_until_verified()
    assert [each.name for each in journey.services.store.connections.all()] == [CONNECTION_NAME]
