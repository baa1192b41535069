"""Who am I, as programs ask it."""

import pytest
import requests
from zoho_driver import Zoho


def _ask(zoho: Zoho, path: str, token: str = "") -> requests.Response:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return requests.get(zoho.at(path), headers=headers, timeout=10)


@pytest.mark.rule("user-info", "scope-case")
@pytest.mark.parametrize("scope", ["AaaServer.profile.READ", "aaaserver.profile.read"])
def test_user_info_says_who_consented(zoho: Zoho, scope: str) -> None:
    token = zoho.tokens(scope=scope)["access_token"]
    body = _ask(zoho, "/oauth/user/info", token).json()
    zuid = body.pop("ZUID")
    assert isinstance(zuid, int)
    assert body == {
        "First_Name": "Anna",
        "Last_Name": "Berg",
        "Display_Name": "Anna Berg",
        "Email": "anna@zylker.example",
    }


@pytest.mark.rule("user-info-refusals")
def test_user_info_refuses_dead_tokens_and_other_scopes(zoho: Zoho) -> None:
    other = zoho.tokens(scope="ZohoCRM.org.READ")["access_token"]
    said = []
    for token in ("", "1000.dead", other):
        answer = _ask(zoho, "/oauth/user/info", token)
        assert (answer.status_code, answer.json()["response"]) == (401, "error")
        said.append(answer.json()["cause"])
    assert said == ["INVALID_OAUTHTOKEN", "INVALID_OAUTHTOKEN", "INVALID_OAUTHSCOPE"]


@pytest.mark.rule("openid-userinfo")
def test_userinfo_tells_the_address_only_to_the_scope_email(zoho: Zoho) -> None:
    profile = zoho.tokens(scope="openid profile")["access_token"]
    assert set(_ask(zoho, "/oauth/v2/userinfo", profile).json()) == {
        "sub",
        "name",
        "first_name",
        "last_name",
    }
    email = zoho.tokens(scope="openid email")["access_token"]
    assert _ask(zoho, "/oauth/v2/userinfo", email).json()["email"] == "anna@zylker.example"
    crm = zoho.tokens(scope="ZohoCRM.org.READ")["access_token"]
    assert _ask(zoho, "/oauth/v2/userinfo", crm).status_code == 401
    assert _ask(zoho, "/oauth/v2/userinfo").status_code == 401


@pytest.mark.rule("no-v2-user-info")
def test_the_path_some_projects_call_does_not_exist(zoho: Zoho) -> None:
    assert _ask(zoho, "/oauth/v2/user/info", zoho.tokens()["access_token"]).status_code == 404


@pytest.mark.rule("openid-discovery")
def test_discovery_names_the_endpoints(zoho: Zoho) -> None:
    body = _ask(zoho, "/.well-known/openid-configuration").json()
    assert body["issuer"] == f"{zoho.url}/eu/accounts"
    assert body["token_endpoint"] == f"{zoho.url}/eu/accounts/oauth/v2/token"
    assert _ask(zoho, "/.well-known/oauth-authorization-server").status_code == 404
