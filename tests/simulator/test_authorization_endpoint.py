"""The authorization endpoint: what a browser gets, and consent on its pages."""

from dataclasses import dataclass
from urllib.parse import urlencode

import pytest
import requests
from playwright.sync_api import expect
from support.browser import CallbackServer
from support.zoho_driver import (
    ANNA,
    BOB,
    CARLA,
    NILS,
    REDIRECT_URI,
    SCOPE,
    ZohoDriver,
    query_parameters,
)

from wizard.simulator import authorization_endpoint
from wizard.simulator.authorization_endpoint import (
    AuthorizationRequest,
    ChooseOrganization,
    ConsentRequired,
    NoAccount,
)
from wizard.simulator.server import Simulator
from wizard.simulator.simulated_user import ConsentPage, SignInPage, SimulatedUser

BAD_CLIENT = "client_id=1000.MADEUP&response_type=token"


def _decision(zoho: ZohoDriver, email: str, **changes: str) -> authorization_endpoint.Decision:
    asked = query_parameters(zoho.authorization_url(**changes))
    user = zoho.world.users.get(email)
    return authorization_endpoint.evaluate(zoho.world, AuthorizationRequest.read("eu", asked), user)


@pytest.mark.rule("authorization-is-get-only")
@pytest.mark.parametrize("method", ["POST", "PUT", "HEAD"])
def test_other_methods_than_get_are_refused(zoho: ZohoDriver, method: str) -> None:
    answer = requests.request(method, zoho.authorization_url(), timeout=10)
    assert answer.status_code == 400


@pytest.mark.rule("sign-in-comes-before-the-checks")
@pytest.mark.parametrize("client_id", ["", "1000.MADEUP"])
def test_a_signed_out_browser_is_sent_to_sign_in_first(zoho: ZohoDriver, client_id: str) -> None:
    answer = zoho.open_page(None, zoho.authorization_url(client_id=client_id))
    assert answer.status_code == 302
    assert "/eu/accounts/signin?servicename=" in answer.headers["Location"]


@pytest.mark.rule("unknown-parameters-are-ignored")
def test_unknown_parameters_are_ignored(zoho: ZohoDriver) -> None:
    answer = zoho.open_page(ANNA, zoho.authorization_url(login_hint="x", nonce="y", display="z"))
    assert "Accept" in answer.text


@pytest.mark.rule(
    "unknown-client-is-a-page",
    "missing-parameter-is-a-page",
    "invalid-scope-is-a-page",
    "invalid-redirect-uri-is-a-page",
    "error-pages-are-html",
)
@pytest.mark.parametrize(
    ("wrong", "title"),
    [
        ({"client_id": "1000.MADEUP"}, "Invalid Client"),
        ({"client_id": ""}, "Invalid response type"),
        ({"response_type": ""}, "Invalid response type"),
        ({"scope": ""}, "Invalid OAuth scope"),
        ({"scope": "ZohoCRM.org.READ,Nonsense"}, "Invalid OAuth scope"),
        ({"redirect_uri": ""}, "Invalid Redirect Uri"),
        ({"redirect_uri": REDIRECT_URI + "/"}, "Invalid Redirect Uri"),
    ],
)
def test_an_invalid_request_is_a_page_and_no_redirect(
    zoho: ZohoDriver, wrong: dict[str, str], title: str
) -> None:
    page = zoho.open_page(ANNA, zoho.authorization_url(**wrong))
    assert page.status_code == 200
    assert page.headers["Content-Type"].startswith("text/html")
    assert title in page.text


def test_the_status_of_error_pages_is_a_setting(zoho: ZohoDriver) -> None:
    zoho.controls.change_settings(error_page_status=400)
    assert zoho.open_page(ANNA, zoho.authorization_url(scope="")).status_code == 400


@pytest.mark.rule("other-response-type-is-a-page")
def test_another_response_type_is_a_page_with_500(zoho: ZohoDriver) -> None:
    page = zoho.open_page(ANNA, zoho.authorization_url(response_type="token"))
    assert (page.status_code, "An error occurred" in page.text) == (500, True)


@pytest.mark.rule("pkce-for-mobile-clients")
def test_a_mobile_client_must_send_a_code_challenge(zoho: ZohoDriver) -> None:
    mobile = zoho.controls.register_client(ANNA, [REDIRECT_URI], kind="mobile-based")
    url = zoho.authorization_url(client_id=mobile["client_id"])
    assert "The code challenge is missing" in zoho.open_page(ANNA, url).text
    assert "Accept" in zoho.open_page(ANNA, f"{url}&code_challenge={'x' * 43}").text
    zoho.controls.change_settings(pkce_for_mobile=False)
    assert "Accept" in zoho.open_page(ANNA, url).text


