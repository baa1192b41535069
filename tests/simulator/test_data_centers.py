"""Eleven data centers, their clients, secrets and tokens, and use across them."""

import pytest
import requests
from support.zoho_driver import ANNA, BOB, MEI, REDIRECT_URI, ZohoDriver, query_parameters


@pytest.mark.rule("serverinfo-names-accounts-servers", "serverinfo-omits-china")
@pytest.mark.parametrize("asked", ["us", "eu"])
def test_serverinfo_names_every_accounts_server_except_china(zoho: ZohoDriver, asked: str) -> None:
    body = requests.get(zoho.url_for("/oauth/serverinfo", asked), timeout=10).json()
    assert body["result"] == "success"
    assert set(body["locations"]) == {"us", "eu", "in", "au", "jp", "ca", "sa", "uk", "ae", "sg"}
    assert body["locations"]["eu"] == f"{zoho.url}/eu/accounts"


@pytest.mark.rule("callback-parameters", "state-is-echoed")
@pytest.mark.parametrize("state", ["", "a state/with?odd=signs&more"])
def test_the_callback_has_code_location_accounts_server_and_state(
    zoho: ZohoDriver, state: str
) -> None:
    said = query_parameters(zoho.authorize(state=state))
    code = said.pop("code")
    expected = {"location": "eu", "accounts-server": f"{zoho.url}/eu/accounts"}
    assert said == expected | ({"state": state} if state else {})
    assert code.startswith("1000.")


@pytest.mark.rule("accounts-server-is-percent-encoded", "callback-order")
def test_the_accounts_server_is_percent_encoded_and_the_state_is_first(zoho: ZohoDriver) -> None:
    server = f"accounts-server={zoho.url.replace('/', '%2F')}%2Feu%2Faccounts"
    url = zoho.authorize(state="opaque")
    assert url.startswith(f"{REDIRECT_URI}?state=opaque&code=1000.")
    assert url.endswith(f"&location=eu&{server}")
    zoho.controls.change_settings(callback_order="state_last")
    assert zoho.authorize(state="opaque").endswith(f"&{server}&state=opaque")


@pytest.mark.rule("callback-may-end-in-ampersand")
def test_a_callback_may_end_in_an_ampersand(zoho: ZohoDriver) -> None:
    assert not zoho.authorize().endswith("&")
    zoho.controls.change_settings(trailing_ampersand=True)
    assert zoho.authorize().endswith("&")


@pytest.mark.rule("redirect-uri-keeps-its-query")
def test_the_query_of_a_redirect_uri_is_kept(zoho: ZohoDriver) -> None:
    uri = "http://localhost:8723/back?app_id=crm"
    zoho.world.clients.get(zoho.client_id).redirect_uris.append(uri)
    assert zoho.authorize(redirect_uri=uri).startswith(f"{uri}&code=1000.")


@pytest.mark.rule("data-centers-are-off-at-first", "client-unknown-in-data-center")
def test_a_client_is_unknown_where_it_is_not_enabled(zoho: ZohoDriver) -> None:
    answer = zoho.exchange(zoho.authorization_code(), location="us")
    assert (answer.status_code, answer.json()) == (200, {"error": "invalid_client"})


@pytest.mark.rule("consent-where-client-is-unknown")
def test_consent_where_the_client_is_unknown_is_an_invalid_client_page(zoho: ZohoDriver) -> None:
    page = zoho.open_page(BOB, zoho.authorization_url(location="in"))
    assert page.status_code == 200
    assert "Invalid Client" in page.text


@pytest.mark.rule("client-id-is-the-same-everywhere", "secret-per-data-center")
def test_an_enabled_data_center_has_a_secret_of_its_own(zoho: ZohoDriver) -> None:
    secret = zoho.controls.enable_data_center(zoho.client_id, "in")
    assert secret != zoho.credentials["client_secret"]
    answer = zoho.exchange(zoho.authorization_code(BOB), location="in", client_secret=secret)
    assert answer.json()["api_domain"] == f"{zoho.url}/in/www"


