"""Every product's probe on its own host, and its own error responses."""

from dataclasses import dataclass
from typing import Any

import pytest
import requests
from support.zoho_driver import ANNA, CARLA, ZohoDriver

CRM = {
    "no_token": (401, {"code": "AUTHENTICATION_FAILURE", "message": "Authentication failed"}),
    "invalid_token": (401, {"code": "INVALID_TOKEN", "message": "invalid oauth token"}),
    "scope": (401, {"code": "OAUTH_SCOPE_MISMATCH"}),
    "permission": (403, {"code": "NO_PERMISSION", "message": "permission denied"}),
}
BOOKS = {
    "no_token": (401, {"code": 14}),
    "invalid_token": (
        401,
        {"code": 57, "message": "You are not authorized to perform this operation"},
    ),
    "scope": (401, {"code": 57}),
    "permission": (401, {"code": 57}),
}


@dataclass
class Case:
    """A product: its probe, its scope, its errors (status, part of the body), and what a success
    contains. A body None stands for one that isn't JSON."""

    product: str
    host: str
    path: str
    scope: str
    refusals: dict[str, tuple[int, Any]]
    success: dict[str, Any]


CASES = [
    pytest.param(
        Case("crm", "www", "/crm/v8/org", "ZohoCRM.org.READ", CRM, {"org": Any}),
        marks=pytest.mark.rule("crm-errors"),
    ),
    pytest.param(
        Case(
            "crm",
            "www",
            "/crm/v2/users?type=CurrentUser",
            "ZohoCRM.users.READ",
            CRM,
            {"users": Any},
        ),
        marks=pytest.mark.rule("crm-errors"),
    ),
    pytest.param(
        Case(
            "bigin",
            "www",
            "/bigin/v2/users?type=CurrentUser",
            "ZohoBigin.users.READ",
            CRM,
            {"users": Any},
        ),
        marks=pytest.mark.rule("bigin-errors"),
    ),
    pytest.param(
        Case(
            "recruit",
            "recruit",
            "/recruit/v2/users?type=CurrentUser",
            "ZohoRecruit.users.READ",
            CRM,
            {"users": Any},
        ),
        marks=pytest.mark.rule("recruit-errors"),
    ),
    pytest.param(
        Case(
            "books",
            "www",
            "/books/v3/organizations",
            "ZohoBooks.settings.READ",
            BOOKS,
            {"code": 0, "organizations": Any},
        ),
        marks=pytest.mark.rule("books-errors"),
    ),
    pytest.param(
        Case(
            "inventory",
            "www",
            "/inventory/v1/organizations",
            "ZohoInventory.settings.READ",
            BOOKS,
            {"code": 0, "organizations": Any},
        ),
        marks=pytest.mark.rule("inventory-errors"),
    ),
    pytest.param(
        Case(
            "desk",
            "desk",
            "/api/v1/organizations",
            "Desk.basic.READ",
            {
                "no_token": (401, {"errorCode": "UNAUTHORIZED"}),
                "invalid_token": (401, {"errorCode": "INVALID_OAUTH"}),
                "scope": (403, {"errorCode": "SCOPE_MISMATCH"}),
                "permission": (403, {"errorCode": "OAUTH_ORG_MISMATCH"}),
            },
            {"data": Any},
        ),
        marks=pytest.mark.rule("desk-errors"),
    ),
    pytest.param(
        Case(
            "creator",
            "www",
            "/creator/v2.1/meta/applications",
            "ZohoCreator.dashboard.READ",
            {
                "no_token": (401, {"code": 1030}),
                "invalid_token": (401, {"code": 1030}),
                "scope": (401, {"code": 2945, "description": "INVALID_OAUTHSCOPE"}),
                "permission": (404, {"code": 1040}),
            },
            {"code": 3000, "applications": Any},
        ),
        marks=pytest.mark.rule("creator-errors"),
    ),
    pytest.param(
        Case(
            "people",
            "people",
            "/people/api/forms",
            "ZOHOPEOPLE.forms.READ",
            {
                "no_token": (401, {"response": Any}),
                "invalid_token": (401, {"response": Any}),
                "scope": (401, {"response": Any}),
                "permission": (200, {"response": Any}),
            },
            {"response": Any},
        ),
        marks=pytest.mark.rule("people-errors"),
    ),
    pytest.param(
        Case(
            "projects",
            "projects",
            "/api/v3/portals",
            "ZohoProjects.portals.READ",
            {
                "no_token": (401, {"error": Any}),
                "invalid_token": (401, {"error": Any}),
                "scope": (400, {"error": Any}),
                "permission": (403, {"error": Any}),
            },
            {"portals": Any},
        ),
        marks=pytest.mark.rule("projects-errors"),
    ),
    pytest.param(
        Case(
            "workdrive",
            "www",
            "/workdrive/api/v1/users/me",
            "WorkDrive.users.READ",
            {
                "no_token": (500, {"errors": Any}),
                "invalid_token": (
                    500,
                    {"errors": [{"id": "F7003", "title": "Invalid OAuth token."}]},
                ),
                "scope": (500, {"errors": [{"id": "F7007", "title": "Invalid OAuth scope."}]}),
                "permission": (403, {"errors": Any}),
            },
            {"data": Any},
        ),
        marks=pytest.mark.rule("workdrive-errors"),
    ),
    pytest.param(
        Case(
            "mail",
            "mail",
            "/api/accounts",
            "ZohoMail.accounts.READ",
            {
                "no_token": (400, {"status": {"code": 400, "description": "Invalid Input"}}),
                "invalid_token": (401, {"data": {"errorCode": "INVALID_OAUTHTOKEN"}}),
                "scope": (401, {"data": {"errorCode": "INVALID_OAUTHSCOPE"}}),
                "permission": (403, {"status": Any}),
            },
            {"status": {"code": 200, "description": "success"}, "data": Any},
        ),
        marks=pytest.mark.rule("mail-errors"),
    ),
    pytest.param(
        Case(
            "sign",
            "sign",
            "/api/v1/templates",
            "ZohoSign.templates.READ",
            {
                "no_token": (401, {"code": 9031, "message": "Ticket invalid", "status": "failure"}),
                "invalid_token": (401, {"code": 9041, "message": "Invalid Oauth token"}),
                "scope": (401, {"code": 9043}),
                "permission": (403, {"status": "failure"}),
            },
            {"code": 0, "templates": []},
        ),
        marks=pytest.mark.rule("sign-errors"),
    ),
    pytest.param(
        Case(
            "analytics",
            "analyticsapi",
            "/restapi/v2/workspaces/owned",
            "ZohoAnalytics.metadata.read",
            {
                "no_token": (400, {"summary": "INVALID_TICKET"}),
                "invalid_token": (401, {"summary": "INVALID_OAUTHTOKEN"}),
                "scope": (401, {"summary": "INVALID_OAUTHSCOPE"}),
                "permission": (403, {"status": "failure"}),
            },
            {"status": "success"},
        ),
        marks=pytest.mark.rule("analytics-errors"),
    ),
    pytest.param(
        Case(
            "campaigns",
            "campaigns",
            "/api/v1.1/getmailinglists?resfmt=JSON",
            "ZohoCampaigns.contact.READ",
            {
                "no_token": (200, {"code": "1007", "uri": "/api/v1.1/getmailinglists"}),
                "invalid_token": (200, {"code": "1007"}),
                "scope": (200, {"code": "1007"}),
                "permission": (200, {"code": "6304"}),
            },
            {"status": "success"},
        ),
        marks=pytest.mark.rule("campaigns-errors"),
    ),
    pytest.param(
        Case(
            "cliq",
            "cliq",
            "/api/v2/channels",
            "ZohoCliq.Channels.READ",
            {
                "no_token": (401, None),
                "invalid_token": (401, {"code": "oauthtoken_invalid"}),
                "scope": (401, {"code": "oauthtoken_scope_invalid"}),
                "permission": (403, {"code": Any}),
            },
            {"channels": []},
        ),
        marks=pytest.mark.rule("cliq-errors"),
    ),
    pytest.param(
        Case(
            "bookings",
            "www",
            "/bookings/v1/json/workspaces",
            "ZohoBookings.data.CREATE",
            {
                "no_token": (400, None),
                "invalid_token": (401, None),
                "scope": (401, None),
                "permission": (403, None),
            },
            {"response": Any},
        ),
        marks=pytest.mark.rule("bookings-errors"),
    ),
    pytest.param(
        Case(
            "social",
            "social",
            "/social/v2/users",
            "ZohoSocial.users.READ",
            {
                "no_token": (401, {"error": Any}),
                "invalid_token": (
                    401,
                    {
                        "error": {
                            "code": 401,
                            "requestURI": "/social/v2/users",
                            "message": "INVALID_OAUTHTOKEN",
                        }
                    },
                ),
                "scope": (401, {"error": Any}),
                "permission": (403, {"error": Any}),
            },
            {"users": Any},
        ),
        marks=pytest.mark.rule("social-errors"),
    ),
]


