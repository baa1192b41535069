"""How tokens end: by revocation, by a password change, with their app, user or client."""

import pytest
import requests
from support.zoho_driver import ANNA, REDIRECT_URI, ZohoDriver, query_parameters

INVALID_CODE = {"error": "invalid_code"}


def _revoke(zoho: ZohoDriver, token: str, location: str = "eu") -> requests.Response:
    address = zoho.url_for("/oauth/v2/token/revoke", location)
    return requests.post(address, data={"token": token}, timeout=10)


def _revoke_as_client(zoho: ZohoDriver, token: str, **changes: str) -> requests.Response:
    said = {"client_id": zoho.client_id, "client_secret": zoho.client["secrets"]["eu"], **changes}
    basic = said.pop("client_id"), said.pop("client_secret")
    address = zoho.url_for("/oauth/v2/revoke/token")
    return requests.post(address, data={"token": token, **said}, auth=basic, timeout=10)


@pytest.mark.rule("revoke-without-client", "revoke-includes-access-tokens")
def test_a_refresh_token_is_enough_to_revoke_it_and_its_access_tokens(zoho: ZohoDriver) -> None:
    body = zoho.issue_tokens()
    answer = _revoke(zoho, body["refresh_token"])
    assert (answer.status_code, answer.json()) == (200, {"status": "success"})
    assert zoho.refresh(body["refresh_token"]).json() == INVALID_CODE
    assert not zoho.is_accepted(body["access_token"])


def test_the_token_to_revoke_may_be_in_the_query(zoho: ZohoDriver) -> None:
    address = zoho.url_for("/oauth/v2/token/revoke")
    token = zoho.issue_tokens()["refresh_token"]
    assert requests.post(address, params={"token": token}, timeout=10).status_code == 200


@pytest.mark.rule("revoking-an-access-token")
@pytest.mark.parametrize("setting", ["with_refresh_token", "alone"])
def test_revoking_an_access_token_revokes_its_refresh_token_or_keeps_it(
    zoho: ZohoDriver, setting: str
) -> None:
    zoho.controls.change_settings(access_token_revocation=setting)
    body, other = zoho.issue_tokens(), zoho.issue_tokens()
    assert _revoke(zoho, body["access_token"]).status_code == 200
    assert not zoho.is_accepted(body["access_token"])
    assert ("access_token" in zoho.refresh(body["refresh_token"]).json()) == (setting == "alone")
    assert zoho.is_accepted(other["access_token"])
    online = zoho.issue_tokens(access_type="online")["access_token"]
    assert _revoke(zoho, online).status_code == 200


@pytest.mark.rule("revoke-of-a-bad-token")
def test_revoking_an_invalid_token_is_400_and_html(zoho: ZohoDriver) -> None:
    token = zoho.issue_tokens()["refresh_token"]
    _revoke(zoho, token)
    for answer in (_revoke(zoho, token), _revoke(zoho, "1000.fake"), _revoke(zoho, "")):
        assert answer.status_code == 400
        assert answer.headers["Content-Type"].startswith("text/html")


@pytest.mark.rule("revoke-where-it-was-issued")
def test_a_token_is_revoked_where_it_was_issued(zoho: ZohoDriver) -> None:
    body = zoho.issue_tokens()
    assert _revoke(zoho, body["refresh_token"], location="us").status_code == 400
    assert zoho.is_accepted(body["access_token"])


@pytest.mark.rule("revoke-with-client")
def test_the_client_revokes_its_tokens_by_basic_authorization(zoho: ZohoDriver) -> None:
    first, second = zoho.issue_tokens(), zoho.issue_tokens()
    kind = {"token_type": "access_token"}
    assert _revoke_as_client(zoho, first["access_token"], **kind).status_code == 200
    assert not zoho.is_accepted(first["access_token"])
    assert _revoke_as_client(zoho, second["refresh_token"]).status_code == 200
    assert zoho.refresh(second["refresh_token"]).json() == INVALID_CODE


@pytest.mark.rule("revoke-rejects-mismatched-tokens")
def test_the_newer_revocation_refuses_a_mismatch(zoho: ZohoDriver) -> None:
    body = zoho.issue_tokens()
    other = zoho.controls.register_client(ANNA, [REDIRECT_URI])
    theirs = {"client_id": other["client_id"], "client_secret": other["secrets"]["eu"]}
    refused = [
        _revoke_as_client(zoho, body["refresh_token"], **theirs),
        _revoke_as_client(zoho, body["refresh_token"], client_secret="wrong"),
        _revoke_as_client(zoho, body["refresh_token"], token_type="access_token"),
        _revoke_as_client(zoho, body["access_token"]),
        _revoke_as_client(zoho, "1000.fake"),
        requests.post(zoho.url_for("/oauth/v2/revoke/token"), data=zoho.credentials, timeout=10),
    ]
    assert {each.status_code for each in refused} == {400}
    assert zoho.is_accepted(body["access_token"])


