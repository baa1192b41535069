"""Accounts that live elsewhere than the client, or nobody knows where."""

from core import ANNA, BOB
from journey import NAME, Journey
from playwright.sync_api import expect

from wizard.model import Client
from wizard.sandbox.person import Consent, Console, Person, SignIn
from wizard.sandbox.person.wizard_pages import ClientPage, ConnectionPage, NewConnection


def client_in_europe(journey: Journey, *switched_on: str) -> Client:
    """A client that anna registered in Europe, stored here with its European secret alone."""
    client = journey.client("Zylker")
    for location in switched_on:
        journey.admin.enable(client.client_id, location)
    return client


def settings_in_console(journey: Journey, client_page: ClientPage) -> Console:
    """The client's Settings in the console, where anna has to sign in."""
    person = Person(client_page.go_to_console(), journey.person.counter)
    journey.sign_in(ANNA, person)
    console = Console(person)
    console.open_tab("Settings")
    return console


def store_indian_secret(journey: Journey, *, switch_on: bool = False) -> ConnectionPage:
    """From the client's page to the console and back to the connection, with India's secret."""
    client_page = ClientPage(journey.person)
    console = settings_in_console(journey, client_page)
    if switch_on:
        console.switch_data_centre("in")
    secret = console.person.copy(console.secret_at("in"))
    client_page.store_secret(secret)
    client_page.back_to(NAME)
    return ConnectionPage(journey.person)


def bob_is_still_signed_in_at_home(journey: Journey) -> Consent:
    """The consent page shows anna, who was at the console; bob needs no password in India."""
    journey.sign_out()
    SignIn(journey.person).enter_login_id(BOB)
    return Consent(journey.person)


def test_an_account_elsewhere_is_asked_for_the_secret_of_its_own_data_centre_and_repeats(
    journey: Journey,
) -> None:
    client = client_in_europe(journey, "in")
    journey.to_sign_in()
    journey.sign_in(BOB)
    Consent(journey.person).accept()
    page = ConnectionPage(journey.person)
    expect(page.finding).to_contain_text("The client's secret for India is missing")
    assert journey.exchanges() == []
    page.follow("Store the secret")
    expect(ClientPage(journey.person).data_centre).to_have_value("in")
    page = store_indian_secret(journey)
    page.press("Try again at Zoho")
    bob_is_still_signed_in_at_home(journey).accept()
    expect(journey.arrived().headline).to_contain_text(f"Zylker India, Production, IN, as {BOB}")
    (exchange,) = journey.exchanges()
    assert exchange["location"] == "in"
    stored = journey.house.store.client(client.client_id)
    assert stored.secret_for("in") != stored.secret_for("eu")


def test_one_secret_for_all_data_centres_needs_no_second_one(journey: Journey) -> None:
    form = journey.choose()
    pasted = journey.register(form)
    console = Console(journey.console_tab())
    console.open_tab("Settings")
    console.switch_data_centre("in")
    console.share_credentials()
    form.paste_credentials(pasted)
    journey.person.choose(form.same_for_all)
    form.connect()
    journey.sign_out()
    journey.consent_page(BOB).accept()
    expect(journey.arrived().headline).to_contain_text(f"IN, as {BOB}")
    (client,) = journey.house.store.clients()
    assert client.common_secret
    assert client.secret_for("in") == client.secret_for("eu")