def _matches(answer: requests.Response, status: int, part: dict[str, Any] | None) -> None:
    assert answer.status_code == status, answer.text
    if part is None:
        assert answer.headers["Content-Type"].startswith("text/html")
        return
    body = answer.json()
    for name, value in part.items():
        assert name in body
        assert value is Any or body[name] == value


@pytest.mark.parametrize("case", CASES)
def test_a_product_refuses_with_its_own_error(zoho: ZohoDriver, case: Case) -> None:
    address = zoho.url_for(case.path, host=case.host)
    _matches(requests.get(address, timeout=10), *case.refusals["no_token"])
    _matches(zoho.call_api("1000.dead", case.path, case.host), *case.refusals["invalid_token"])
    other = zoho.issue_tokens(scope="AaaServer.profile.READ")["access_token"]
    _matches(zoho.call_api(other, case.path, case.host), *case.refusals["scope"])
    token = zoho.issue_tokens(scope=case.scope)["access_token"]
    zoho.controls.remove_api_access(ANNA, case.product)
    _matches(zoho.call_api(token, case.path, case.host), *case.refusals["permission"])


@pytest.mark.rule("products-have-their-own-limits")
def test_too_many_calls_to_a_product_get_its_own_error(zoho: ZohoDriver) -> None:
    token = zoho.issue_tokens(scope="ZohoCRM.org.READ,ZohoBooks.settings.READ")["access_token"]
    said = []
    for path in ("/crm/v8/org", "/books/v3/organizations"):
        zoho.controls.inject_fault("api-rate-limit")
        limited = zoho.call_api(token, path)
        assert limited.status_code == 429
        said.append(limited.json()["code"])
        assert zoho.call_api(token, path).ok
    assert said == ["TOO_MANY_REQUESTS", 44]