@pytest.mark.rule("connected-app-removed")
def test_a_removed_app_loses_its_tokens_and_its_consent(zoho: ZohoDriver) -> None:
    body = zoho.issue_tokens()
    zoho.controls.revoke_app(ANNA, zoho.client_id)
    assert zoho.refresh(body["refresh_token"]).json() == INVALID_CODE
    assert not zoho.is_accepted(body["access_token"])
    assert "Accept" in zoho.open_page(ANNA, zoho.authorization_url(prompt="")).text


@pytest.mark.rule("password-change-keeps-tokens")
def test_a_password_change_without_the_option_keeps_all_tokens(zoho: ZohoDriver) -> None:
    body = zoho.issue_tokens()
    zoho.controls.change_password(ANNA, "another made-up one", remove_tokens=False)
    assert zoho.is_accepted(body["access_token"])
    assert "access_token" in zoho.refresh(body["refresh_token"]).json()


@pytest.mark.rule("password-change-can-remove-tokens")
def test_a_password_change_with_the_option_revokes_all_tokens_of_all_clients(
    zoho: ZohoDriver,
) -> None:
    body, open_code = zoho.issue_tokens(), zoho.authorization_code()
    zoho.controls.change_password(ANNA)
    assert zoho.refresh(body["refresh_token"]).json() == INVALID_CODE
    assert zoho.call_api(body["access_token"]).json()["code"] == "INVALID_TOKEN"
    assert zoho.exchange(open_code).json() == INVALID_CODE
    assert "refresh_token" in zoho.issue_tokens()


@pytest.mark.rule("forgotten-password-keeps-tokens", "administrators-reset-keeps-tokens")
@pytest.mark.parametrize("event", ["forgot_password", "reset_password"])
@pytest.mark.parametrize("ticked", [False, True])
def test_a_password_reset_revokes_tokens_only_with_the_option(
    zoho: ZohoDriver, event: str, ticked: bool
) -> None:
    body = zoho.issue_tokens()
    getattr(zoho.controls, event)(ANNA, remove_tokens=ticked)
    assert zoho.is_accepted(body["access_token"]) is not ticked
    assert (zoho.refresh(body["refresh_token"]).json() == INVALID_CODE) is ticked


@pytest.mark.rule("account-moved")
def test_a_moved_account_is_in_another_data_center_and_its_tokens_are_revoked(
    zoho: ZohoDriver,
) -> None:
    zoho.controls.enable_data_center(zoho.client_id, "in", same_credentials=True)
    body = zoho.issue_tokens()
    zoho.controls.move_account(ANNA, "in")
    assert zoho.refresh(body["refresh_token"]).json() == INVALID_CODE
    assert not zoho.is_accepted(body["access_token"])
    assert query_parameters(zoho.authorize())["location"] == "in"
    with pytest.raises(ValueError, match="“location” must be"):
        zoho.controls.move_account(ANNA, "moon")


@pytest.mark.rule("deactivated-user")
def test_tokens_of_a_deactivated_user_are_suspended(zoho: ZohoDriver) -> None:
    body = zoho.issue_tokens()
    zoho.controls.deactivate_user(ANNA)
    assert zoho.refresh(body["refresh_token"]).json() == INVALID_CODE
    assert not zoho.is_accepted(body["access_token"])
    zoho.controls.deactivate_user(ANNA, deactivated=False)
    assert zoho.is_accepted(body["access_token"])


@pytest.mark.rule("deleted-client", "deleting-a-client-deletes-its-tokens")
def test_a_deleted_client_is_invalid_client_and_has_no_tokens(zoho: ZohoDriver) -> None:
    body = zoho.issue_tokens()
    zoho.controls.delete_client(zoho.client_id)
    assert zoho.refresh(body["refresh_token"]).json() == {"error": "invalid_client"}
    assert zoho.controls.state()["active_refresh_tokens"] == 0
    assert not zoho.is_accepted(body["access_token"])


@pytest.mark.rule("regenerated-secret")
def test_the_old_secret_is_refused_and_the_new_one_refreshes(zoho: ZohoDriver) -> None:
    refresh_token = zoho.issue_tokens()["refresh_token"]
    fresh = zoho.controls.rotate_secret(zoho.client_id)
    assert zoho.refresh(refresh_token).json() == {"error": "invalid_client_secret"}
    assert "access_token" in zoho.refresh(refresh_token, client_secret=fresh).json()


def test_an_evicted_refresh_token_revokes_its_access_tokens(zoho: ZohoDriver) -> None:
    body = zoho.issue_tokens()
    zoho.controls.evict_refresh_token(ANNA, zoho.client_id)
    assert zoho.refresh(body["refresh_token"]).json() == INVALID_CODE
    assert not zoho.is_accepted(body["access_token"])
    with pytest.raises(LookupError, match="no valid refresh token"):
        zoho.controls.evict_refresh_token(ANNA, zoho.client_id)


def test_a_silent_code_after_a_revoked_token_still_returns_none(zoho: ZohoDriver) -> None:
    _revoke(zoho, zoho.issue_tokens()["refresh_token"])
    answer = zoho.open_page(ANNA, zoho.authorization_url(prompt=""))
    code = query_parameters(answer.headers["Location"])["code"]
    assert "refresh_token" not in zoho.exchange(code).json()
