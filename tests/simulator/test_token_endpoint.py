"""The token endpoint: its parameters, its responses, its errors."""

import base64
import hashlib
import re
from typing import Any

import pytest
import requests
from support.zoho_driver import CARLA, REDIRECT_URI, ZohoDriver

TOKEN = re.compile(r"1000\.[0-9a-f]{32}\.[0-9a-f]{32}")
VERIFIER = "a-verifier-of-at-least-forty-three-characters-0123456789"
S256 = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()


@pytest.mark.rule("token-response-shape", "code-format", "offline-returns-a-refresh-token")
def test_an_offline_code_with_consent_returns_both_tokens(zoho: ZohoDriver) -> None:
    code = zoho.authorization_code()
    answer = zoho.exchange(code)
    body = answer.json()
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/json;charset=UTF-8"
    assert answer.headers["Server"] == "ZGS"
    assert {"iamcsr", "_zcsr_tmp"} <= set(answer.cookies.keys())
    assert all(
        TOKEN.fullmatch(each) for each in (code, body["access_token"], body["refresh_token"])
    )
    assert body["api_domain"] == f"{zoho.url}/eu/www"
    assert (body["token_type"], body["expires_in"]) == ("Bearer", 3600)
    assert set(body) == {
        "access_token", "refresh_token", "scope", "api_domain", "token_type", "expires_in",
    }  # fmt: skip


@pytest.mark.rule("online-returns-no-refresh-token")
@pytest.mark.parametrize("access_type", ["", "online"])
def test_an_online_code_returns_no_refresh_token(zoho: ZohoDriver, access_type: str) -> None:
    assert "refresh_token" not in zoho.issue_tokens(access_type=access_type)


@pytest.mark.rule("token-response-is-one-line")
def test_the_response_is_one_line_without_a_line_ending(zoho: ZohoDriver) -> None:
    assert "\n" not in zoho.exchange(zoho.authorization_code()).text


@pytest.mark.rule("scope-is-echoed-with-spaces", "scope-separators")
@pytest.mark.parametrize("separator", [",", " ", ", "])
def test_scopes_requested_with_commas_or_blanks_are_returned_with_blanks(
    zoho: ZohoDriver, separator: str
) -> None:
    asked = ["ZohoCRM.org.READ", "ZohoCRM.users.READ"]
    assert zoho.issue_tokens(scope=separator.join(asked))["scope"] == " ".join(asked)


def test_the_separator_of_the_response_is_a_setting(zoho: ZohoDriver) -> None:
    zoho.controls.change_settings(scope_separator=",")
    assert zoho.issue_tokens()["scope"] == "ZohoCRM.org.READ,AaaServer.profile.READ"


@pytest.mark.rule("legacy-milliseconds")
def test_the_legacy_format_has_milliseconds_next_to_seconds(zoho: ZohoDriver) -> None:
    zoho.controls.change_settings(legacy_expires_in_sec=True)
    body = zoho.issue_tokens()
    assert (body["expires_in_sec"], body["expires_in"]) == (3600, 3_600_000)


@pytest.mark.rule("refresh-tokens-do-not-rotate")
def test_a_refresh_returns_no_refresh_token_and_can_be_repeated(zoho: ZohoDriver) -> None:
    refresh_token = zoho.issue_tokens()["refresh_token"]
    first, second = zoho.refresh(refresh_token).json(), zoho.refresh(refresh_token).json()
    assert "refresh_token" not in first
    assert zoho.is_accepted(first["access_token"])
    assert zoho.is_accepted(second["access_token"])


@pytest.mark.rule("refresh-tokens-may-rotate")
def test_a_rotated_refresh_token_is_replaced_and_its_access_tokens_remain_valid(
    zoho: ZohoDriver,
) -> None:
    zoho.controls.change_settings(refresh_token_rotation="on")
    first = zoho.issue_tokens()
    second = zoho.refresh(first["refresh_token"]).json()
    assert second["refresh_token"] != first["refresh_token"]
    assert zoho.refresh(first["refresh_token"]).json() == {"error": "invalid_code"}
    assert zoho.is_accepted(first["access_token"])
    assert "refresh_token" in zoho.refresh(second["refresh_token"]).json()


@pytest.mark.rule("a-replaced-refresh-token-may-revoke-its-successors")
def test_reusing_a_replaced_refresh_token_revokes_its_successors(zoho: ZohoDriver) -> None:
    zoho.controls.change_settings(refresh_token_rotation="reuse-detection")
    first, other = zoho.issue_tokens(), zoho.issue_tokens()
    second = zoho.refresh(first["refresh_token"]).json()
    third = zoho.refresh(second["refresh_token"]).json()
    assert zoho.refresh(first["refresh_token"]).json() == {"error": "invalid_code"}
    assert zoho.refresh(third["refresh_token"]).json() == {"error": "invalid_code"}
    assert not zoho.is_accepted(third["access_token"])
    assert zoho.is_accepted(other["access_token"])


