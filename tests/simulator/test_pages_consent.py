"""Consent at the simulator in a real browser, for a program at a redirect URI."""

from dataclasses import dataclass
from urllib.parse import urlencode

import pytest
from playwright.sync_api import expect
from support.browser import CallbackServer

from wizard.simulator.server import Simulator
from wizard.simulator.simulated_user import ConsentPage, SignInPage, SimulatedUser

ANNA, BOB = "anna@zylker.example", "bob@zylker.example"
CARLA, NILS = "carla@zylker.example", "nils@zylker.example"


@dataclass
class OAuthProgram:
    """A program with a client of Anna's that sends a user to the authorization endpoint."""

    simulator: Simulator
    callback: CallbackServer
    client_id: str
    person: SimulatedUser

    def open_authorization_page(self, login_id: str | None = None, **changes: str) -> ConsentPage:
        """Open the authorization URL, sign in if a login id is given, and return the page."""
        query = {
            "client_id": self.client_id,
            "response_type": "code",
            "redirect_uri": self.callback.redirect_uri,
            "scope": "ZohoCRM.modules.leads.READ,AaaServer.profile.READ",
            "access_type": "offline",
            "prompt": "consent",
            "state": "opaque",
        }
        query |= changes
        self.person.go(f"{self.simulator.url}/eu/accounts/oauth/v2/auth?{urlencode(query)}")
        if login_id:
            password = self.simulator.world.users.get(login_id).password
            SignInPage(self.person).sign_in(login_id, password)
        return ConsentPage(self.person)


@pytest.fixture
def program(
    zoho_simulator: Simulator, callback: CallbackServer, person: SimulatedUser
) -> OAuthProgram:
    client = zoho_simulator.controls.register_client(
        ANNA, [callback.redirect_uri], name="Lead reader"
    )
    return OAuthProgram(zoho_simulator, callback, client["client_id"], person)


def expect_heading(consent: ConsentPage, name: str) -> None:
    expect(consent.page.get_by_role("heading", name=name, exact=True)).to_be_visible()


def test_consent_names_the_user_the_client_and_the_scopes_in_words(program: OAuthProgram) -> None:
    consent = program.open_authorization_page(ANNA)
    expect_heading(consent, "Lead reader")
    expect_heading(consent, "CRM")
    expect(consent.page.get_by_role("listitem")).to_have_text(
        ["View leads (modules)", "View profile"]
    )
    expect(consent.page.get_by_text(ANNA)).to_be_visible()


def test_accept_redirects_back_with_code_location_accounts_server_and_state(
    program: OAuthProgram,
) -> None:
    program.open_authorization_page(ANNA).accept()
    answer = program.callback.latest_parameters
    assert answer.pop("code").startswith("1000.")
    assert answer == {
        "location": "eu",
        "accounts-server": f"{program.simulator.url}/eu/accounts",
        "state": "opaque",
    }


def test_the_callback_is_a_cross_site_navigation(program: OAuthProgram) -> None:
    program.open_authorization_page(ANNA).accept()
    assert program.callback.headers[-1]["Sec-Fetch-Site"] == "cross-site"


def test_reject_redirects_back_with_access_denied(program: OAuthProgram) -> None:
    program.open_authorization_page(ANNA).reject()
    assert program.callback.latest_parameters == {"error": "access_denied", "state": "opaque"}


def test_a_single_organization_is_not_asked_for(program: OAuthProgram) -> None:
    expect(program.open_authorization_page(ANNA).submit_button).to_have_count(0)


def test_a_choice_of_organizations_binds_the_token_to_the_chosen_one(program: OAuthProgram) -> None:
    consent = program.open_authorization_page(CARLA)
    expect(consent.accept_button).to_be_hidden()
    consent.choose_organization("Zylker GmbH", "Sandbox")
    consent.accept()
    code = program.simulator.world.grants.codes[program.callback.latest_parameters["code"]]
    assert code.permission.organizations == {"crm": "20091000003"}


def test_without_an_account_in_the_product_the_only_button_leads_back(
    program: OAuthProgram,
) -> None:
    consent = program.open_authorization_page(NILS)
    expect(consent.accept_button).to_have_count(0)
    consent.back_to_app()
    assert program.callback.latest_parameters == {"error": "no_org", "state": "opaque"}


@pytest.mark.parametrize(
    ("changes", "title"),
    [
        ({"client_id": "1000.NOBODY"}, "Invalid Client"),
        ({"client_id": ""}, "Invalid response type"),
        ({"response_type": ""}, "Invalid response type"),
        ({"response_type": "fruit"}, "An error occurred"),
        ({"scope": "ZohoCRM.modules.EAT"}, "Invalid OAuth scope"),
        ({"redirect_uri": "http://localhost:1/callback"}, "Invalid Redirect Uri"),
    ],
)
def test_an_error_in_the_request_is_a_page_and_never_redirects(
    program: OAuthProgram, changes: dict[str, str], title: str
) -> None:
    consent = program.open_authorization_page(ANNA, **changes)
    expect_heading(consent, title)
    expect(consent.page).to_have_title(title)
    assert program.callback.queries == []


def test_an_account_elsewhere_sees_that_the_client_is_unknown_there(program: OAuthProgram) -> None:
    expect_heading(program.open_authorization_page(BOB), "Invalid Client")


def test_an_account_elsewhere_consents_there_once_the_client_is_enabled(
    program: OAuthProgram,
) -> None:
    program.simulator.controls.enable_data_center(program.client_id, "in")
    program.open_authorization_page(BOB).accept()
    assert program.callback.latest_parameters["location"] == "in"
    assert (
        program.callback.latest_parameters["accounts-server"]
        == f"{program.simulator.url}/in/accounts"
    )


def test_a_repeated_consent_is_skipped_without_prompt(program: OAuthProgram) -> None:
    program.open_authorization_page(ANNA).accept()
    program.open_authorization_page(prompt="")
    assert len(program.callback.queries) == 2
    code = program.simulator.world.grants.codes[program.callback.latest_parameters["code"]]
    assert not code.issues_refresh_token


def test_more_scopes_than_before_need_a_consent_even_without_prompt(program: OAuthProgram) -> None:
    program.open_authorization_page(ANNA).accept()
    expect(
        program.open_authorization_page(prompt="", scope="ZohoCRM.org.READ").accept_button
    ).to_be_visible()


def test_going_back_from_the_callback_shows_the_consent_again_and_it_still_works(
    program: OAuthProgram,
) -> None:
    consent = program.open_authorization_page(ANNA)
    consent.accept()
    consent.page.go_back()
    consent.accept()
    first, second = (query["code"] for query in program.callback.queries)
    assert first != second


def test_the_eleventh_code_in_ten_minutes_is_refused(program: OAuthProgram) -> None:
    program.simulator.controls.change_settings(code_limit=0)
    program.open_authorization_page(ANNA).accept()
    assert program.callback.latest_parameters["error"] == "access_denied"


def test_with_the_setting_the_request_limit_is_a_page(program: OAuthProgram) -> None:
    program.simulator.controls.change_settings(code_limit=0, code_limit_response="page")
    consent = program.open_authorization_page(ANNA)
    program.person.click(consent.accept_button)
    expect(consent.page.get_by_text("Maximum request limit reached")).to_be_visible()
    assert program.callback.queries == []


def test_an_expired_session_says_so_and_accepts_nothing(program: OAuthProgram) -> None:
    consent = program.open_authorization_page(ANNA)
    program.simulator.world.sessions.by_id.clear()
    program.person.click(consent.accept_button)
    expect(consent.page.get_by_role("alert")).to_contain_text("grown old")
    assert program.callback.queries == []
