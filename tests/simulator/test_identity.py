"""The account endpoints as programs use them."""

import pytest
import requests
from support.zoho_driver import ZohoDriver


def _get(zoho: ZohoDriver, path: str, token: str = "") -> requests.Response:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return requests.get(zoho.url_for(path), headers=headers, timeout=10)


@pytest.mark.rule("user-info", "scope-case")
@pytest.mark.parametrize("scope", ["AaaServer.profile.READ", "aaaserver.profile.read"])
def test_user_info_says_who_consented(zoho: ZohoDriver, scope: str) -> None:
    token = zoho.issue_tokens(scope=scope)["access_token"]
    body = _get(zoho, "/oauth/user/info", token).json()
    zuid = body.pop("ZUID")
    assert isinstance(zuid, int)
    assert body == {
        "First_Name": "Anna",
        "Last_Name": "Berg",
        "Display_Name": "Anna Berg",
        "Email": "anna@zylker.example",
    }


@pytest.mark.rule("user-info-errors")
def test_user_info_refuses_revoked_tokens_and_other_scopes(zoho: ZohoDriver) -> None:
    other = zoho.issue_tokens(scope="ZohoCRM.org.READ")["access_token"]
    said = []
    for token in ("", "1000.dead", other):
        answer = _get(zoho, "/oauth/user/info", token)
        assert (answer.status_code, answer.json()["response"]) == (401, "error")
        said.append(answer.json()["cause"])
    assert said == ["INVALID_OAUTHTOKEN", "INVALID_OAUTHTOKEN", "INVALID_OAUTHSCOPE"]


@pytest.mark.rule("openid-userinfo")
def test_userinfo_returns_the_email_address_only_with_the_scope_email(zoho: ZohoDriver) -> None:
    profile = zoho.issue_tokens(scope="openid profile")["access_token"]
    assert set(_get(zoho, "/oauth/v2/userinfo", profile).json()) == {
        "sub",
        "name",
        "first_name",
        "last_name",
    }
    email = zoho.issue_tokens(scope="openid email")["access_token"]
    assert _get(zoho, "/oauth/v2/userinfo", email).json()["email"] == "anna@zylker.example"
    crm = zoho.issue_tokens(scope="ZohoCRM.org.READ")["access_token"]
    assert _get(zoho, "/oauth/v2/userinfo", crm).status_code == 401
    assert _get(zoho, "/oauth/v2/userinfo").status_code == 401


@pytest.mark.rule("no-v2-user-info")
def test_the_path_some_projects_call_does_not_exist(zoho: ZohoDriver) -> None:
    assert _get(zoho, "/oauth/v2/user/info", zoho.issue_tokens()["access_token"]).status_code == 404


@pytest.mark.rule("openid-discovery")
def test_discovery_names_the_endpoints(zoho: ZohoDriver) -> None:
    body = _get(zoho, "/.well-known/openid-configuration").json()
    assert body["issuer"] == f"{zoho.url}/eu/accounts"
    assert body["token_endpoint"] == f"{zoho.url}/eu/accounts/oauth/v2/token"
    assert _get(zoho, "/.well-known/oauth-authorization-server").status_code == 404