def test_a_client_that_is_switched_off_there_is_named_switched_on_and_the_consent_repeated(
    journey: Journey,
) -> None:
    client_in_europe(journey)
    journey.to_sign_in()
    journey.sign_in(BOB)
    expect(journey.page.get_by_role("heading", name="Invalid Client")).to_be_visible()
    page = ConnectionPage(journey.person)
    page.open(journey.base_url, NAME)
    expect(page.status).to_have_text("Waiting for consent")
    what_stood_there = page.at_zoho("Invalid Client")
    journey.person.click(what_stood_there.get_by_text("Invalid Client"))
    journey.person.click(what_stood_there.get_by_role("link", name="Ask Zoho about the client"))
    client_page = ClientPage(journey.person)
    journey.person.click(journey.page.get_by_text("A new secret, or one for another data centre"))
    journey.person.choose(client_page.data_centre, "India (in)")
    page = store_indian_secret(journey, switch_on=True)
    page.press("Go to Zoho again")
    bob_is_still_signed_in_at_home(journey).accept()
    expect(journey.arrived().headline).to_contain_text(f"IN, as {BOB}")
    assert {each["location"] for each in journey.exchanges()} == {"in"}


def test_a_secret_for_a_data_centre_that_is_switched_off_is_refused_and_not_kept(
    journey: Journey,
) -> None:
    client = client_in_europe(journey)
    journey.enter(f"/clients/{client.client_id}?location=in")
    page = ClientPage(journey.person)
    page.store_secret("0" * 42)
    expect(journey.page.get_by_role("heading", level=2).first).to_contain_text(
        "not switched on in India"
    )
    assert journey.house.store.client(client.client_id).secret_for("in") is None


def test_somebody_who_does_not_know_their_data_centre_is_told_by_zoho(journey: Journey) -> None:
    form = journey.choose(data_centre="I don’t know")
    form.paste_credentials(journey.register(form, email=BOB))
    form.connect()
    Consent(journey.person).accept()
    expect(journey.arrived().headline).to_contain_text(f"Zylker India, Production, IN, as {BOB}")
    (client,) = journey.house.store.clients()
    assert client.location == "in"
    assert journey.house.store.connection(NAME).location == "in"


def test_the_search_for_a_clients_home_never_shows_its_real_secret_elsewhere(
    journey: Journey,
) -> None:
    form = journey.choose(data_centre="I don’t know")
    form.paste_credentials(journey.register(form, email=BOB))
    form.connect()
    expect(Consent(journey.person).accept_button).to_be_visible()
    (client,) = journey.house.store.clients()
    assert client.secret_for("in")
    searched = [each["location"] for each in journey.asked(client_id=client.client_id)]
    assert searched == ["us", "eu", "in", "in"]


def test_an_address_of_ones_zoho_tells_the_data_centre(journey: Journey) -> None:
    journey.enter()
    form = NewConnection(journey.person)
    journey.person.paste(form.address, "https://crm.zoho.in/crm/org60010000001/tab/Home/begin")
    form.choose_task("Read CRM leads")
    expect(journey.page.get_by_text("In India.")).to_be_visible()


def test_an_address_that_is_nobodys_zoho_is_refused_by_name(journey: Journey) -> None:
    journey.enter()
    form = NewConnection(journey.person)
    journey.person.paste(form.address, "https://crm.zoho.evil.example/")
    form.choose_task("Read CRM leads")
    expect(form.finding).to_contain_text("crm.zoho.evil.example")
    expect(form.address).to_have_value("https://crm.zoho.evil.example/")


def test_a_client_of_another_data_centre_than_chosen_is_found_and_said(journey: Journey) -> None:
    made = journey.admin.register_client(BOB, [journey.house.settings.redirect_uri])
    pasted = f"{made['client_id']}\n{made['secrets']['in']}"
    form = journey.choose()
    form.paste_credentials(pasted)
    form.connect()
    expect(form.finding).to_contain_text("This client lives in India")
    assert journey.house.store.clients() == ()
    form.paste_credentials(pasted)
    form.connect()
    journey.sign_in(BOB)
    Consent(journey.person).accept()
    expect(journey.arrived().headline).to_contain_text(f"IN, as {BOB}")


def test_china_is_a_data_centre_apart_that_works_alike(journey: Journey) -> None:
    journey.to_consent(data_centre="China (cn)", email="mei@zylker.example").accept()
    expect(journey.arrived().headline).to_contain_text("Zylker China, Production, CN")
