"""The simulator's API console, in a real browser."""

import re

import pytest
import requests
from playwright.sync_api import expect
from support.zoho_driver import ZohoDriver

from wizard.simulator.clients import Client
from wizard.simulator.server import Simulator
from wizard.simulator.simulated_user import ConsolePage, SignInPage, SimulatedUser
from wizard.simulator.users import SESSION_COOKIE

pytestmark = pytest.mark.slow
"""Journeys use the same pages."""

ANNA, CARLA = "anna@zylker.example", "carla@zylker.example"
REDIRECT_URI = "http://localhost:8723/callback"


@pytest.fixture
def console(person: SimulatedUser, zoho_simulator: Simulator) -> ConsolePage:
    """The European console, Anna signed in."""
    return open_console(person, zoho_simulator, ANNA)


def open_console(
    person: SimulatedUser, simulator: Simulator, login_id: str, path: str = ""
) -> ConsolePage:
    person.go(f"{simulator.url}/eu/api-console/{path}")
    SignInPage(person).sign_in(login_id, simulator.world.users.get(login_id).password)
    return ConsolePage(person)


def register(
    console: ConsolePage, name: str = "Lead_reader & more", uris: str = REDIRECT_URI
) -> None:
    console.user.fill(console.client_name, name)
    console.user.fill(console.homepage_url, "http://localhost:8723")
    console.user.fill(console.redirect_uris, uris)
    console.create()


def only_client(simulator: Simulator) -> Client:
    (client,) = simulator.world.clients
    return client


def test_a_client_is_registered_from_get_started(
    console: ConsolePage, zoho_simulator: Simulator
) -> None:
    console.open_new_client_form()
    register(console)
    copied = console.copy_id_and_secret().split()
    client = only_client(zoho_simulator)
    assert copied == [client.client_id, client.secrets["eu"]]
    assert (client.name, client.redirect_uris) == ("Lead_reader & more", [REDIRECT_URI])
    assert console.user.actions == 7


@pytest.mark.rule("console-labels-may-change")
def test_the_console_may_use_different_labels(
    console: ConsolePage, zoho_simulator: Simulator
) -> None:
    zoho_simulator.controls.change_settings(console_labels="form")
    console.open_new_client_form()
    expect(console.page.get_by_label("Title", exact=True)).to_be_visible()
    expect(console.client_name).to_have_count(0)
    zoho_simulator.controls.change_settings(console_labels="all")
    console.page.reload()
    expect(console.page.get_by_role("button", name="REGISTER")).to_be_visible()


def test_the_deep_link_to_a_new_client_survives_signing_in(
    person: SimulatedUser, zoho_simulator: Simulator
) -> None:
    console = open_console(person, zoho_simulator, ANNA, "add")
    console.choose_client_type()
    expect(console.client_name).to_be_visible()


def test_the_second_client_starts_with_add_client(console: ConsolePage) -> None:
    console.open_new_client_form()
    register(console)
    console.user.click(console.page.get_by_role("link", name="Applications"))
    console.open_new_client_form()
    expect(console.client_name).to_be_visible()


def test_names_with_special_characters_are_refused(
    console: ConsolePage, zoho_simulator: Simulator
) -> None:
    console.open_new_client_form()
    form = console.page.url
    for name in ("", "Leads!", "my-program", "Leads (EU)"):
        console.user.go(form)
        register(console, name=name)
        expect(console.errors).to_contain_text("client name")
        expect(console.client_name).to_have_value(name)
        expect(console.redirect_uris).to_have_value(REDIRECT_URI)
    assert list(zoho_simulator.world.clients) == []


def test_redirect_uris_that_are_not_full_urls_are_refused(
    console: ConsolePage, zoho_simulator: Simulator
) -> None:
    console.open_new_client_form()
    form = console.page.url
    loopback = "http://127.0.0.1:8723/callback"
    for uri in ("", "localhost:8723/callback", "/callback", loopback, "ftp://x"):
        console.user.go(form)
        register(console, uris=uri)
        expect(console.errors).to_contain_text("valid redirect URIs")
        expect(console.redirect_uris).to_have_value(uri)
    assert list(zoho_simulator.world.clients) == []


@pytest.mark.rule("loopback-addresses-as-redirect-uris", "app-schemes")
def test_the_type_of_client_and_a_setting_decide_about_redirect_uris(zoho: ZohoDriver) -> None:
    session = zoho.world.sessions.begin("eu")
    session.zuid = zoho.world.users.get(ANNA).zuid

    def is_accepted(kind: str, uri: str) -> bool:
        form = {"name": "App", "homepage": "http://localhost", "redirect_uris": uri}
        answer = requests.post(
            zoho.url_for(f"/add/{kind}", host="api-console"),
            data={**form, "csrf_token": session.csrf},
            cookies={SESSION_COOKIE: session.session_id},
            allow_redirects=False,
            timeout=10,
        )
        return answer.status_code == 302

    address, scheme = "http://127.0.0.1:8723/callback", "com.zylker.app://back"
    assert not is_accepted("server-based", address)
    zoho.controls.change_settings(loopback_address_redirects=True)
    assert is_accepted("server-based", address)
    assert not is_accepted("server-based", scheme)
    assert is_accepted("mobile-based", scheme)


