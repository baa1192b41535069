"""Incremental authorization: the enhancement token, the page for extra scopes, and its callback."""

from typing import Any
from urllib.parse import urlencode

import pytest
import requests
from playwright.sync_api import expect
from support.browser import CallbackServer
from support.zoho_driver import ANNA, CARLA, NILS, REDIRECT_URI, ZohoDriver, query_parameters

from wizard.simulator.simulated_user import ConsentPage, SignInPage, SimulatedUser

GRANTED = "ZohoCRM.org.READ AaaServer.profile.READ"
NEW = "ZohoBooks.settings.READ"
SUCCESS = {"status": "success", "scope_enhanced": "true"}


def _enhance(zoho: ZohoDriver, refresh_token: str, **changes: str) -> requests.Response:
    said = {**zoho.credentials, "grant_type": "update_scopes_token", "refresh_token": refresh_token}
    address = zoho.url_for("/oauth/v2/token/scopeenhance")
    return requests.post(address, data={**said, **changes}, timeout=10)


def _enhancement_token(zoho: ZohoDriver, refresh_token: str) -> str:
    return str(_enhance(zoho, refresh_token).json()["access_token"])


def _page(zoho: ZohoDriver, enhancement_token: str, **changes: str) -> str:
    query = {
        "client_id": zoho.client_id,
        "response_type": "update_scopes",
        "redirect_uri": REDIRECT_URI,
        "scope": NEW,
        "enhance_token": enhancement_token,
        "logout": "true",
    }
    return zoho.url_for(f"/oauth/v2/token/addextrascope?{urlencode({**query, **changes})}")


@pytest.fixture
def tokens(zoho: ZohoDriver) -> dict[str, Any]:
    return zoho.issue_tokens()


@pytest.mark.rule("enhancement-token", "extra-scopes-follow-at-the-next-refresh")
def test_the_same_refresh_token_has_the_added_scopes(
    zoho: ZohoDriver, tokens: dict[str, Any]
) -> None:
    enhanced = _enhance(zoho, tokens["refresh_token"])
    assert enhanced.status_code == 200
    body = enhanced.json()
    assert (body.pop("token_type"), body.pop("expires_in")) == ("Bearer", 600)
    assert list(body) == ["access_token"]
    assert not zoho.is_accepted(body["access_token"])
    callback = zoho.controls.accept_extra_scopes(_page(zoho, body["access_token"]), ANNA)
    assert query_parameters(callback) == SUCCESS
    path = "/books/v3/organizations"
    assert not zoho.call_api(tokens["access_token"], path).ok
    refreshed = zoho.refresh(tokens["refresh_token"]).json()
    assert refreshed["scope"] == f"{GRANTED} {NEW}"
    assert zoho.call_api(refreshed["access_token"], path).ok
    silent = zoho.authorization_url(prompt="", scope=f"{GRANTED} {NEW}")
    assert zoho.open_page(ANNA, silent).status_code == 302


@pytest.mark.rule(
    "enhancement-errors", "enhancement-without-grant-type", "enhancement-for-server-based-clients"
)
def test_the_errors_of_an_enhancement_are_http_400(
    zoho: ZohoDriver, tokens: dict[str, Any]
) -> None:
    mobile = zoho.controls.register_client(ANNA, [REDIRECT_URI], kind="mobile-based")
    theirs = {"client_id": mobile["client_id"], "client_secret": mobile["secrets"]["eu"]}
    said = []
    for changes in ({"client_id": "1000.NOBODY"}, theirs, {"client_secret": "wrong"}):
        said.append(_enhance(zoho, tokens["refresh_token"], **changes))
    said += [_enhance(zoho, "1000.dead"), _enhance(zoho, tokens["access_token"])]
    assert {each.status_code for each in said} == {400}
    codes = [each.json()["error"] for each in said]
    assert codes == ["invalid_client"] * 2 + ["invalid_client_secret"] + ["invalid_code"] * 2
    for grant_type in ("", "refresh_token"):
        answer = _enhance(zoho, tokens["refresh_token"], grant_type=grant_type)
        assert answer.status_code == 400
        assert answer.headers["Content-Type"].startswith("text/html")


@pytest.mark.rule("enhancement-token-expires", "enhancement-token-is-single-use")
def test_an_enhancement_token_expires_and_works_once(
    zoho: ZohoDriver, tokens: dict[str, Any]
) -> None:
    late, used = (_enhancement_token(zoho, tokens["refresh_token"]) for _ in range(2))
    zoho.controls.accept_extra_scopes(_page(zoho, used), ANNA)
    for each in (used, "1000.dead", tokens["access_token"]):
        with pytest.raises(ValueError, match="Invalid Token"):
            zoho.controls.accept_extra_scopes(_page(zoho, each), ANNA)
    assert "Accept" in zoho.open_page(ANNA, _page(zoho, late, scope="Desk.basic.READ")).text
    zoho.controls.advance(600)
    assert "Invalid Token" in zoho.open_page(ANNA, _page(zoho, late)).text