def _fragment(answer: requests.Response) -> dict[str, str]:
    target, _, fragment = answer.headers["Location"].partition("#")
    assert target == REDIRECT_URI
    return query_parameters(f"?{fragment}")


@pytest.mark.rule(
    "client-based-clients-get-tokens",
    "client-based-renewal",
    "client-based-renewal-errors",
    "client-based-renewal-path",
)
@pytest.mark.parametrize("path", ["/oauth/v2/auth/refresh", "/oauth/v2/refresh"])
def test_a_client_based_client_gets_access_tokens_and_renews_them(
    zoho: ZohoDriver, path: str
) -> None:
    browser = zoho.controls.register_client(ANNA, [REDIRECT_URI], kind="client-based")
    changes = {"client_id": browser["client_id"], "response_type": "token", "state": "s"}
    first = zoho.authorize(**changes)
    body = query_parameters(first.replace("#", "?"))
    assert zoho.is_accepted(body.pop("access_token"))
    api_domain = f"{zoho.url}/eu/www"
    rest = {"expires_in": "3600", "location": "eu", "api_domain": api_domain, "state": "s"}
    assert body == rest
    renewal = zoho.authorization_url(**changes).replace("/oauth/v2/auth", path)
    assert zoho.is_accepted(_fragment(zoho.open_page(ANNA, renewal))["access_token"])
    other_scope = renewal.replace("ZohoCRM.org", "Desk.basic")
    refused = ((None, renewal), (CARLA, renewal), (ANNA, other_scope))
    errors = [_fragment(zoho.open_page(*each))["error"] for each in refused]
    assert errors == ["prompt_required", "client_not_granted", "client_not_granted"]
    assert "Invalid Client" in zoho.open_page(ANNA, f"{zoho.url_for(path)}?{BAD_CLIENT}").text


@pytest.mark.rule("reject-is-access-denied")
def test_reject_redirects_back_with_access_denied(zoho: ZohoDriver) -> None:
    asked = AuthorizationRequest.read("eu", query_parameters(zoho.authorization_url(state="s 1")))
    url = authorization_endpoint.reject(zoho.world, asked)
    assert url == f"{REDIRECT_URI}?state=s+1&error=access_denied"


@pytest.mark.rule("consent-describes-scopes")
def test_the_consent_page_names_the_client_and_the_scopes_in_words(zoho: ZohoDriver) -> None:
    page = zoho.open_page(ANNA, zoho.authorization_url()).text
    words = ("A client", "CRM", "View org", "View profile", "Accept", "Reject")
    assert all(word in page for word in words)


@pytest.mark.rule("organization-step-where-there-is-a-choice")
def test_only_a_choice_of_organizations_is_asked_about(zoho: ZohoDriver) -> None:
    assert isinstance(_decision(zoho, ANNA), ConsentRequired)
    choice = _decision(zoho, CARLA)
    assert isinstance(choice, ChooseOrganization)
    assert [(each.name, each.environment) for each in choice.choices["crm"]] == [
        ("Zylker GmbH", "Production"),
        ("Zylker Outlet", "Production"),
        ("Zylker GmbH", "Sandbox"),
    ]
    assert isinstance(_decision(zoho, CARLA, scope="ZohoBooks.settings.READ"), ConsentRequired)
    with pytest.raises(ValueError, match="several organizations"):
        zoho.authorize(CARLA)


@pytest.mark.rule(
    "tokens-are-bound-to-the-organization", "revoking-one-organization-leaves-the-others"
)
def test_a_token_reaches_the_chosen_organization_and_is_revoked_separately(
    zoho: ZohoDriver,
) -> None:
    outlet = zoho.issue_tokens(CARLA, "20091000002")
    other_environment = zoho.issue_tokens(CARLA, "20091000003")
    refreshed = zoho.refresh(outlet["refresh_token"]).json()["access_token"]
    assert zoho.call_api(refreshed).json()["org"][0]["company_name"] == "Zylker Outlet"
    assert zoho.call_api(other_environment["access_token"]).json()["org"][0]["type"] == "Sandbox"
    revoke = zoho.url_for("/oauth/v2/token/revoke")
    requests.post(revoke, data={"token": outlet["refresh_token"]}, timeout=10)
    assert not zoho.is_accepted(refreshed)
    assert zoho.is_accepted(other_environment["access_token"])


@pytest.mark.rule("no-account-is-no-org")
def test_a_user_without_an_account_is_sent_back_with_no_org(zoho: ZohoDriver) -> None:
    assert isinstance(_decision(zoho, NILS), NoAccount)
    page = zoho.open_page(NILS, zoho.authorization_url()).text
    assert "Back to app" in page
    assert query_parameters(zoho.authorize(NILS, state="s")) == {"error": "no_org", "state": "s"}


