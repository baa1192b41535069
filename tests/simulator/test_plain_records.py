"""The records of Books and Projects, which are plain JSON."""

from typing import Any

import pytest
import requests
from support.claims import over_rows
from support.zoho_driver import ZohoDriver

BOOKS, PORTAL = "20090000002", "20090000008"


def call(
    zoho: ZohoDriver, token: str, method: str, path: str, host: str = "www", **sent: Any
) -> requests.Response:
    headers = {"Authorization": f"Zoho-oauthtoken {token}"}
    url = zoho.url_for(path, host=host)
    return requests.request(method, url, headers=headers, timeout=10, **sent)


@pytest.mark.rule("books-records")
@over_rows(
    ("resource", "singular", "sent", "change"),
    [
        ("contacts", "contact", {"contact_name": "Ørsted"}, {"email": "o@x.example"}),
        ("items", "item", {"name": "Compass", "rate": 3.5}, {"rate": 4}),
        ("invoices", "invoice", {"customer_id": "1"}, {"status": "sent"}),
    ],
)
def test_books_creates_lists_changes_and_deletes(
    zoho: ZohoDriver, resource: str, singular: str, sent: dict[str, Any], change: dict[str, Any]
) -> None:
    token = zoho.issue_tokens(scope="ZohoBooks.fullaccess.all")["access_token"]
    base, named = f"/books/v3/{resource}", {"organization_id": BOOKS}
    before = call(zoho, token, "GET", base, params=named).json()[resource]
    created = call(zoho, token, "POST", base, json=sent, params=named)
    record = created.json()[singular]
    assert created.status_code == 201
    assert record | sent == record
    one = f"{base}/{record[f'{singular}_id']}"
    assert call(zoho, token, "PUT", one, json=change, params=named).json()["code"] == 0
    assert call(zoho, token, "GET", one, params=named).json()[singular] == record | change
    listed = call(zoho, token, "GET", base, params=named).json()[resource]
    assert listed == [*before, record | change]
    page = call(zoho, token, "GET", f"{base}?page=2&per_page={len(before)}", params=named).json()
    assert page[resource] == [record | change]
    assert page["page_context"]["has_more_page"] is False
    form = {"JSONString": "{}"}
    assert call(zoho, token, "POST", base, data=form, params=named).json()["code"] == 4
    assert call(zoho, token, "DELETE", one, params=named).json()["code"] == 0
    missing = call(zoho, token, "GET", one, params=named)
    assert (missing.status_code, missing.json()["code"]) == (404, 1002)


@pytest.mark.rule("books-records")
def test_a_books_list_is_selected_by_the_value_of_a_field(zoho: ZohoDriver) -> None:
    token = zoho.issue_tokens(scope="ZohoBooks.contacts.READ")["access_token"]
    query = f"organization_id={BOOKS}&contact_type=vendor"
    found = zoho.call_api(token, f"/books/v3/contacts?{query}").json()["contacts"]
    assert [each["contact_name"] for each in found] == ["Paper Mill"]


@pytest.mark.rule("books-calls-per-minute")
def test_the_calls_of_an_organization_in_a_minute_are_limited(zoho: ZohoDriver) -> None:
    token = zoho.issue_tokens(scope="ZohoBooks.settings.READ")["access_token"]
    path = f"/books/v3/items?organization_id={BOOKS}"
    assert [zoho.call_api(token, path).status_code for _ in range(100)] == [200] * 100
    refused = zoho.call_api(token, path)
    assert (refused.status_code, refused.json()["code"]) == (429, 44)
    zoho.controls.advance(60)
    assert zoho.call_api(token, path).status_code == 200


@pytest.mark.rule("projects-portals")
def test_projects_are_in_a_portal_in_both_versions(zoho: ZohoDriver) -> None:
    token = zoho.issue_tokens(scope="ZohoProjects.portals.READ,ZohoProjects.projects.ALL")[
        "access_token"
    ]
    old = call(zoho, token, "GET", "/restapi/portals/", "projectsapi").json()["portals"]
    new = call(zoho, token, "GET", "/api/v3/portals", "projects").json()["portals"]
    assert ([each["id_string"] for each in old], [each["id"] for each in new]) == (
        [PORTAL],
        [PORTAL],
    )
    base = f"/api/v3/portal/{PORTAL}/projects"
    created = call(zoho, token, "POST", base, "projects", json={"name": "Steam"}).json()
    change = {"name": "Steam engine"}
    call(zoho, token, "PATCH", f"{base}/{created['id']}", "projects", json=change)
    old_list = call(zoho, token, "GET", f"/restapi/portal/{PORTAL}/projects/", "projectsapi").json()
    assert old_list["projects"][-1]["name"] == "Steam engine"
    assert call(zoho, token, "GET", base, "projects").json() == old_list["projects"]
    foreign = call(zoho, token, "GET", "/api/v3/portal/1/projects", "projects")
    assert foreign.json()["error"]["title"] == "PERMISSION_DENIED"
