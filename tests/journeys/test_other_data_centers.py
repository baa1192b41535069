"""Accounts in a different data center than the client, or in an unknown one."""

import pytest
from playwright.sync_api import expect
from support.harness import ANNA, BOB
from support.user_journey import CONNECTION_NAME, Journey
from support.wizard_pages import (
    ClientPage,
    ConnectionPage,
    NewConnectionPage,
)

from wizard.model import Client
from wizard.simulator.simulated_user import ConsentPage, ConsolePage, SignInPage, SimulatedUser


def client_in_europe(journey: Journey, *enabled_locations: str) -> Client:
    """A client that anna registered in Europe, stored only with its European secret."""
    client = journey.register_client("Zylker")
    for location in enabled_locations:
        journey.controls.enable_data_center(client.client_id, location)
    return client


def settings_in_console(journey: Journey, client_page: ClientPage) -> ConsolePage:
    """The client's Settings in the console, where anna has to sign in."""
    person = SimulatedUser(client_page.go_to_console(), journey.person.counter)
    journey.sign_in(ANNA, person)
    console = ConsolePage(person)
    console.open_tab("Settings")
    return console


def store_indian_secret(journey: Journey, *, enable_data_center: bool = False) -> ConnectionPage:
    """Copy India's secret from the console to the client's page and return to the connection."""
    client_page = ClientPage(journey.person)
    console = settings_in_console(journey, client_page)
    if enable_data_center:
        console.toggle_data_center("in")
    secret = console.user.copy(console.secret_at("in"))
    client_page.store_secret(secret)
    client_page.open_connection(CONNECTION_NAME)
    return ConnectionPage(journey.person)


def check_bob_is_signed_in(journey: Journey) -> ConsentPage:
    """The consent page shows anna, who used the console; bob needs no password in India."""
    journey.sign_out()
    SignInPage(journey.person).enter_login_id(BOB)
    return ConsentPage(journey.person)


@pytest.mark.slow
def test_an_account_elsewhere_needs_the_secret_of_its_data_center_and_a_retry(
    journey: Journey,
) -> None:
    client = client_in_europe(journey, "in")
    journey.open_sign_in_page()
    journey.sign_in(BOB)
    ConsentPage(journey.person).accept()
    page = ConnectionPage(journey.person)
    expect(page.explanation).to_contain_text("No client secret for India")
    assert journey.code_exchanges() == []
    page.follow("Store the secret")
    expect(ClientPage(journey.person).data_center).to_have_value("in")
    page = store_indian_secret(journey)
    page.press("Try again")
    check_bob_is_signed_in(journey).accept()
    expect(journey.wait_until_verified().headline).to_contain_text(
        f"Zylker India, Production, IN, as {BOB}"
    )
    (exchange,) = journey.code_exchanges()
    assert exchange["location"] == "in"
    stored = journey.services.store.clients.get(client.client_id)
    assert stored.secret_for("in") != stored.secret_for("eu")


@pytest.mark.slow
def test_one_secret_for_all_data_centers_needs_no_second_one(journey: Journey) -> None:
    form = journey.start_new_connection()
    pasted = journey.register_in_console(form)
    console = ConsolePage(journey.console_tab())
    console.open_tab("Settings")
    console.toggle_data_center("in")
    console.share_credentials()
    form.paste_credentials(pasted)
    journey.person.choose(form.has_common_secret)
    form.connect()
    journey.sign_out()
    journey.consent_page(BOB).accept()
    expect(journey.wait_until_verified().headline).to_contain_text(f"IN, as {BOB}")
    (client,) = journey.services.store.clients.all()
    assert client.has_common_secret
    assert client.secret_for("in") == client.secret_for("eu")