@pytest.mark.rule("same-credentials-for-all")
def test_one_secret_can_be_right_everywhere(zoho: ZohoDriver) -> None:
    secret = zoho.controls.enable_data_center(zoho.client_id, "in", same_credentials=True)
    assert secret == zoho.credentials["client_secret"]
    assert "access_token" in zoho.exchange(zoho.authorization_code(BOB), location="in").json()


@pytest.mark.rule("secret-of-another-data-center")
@pytest.mark.parametrize("word", ["invalid_client_secret", "invalid_client"])
def test_the_secret_of_another_data_center_is_refused(zoho: ZohoDriver, word: str) -> None:
    zoho.controls.change_settings(wrong_data_center_secret_error=word)
    zoho.controls.enable_data_center(zoho.client_id, "in")
    assert zoho.exchange(zoho.authorization_code(BOB), location="in").json() == {"error": word}


@pytest.mark.rule("code-of-another-data-center", "refresh-token-of-another-data-center")
def test_codes_and_refresh_tokens_work_where_they_were_issued(zoho: ZohoDriver) -> None:
    zoho.controls.enable_data_center(zoho.client_id, "in", same_credentials=True)
    code, refresh_token = zoho.authorization_code(), zoho.issue_tokens()["refresh_token"]
    assert zoho.exchange(code, location="in").json() == {"error": "invalid_code"}
    assert zoho.refresh(refresh_token, location="in").json() == {"error": "invalid_code"}
    assert "access_token" in zoho.exchange(code).json()


@pytest.mark.rule("api-of-another-data-center")
def test_a_token_is_invalid_at_the_api_of_another_data_center(zoho: ZohoDriver) -> None:
    token = zoho.issue_tokens()["access_token"]
    answer = zoho.call_api(token, location="us")
    assert (answer.status_code, answer.json()["code"]) == (401, "INVALID_TOKEN")


@pytest.mark.rule("china-shares-no-clients")
def test_china_and_the_other_data_centers_share_no_clients(zoho: ZohoDriver) -> None:
    with pytest.raises(ValueError, match="don’t share clients"):
        zoho.controls.enable_data_center(zoho.client_id, "cn")
    chinese = zoho.controls.register_client(MEI, [REDIRECT_URI])
    with pytest.raises(ValueError, match="don’t share clients"):
        zoho.controls.enable_data_center(chinese["client_id"], "us")


@pytest.mark.rule("self-client-has-one-data-center")
def test_a_self_client_cannot_be_enabled_elsewhere(zoho: ZohoDriver) -> None:
    mine = zoho.controls.register_client(ANNA, [], kind="self-client")
    with pytest.raises(ValueError, match="only its own data center"):
        zoho.controls.enable_data_center(mine["client_id"], "us")


@pytest.mark.rule("consent-moves-to-the-home-data-center")
def test_signing_in_elsewhere_redirects_to_the_accounts_server_of_the_account(
    zoho: ZohoDriver,
) -> None:
    zoho.controls.enable_data_center(zoho.client_id, "in", same_credentials=True)
    with requests.Session() as browser:
        page = browser.get(zoho.authorization_url(), timeout=10)
        csrf = page.text.split('name="csrf-token" content="')[1].split('"')[0]
        answer = browser.post(
            page.url.replace("/signin?", "/signin/lookup?"),
            json={"LOGIN_ID": BOB},
            headers={"X-ZCSRF-TOKEN": csrf},
            timeout=10,
        )
        page = answer.json()["redirect"]
        assert "/in/accounts/signin?" in page
        assert query_parameters(page)["serviceurl"].startswith("/in/accounts/oauth/v2/auth?")


def test_disabling_a_data_center_makes_the_client_unknown_there(zoho: ZohoDriver) -> None:
    zoho.controls.enable_data_center(zoho.client_id, "in", same_credentials=True)
    zoho.world.clients.disable_data_center(zoho.client_id, "in")
    assert zoho.refresh("x", location="in").json() == {"error": "invalid_client"}
    with pytest.raises(ValueError, match="stays enabled"):
        zoho.world.clients.disable_data_center(zoho.client_id, "eu")