def test_redirect_uris_can_be_updated(console: ConsolePage, zoho_simulator: Simulator) -> None:
    console.open_new_client_form()
    register(console)
    console.open_tab("Client Details")
    console.user.fill(console.redirect_uris, f"{REDIRECT_URI}\nhttps://zylker.example/back")
    console.update()
    expect(console.page.get_by_role("status").first).to_have_text("Updated.")
    assert only_client(zoho_simulator).redirect_uris[1] == "https://zylker.example/back"


def test_an_enabled_data_center_has_a_secret_of_its_own(
    console: ConsolePage, zoho_simulator: Simulator
) -> None:
    console.open_new_client_form()
    register(console)
    console.open_tab("Settings")
    console.toggle_data_center("in")
    secrets = only_client(zoho_simulator).secrets
    expect(console.secret_at("in")).to_have_text(secrets["in"])
    expect(console.secret_at("eu")).to_have_text(secrets["eu"])
    assert secrets["in"] != secrets["eu"]


def test_a_disabled_data_center_does_not_know_the_client(
    console: ConsolePage, zoho_simulator: Simulator
) -> None:
    console.open_new_client_form()
    register(console)
    console.open_tab("Settings")
    console.toggle_data_center("jp")
    console.toggle_data_center("jp")
    assert not only_client(zoho_simulator).is_known_in("jp")


def test_china_is_not_offered_to_a_client_from_elsewhere(console: ConsolePage) -> None:
    console.open_new_client_form()
    register(console)
    console.open_tab("Settings")
    expect(console.page.get_by_role("switch")).to_have_count(9)
    expect(console.data_center_switch("cn")).to_have_count(0)


def test_the_same_credentials_can_serve_all_data_centers(
    console: ConsolePage, zoho_simulator: Simulator
) -> None:
    console.open_new_client_form()
    register(console)
    console.open_tab("Settings")
    console.toggle_data_center("in")
    console.share_credentials()
    expect(console.secret_at("in")).to_have_count(0)
    expect(console.client_secret).to_be_visible()
    client = only_client(zoho_simulator)
    assert client.secret_in("in") == client.secret_in("eu")


def test_a_regenerated_secret_replaces_the_old_one(
    console: ConsolePage, zoho_simulator: Simulator
) -> None:
    console.open_new_client_form()
    register(console)
    old = only_client(zoho_simulator).secrets["eu"]
    console.user.click(console.page.get_by_role("button", name="Regenerate secret"))
    expect(console.client_secret).not_to_have_text(old)
    expect(console.client_secret).to_have_text(only_client(zoho_simulator).secrets["eu"])


def test_a_deleted_client_is_gone(console: ConsolePage, zoho_simulator: Simulator) -> None:
    console.open_new_client_form()
    register(console)
    console.user.click(console.page.get_by_role("button", name="Delete client"))
    expect(console.page.get_by_role("link", name="GET STARTED")).to_be_visible()
    assert list(zoho_simulator.world.clients) == []


def test_no_user_sees_the_clients_of_another(
    person: SimulatedUser, zoho_simulator: Simulator
) -> None:
    client = zoho_simulator.controls.register_client(CARLA, [REDIRECT_URI])
    open_console(person, zoho_simulator, ANNA)
    answer = person.page.request.get(
        f"{zoho_simulator.url}/eu/api-console/client/{client['client_id']}"
    )
    assert answer.status == 404
    assert client["secrets"]["eu"] not in answer.text()


def test_a_self_client_generates_a_code_with_the_chosen_lifetime(
    console: ConsolePage, zoho_simulator: Simulator
) -> None:
    console.open_new_client_form("Self Client")
    console.create()
    console.generate_code("ZohoCRM.org.READ,AaaServer.profile.READ", 7, "a test")
    value = console.user.copy(console.generated_code)
    code = zoho_simulator.world.grants.codes[value]
    life = (code.expires_at - zoho_simulator.clock()).total_seconds()
    assert code.redirect_uri is None
    assert 6 * 60 < life <= 7 * 60
    assert code.permission.organizations == {"crm": "20090000001"}


def test_an_account_has_one_self_client(console: ConsolePage, zoho_simulator: Simulator) -> None:
    console.open_new_client_form("Self Client")
    console.create()
    console.user.click(console.page.get_by_role("link", name="Applications"))
    console.open_new_client_form("Self Client")
    expect(console.page).to_have_url(re.compile(r"/code$"))
    assert only_client(zoho_simulator).kind == "self-client"


def test_a_self_client_shows_the_portals_if_there_is_a_choice(
    person: SimulatedUser, zoho_simulator: Simulator
) -> None:
    console = open_console(person, zoho_simulator, CARLA)
    console.open_new_client_form("Self Client")
    console.create()
    console.generate_code("ZohoCRM.org.READ", 3, "a test")
    console.choose_portal("Zylker Outlet")
    code = zoho_simulator.world.grants.codes[person.copy(console.generated_code)]
    assert code.permission.organizations == {"crm": "20091000002"}


def test_a_self_client_refuses_a_scope_that_does_not_exist(console: ConsolePage) -> None:
    console.open_new_client_form("Self Client")
    console.create()
    console.generate_code("ZohoCRM.org.EAT", 3, "a test")
    expect(console.errors).to_have_text("Enter valid scopes, separated by commas.")
