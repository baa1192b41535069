"""CRM's records: what is created is listed, searched, changed and deleted, as at Zoho."""

from typing import Any

import pytest
import requests
from support.claims import over_rows
from support.zoho_driver import ANNA, CARLA, ZohoDriver

SCOPE = ",".join(
    [
        "ZohoCRM.modules.ALL",
        "ZohoCRM.settings.ALL",
        "ZohoCRM.users.READ",
        "ZohoCRM.coql.READ",
        "ZohoSearch.securesearch.READ",
    ]
)


class Crm:
    """The CRM API as a program calls it, with one token; the version is part of each path."""

    def __init__(self, zoho: ZohoDriver, scope: str = SCOPE, **account: str) -> None:
        self.zoho = zoho
        self.token = zoho.issue_tokens(**account, scope=scope)["access_token"]

    def call(self, method: str, path: str, json: Any = None, **headers: str) -> requests.Response:
        return requests.request(
            method,
            self.zoho.url_for(f"/crm/{path}", host="www"),
            headers={"Authorization": f"Zoho-oauthtoken {self.token}", **headers},
            json=json,
            timeout=10,
        )

    def get(self, path: str, **headers: str) -> requests.Response:
        return self.call("GET", path, **headers)

    def create(self, module: str, *records: dict[str, Any]) -> list[dict[str, Any]]:
        results: list[dict[str, Any]] = self.call(
            "POST", f"v8/{module}", {"data": list(records)}
        ).json()["data"]
        return results

    def create_one(self, module: str, **record: Any) -> str:
        record_id: str = self.create(module, record)[0]["details"]["id"]
        return record_id

    def names(self, path: str, name: str = "Last_Name") -> list[str]:
        answer = self.get(path)
        return [] if answer.status_code == 204 else [each[name] for each in answer.json()["data"]]

    def query(self, text: str) -> requests.Response:
        return self.call("POST", "v8/coql", {"select_query": text})


@pytest.fixture
def crm(zoho: ZohoDriver) -> Crm:
    return Crm(zoho)


def refusal(answer: requests.Response) -> tuple[int, str]:
    body = answer.json()
    return answer.status_code, body.get("code") or body["data"][0]["code"]


@pytest.mark.rule("crm-changes")
def test_what_is_created_is_listed_searched_changed_and_deleted(crm: Crm) -> None:
    account = crm.create_one("Accounts", Account_Name="Göttingen")
    noether = {"Last_Name": "Noether", "First_Name": "Emmy", "Account_Name": {"id": account}}
    contact = crm.create_one("Contacts", **noether)
    by_id = crm.get(f"v8/Contacts/{contact}").json()["data"][0]
    assert by_id["Full_Name"] == "Emmy Noether"
    assert by_id["Account_Name"] == {"name": "Göttingen", "id": account}
    assert by_id["Owner"]["email"] == ANNA
    assert crm.names("v8/Contacts?fields=Last_Name")[0] == "Noether"
    where = "Account_Name.Account_Name = 'Göttingen'"
    assert len(crm.query(f"select Last_Name from Contacts where {where}").json()["data"]) == 1
    assert crm.names(f"v8/Accounts/{account}/Contacts?fields=Last_Name") == ["Noether"]
    assert refusal(crm.get(f"v8/Accounts/{account}/Leads?fields=id")) == (400, "INVALID_DATA")
    change = {"data": [{"id": contact, "Last_Name": "Nöther"}]}
    assert crm.call("PUT", "v8/Contacts", change).json()["data"][0]["message"] == "record updated"
    assert crm.names("v8/Contacts/search?criteria=(Last_Name:equals:Nöther)") == ["Nöther"]
    before = crm.get("v8/Contacts/actions/count").json()["count"]
    deleted = crm.call("DELETE", f"v8/Contacts?ids={contact}")
    assert deleted.json()["data"][0]["details"] == {"id": contact}
    assert crm.get(f"v8/Contacts/{contact}").status_code == 204
    assert crm.get("v8/Contacts/actions/count").json()["count"] == before - 1
    assert crm.names("v8/Contacts/deleted", "display_name") == ["Emmy Nöther"]


