"""Zoho's rate limits, and the responses once they are used up."""

import pytest
import requests
from support.zoho_driver import ANNA, CARLA, ZohoDriver, query_parameters

RATE_LIMIT_BODY = {
    "error_description": "You have made too many requests continuously. "
    "Please try again after some time.",
    "error": "Access Denied",
    "status": "failure",
}


def _many_consents(zoho: ZohoDriver, count: int) -> list[dict[str, str]]:
    """Return the responses to that many consents, with the windows of the limits passed."""
    answers = []
    for _ in range(count):
        zoho.world.rate_limits.clear()
        answers.append(zoho.issue_tokens())
    return answers


@pytest.mark.rule("rate-limit", "rate-limit-ends-with-its-period")
def test_the_eleventh_refresh_in_ten_minutes_is_rate_limited(zoho: ZohoDriver) -> None:
    refresh_token = zoho.issue_tokens()["refresh_token"]
    assert all("access_token" in zoho.refresh(refresh_token).json() for _ in range(10))
    answer = zoho.refresh(refresh_token)
    assert (answer.status_code, answer.json()) == (400, RATE_LIMIT_BODY)
    zoho.controls.advance(600)
    assert "access_token" in zoho.refresh(refresh_token).json()


def test_by_default_another_refresh_token_is_not_rate_limited(zoho: ZohoDriver) -> None:
    one, other = _many_consents(zoho, 2)
    for _ in range(11):
        zoho.refresh(one["refresh_token"])
    assert "access_token" in zoho.refresh(other["refresh_token"]).json()


@pytest.mark.rule("rate-limit-counts-by-client")
def test_the_rate_limit_may_count_by_client(zoho: ZohoDriver) -> None:
    zoho.controls.change_settings(rate_limit_key="client")
    one, other = _many_consents(zoho, 2)
    zoho.world.rate_limits.clear()
    for _ in range(10):
        zoho.refresh(one["refresh_token"])
    assert zoho.refresh(other["refresh_token"]).json() == RATE_LIMIT_BODY


def test_the_rate_limit_is_checked_before_the_client(zoho: ZohoDriver) -> None:
    for _ in range(10):
        zoho.exchange("x")
    assert zoho.exchange("x", client_secret="wrong").json() == RATE_LIMIT_BODY


@pytest.mark.rule("rate-limit-is-localized")
def test_the_rate_limit_message_can_be_chinese(zoho: ZohoDriver) -> None:
    zoho.controls.change_settings(localized_rate_limit=True, token_request_limit=0)
    answer = requests.post(
        zoho.url_for("/oauth/v2/token"),
        data={"grant_type": "refresh_token", **zoho.credentials},
        headers={"Accept-Language": "zh-CN,zh;q=0.9"},
        timeout=10,
    )
    assert (answer.status_code, answer.json()["error"]) == (400, "拒绝访问")


@pytest.mark.rule("rate-limit-status")
def test_the_status_of_the_rate_limit_is_a_setting(zoho: ZohoDriver) -> None:
    zoho.controls.change_settings(rate_limit_status=200, token_request_limit=0)
    answer = zoho.refresh("x")
    assert (answer.status_code, answer.json()) == (200, RATE_LIMIT_BODY)


@pytest.mark.rule("access-token-expires-after-an-hour", "refresh-token-does-not-expire")
def test_an_access_token_expires_after_an_hour_and_a_refresh_token_does_not(
    zoho: ZohoDriver,
) -> None:
    body = zoho.issue_tokens()
    zoho.controls.advance(3500)
    assert zoho.is_accepted(body["access_token"])
    zoho.controls.advance(100)
    assert not zoho.is_accepted(body["access_token"])
    zoho.controls.advance(10 * 365 * 24 * 3600)
    assert "access_token" in zoho.refresh(body["refresh_token"]).json()


