"""What a product judges first: path, token, method, scope, query; and what it does with a query."""

import pytest
import requests
from support.zoho_driver import CARLA, ZohoDriver


def _call(
    zoho: ZohoDriver, token: str, path: str, *, host: str = "www", method: str = "GET"
) -> requests.Response:
    headers = {"Authorization": f"Zoho-oauthtoken {token}"} if token else {}
    return requests.request(method, zoho.url_for(path, host=host), headers=headers, timeout=10)


def _code(answer: requests.Response) -> str:
    return str(answer.json()["code"])


@pytest.mark.rule("token-before-anything-else", "wrong-method")
def test_a_dead_token_is_reported_before_method_scope_and_query(zoho: ZohoDriver) -> None:
    for method, path in (("GET", "/crm/v8/Leads?per_page=x"), ("PATCH", "/crm/v8/org")):
        assert _code(_call(zoho, "", path, method=method)) == "AUTHENTICATION_FAILURE"
        assert _code(_call(zoho, "1000.dead", path, method=method)) == "INVALID_TOKEN"
    token = zoho.issue_tokens()["access_token"]
    assert _code(_call(zoho, token, "/crm/v8/Leads?per_page=x")) == "OAUTH_SCOPE_MISMATCH"
    answer = _call(zoho, token, "/crm/v8/org", method="PATCH")
    assert (answer.status_code, _code(answer)) == (400, "INVALID_REQUEST_METHOD")


@pytest.mark.rule("unknown-path-before-the-token")
def test_what_is_judged_first_for_an_unknown_path_is_a_setting(zoho: ZohoDriver) -> None:
    assert _code(_call(zoho, "1000.dead", "/crm/v8/nothing/of/that/kind")) == "INVALID_URL_PATTERN"
    zoho.controls.change_settings(unknown_path_check="token")
    assert _code(_call(zoho, "1000.dead", "/crm/v8/nothing/of/that/kind")) == "INVALID_TOKEN"
    token = zoho.issue_tokens()["access_token"]
    assert _code(_call(zoho, token, "/crm/v8/nothing/of/that/kind")) == "INVALID_URL_PATTERN"


@pytest.mark.rule("head-requests")
def test_head_is_answered_like_get_without_the_body(zoho: ZohoDriver) -> None:
    token = zoho.issue_tokens()["access_token"]
    answer = _call(zoho, token, "/crm/v8/org", method="HEAD")
    assert (answer.status_code, answer.content) == (200, b"")
    assert _call(zoho, "1000.dead", "/crm/v8/org", method="HEAD").status_code == 401
    zoho.controls.change_settings(head_requests="refused")
    assert _call(zoho, token, "/crm/v8/org", method="HEAD").status_code == 400


@pytest.mark.rule("trailing-slash")
def test_a_trailing_slash_is_ignored(zoho: ZohoDriver) -> None:
    token = zoho.issue_tokens(scope="ZohoProjects.portals.READ")["access_token"]
    assert "portals" in _call(zoho, token, "/restapi/portals/", host="projects").json()


@pytest.mark.rule("crm-requires-fields", "crm-requires-fields-error")
def test_a_list_of_records_without_fields_is_refused_from_v3_on(zoho: ZohoDriver) -> None:
    token = zoho.issue_tokens(scope="ZohoCRM.modules.ALL")["access_token"]
    for module in ("Leads", "Contacts", "Deals"):
        for version in ("v2", "v2.1"):
            assert _call(zoho, token, f"/crm/{version}/{module}").ok
        for version in ("v3", "v8"):
            answer = _call(zoho, token, f"/crm/{version}/{module}")
            assert (answer.status_code, _code(answer)) == (400, "REQUIRED_PARAM_MISSING")
            assert answer.json()["details"] == {"param_name": "fields"}
            assert _call(zoho, token, f"/crm/{version}/{module}?fields=id").ok


@pytest.mark.rule("crm-pages")
@pytest.mark.parametrize("query", ["page=0", "page=x", "per_page=0", "per_page=201", "per_page="])
def test_a_page_that_does_not_exist_is_refused(zoho: ZohoDriver, query: str) -> None:
    token = zoho.issue_tokens(scope="ZohoCRM.modules.ALL")["access_token"]
    answer = _call(zoho, token, f"/crm/v8/Leads?fields=Last_Name&{query}")
    assert (answer.status_code, _code(answer)) == (400, "INVALID_DATA")
    assert answer.json()["details"]["param_name"] == query.partition("=")[0]


@pytest.mark.rule("unknown-query-parameters")
def test_an_unknown_query_parameter_is_refused_or_ignored(zoho: ZohoDriver) -> None:
    scopes = "Desk.basic.READ,ZohoMail.accounts.READ,ZohoCliq.Channels.READ,ZohoCRM.org.READ"
    token = zoho.issue_tokens(scope=scopes)["access_token"]
    answers = [
        _call(zoho, token, f"{path}?nonsense=1", host=host)
        for host, path in (
            ("desk", "/api/v1/organizations"),
            ("mail", "/api/accounts"),
            ("cliq", "/api/v2/channels"),
            ("www", "/crm/v8/org"),
        )
    ]
    assert [each.status_code for each in answers] == [422, 400, 400, 200]
    assert all("nonsense" in each.text for each in answers[:3])


@pytest.mark.rule("books-several-organizations")
def test_books_has_an_error_for_a_user_with_several_organizations(zoho: ZohoDriver) -> None:
    one, several = (
        zoho.issue_tokens(*who, scope="ZohoBooks.invoices.READ")["access_token"]
        for who in ((), (CARLA,))
    )
    codes = [_call(zoho, each, "/books/v3/invoices").json()["code"] for each in (one, several)]
    assert codes == [6, 6024]


@pytest.mark.rule("projects-v2-errors")
def test_the_older_projects_has_an_error_of_its_own_for_a_dead_token(zoho: ZohoDriver) -> None:
    for path, code in (("/restapi/portals/", 6890), ("/api/v3/portals", None)):
        answer = _call(zoho, "1000.dead", path, host="projects")
        assert (answer.status_code, answer.json()["error"].get("code")) == (401, code)


@pytest.mark.rule("mail-wrong-identifier")
def test_mail_has_the_error_of_a_wrong_path_for_a_wrong_identifier(zoho: ZohoDriver) -> None:
    token = zoho.issue_tokens(scope="ZohoMail.accounts.READ")["access_token"]
    answer = _call(zoho, token, "/api/accounts/1/messages/view", host="mail")
    assert (answer.status_code, "URL_RULE_NOT_CONFIGURED" in answer.text) == (404, True)


@pytest.mark.rule("projects-wrong-path", "projects-missing-scope")
def test_projects_does_not_tell_a_wrong_path_from_a_missing_scope(zoho: ZohoDriver) -> None:
    token = zoho.issue_tokens()["access_token"]
    answers = [
        _call(zoho, token, path, host="projects") for path in ("/api/v3/nothing", "/api/v3/portals")
    ]
    assert [each.status_code for each in answers] == [400, 400]
    assert {each.json()["error"]["title"] for each in answers} == {"URL_RULE_NOT_CONFIGURED"}
    zoho.controls.change_settings(projects_scope_error="INVALID_OAUTHSCOPE")
    answer = _call(zoho, token, "/api/v3/portals", host="projects")
    assert (answer.status_code, answer.json()["error"]["title"]) == (401, "INVALID_OAUTHSCOPE")