@pytest.mark.rule("crm-metadata")
def test_the_metadata_describes_the_modules_and_the_fields_of_their_records(crm: Crm) -> None:
    modules = [each["api_name"] for each in crm.get("v2/settings/modules").json()["modules"]]
    assert {"Leads", "Contacts", "Accounts", "Deals", "Tasks"} <= set(modules)
    for module in modules:
        fields = crm.get(f"v8/settings/fields?module={module}").json()["fields"]
        record = crm.get(f"v2/{module}").json()["data"][0]
        assert record.keys() == {each["api_name"] for each in fields}
        mandatory = [each["api_name"] for each in fields if each["system_mandatory"]]
        assert refusal(crm.call("POST", f"v8/{module}", {"data": [{}]}))[1] == "MANDATORY_NOT_FOUND"
        assert mandatory
    one = crm.get("v8/settings/modules/Deals").json()["modules"][0]
    lookups = {each["api_name"]: each["lookup"] for each in one["fields"] if each["lookup"]}
    assert lookups["Contact_Name"]["module"]["api_name"] == "Contacts"
    assert crm.get("v8/settings/fields").json()["details"] == {"param_name": "module"}


@pytest.mark.rule("crm-unknown-module")
@over_rows("path", ["v8/Nothing?fields=id", "v2/Nothing", "v8/settings/fields?module=Nothing"])
def test_an_unknown_module_is_named_invalid(crm: Crm, path: str) -> None:
    assert refusal(crm.get(path)) == (400, "INVALID_MODULE")


@pytest.mark.rule("crm-lists")
def test_a_list_has_the_newest_records_first_and_only_the_fields_asked_for(crm: Crm) -> None:
    page = crm.get("v8/Leads?fields=Last_Name,Company,Nothing&per_page=2").json()
    assert [each["Last_Name"] for each in page["data"]] == ["Lovelace", "Germain"]
    assert page["data"][0].keys() == {"id", "Last_Name", "Company"}
    assert page["info"]["more_records"] is True
    assert (page["info"]["page"], page["info"]["count"]) == (1, 2)
    oldest = crm.names("v2/Leads?page=3&per_page=2")
    assert oldest == ["du Châtelet"]
    ascending = crm.names("v8/Leads?fields=Last_Name&sort_by=Created_Time&sort_order=asc")
    assert ascending[0] == "du Châtelet"
    assert refusal(crm.get("v8/Leads?fields=id&sort_by=Company")) == (400, "INVALID_DATA")
    too_many = ",".join(f"f{number}" for number in range(51))
    assert refusal(crm.get(f"v8/Leads?fields={too_many}")) == (400, "LIMIT_EXCEEDED")


@pytest.mark.rule("crm-page-tokens")
def test_a_page_token_leads_through_the_list_and_is_bound_to_it(crm: Crm) -> None:
    path = "v8/Leads?fields=Last_Name&per_page=2"
    names: list[str] = []
    tokens: list[str | None] = [""]
    while tokens[-1] is not None:
        page = crm.get(path + (f"&page_token={tokens[-1]}" if tokens[-1] else "")).json()
        names += [each["Last_Name"] for each in page["data"]]
        tokens.append(page["info"]["next_page_token"])
    first = tokens[1]
    assert names == crm.names("v8/Leads?fields=Last_Name")
    assert len(names) == 5
    assert refusal(crm.get(f"{path}&page=2&page_token={first}"))[1] == "AMBIGUITY_DURING_PROCESSING"
    assert (
        refusal(crm.get(f"v8/Leads?fields=id&page_token={first}"))[1] == "TOKEN_BOUND_DATA_MISMATCH"
    )
    assert refusal(crm.get(f"{path}&page_token=abc"))[1] == "INVALID_DATA"
    crm.zoho.controls.advance(86_401)
    crm.token = crm.zoho.issue_tokens(scope=SCOPE)["access_token"]
    assert refusal(crm.get(f"{path}&page_token={first}"))[1] == "EXPIRED_VALUE"


