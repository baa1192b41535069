"""The authorization endpoint: the pages and redirects that a browser gets."""

import pytest
import requests
from support.zoho_driver import ANNA, CARLA, NILS, REDIRECT_URI, SCOPE, ZohoDriver, query_parameters

from wizard.simulator import authorization_endpoint
from wizard.simulator.authorization_endpoint import (
    AuthorizationRequest,
    ChooseOrganization,
    ConsentRequired,
    NoAccount,
)


def _decision(zoho: ZohoDriver, email: str, **changes: str) -> authorization_endpoint.Decision:
    asked = query_parameters(zoho.authorization_url(**changes))
    user = zoho.world.users.get(email)
    return authorization_endpoint.evaluate(zoho.world, AuthorizationRequest.read("eu", asked), user)


@pytest.mark.rule("authorization-is-get-only")
@pytest.mark.parametrize("method", ["POST"])
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


@pytest.mark.rule("reject-is-access-denied")
def test_reject_redirects_back_with_access_denied(zoho: ZohoDriver) -> None:
    asked = AuthorizationRequest.read("eu", query_parameters(zoho.authorization_url(state="s 1")))
    url = authorization_endpoint.reject(zoho.world, asked)
    assert url == f"{REDIRECT_URI}?error=access_denied&state=s+1"


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