@pytest.mark.rule("desk-limits", "desk-edition", "analytics-limit")
@pytest.mark.parametrize(
    ("fault", "host", "path", "status", "word"),
    [
        ("api-rate-limit", "desk", "/api/v1/tickets", 429, "TOO_MANY_REQUESTS"),
        ("api-day-limit", "desk", "/api/v1/tickets", 429, "THRESHOLD_EXCEEDED"),
        ("edition-without-api", "desk", "/api/v1/tickets", 403, "LICENSE_ACCESS_LIMITED"),
        ("api-rate-limit", "analyticsapi", "/restapi/v2/orgs", 429, "6045"),
    ],
)
def test_desk_and_analytics_name_the_limit(
    zoho: ZohoDriver, fault: str, host: str, path: str, status: int, word: str
) -> None:
    zoho.controls.inject_fault(fault)
    answer = zoho.call_api("1000.any", path, host)
    assert (answer.status_code, word in answer.text) == (status, True)


@pytest.mark.rule("success-bodies")
@pytest.mark.parametrize("case", CASES)
def test_a_product_returns_the_fields_its_clients_read(zoho: ZohoDriver, case: Case) -> None:
    token = zoho.issue_tokens(scope=case.scope)["access_token"]
    _matches(zoho.call_api(token, case.path, case.host), 200, case.success)


@pytest.mark.rule("recruit-is-not-on-the-shared-host")
def test_the_recruit_path_on_the_shared_host_is_404(zoho: ZohoDriver) -> None:
    token = zoho.issue_tokens(scope="ZohoRecruit.users.READ")["access_token"]
    answer = zoho.call_api(token, "/recruit/v2/users")
    assert (answer.status_code, answer.json()["message"]) == (404, "API endpoint not found")


@pytest.mark.rule("wrong-path")
@pytest.mark.parametrize(
    ("host", "path", "status", "word"),
    [
        ("www", "/crm/v8/nothing/of/that/kind", 404, "INVALID_URL_PATTERN"),
        ("www", "/crm/v99/org", 404, "INVALID_URL_PATTERN"),
        ("www", "/books/v3/nothing", 404, "Invalid URL Passed"),
        ("desk", "/api/v1/nothing", 404, "URL_NOT_FOUND"),
        ("mail", "/crm/v8/org", 404, "URL_RULE_NOT_CONFIGURED"),
        ("www", "/nothing", 404, "API endpoint not found"),
        ("nowhere", "/crm/v8/org", 404, "Not Found"),
    ],
)
def test_a_wrong_path_gets_the_error_of_the_product(
    zoho: ZohoDriver, host: str, path: str, status: int, word: str
) -> None:
    answer = zoho.call_api("1000.dead", path, host)
    assert answer.status_code == status
    assert word in answer.text