@pytest.mark.rule("crm-discrete-pages")
def test_a_page_number_reaches_only_the_first_2000_records(crm: Crm) -> None:
    answer = crm.get("v8/Leads?fields=id&page=11&per_page=200")
    assert refusal(answer) == (400, "DISCRETE_PAGINATION_LIMIT_EXCEEDED")
    assert answer.json()["details"] == {"limit": 2000}
    assert crm.get("v2/Leads?page=11&per_page=200").status_code == 204


@pytest.mark.rule("crm-no-content", "crm-if-modified-since")
def test_nothing_found_is_204_and_nothing_changed_304(crm: Crm) -> None:
    for path in ("v8/Leads?fields=id&ids=1", "v8/Leads/1", "v8/Leads/search?word=nobody"):
        answer = crm.get(path)
        assert (answer.status_code, answer.content) == (204, b"")
    assert crm.zoho.controls.journal()[-1]["outcome"] == "ok"
    since = {"If-Modified-Since": "2026-01-08T09:00:00+00:00"}
    changed = crm.get("v2/Leads", **since).json()["data"]
    assert [each["Last_Name"] for each in changed] == ["Lovelace"]
    since = {"If-Modified-Since": "2026-02-01T09:00:00+00:00"}
    assert crm.get("v2/Leads", **since).status_code == 304
    assert crm.query("select id from Leads where City = 'Atlantis'").status_code == 204


@pytest.mark.rule("crm-invalid-records")
@over_rows(
    ("record", "code", "detail"),
    [
        ({"Company": "X"}, "MANDATORY_NOT_FOUND", ("json_path", "$.data[0].Last_Name")),
        ({"Last_Name": ""}, "MANDATORY_NOT_FOUND", ("api_name", "Last_Name")),
        ({"Last_Name": 3}, "INVALID_DATA", ("expected_data_type", "text")),
        ({"Last_Name": "x" * 81}, "INVALID_DATA", ("maximum_length", 80)),
        ({"Last_Name": "x", "Email": "x"}, "INVALID_DATA", ("expected_data_type", "email")),
        (
            {"Last_Name": "x", "No_of_Employees": "3"},
            "INVALID_DATA",
            ("api_name", "No_of_Employees"),
        ),
        ({"Last_Name": "x", "Email_Opt_Out": 1}, "INVALID_DATA", ("expected_data_type", "boolean")),
        ({"Last_Name": "x", "Owner": {"id": "1"}}, "INVALID_DATA", ("api_name", "Owner")),
    ],
)
def test_an_invalid_record_is_refused_by_field(
    crm: Crm, record: dict[str, Any], code: str, detail: tuple[str, Any]
) -> None:
    result = crm.create("Leads", record)[0]
    assert (result["code"], result["status"]) == (code, "error")
    assert result["details"][detail[0]] == detail[1]
    assert len(crm.names("v8/Leads?fields=Last_Name")) == 5


@pytest.mark.rule("crm-failed-changes")
def test_each_record_has_its_own_result(crm: Crm) -> None:
    good, bad = {"Last_Name": "x"}, {"Company": "x"}
    sent = [("v8", [good, bad]), ("v8", [bad]), ("v2", [good, bad]), ("v2", [good])]
    answers = [crm.call("POST", f"{v}/Leads", {"data": records}) for v, records in sent]
    assert [each.status_code for each in answers] == [207, 400, 202, 201]
    assert [each["status"] for each in answers[0].json()["data"]] == ["success", "error"]
    outcomes = [each["outcome"] for each in crm.zoho.controls.journal()[-4:]]
    assert outcomes == ["ok", "MANDATORY_NOT_FOUND", "ok", "ok"]
    unknown = crm.call("DELETE", "v8/Leads?ids=1")
    assert unknown.json()["data"][0]["message"] == "record not deleted"
    assert refusal(crm.call("PUT", "v8/Leads", {"data": [{"id": "1"}]})) == (400, "INVALID_DATA")
    assert refusal(crm.call("PUT", "v8/Leads", {"data": [{}]})) == (400, "MANDATORY_NOT_FOUND")
    assert refusal(crm.get("v8/Leads/abc")) == (400, "INVALID_DATA")


