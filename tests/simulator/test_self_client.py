"""Self clients: codes generated in the console, and client credentials."""

from typing import Any

import pytest
import requests
from support.zoho_driver import ANNA, CARLA, ZohoDriver

Client = dict[str, Any]


@pytest.fixture
def self_client(zoho: ZohoDriver) -> Client:
    return zoho.controls.register_client(ANNA, [], kind="self-client")


def _request_token(zoho: ZohoDriver, client: Client, **parameters: str) -> dict[str, Any]:
    credentials = {"client_id": client["client_id"], "client_secret": client["secrets"]["eu"]}
    answer = zoho.request_token(**{**credentials, **parameters})
    assert answer.status_code == 200
    tokens: dict[str, Any] = answer.json()
    return tokens


def _exchange(zoho: ZohoDriver, client: Client, code: str) -> dict[str, Any]:
    return _request_token(zoho, client, grant_type="authorization_code", code=code)


def _credentials(zoho: ZohoDriver, client: Client, scope: str, soid: str = "") -> dict[str, Any]:
    return _request_token(zoho, client, grant_type="client_credentials", scope=scope, soid=soid)


@pytest.mark.rule("one-self-client-per-account")
def test_an_account_has_one_self_client(zoho: ZohoDriver, self_client: Client) -> None:
    with pytest.raises(ValueError, match="already has a self client"):
        zoho.controls.register_client(ANNA, [], kind="self-client")
    assert zoho.controls.register_client(CARLA, [], kind="self-client")


@pytest.mark.rule("self-client-code")
def test_its_code_needs_no_redirect_uri_and_returns_a_refresh_token(
    zoho: ZohoDriver, self_client: Client
) -> None:
    body = _exchange(
        zoho, self_client, zoho.controls.generate_code(self_client["client_id"], "ZohoCRM.org.READ")
    )
    assert "refresh_token" in body
    assert zoho.is_accepted(body["access_token"])


@pytest.mark.rule("self-client-code-lifetime")
def test_its_code_lasts_three_minutes_or_as_long_as_chosen(
    zoho: ZohoDriver, self_client: Client
) -> None:
    name, scope = self_client["client_id"], "ZohoCRM.org.READ"
    default, late = (
        zoho.controls.generate_code(name, scope),
        zoho.controls.generate_code(name, scope),
    )
    longer = zoho.controls.generate_code(name, scope, lifetime_seconds=600)
    zoho.controls.advance(170)
    assert "access_token" in _exchange(zoho, self_client, default)
    zoho.controls.advance(10)
    assert _exchange(zoho, self_client, late) == {"error": "invalid_code"}
    assert "access_token" in _exchange(zoho, self_client, longer)


@pytest.mark.rule("client-credentials", "client-credentials-require-soid")
def test_client_credentials_name_the_organization_if_the_service_has_several(
    zoho: ZohoDriver, self_client: Client
) -> None:
    scope = "ZohoCRM.org.READ"
    missing = {"error": "missing_org_info"}
    assert _credentials(zoho, self_client, scope) == missing
    assert _credentials(zoho, self_client, scope, "ZohoCRM.999") == missing
    body = _credentials(zoho, self_client, scope, "ZohoCRM.20090000001")
    assert "refresh_token" not in body
    assert zoho.is_accepted(body["access_token"])
    assert "access_token" in _credentials(zoho, self_client, "ZohoCliq.Channels.READ")


@pytest.mark.rule("desk-soid", "projects-needs-no-soid")
def test_the_soid_of_desk_is_zoho_desk_and_projects_needs_none(
    zoho: ZohoDriver, self_client: Client
) -> None:
    for soid, is_accepted in (("Desk.20090000004", False), ("ZohoDesk.20090000004", True)):
        body = _credentials(zoho, self_client, "Desk.basic.READ", soid)
        assert ("access_token" in body) is is_accepted
    assert "access_token" in _credentials(zoho, self_client, "ZohoProjects.portals.READ")


@pytest.mark.rule("unknown-scope-names")
def test_unknown_scope_names_of_a_known_service_are_dropped_silently(
    zoho: ZohoDriver, self_client: Client
) -> None:
    scope = "ZohoProjects.portals.READ,ZohoProjects.settings.ALL"
    code = zoho.controls.generate_code(self_client["client_id"], scope)
    assert _exchange(zoho, self_client, code)["scope"] == "ZohoProjects.portals.READ"
    assert _credentials(zoho, self_client, scope)["scope"] == "ZohoProjects.portals.READ"
    assert "Invalid OAuth scope" in zoho.open_page(ANNA, zoho.authorization_url(scope=scope)).text


@pytest.mark.rule("cliq-posts-require-a-user")
def test_cliq_accepts_a_message_from_a_user_and_not_from_a_client(
    zoho: ZohoDriver, self_client: Client
) -> None:
    scope = "ZohoCliq.Webhooks.CREATE"
    alone = _credentials(zoho, self_client, scope)["access_token"]
    persons = zoho.issue_tokens(scope=scope)["access_token"]
    address = zoho.url_for("/api/v2/channelsbyname/general/message", host="cliq")

    def posted(token: str) -> requests.Response:
        headers = {"Authorization": f"Zoho-oauthtoken {token}"}
        return requests.post(address, json={"text": "Hello"}, headers=headers, timeout=10)

    assert posted(alone).json()["code"] == "oauthtoken_scope_invalid"
    assert posted(persons).ok


@pytest.mark.rule("client-credentials-unknown-scope")
@pytest.mark.parametrize(
    "scope", ["", "Nonsense", "ZohoProjects.settings.ALL", "ZohoCliq.Channels.READ,Nonsense.a.READ"]
)
def test_client_credentials_for_an_unknown_scope_are_invalid_scope(
    zoho: ZohoDriver, self_client: Client, scope: str
) -> None:
    assert _credentials(zoho, self_client, scope) == {"error": "invalid_scope"}


def test_a_server_based_client_gets_nothing_by_client_credentials(zoho: ZohoDriver) -> None:
    answer = zoho.request_token(grant_type="client_credentials", scope="ZohoCliq.Channels.READ")
    assert answer.json() == {"error": "invalid_client"}


def test_a_self_client_cannot_ask_for_consent(zoho: ZohoDriver, self_client: Client) -> None:
    url = zoho.authorization_url(client_id=self_client["client_id"])
    assert "Invalid Client" in zoho.open_page(ANNA, url).text


def test_its_codes_are_limited_too(zoho: ZohoDriver, self_client: Client) -> None:
    zoho.controls.change_settings(code_limit=1)
    zoho.controls.generate_code(self_client["client_id"], "ZohoCRM.org.READ")
    with pytest.raises(ValueError, match="Maximum request limit"):
        zoho.controls.generate_code(self_client["client_id"], "ZohoCRM.org.READ")


def test_the_portal_of_its_code_can_be_chosen(zoho: ZohoDriver) -> None:
    hers = zoho.controls.register_client(CARLA, [], kind="self-client")
    code = zoho.controls.generate_code(
        hers["client_id"], "ZohoCRM.org.READ", organization_id="20091000002"
    )
    token = _exchange(zoho, hers, code)["access_token"]
    assert zoho.call_api(token).json()["org"][0]["company_name"] == "Zylker Outlet"


def test_client_credentials_cannot_be_sent_as_json(zoho: ZohoDriver, self_client: Client) -> None:
    address = zoho.url_for("/oauth/v2/token")
    request = {"grant_type": "client_credentials"}
    assert requests.post(address, json=request, timeout=10).status_code == 400