@pytest.mark.slow
def test_a_disabled_data_center_is_named_enabled_and_the_consent_retried(
    journey: Journey,
) -> None:
    client_in_europe(journey)
    journey.open_sign_in_page()
    journey.sign_in(BOB)
    expect(journey.page.get_by_role("heading", name="Invalid Client")).to_be_visible()
    page = ConnectionPage(journey.person)
    page.open(journey.base_url, CONNECTION_NAME)
    expect(page.status).to_have_text("Waiting for consent")
    what_stood_there = page.zoho_page_choice("Invalid Client")
    journey.person.click(what_stood_there.get_by_text("Invalid Client"))
    journey.person.click(what_stood_there.get_by_role("link", name="Check the client"))
    client_page = ClientPage(journey.person)
    client_page.open_secret_form()
    journey.person.choose(client_page.data_center, "India (in)")
    page = store_indian_secret(journey, enable_data_center=True)
    page.press("Go to Zoho again")
    check_bob_is_signed_in(journey).accept()
    expect(journey.wait_until_verified().headline).to_contain_text(f"IN, as {BOB}")
    assert {each["location"] for each in journey.code_exchanges()} == {"in"}


def test_a_secret_for_a_disabled_data_center_is_refused_and_not_kept(
    journey: Journey,
) -> None:
    client = client_in_europe(journey)
    journey.open_wizard(f"/clients/{client.client_id}?location=in")
    page = ClientPage(journey.person)
    page.store_secret("0" * 42)
    expect(journey.page.get_by_role("heading", level=2).first).to_contain_text(
        "isn’t turned on in India"
    )
    assert journey.services.store.clients.get(client.client_id).secret_for("in") is None


@pytest.mark.slow
def test_zoho_detects_the_data_center_for_a_user_who_does_not_know_it(journey: Journey) -> None:
    form = journey.start_new_connection(data_center="I don’t know")
    form.paste_credentials(journey.register_in_console(form, email=BOB))
    form.connect()
    ConsentPage(journey.person).accept()
    expect(journey.wait_until_verified().headline).to_contain_text(
        f"Zylker India, Production, IN, as {BOB}"
    )
    (client,) = journey.services.store.clients.all()
    assert client.location == "in"
    assert journey.services.store.connections.get(CONNECTION_NAME).location == "in"


@pytest.mark.slow
def test_the_search_for_the_data_center_of_a_client_never_sends_its_secret_elsewhere(
    journey: Journey,
) -> None:
    form = journey.start_new_connection(data_center="I don’t know")
    form.paste_credentials(journey.register_in_console(form, email=BOB))
    form.connect()
    expect(ConsentPage(journey.person).accept_button).to_be_visible()
    (client,) = journey.services.store.clients.all()
    assert client.secret_for("in")
    searched = [each["location"] for each in journey.logged_requests(client_id=client.client_id)]
    assert searched == ["us", "eu", "in", "in"]


def test_a_zoho_url_identifies_the_data_center(journey: Journey) -> None:
    journey.open_wizard()
    form = NewConnectionPage(journey.person)
    journey.person.paste(form.zoho_url, "https://crm.zoho.in/crm/org60010000001/tab/Home/begin")
    form.choose_preset("Read CRM leads")
    expect(journey.page.get_by_text("Data center: India.")).to_be_visible()


def test_a_url_outside_zoho_is_refused_and_named(journey: Journey) -> None:
    journey.open_wizard()
    form = NewConnectionPage(journey.person)
    journey.person.paste(form.zoho_url, "https://crm.zoho.evil.example/")
    form.choose_preset("Read CRM leads")
    expect(form.explanation).to_contain_text("crm.zoho.evil.example")
    expect(form.zoho_url).to_have_value("https://crm.zoho.evil.example/")


@pytest.mark.slow
def test_a_client_of_a_different_data_center_is_found_and_reported(journey: Journey) -> None:
    made = journey.controls.register_client(BOB, [journey.services.settings.redirect_uri])
    pasted = f"{made['client_id']}\n{made['secrets']['in']}"
    form = journey.start_new_connection()
    form.paste_credentials(pasted)
    form.connect()
    expect(form.explanation).to_contain_text("This client belongs to India")
    assert journey.services.store.clients.all() == ()
    journey.person.click(journey.page.get_by_role("button", name="Use India and connect to Zoho"))
    journey.sign_in(BOB)
    ConsentPage(journey.person).accept()
    expect(journey.wait_until_verified().headline).to_contain_text(f"IN, as {BOB}")


@pytest.mark.slow
def test_china_is_a_separate_data_center_that_works_the_same(journey: Journey) -> None:
    journey.open_consent_page(
        data_center="China (zoho.com.cn)", email="mei@zylker.example"
    ).accept()
    expect(journey.wait_until_verified().headline).to_contain_text("Zylker China, Production, CN")