@over_rows(
    ("body", "code"),
    [
        ([], "INVALID_DATA"),
        ({}, "MANDATORY_NOT_FOUND"),
        ({"data": {}}, "INVALID_DATA"),
        ({"data": []}, "INVALID_DATA"),
        ({"data": [{"Last_Name": "x"}] * 101}, "LIMIT_EXCEEDED"),
    ],
)
@pytest.mark.rule("crm-invalid-records")
def test_a_body_without_records_is_refused(crm: Crm, body: Any, code: str) -> None:
    assert refusal(crm.call("POST", "v8/Leads", body)) == (400, code)


@pytest.mark.rule("crm-read-only-and-unknown-fields")
def test_read_only_and_unknown_fields_are_ignored(crm: Crm) -> None:
    record = {"Last_Name": "x", "Full_Name": "y", "id": "7", "Created_Time": "z", "Nothing": 1}
    created = crm.get(f"v8/Leads/{crm.create_one('Leads', **record)}").json()["data"][0]
    assert (created["Full_Name"], "Nothing" in created) == ("x", False)
    assert created["id"] != "7"
    assert created["Created_Time"] != "z"


@pytest.mark.rule("crm-changes")
def test_an_upsert_changes_what_has_the_same_email_address(crm: Crm) -> None:
    rows = [
        {"Last_Name": "King", "Email": "ada@engines.example"},
        {"Last_Name": "Byron", "Email": "b@x.example"},
    ]
    results = crm.call("POST", "v8/Leads/upsert", {"data": rows}).json()["data"]
    assert [each["action"] for each in results] == ["update", "insert"]
    assert results[0]["duplicate_field"] == "Email"
    assert crm.names("v8/Leads?fields=Last_Name")[:2] == ["Byron", "King"]


@pytest.mark.rule("crm-search")
@over_rows(
    ("query", "names"),
    [
        ("criteria=(Company:equals:observatory)", ["Zhenyi"]),
        ("criteria=((Country:equals:France)and(Lead_Status:equals:Lost Lead))", ["Germain"]),
        ("criteria=((Last_Name:starts_with:Zhe)or(No_of_Employees:greater_than:11))", ["Zhenyi"]),
        ("criteria=(Last_Name:in:Germain,Lovelace)", ["Germain", "Lovelace"]),
        (r"criteria=(Last_Name:equals:Ger\,main)", []),
        ("email=ADA@engines.example", ["Lovelace"]),
        ("phone=%2B44 20 5550 199", ["Lovelace"]),
        ("word=elastics", ["Germain"]),
    ],
)
def test_a_search_finds_by_criteria_email_phone_and_word(
    crm: Crm, query: str, names: list[str]
) -> None:
    assert crm.names(f"v8/Leads/search?{query}") == names


@pytest.mark.rule("crm-search")
@over_rows(
    "criteria", ["(Nothing:equals:x)", "(City:eats:x)", "City:equals:x)", "(City)", "((City:in:x)"]
)
def test_criteria_that_are_not_understood_are_refused(crm: Crm, criteria: str) -> None:
    assert refusal(crm.get(f"v8/Leads/search?criteria={criteria}")) == (400, "INVALID_QUERY")


@pytest.mark.rule("crm-search-scope")
def test_a_search_needs_the_scope_of_search(zoho: ZohoDriver) -> None:
    crm = Crm(zoho, "ZohoCRM.modules.ALL")
    assert refusal(crm.get("v8/Leads/search?word=ada")) == (401, "OAUTH_SCOPE_MISMATCH")
    zoho.controls.change_settings(search_scope_required=False)
    assert crm.names("v8/Leads/search?word=ada") == ["Lovelace"]