@pytest.mark.rule("extra-scope-page-shows-what-is-new", "extra-scope-page-may-be-skipped")
def test_the_page_shows_only_what_is_new(zoho: ZohoDriver, tokens: dict[str, Any]) -> None:
    enhancement = _enhancement_token(zoho, tokens["refresh_token"])
    page = zoho.open_page(ANNA, _page(zoho, enhancement, scope=f"ZohoCRM.org.READ,{NEW}"))
    assert "View settings" in page.text
    assert "View org" not in page.text
    nothing = zoho.open_page(ANNA, _page(zoho, enhancement, scope="zohocrm.org.read"))
    assert query_parameters(nothing.headers["Location"]) == SUCCESS


@pytest.mark.rule(
    "extra-scope-errors-are-pages", "extra-scope-requires-logout", "extra-scope-of-another-user"
)
@pytest.mark.parametrize(
    ("email", "wrong", "title"),
    [
        (ANNA, {"client_id": "1000.MADEUP"}, "Invalid Client"),
        (ANNA, {"redirect_uri": REDIRECT_URI + "/"}, "Invalid Redirect Uri"),
        (ANNA, {"response_type": "code"}, "Invalid response type"),
        (ANNA, {"logout": ""}, "Invalid response type"),
        (ANNA, {"scope": "ZohoProjects.settings.ALL"}, "Invalid OAuth scope"),
        (CARLA, {}, "Invalid Token"),
    ],
)
def test_an_error_is_a_page_after_sign_in(
    zoho: ZohoDriver, tokens: dict[str, Any], email: str, wrong: dict[str, str], title: str
) -> None:
    url = _page(zoho, _enhancement_token(zoho, tokens["refresh_token"]), **wrong)
    assert "/signin?" in zoho.open_page(None, url).headers["Location"]
    page = zoho.open_page(email, url)
    assert (page.status_code, f"<h1>{title}</h1>" in page.text) == (200, True)


def test_a_product_that_is_added_needs_its_organization(zoho: ZohoDriver) -> None:
    first = zoho.issue_tokens(CARLA, scope=NEW)["refresh_token"]
    url = _page(zoho, _enhancement_token(zoho, first), scope="ZohoCRM.org.READ")
    with pytest.raises(ValueError, match="several organizations"):
        zoho.controls.accept_extra_scopes(url, CARLA)
    zoho.controls.accept_extra_scopes(url, CARLA, "20091000002")
    token = zoho.refresh(first).json()["access_token"]
    assert zoho.call_api(token).json()["org"][0]["company_name"] == "Zylker Outlet"
    second = zoho.issue_tokens(NILS, scope="AaaServer.profile.READ")["refresh_token"]
    url = _page(zoho, _enhancement_token(zoho, second), scope="ZohoCRM.org.READ")
    callback = zoho.controls.accept_extra_scopes(url, NILS)
    assert query_parameters(callback) == {"error": "no_org"}


def test_an_enhancement_token_is_saved_with_the_world(
    zoho: ZohoDriver, tokens: dict[str, Any]
) -> None:
    url = _page(zoho, _enhancement_token(zoho, tokens["refresh_token"]))
    zoho.world.load(zoho.world.to_dict())
    assert query_parameters(zoho.controls.accept_extra_scopes(url, ANNA)) == SUCCESS


@pytest.mark.slow
@pytest.mark.rule("extra-scope-callback", "extra-scope-logout")
def test_a_user_rejects_and_later_accepts_in_the_browser(
    zoho: ZohoDriver, tokens: dict[str, Any], callback: CallbackServer, person: SimulatedUser
) -> None:
    zoho.world.clients.get(zoho.client_id).redirect_uris.append(callback.redirect_uri)
    enhancement = _enhancement_token(zoho, tokens["refresh_token"])

    def answer(decision: str, logout: str, is_signed_out: bool = True) -> dict[str, str]:
        person.go(
            _page(zoho, enhancement, redirect_uri=callback.redirect_uri, logout=logout, state="s")
        )
        if is_signed_out:
            SignInPage(person).sign_in(ANNA, zoho.world.users.get(ANNA).password)
        consent = ConsentPage(person)
        expect(consent.page.get_by_role("listitem")).to_have_text(["View settings"])
        getattr(consent, decision)()
        return callback.latest_parameters

    assert answer("reject", "true") == {"error": "access_denied"}
    assert zoho.refresh(tokens["refresh_token"]).json()["scope"] == GRANTED
    assert answer("reject", "false") == {"error": "access_denied"}
    assert answer("accept", "true", is_signed_out=False) == SUCCESS
    assert zoho.refresh(tokens["refresh_token"]).json()["scope"] == f"{GRANTED} {NEW}"
    assert not any(each.zuid for each in zoho.world.sessions.by_id.values())
