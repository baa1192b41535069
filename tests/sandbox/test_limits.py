"""How much Zoho gives, and what it does when that is used up."""

import pytest
import requests
from zoho_driver import ANNA, CARLA, Zoho, query_of

THROTTLED = {
    "error_description": "You have made too many requests continuously. "
    "Please try again after some time.",
    "error": "Access Denied",
    "status": "failure",
}


def _many_consents(zoho: Zoho, count: int) -> list[dict[str, str]]:
    """Return the answers of so many consents, with the windows of the limits left behind."""
    answers = []
    for _ in range(count):
        zoho.world.limits.forget()
        answers.append(zoho.tokens())
    return answers


@pytest.mark.rule("throttle", "throttle-ends-with-its-window")
def test_the_eleventh_refresh_in_ten_minutes_is_throttled(zoho: Zoho) -> None:
    refresh_token = zoho.tokens()["refresh_token"]
    assert all("access_token" in zoho.refresh(refresh_token).json() for _ in range(10))
    answer = zoho.refresh(refresh_token)
    assert (answer.status_code, answer.json()) == (400, THROTTLED)
    zoho.admin.advance(600)
    assert "access_token" in zoho.refresh(refresh_token).json()


def test_by_default_another_refresh_token_is_not_throttled(zoho: Zoho) -> None:
    one, other = _many_consents(zoho, 2)
    for _ in range(11):
        zoho.refresh(one["refresh_token"])
    assert "access_token" in zoho.refresh(other["refresh_token"]).json()


@pytest.mark.rule("throttle-counts-by-client")
def test_the_throttle_may_count_by_client(zoho: Zoho) -> None:
    zoho.admin.change_settings(throttle_key="client")
    one, other = _many_consents(zoho, 2)
    zoho.world.limits.forget()
    for _ in range(10):
        zoho.refresh(one["refresh_token"])
    assert zoho.refresh(other["refresh_token"]).json() == THROTTLED


def test_the_throttle_stands_before_the_client_is_looked_at(zoho: Zoho) -> None:
    for _ in range(10):
        zoho.exchange("x")
    assert zoho.exchange("x", client_secret="wrong").json() == THROTTLED


@pytest.mark.rule("throttle-speaks-the-language")
def test_the_throttle_can_speak_chinese(zoho: Zoho) -> None:
    zoho.admin.change_settings(localised_throttle=True, token_requests=0)
    answer = requests.post(
        zoho.at("/oauth/v2/token"),
        data={"grant_type": "refresh_token", **zoho.credentials},
        headers={"Accept-Language": "zh-CN,zh;q=0.9"},
        timeout=10,
    )
    assert (answer.status_code, answer.json()["error"]) == (400, "拒绝访问")


@pytest.mark.rule("throttle-status")
def test_the_status_of_the_throttle_is_a_setting(zoho: Zoho) -> None:
    zoho.admin.change_settings(throttle_status=200, token_requests=0)
    answer = zoho.refresh("x")
    assert (answer.status_code, answer.json()) == (200, THROTTLED)


@pytest.mark.rule("access-token-lives-an-hour", "refresh-token-does-not-expire")
def test_an_access_token_dies_after_an_hour_and_a_refresh_token_does_not(zoho: Zoho) -> None:
    body = zoho.tokens()
    zoho.admin.advance(3500)
    assert zoho.works(body["access_token"])
    zoho.admin.advance(100)
    assert not zoho.works(body["access_token"])
    zoho.admin.advance(10 * 365 * 24 * 3600)
    assert "access_token" in zoho.refresh(body["refresh_token"]).json()


@pytest.mark.rule("eleventh-access-token-kills-the-first")
def test_an_eleventh_access_token_kills_the_oldest(zoho: Zoho) -> None:
    zoho.admin.change_settings(token_requests=100)
    body = zoho.tokens()
    later = [zoho.refresh(body["refresh_token"]).json()["access_token"] for _ in range(9)]
    assert zoho.works(body["access_token"])
    zoho.refresh(body["refresh_token"])
    assert not zoho.works(body["access_token"])
    assert zoho.works(later[0])


@pytest.mark.rule("twenty-first-refresh-token-kills-the-first")
def test_a_21st_refresh_token_kills_the_oldest_and_its_access_tokens(zoho: Zoho) -> None:
    first, second, *_ = _many_consents(zoho, 20)
    assert zoho.works(first["access_token"])
    _many_consents(zoho, 1)
    assert not zoho.works(first["access_token"])
    assert zoho.refresh(first["refresh_token"]).json() == {"error": "invalid_code"}
    assert "access_token" in zoho.refresh(second["refresh_token"]).json()


def test_the_twenty_are_counted_for_each_person(zoho: Zoho) -> None:
    zoho.admin.change_settings(refresh_tokens_per_user_and_client=1)
    annas = zoho.tokens(ANNA)
    zoho.tokens(CARLA, scope="ZohoBooks.settings.READ")
    assert "access_token" in zoho.refresh(annas["refresh_token"]).json()


@pytest.mark.rule("refresh-tokens-created-are-limited")
def test_too_many_new_refresh_tokens_meet_the_throttle_and_keep_the_code(zoho: Zoho) -> None:
    zoho.admin.change_settings(refresh_tokens_created=1)
    zoho.tokens()
    code = zoho.code()
    assert zoho.exchange(code).json() == THROTTLED
    zoho.world.limits.forget()
    assert "access_token" in zoho.exchange(code).json()


@pytest.mark.rule("codes-are-limited")
def test_the_eleventh_code_in_ten_minutes_is_access_denied(zoho: Zoho) -> None:
    for _ in range(10):
        zoho.code()
    assert query_of(zoho.callback(state="s")) == {"error": "access_denied", "state": "s"}
    zoho.admin.advance(600)
    assert "code" in query_of(zoho.callback())


@pytest.mark.rule("codes-limit-may-be-a-page")
def test_the_limit_of_codes_may_be_a_page_of_zohos_own(zoho: Zoho) -> None:
    zoho.tokens()
    zoho.admin.change_settings(codes_per_client=0, codes_overflow="page")
    page = zoho.browse(ANNA, zoho.authorization_url(prompt=""))
    assert page.status_code == 200
    assert "Maximum request limit reached" in page.text


@pytest.mark.rule("throttle-hits-client-credentials")
def test_client_credentials_are_throttled_too(zoho: Zoho) -> None:
    mine = zoho.admin.register_client(ANNA, [], kind="self-client")
    wish = {
        "grant_type": "client_credentials",
        "client_id": mine["client_id"],
        "client_secret": mine["secrets"]["eu"],
        "scope": "ZohoCliq.Channels.READ",
    }
    assert all("access_token" in zoho.ask(**wish).json() for _ in range(10))
    assert zoho.ask(**wish).json() == THROTTLED