@pytest.mark.rule("crm-queries")
@over_rows(
    ("query", "names"),
    [
        ("where Last_Name like '%ain%'", ["Germain"]),
        ("where Country = 'France' and (City is null or City = 'x')", ["Germain"]),
        (
            "where Last_Name not in ('Germain', 'Lovelace', 'Zhenyi') order by Last_Name",
            ["du Châtelet", "Somerville"],
        ),
        ("where No_of_Employees between 10 and 13", ["Zhenyi"]),
        ("where Annual_Revenue >= 125000", ["Somerville"]),
        ("where Email is not null order by Last_Name desc limit 1, 2", ["Somerville", "Lovelace"]),
        ("where Email_Opt_Out = 'false' order by Created_Time asc limit 1 offset 4", ["Lovelace"]),
    ],
)
def test_a_query_selects_with_where_order_and_limit(crm: Crm, query: str, names: list[str]) -> None:
    found = crm.query(f"select Last_Name from Leads {query}").json()["data"]
    assert [each["Last_Name"] for each in found] == names
    assert all(each.keys() == {"Last_Name", "id"} for each in found)


@pytest.mark.rule("crm-query-errors")
@over_rows(
    ("query", "code", "details"),
    [
        ("update Leads set City = 'x'", "SYNTAX_ERROR", None),
        ("select id from Leads", "SYNTAX_ERROR", {"clause": "where"}),
        ("select id where City = 'x'", "SYNTAX_ERROR", {"clause": "from"}),
        ("select id from Leads where City", "SYNTAX_ERROR", None),
        ("select id from Leads where (City = 'x'", "SYNTAX_ERROR", None),
        ("select id from Leads where City = 'x' group by City", "SYNTAX_ERROR", None),
        ("select Nothing from Leads where id is null", "INVALID_QUERY", {"column_name": "Nothing"}),
        ("select id from Leads where Nothing = 1", "INVALID_QUERY", {"column_name": "Nothing"}),
        ("select City, City from Leads where id is null", "DUPLICATE_DATA", None),
        ("select id from Leads where id is null limit 2001", "LIMIT_EXCEEDED", None),
        ("select id from Nothing where id is null", "INVALID_MODULE", None),
    ],
)
def test_a_query_that_is_not_understood_is_refused(
    crm: Crm, query: str, code: str, details: Any
) -> None:
    answer = crm.query(query)
    assert refusal(answer) == (400, code)
    assert details in (None, answer.json()["details"])


@pytest.mark.rule("crm-query-scope")
def test_a_query_needs_its_own_scope_and_that_of_the_module(zoho: ZohoDriver) -> None:
    query = "select Deal_Name from Deals where Amount > 1000"
    for scope in ("ZohoCRM.modules.ALL", "ZohoCRM.coql.READ,ZohoCRM.modules.leads.READ"):
        assert refusal(Crm(zoho, scope).query(query)) == (401, "OAUTH_SCOPE_MISMATCH")
    crm = Crm(zoho, "ZohoCRM.coql.READ,ZohoCRM.modules.deals.READ")
    assert crm.query(query).json()["info"] == {"count": 1, "more_records": False}


def test_each_organization_has_its_own_records_and_a_reset_restores_them(zoho: ZohoDriver) -> None:
    outlet = Crm(zoho, email=CARLA, organization_id="20091000002")
    other = Crm(zoho, email=CARLA, organization_id="20091000001")
    lead = outlet.create_one("Leads", Last_Name="Meitner")
    assert outlet.names("v2/Leads")[0] == "Meitner"
    assert other.names("v2/Leads")[0] == "Lovelace"
    assert other.get(f"v8/Leads/{lead}").status_code == 204
    ids = outlet.names("v2/Leads", "id")
    saved = zoho.world.to_dict()
    zoho.controls.reset(1)
    again = Crm(ZohoDriver(zoho.simulator), email=CARLA, organization_id="20091000002")
    assert again.names("v2/Leads", "id") == ids[1:]
    zoho.world.load(saved)
    assert outlet.names("v2/Leads", "id") == ids