@pytest.mark.rule("silent-re-authorization", "silent-code-returns-no-refresh-token")
def test_a_second_consent_is_silent_and_returns_no_refresh_token(zoho: ZohoDriver) -> None:
    zoho.issue_tokens()
    answer = zoho.open_page(ANNA, zoho.authorization_url(prompt=""))
    assert answer.status_code == 302
    body = zoho.exchange(query_parameters(answer.headers["Location"])["code"]).json()
    assert "access_token" in body
    assert "refresh_token" not in body


def test_a_first_consent_is_shown_even_without_prompt(zoho: ZohoDriver) -> None:
    assert "refresh_token" in zoho.issue_tokens(prompt="")


def test_different_scopes_than_before_need_a_consent(zoho: ZohoDriver) -> None:
    zoho.issue_tokens()
    wider = zoho.authorization_url(prompt="", scope=SCOPE + ",ZohoCRM.users.READ")
    assert "Accept" in zoho.open_page(ANNA, wider).text


def test_prompt_consent_shows_the_page_again(zoho: ZohoDriver) -> None:
    zoho.issue_tokens()
    assert "Accept" in zoho.open_page(ANNA, zoho.authorization_url()).text


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


def test_the_reject_button_redirects_back_with_access_denied(program: OAuthProgram) -> None:
    program.open_authorization_page(ANNA).reject()
    assert program.callback.latest_parameters == {"error": "access_denied", "state": "opaque"}


@pytest.mark.slow
def test_a_single_organization_is_not_asked_for(program: OAuthProgram) -> None:
    expect(program.open_authorization_page(ANNA).submit_button).to_have_count(0)


def test_a_choice_of_organizations_binds_the_token_to_the_chosen_one(program: OAuthProgram) -> None:
    consent = program.open_authorization_page(CARLA)
    expect(consent.accept_button).to_be_hidden()
    consent.choose_organization("Zylker GmbH", "Sandbox")
    consent.accept()
    code = program.simulator.world.grants.codes[program.callback.latest_parameters["code"]]
    assert code.permission.organizations == {"crm": "20091000003"}


@pytest.mark.slow
def test_without_an_account_in_the_product_the_only_button_leads_back(
    program: OAuthProgram,
) -> None:
    consent = program.open_authorization_page(NILS)
    expect(consent.accept_button).to_have_count(0)
    consent.back_to_app()
    assert program.callback.latest_parameters == {"error": "no_org", "state": "opaque"}


@pytest.mark.slow
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


@pytest.mark.slow
def test_an_account_elsewhere_sees_that_the_client_is_unknown_there(program: OAuthProgram) -> None:
    expect_heading(program.open_authorization_page(BOB), "Invalid Client")


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_repeated_consent_is_skipped_without_prompt(program: OAuthProgram) -> None:
    program.open_authorization_page(ANNA).accept()
    program.open_authorization_page(prompt="")
    assert len(program.callback.queries) == 2
    code = program.simulator.world.grants.codes[program.callback.latest_parameters["code"]]
    assert not code.issues_refresh_token


@pytest.mark.slow
def test_more_scopes_than_before_need_a_consent_even_without_prompt(program: OAuthProgram) -> None:
    program.open_authorization_page(ANNA).accept()
    expect(
        program.open_authorization_page(prompt="", scope="ZohoCRM.org.READ").accept_button
    ).to_be_visible()


@pytest.mark.slow
def test_going_back_from_the_callback_shows_the_consent_again_and_it_still_works(
    program: OAuthProgram,
) -> None:
    consent = program.open_authorization_page(ANNA)
    consent.accept()
    consent.page.go_back()
    consent.accept()
    first, second = (query["code"] for query in program.callback.queries)
    assert first != second


@pytest.mark.slow
def test_the_eleventh_code_in_ten_minutes_is_refused(program: OAuthProgram) -> None:
    program.simulator.controls.change_settings(code_limit=0)
    program.open_authorization_page(ANNA).accept()
    assert program.callback.latest_parameters["error"] == "access_denied"


@pytest.mark.slow
def test_with_the_setting_the_request_limit_is_a_page(program: OAuthProgram) -> None:
    program.simulator.controls.change_settings(code_limit=0, code_limit_response="page")
    consent = program.open_authorization_page(ANNA)
    program.person.click(consent.accept_button)
    expect(consent.page.get_by_text("Maximum request limit reached")).to_be_visible()
    assert program.callback.queries == []


@pytest.mark.slow
def test_an_expired_session_says_so_and_accepts_nothing(program: OAuthProgram) -> None:
    consent = program.open_authorization_page(ANNA)
    program.simulator.world.sessions.by_id.clear()
    program.person.click(consent.accept_button)
    expect(consent.page.get_by_role("alert")).to_contain_text("expired")
    assert program.callback.queries == []