def test_a_token_request_at_a_product_is_404(zoho: ZohoDriver) -> None:
    token_at_the_wrong_host = zoho.url_for("/oauth/v2/token", host="www")
    assert requests.post(token_at_the_wrong_host, timeout=10).status_code == 404


@pytest.mark.rule("crm-sometimes-returns-authentication-failure")
def test_crm_can_return_authentication_failure_for_an_invalid_token(zoho: ZohoDriver) -> None:
    zoho.controls.change_settings(crm_authentication_failure=True)
    assert zoho.call_api("1000.dead").json()["code"] == "AUTHENTICATION_FAILURE"


def test_the_500_of_workdrive_is_a_setting(zoho: ZohoDriver) -> None:
    zoho.controls.change_settings(workdrive_500=False)
    answer = zoho.call_api("1000.dead", "/workdrive/api/v1/users/me")
    assert (answer.status_code, answer.json()["errors"][0]["id"]) == (401, "F7003")


@pytest.mark.rule("books-requires-organization-id")
@pytest.mark.parametrize(
    ("scope", "path", "organization_id"),
    [
        ("ZohoBooks.fullaccess.all", "/books/v3/invoices", "20090000002"),
        ("ZohoInventory.FullAccess.all", "/inventory/v1/items", "20090000003"),
    ],
)
def test_books_and_inventory_require_an_organization_id(
    zoho: ZohoDriver, scope: str, path: str, organization_id: str
) -> None:
    token = zoho.issue_tokens(scope=scope)["access_token"]
    assert zoho.call_api(token, path).status_code == 400
    assert zoho.call_api(token, f"{path}?organization_id=1").json()["code"] == 57
    assert zoho.call_api(token, f"{path}?organization_id={organization_id}").json()["code"] == 0


@pytest.mark.rule("desk-requires-org-id")
def test_desk_requires_the_organization_in_a_header(zoho: ZohoDriver) -> None:
    token = zoho.issue_tokens(scope="Desk.tickets.ALL")["access_token"]
    statuses = []
    for org_id in ("", "1", "20090000004"):
        headers = {"Authorization": f"Zoho-oauthtoken {token}"} | (
            {"orgId": org_id} if org_id else {}
        )
        address = zoho.url_for("/api/v1/tickets", host="desk")
        statuses.append(requests.get(address, headers=headers, timeout=10).status_code)
    assert statuses == [422, 403, 200]


@pytest.mark.rule("organizations-are-listed")
def test_books_lists_all_organizations_and_crm_the_bound_one(zoho: ZohoDriver) -> None:
    books = zoho.issue_tokens(CARLA, scope="ZohoBooks.settings.READ")["access_token"]
    listed = zoho.call_api(books, "/books/v3/organizations").json()["organizations"]
    assert [(each["name"], each["is_default_org"]) for each in listed] == [
        ("Zylker GmbH", True),
        ("Zylker Outlet", False),
    ]
    crm = zoho.issue_tokens(CARLA, "20091000002")["access_token"]
    assert [each["company_name"] for each in zoho.call_api(crm).json()["org"]] == ["Zylker Outlet"]


@pytest.mark.rule("both-authorization-schemes")
@pytest.mark.parametrize("scheme", ["Zoho-oauthtoken", "Bearer", "zoho-OAuthToken", "bearer"])
def test_both_schemes_are_accepted_in_any_case(zoho: ZohoDriver, scheme: str) -> None:
    headers = {"Authorization": f"{scheme} {zoho.issue_tokens()['access_token']}"}
    address = zoho.url_for("/crm/v8/org", host="www")
    assert requests.get(address, headers=headers, timeout=10).status_code == 200


@pytest.mark.rule("token-by-header-only")
def test_a_token_in_the_query_is_ignored(zoho: ZohoDriver) -> None:
    address = zoho.url_for("/crm/v8/org", host="www")
    query = {"access_token": zoho.issue_tokens()["access_token"]}
    answer = requests.get(address, params=query, timeout=10)
    assert answer.json()["code"] == "AUTHENTICATION_FAILURE"


def test_odd_names_of_organizations_stay_valid_json(zoho: ZohoDriver) -> None:
    odd = 'The "$items" \\ Co'
    crm = {"product": "crm", "organization_id": "7", "name": odd}
    zoho.controls.add_user(
        "odd@zylker.example",
        location="eu",
        first_name="Ö",
        last_name="$path",
        organizations=[crm],
    )
    token = zoho.issue_tokens("odd@zylker.example")["access_token"]
    assert zoho.call_api(token).json()["org"][0]["company_name"] == odd