@pytest.mark.rule("a-refresh-may-repeat-its-access-token")
def test_a_refresh_returns_the_same_access_token_while_it_is_valid(zoho: ZohoDriver) -> None:
    zoho.controls.change_settings(access_token_reuse=True)
    first = zoho.issue_tokens()
    zoho.controls.advance(600)
    again = zoho.refresh(first["refresh_token"]).json()
    assert again["access_token"] == first["access_token"]
    assert first["expires_in"] - 660 < again["expires_in"] <= first["expires_in"] - 600
    zoho.controls.advance(again["expires_in"] + 1)
    assert zoho.refresh(first["refresh_token"]).json()["access_token"] != first["access_token"]


@pytest.mark.rule("refresh-keeps-the-scopes")
def test_a_refresh_cannot_extend_the_scopes(zoho: ZohoDriver) -> None:
    body = zoho.issue_tokens()
    wider = zoho.refresh(body["refresh_token"], scope="ZohoCRM.modules.ALL").json()
    assert wider["scope"] == body["scope"]


@pytest.mark.rule("token-endpoint-is-post-only")
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_other_methods_than_post_are_400_and_html(zoho: ZohoDriver, method: str) -> None:
    answer = requests.request(method, zoho.url_for("/oauth/v2/token"), timeout=10)
    assert answer.status_code == 400
    assert answer.headers["Content-Type"].startswith("text/html")


def _refresh_parameters(zoho: ZohoDriver) -> dict[str, str]:
    return {
        **zoho.credentials,
        "grant_type": "refresh_token",
        "refresh_token": zoho.issue_tokens()["refresh_token"],
    }


@pytest.mark.rule("parameters-in-query", "parameters-urlencoded", "parameters-multipart")
@pytest.mark.parametrize("travel", ["params", "data", "files"])
def test_parameters_are_sent_in_query_or_body(zoho: ZohoDriver, travel: str) -> None:
    request: dict[str, Any] = dict(_refresh_parameters(zoho))
    if travel == "files":
        request = {name: (None, value) for name, value in request.items()}
    options: dict[str, Any] = {travel: request}
    answer = requests.post(zoho.url_for("/oauth/v2/token"), timeout=10, **options)
    assert "access_token" in answer.json()


def test_a_query_with_a_json_content_type_and_no_body_is_accepted(zoho: ZohoDriver) -> None:
    headers = {"Content-Type": "application/json"}
    address = zoho.url_for("/oauth/v2/token")
    answer = requests.post(address, params=_refresh_parameters(zoho), headers=headers, timeout=10)
    assert "access_token" in answer.json()


@pytest.mark.rule("client-by-basic")
def test_the_client_may_use_basic_authorization(zoho: ZohoDriver) -> None:
    request = _refresh_parameters(zoho)
    basic = request.pop("client_id"), request.pop("client_secret")
    answer = requests.post(zoho.url_for("/oauth/v2/token"), data=request, auth=basic, timeout=10)
    assert "access_token" in answer.json()


@pytest.mark.rule("json-body-is-ignored")
def test_a_json_body_is_ignored(zoho: ZohoDriver) -> None:
    answer = requests.post(
        zoho.url_for("/oauth/v2/token"), json=_refresh_parameters(zoho), timeout=10
    )
    assert answer.status_code == 400


@pytest.mark.rule("missing-grant-type")
def test_a_request_without_grant_type_is_400(zoho: ZohoDriver) -> None:
    assert zoho.request_token(code="x").status_code == 400


@pytest.mark.rule("invalid-client", "errors-are-http-200")
@pytest.mark.parametrize(
    "wrong",
    [{"client_id": ""}, {"client_id": "1000.NOBODY"}, {"grant_type": "password"}],
    ids=["missing", "unknown", "grant_type"],
)
def test_an_unknown_client_or_grant_type_is_invalid_client(
    zoho: ZohoDriver, wrong: dict[str, str]
) -> None:
    answer = zoho.exchange(zoho.authorization_code(), **wrong)
    assert (answer.status_code, answer.text) == (200, '{"error":"invalid_client"}')


@pytest.mark.rule("invalid-client-secret", "failed-exchange-keeps-the-code")
@pytest.mark.parametrize("secret", ["", "wrong"])
def test_a_wrong_secret_is_reported_and_does_not_use_up_the_code(
    zoho: ZohoDriver, secret: str
) -> None:
    code = zoho.authorization_code()
    answer = zoho.exchange(code, client_secret=secret)
    assert (answer.status_code, answer.text) == (200, '{"error":"invalid_client_secret"}')
    assert "access_token" in zoho.exchange(code).json()