@pytest.mark.rule("eleventh-access-token-evicts-the-first")
def test_an_eleventh_access_token_evicts_the_oldest(zoho: ZohoDriver) -> None:
    zoho.controls.change_settings(token_request_limit=100)
    body = zoho.issue_tokens()
    later = [zoho.refresh(body["refresh_token"]).json()["access_token"] for _ in range(9)]
    assert zoho.is_accepted(body["access_token"])
    zoho.refresh(body["refresh_token"])
    assert not zoho.is_accepted(body["access_token"])
    assert zoho.is_accepted(later[0])
    assert len(zoho.world.grants.access_tokens) == 10  # nothing is kept of the evicted one


@pytest.mark.rule("twenty-first-refresh-token-evicts-the-first")
def test_a_21st_refresh_token_evicts_the_oldest_and_its_access_tokens(zoho: ZohoDriver) -> None:
    first, second, *_ = _many_consents(zoho, 20)
    assert zoho.is_accepted(first["access_token"])
    _many_consents(zoho, 1)
    assert not zoho.is_accepted(first["access_token"])
    assert zoho.refresh(first["refresh_token"]).json() == {"error": "invalid_code"}
    assert "access_token" in zoho.refresh(second["refresh_token"]).json()


def test_the_twenty_are_counted_for_each_user(zoho: ZohoDriver) -> None:
    zoho.controls.change_settings(refresh_tokens_per_user_and_client=1)
    annas = zoho.issue_tokens(ANNA)
    zoho.issue_tokens(CARLA, scope="ZohoBooks.settings.READ")
    assert "access_token" in zoho.refresh(annas["refresh_token"]).json()


@pytest.mark.rule("refresh-tokens-may-count-by-client")
def test_the_twenty_may_be_counted_by_client(zoho: ZohoDriver) -> None:
    zoho.controls.change_settings(
        refresh_tokens_per_user_and_client=1, refresh_token_limit_key="client"
    )
    annas = zoho.issue_tokens(ANNA)
    zoho.issue_tokens(CARLA, scope="ZohoBooks.settings.READ")
    assert zoho.refresh(annas["refresh_token"]).json() == {"error": "invalid_code"}


@pytest.mark.rule("refresh-tokens-created-are-limited")
def test_too_many_new_refresh_tokens_are_rate_limited_and_the_code_is_kept(
    zoho: ZohoDriver,
) -> None:
    zoho.controls.change_settings(new_refresh_token_limit=1)
    zoho.issue_tokens()
    code = zoho.authorization_code()
    assert zoho.exchange(code).json() == RATE_LIMIT_BODY
    zoho.world.rate_limits.clear()
    assert "access_token" in zoho.exchange(code).json()


@pytest.mark.rule("codes-are-limited")
def test_the_eleventh_code_in_ten_minutes_is_access_denied(zoho: ZohoDriver) -> None:
    for _ in range(10):
        zoho.authorization_code()
    assert query_parameters(zoho.authorize(state="s")) == {"error": "access_denied", "state": "s"}
    zoho.controls.advance(600)
    assert "code" in query_parameters(zoho.authorize())


@pytest.mark.rule("codes-limit-may-be-a-page")
def test_the_limit_of_codes_may_be_a_zoho_page(zoho: ZohoDriver) -> None:
    zoho.issue_tokens()
    zoho.controls.change_settings(code_limit=0, code_limit_response="page")
    page = zoho.open_page(ANNA, zoho.authorization_url(prompt=""))
    assert page.status_code == 200
    assert "Maximum request limit reached" in page.text


@pytest.mark.rule("rate-limit-applies-to-client-credentials")
def test_client_credentials_are_rate_limited_too(zoho: ZohoDriver) -> None:
    mine = zoho.controls.register_client(ANNA, [], kind="self-client")
    request = {
        "grant_type": "client_credentials",
        "client_id": mine["client_id"],
        "client_secret": mine["secrets"]["eu"],
        "scope": "ZohoCliq.Channels.READ",
    }
    assert all("access_token" in zoho.request_token(**request).json() for _ in range(10))
    assert zoho.request_token(**request).json() == RATE_LIMIT_BODY
