"""The account endpoints as programs use them."""

import pytest
import requests
from authlib.oidc.core import CodeIDToken
from joserfc import jws, jwt
from joserfc.errors import BadSignatureError, UnsupportedHeaderError
from joserfc.jwk import KeySet
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


@pytest.mark.rule("userinfo-for-profile-alone")
def test_userinfo_for_the_scope_profile_alone_is_a_page(zoho: ZohoDriver) -> None:
    token = zoho.issue_tokens(scope="profile")["access_token"]
    answer = _get(zoho, "/oauth/v2/userinfo", token)
    assert answer.status_code == 400
    assert "<title>Zoho Accounts</title>" in answer.text
    zoho.controls.change_settings(userinfo_for_profile_alone="claims")
    assert _get(zoho, "/oauth/v2/userinfo", token).json()["name"] == "Anna Berg"


@pytest.mark.rule("user-info-405")
def test_the_older_user_info_has_status_405_for_a_missing_scope(zoho: ZohoDriver) -> None:
    zoho.controls.change_settings(user_info_scope_error="405")
    token = zoho.issue_tokens(scope="ZohoCRM.org.READ")["access_token"]
    answer = _get(zoho, "/oauth/user/info", token)
    assert (answer.status_code, answer.json()) == (200, {"status_code": 405})


@pytest.mark.rule("no-v2-user-info")
def test_the_path_some_projects_call_does_not_exist(zoho: ZohoDriver) -> None:
    assert _get(zoho, "/oauth/v2/user/info", zoho.issue_tokens()["access_token"]).status_code == 404


@pytest.mark.rule("openid-discovery")
def test_discovery_promises_only_what_is_served(zoho: ZohoDriver) -> None:
    body = _get(zoho, "/.well-known/openid-configuration").json()
    assert body["issuer"] == f"{zoho.url}/eu/accounts"
    assert body["token_endpoint"] == f"{zoho.url}/eu/accounts/oauth/v2/token"
    served = [body[name] for name in body if name.endswith(("_endpoint", "_uri"))]
    assert all(_get(zoho, each.removeprefix(body["issuer"])).status_code != 404 for each in served)
    assert _get(zoho, "/.well-known/oauth-authorization-server").status_code == 404


@pytest.mark.rule("id-token-for-openid", "id-token-signature", "id-token-nonce")
def test_an_id_token_is_verified_with_the_published_keys_as_authlib_does(zoho: ZohoDriver) -> None:
    assert "id_token" not in zoho.issue_tokens()
    metadata = _get(zoho, "/.well-known/openid-configuration").json()
    keys = KeySet.import_key_set(requests.get(metadata["jwks_uri"], timeout=10).json())
    registry = jws.JWSRegistry(
        algorithms=metadata["id_token_signing_alg_values_supported"], strict_check_header=False
    )
    for access_type in ("offline", "online"):
        changes = {"access_type": access_type, "nonce": "only once"}
        issued = zoho.issue_tokens(scope="openid email profile", **changes)
        verified = jwt.decode(issued["id_token"], keys, registry=registry)
        claims = CodeIDToken(
            verified.claims,
            verified.header,
            {
                "iss": {"essential": True, "value": metadata["issuer"]},
                "aud": {"essential": True, "value": zoho.client_id},
            },
            {
                "nonce": "only once",
                "client_id": zoho.client_id,
                "access_token": issued["access_token"],
            },
        )
        claims.validate()
        assert (claims["email"], claims["name"]) == ("anna@zylker.example", "Anna Berg")
    header, payload, signature = issued["id_token"].split(".")
    with pytest.raises(BadSignatureError):
        jwt.decode(f"{header}.{payload}A.{signature}", keys, registry=registry)


@pytest.mark.rule("id-token-key-id")
def test_a_strict_library_refuses_the_key_id_in_the_header(zoho: ZohoDriver) -> None:
    issued = zoho.issue_tokens(scope="openid")["id_token"]
    keys = KeySet.import_key_set(_get(zoho, "/oauth/v2/keys").json())
    with pytest.raises(UnsupportedHeaderError):
        jwt.decode(issued, keys, algorithms=["RS256"])
    zoho.controls.change_settings(id_token_key_id=False)
    token = jwt.decode(zoho.issue_tokens(scope="openid")["id_token"], keys, algorithms=["RS256"])
    assert "key_id" not in token.header