@pytest.mark.rule("invalid-redirect-uri")
@pytest.mark.parametrize("uri", ["", REDIRECT_URI + "/", "http://127.0.0.1:8723/callback"])
def test_a_different_redirect_uri_at_the_exchange_is_refused(zoho: ZohoDriver, uri: str) -> None:
    answer = zoho.exchange(zoho.authorization_code(), redirect_uri=uri)
    assert (answer.status_code, answer.text) == (200, '{"error":"invalid_redirect_uri"}')


@pytest.mark.rule("invalid-code", "code-is-single-use")
def test_a_code_is_exchanged_once(zoho: ZohoDriver) -> None:
    code = zoho.authorization_code()
    assert "access_token" in zoho.exchange(code).json()
    answer = zoho.exchange(code)
    assert (answer.status_code, answer.text) == (200, '{"error":"invalid_code"}')


@pytest.mark.rule("invalid-code")
def test_missing_and_wrong_codes_and_refresh_tokens_are_invalid_code(zoho: ZohoDriver) -> None:
    answers = [
        zoho.exchange(""),
        zoho.exchange("1000.nothing"),
        zoho.refresh(""),
        zoho.refresh("1000.nothing"),
        zoho.refresh(zoho.issue_tokens()["access_token"]),
        zoho.refresh("", code=zoho.authorization_code()),
    ]
    assert {each.text for each in answers} == {'{"error":"invalid_code"}'}


def test_the_code_of_another_client_is_invalid_code(zoho: ZohoDriver) -> None:
    other = zoho.controls.register_client(CARLA, [REDIRECT_URI])
    theirs = {"client_id": other["client_id"], "client_secret": other["secrets"]["eu"]}
    assert zoho.exchange(zoho.authorization_code(), **theirs).json() == {"error": "invalid_code"}


@pytest.mark.rule("code-expires-after-two-minutes")
def test_a_code_is_refused_after_120_seconds(zoho: ZohoDriver) -> None:
    early, late = zoho.authorization_code(), zoho.authorization_code()
    zoho.controls.advance(100)
    assert "access_token" in zoho.exchange(early).json()
    zoho.controls.advance(20)
    assert zoho.exchange(late).json() == {"error": "invalid_code"}


@pytest.mark.rule("pkce-s256", "pkce-plain")
@pytest.mark.parametrize(
    ("method", "challenge"), [("S256", S256), ("plain", VERIFIER), ("", VERIFIER)]
)
def test_a_code_with_a_challenge_requires_its_verifier(
    zoho: ZohoDriver, method: str, challenge: str
) -> None:
    code = zoho.authorization_code(code_challenge=challenge, code_challenge_method=method)
    assert zoho.exchange(code).json() == {"error": "invalid_code"}
    assert zoho.exchange(code, code_verifier="x" * 43).json() == {"error": "invalid_code"}
    assert "access_token" in zoho.exchange(code, code_verifier=VERIFIER).json()


def test_the_error_for_a_wrong_verifier_is_a_setting(zoho: ZohoDriver) -> None:
    zoho.controls.change_settings(pkce_mismatch_error="general_error")
    code = zoho.authorization_code(code_challenge=S256, code_challenge_method="S256")
    assert zoho.exchange(code).json() == {"error": "general_error"}


@pytest.mark.rule("pkce-does-not-replace-the-secret")
def test_the_verifier_does_not_replace_the_secret(zoho: ZohoDriver) -> None:
    code = zoho.authorization_code(code_challenge=S256, code_challenge_method="S256")
    answer = zoho.exchange(code, code_verifier=VERIFIER, client_secret="")
    assert answer.json() == {"error": "invalid_client_secret"}


@pytest.mark.rule("check-order")
def test_each_check_precedes_the_next(zoho: ZohoDriver) -> None:
    code = zoho.authorization_code(code_challenge=S256, code_challenge_method="S256")
    wrong = {
        "client_id": "1000.NOBODY",
        "client_secret": "wrong",
        "code": "wrong",
        "redirect_uri": "wrong",
        "code_verifier": "wrong",
    }
    right = {
        **zoho.credentials,
        "code": code,
        "redirect_uri": REDIRECT_URI,
        "code_verifier": VERIFIER,
    }
    said = []
    for name in wrong:
        said.append(zoho.exchange(**wrong).json()["error"])
        wrong[name] = right[name]
    assert said == [
        "invalid_client",
        "invalid_client_secret",
        "invalid_code",
        "invalid_redirect_uri",
        "invalid_code",
    ]


@pytest.mark.rule("general-error")
def test_a_server_error_is_general_error(zoho: ZohoDriver) -> None:
    zoho.controls.inject_fault("server-error", endpoint="oauth/v2/token")
    assert zoho.exchange("x").json() == {"error": "general_error"}
