"""The OpenAPI document of the simulator, and its own client, server and errors against it."""

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker
from support.claims import over_rows
from support.zoho_driver import ANNA, DORA, REDIRECT_URI, ZohoDriver, query_parameters

from wizard.simulator.admin_api import controls, perform
from wizard.simulator.configuration import Configuration
from wizard.simulator.errors import InvalidValueError, NotFoundError
from wizard.simulator.remote import RemoteSimulator
from wizard.simulator.server import Simulator, flask_app
from wizard.simulator.traffic import JournalEntry
from wizard.simulator.world import World

PUSH_USER = "pia@zylker.example"


def paths_of(simulator: Simulator) -> dict[str, Any]:
    """The paths of the OpenAPI document of a simulator."""
    document = requests.get(f"{simulator.url}/_simulator/openapi.json", timeout=10).json()
    assert document["openapi"].startswith("3.1")
    assert document["servers"] == [{"url": simulator.url}]
    paths: dict[str, Any] = document["paths"]
    return paths


def validate(content: Mapping[str, Any], value: Any) -> None:
    schema = content["content"]["application/json"]["schema"]
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema, format_checker=FormatChecker()).validate(value)


def extra_scopes_url(zoho: ZohoDriver) -> str:
    """The URL at which the user adds scopes to a refresh token."""
    said = {"grant_type": "update_scopes_token", **zoho.credentials, **zoho.issue_tokens()}
    answer = requests.post(zoho.url_for("/oauth/v2/token/scopeenhance"), data=said, timeout=10)
    query = {
        "client_id": zoho.client_id,
        "response_type": "update_scopes",
        "redirect_uri": REDIRECT_URI,
        "scope": "ZohoBooks.settings.READ",
        "enhance_token": answer.json()["access_token"],
        "logout": "true",
    }
    return zoho.url_for(f"/oauth/v2/token/addextrascope?{urlencode(query)}")


def arguments_of_each_control(simulator: Simulator) -> dict[str, dict[str, Any]]:
    """Arguments with which every control succeeds in a simulator, in this order."""
    zoho = ZohoDriver(simulator)
    client_id = zoho.client_id
    own = simulator.controls.register_client(ANNA, [], name="Self Client", kind="self-client")
    simulator.controls.add_user(PUSH_USER, location="eu", approves_by_push=True)
    session = simulator.world.sessions.begin("eu")
    session.pending_zuid, session.push_number = simulator.world.users.get(PUSH_USER).zuid, "42"
    in_us = {"client_id": client_id, "location": "us"}
    return {
        "now": {},
        "advance": {"seconds": 1.5},
        "state": {},
        "settings": {},
        "change_settings": {"code_lifetime_seconds": 60},
        "users": {},
        "add_user": {
            "email": "kim@zylker.example",
            "location": "us",
            "organizations": [{"product": "crm", "organization_id": "1", "name": "Kim Inc."}],
        },
        "register_client": {"owner": ANNA, "redirect_uris": ["http://localhost/back"]},
        "enable_data_center": in_us,
        "disable_data_center": in_us,
        "authorize": {"url": zoho.authorization_url(), "email": ANNA},
        "accept_extra_scopes": {"url": extra_scopes_url(zoho), "email": ANNA},
        "reject": {"email": ANNA, "times": 2},
        "generate_code": {"client_id": own["client_id"], "scope": "ZohoCRM.org.READ"},
        "issue_tokens": {"email": ANNA, "scope": "ZohoCRM.org.READ", "client_id": client_id},
        "evict_refresh_token": {"email": ANNA, "client_id": client_id},
        "revoke_app": {"email": ANNA, "client_id": client_id},
        "rotate_secret": {"client_id": client_id},
        "delete_client": {"client_id": client_id},
        "change_password": {"email": ANNA, "new_password": "another"},
        "forgot_password": {"email": ANNA},
        "reset_password": {"email": ANNA, "remove_tokens": True},
        "announce": {"email": ANNA, "kind": "preannouncement"},
        "require_captcha": {"email": ANNA},
        "confirm_push": {"email": PUSH_USER},
        "deactivate_user": {"email": ANNA, "deactivated": True},
        "remove_api_access": {"email": ANNA, "product": "crm"},
        "move_account": {"email": ANNA, "location": "us"},
        "inject_fault": {"kind": "slow", "seconds": 0, "endpoint": "oauth", "times": 3},
        "journal": {},
        "clear_faults": {},
        "stub_response": {"method": "GET", "path": "/crm/v8/org", "body": {"code": "X"}},
        "clear_stubbed_responses": {},
        "clear_journal": {},
        "reset": {"random_seed": 3},
    }


def test_every_control_is_as_its_openapi_document_says(zoho_simulator: Simulator) -> None:
    paths = paths_of(zoho_simulator)
    calls = arguments_of_each_control(zoho_simulator)
    assert calls.keys() == controls().keys()
    for name, arguments in calls.items():
        operation = paths[f"/_simulator/controls/{name}"]["post"]
        address = f"{zoho_simulator.url}/_simulator/controls/{name}"
        done = requests.post(address, json=arguments, timeout=10)
        assert done.status_code == 200, (name, done.text)
        validate(operation["requestBody"], arguments)
        validate(operation["responses"]["200"], done.json())
        refused = requests.post(address, json={**arguments, "surprise": 1}, timeout=10)
        assert (refused.status_code, refused.json()["error"]) == (400, "invalid-value"), name
        validate(operation["responses"]["4XX"], refused.json())


def test_the_client_sends_what_the_document_describes(zoho_simulator: Simulator) -> None:
    calls = arguments_of_each_control(zoho_simulator)
    remote = RemoteSimulator(zoho_simulator.url).controls
    for name, arguments in calls.items():
        result = getattr(remote, name)(**arguments)
        schema = controls()[name].result
        encoded = result.isoformat() if isinstance(result, datetime) else result
        Draft202012Validator(schema).validate(encoded)


def test_every_route_of_the_server_is_in_the_document(zoho_simulator: Simulator) -> None:
    paths = paths_of(zoho_simulator)
    for rule in flask_app().url_map.iter_rules():
        path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
        if path == "/_simulator/controls/{control}":
            assert {f"/_simulator/controls/{name}" for name in controls()} <= paths.keys()
        elif not rule.endpoint.endswith("static"):
            methods = {each.lower() for each in (rule.methods or set()) - {"HEAD", "OPTIONS"}}
            assert methods <= paths[path].keys(), path
    assert "get" in paths["/{location}/www/crm/{version}/org"]


def test_the_page_of_routes_lists_what_the_document_has(zoho_simulator: Simulator) -> None:
    page = requests.get(f"{zoho_simulator.url}/_simulator/routes", timeout=10).text
    assert [path for path in paths_of(zoho_simulator) if f"<code>{path}</code>" not in page] == []
    state = requests.get(f"{zoho_simulator.url}/_simulator/", timeout=10).text
    assert 'href="/_simulator/routes"' in state


def test_every_operation_has_a_name_of_its_own_and_a_summary(zoho_simulator: Simulator) -> None:
    operations = [
        operation for path in paths_of(zoho_simulator).values() for operation in path.values()
    ]
    assert len({each["operationId"] for each in operations}) == len(operations)
    assert [each["operationId"] for each in operations if not each["summary"].endswith(".")] == []


@over_rows(
    ("control", "body", "error", "text"),
    [
        ("change_password", {}, "invalid-value", "“email” is missing."),
        ("change_password", {"email": 3}, "invalid-value", "“email” must be text, not 3."),
        ("change_password", {"email": "x@y.example"}, "not-found", "There is no user “x@y.exa"),
        ("change_password", {"emial": ANNA}, "invalid-value", "Did you mean “email”?"),
        ("advance", {"seconds": "soon"}, "invalid-value", '“seconds” must be a number, not "soon"'),
        ("inject_fault", {"kind": "slow", "times": 0}, "invalid-value", "must be at least 1"),
        ("move_account", {"email": ANNA, "location": "mars"}, "invalid-value", "“eu”"),
        ("change_settings", {"code_limt": 1}, "invalid-value", "Did you mean “code_limit”?"),
        ("change_settings", {"code_limit": True}, "invalid-value", "a whole number, not true"),
        ("confirm_push", {"email": ANNA}, "not-found", "No sign-in of anna@zylker.example waits"),
        ("remove_api_access", {"email": ANNA, "product": "crn"}, "not-found", "mean “crm”?"),
        ("add_user", {"email": "a@b.example", "location": "eu", "organizations": [{}]},
         "invalid-value", "“organizations[0].product” is missing."),
        ("issue_tokens", {"email": ANNA, "scope": "ZohoCRM.x"}, "invalid-value", "Zoho has no sco"),
        ("advance", {"seconds": 1e12}, "invalid-value", "in the years 1971 to 2199."),
        ("advance", {"seconds": 1e300}, "invalid-value", "The clock can be in the years"),
        ("inject_fault", {"kind": "slow", "times": 10**9}, "invalid-value", "at most 1000000"),
        ("change_settings", {"code_limit": 10**12}, "invalid-value", "at most 1000000000"),
        ("add_user", {"email": "kim", "location": "eu"}, "invalid-value", "an email address"),
        ("add_user", {"email": "a@b.example", "location": "eu", "one_time_code_secret": "1"},
         "invalid-value", "“one_time_code_secret” must be in base32"),
        ("authorize", {"url": "https://[", "email": ANNA}, "invalid-value", "“url” must be a URL"),
        ("change_pasword", {}, "not-found", "Did you mean “change_password”?"),
        ("reset", [], "invalid-value", "The body must be a JSON object"),
    ],
)  # fmt: skip
def test_a_refusal_says_what_is_wrong_and_what_is_expected(
    zoho_simulator: Simulator, control: str, body: Any, error: str, text: str
) -> None:
    address = f"{zoho_simulator.url}/_simulator/controls/{control}"
    answer = requests.post(address, json=body, timeout=10)
    assert answer.status_code == {"not-found": 404, "invalid-value": 400}[error]
    assert answer.json()["error"] == error
    assert text in answer.json()["message"]


KNOWN_TEXTS = [
    ANNA,
    "kim@example.com",
    "",
    "https://[",
    "ZohoCRM.org.READ",
    "crm",
    "20090000001",
    "self-client",
]


def values_of(schema: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    """Values that a schema allows."""
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    kinds = schema.get("type", "string")
    kind = kinds if isinstance(kinds, str) else kinds[0]
    low, high = schema.get("minimum"), schema.get("maximum")
    if kind == "integer":
        return st.integers(low, high)
    if kind == "number":
        return st.floats(low, high, allow_nan=False, allow_infinity=False)
    if kind == "boolean":
        return st.booleans()
    if kind == "array":
        return st.lists(values_of(schema["items"]), max_size=2)
    if "properties" not in schema and kind == "object":
        return st.dictionaries(st.text(max_size=9), values_of(schema["additionalProperties"]))
    if kind == "object":
        keys = {name: values_of(each) for name, each in schema["properties"].items()}
        required = {name: keys.pop(name) for name in schema["required"]}
        return st.fixed_dictionaries(required, optional=keys)
    return st.sampled_from(KNOWN_TEXTS) | st.text(max_size=20)


@given(st.data())
def test_arguments_that_the_document_allows_never_break_the_simulator(data: st.DataObject) -> None:
    world = World()
    for _ in range(3):
        control = data.draw(st.sampled_from([*controls().values()]))
        arguments = data.draw(values_of(control.arguments))
        with suppress(InvalidValueError, NotFoundError):
            perform(world, control.name, arguments)
    for name in ("state", "users", "journal", "now"):
        json.dumps(perform(world, name, {}))


def test_a_control_without_arguments_needs_no_body(zoho: ZohoDriver) -> None:
    zoho.controls.advance(60)
    answer = requests.post(f"{zoho.url}/_simulator/controls/reset", timeout=10)
    assert (answer.status_code, answer.json()) == (200, None)


def test_an_unknown_route_of_the_simulator_is_answered_in_json(zoho: ZohoDriver) -> None:
    answer = requests.get(f"{zoho.url}/_simulator/control/now", timeout=10)
    assert (answer.status_code, answer.json()["error"]) == (404, "not-found")
    assert "openapi.json" in answer.json()["message"]


@over_rows("body", ["[" * 100_000, '{"a":' * 50_000, r'{"\ud800": 1}', "{", "9" * 5000])
def test_json_that_cannot_be_read_is_refused_and_breaks_nothing_later(
    zoho_simulator: Simulator, body: str
) -> None:
    tokens = zoho_simulator.controls.issue_tokens(ANNA, "ZohoCRM.modules.ALL")
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    for url in (
        f"{tokens['api_domain']}/crm/v8/Leads",
        f"{tokens['accounts_server']}/oauth/v2/token",
        f"{zoho_simulator.url}/_simulator/controls/advance",
    ):
        sent = {"Content-Type": "application/json", **headers}
        assert requests.post(url, body, headers=sent, timeout=10).status_code < 500, url
    for path in ("journal.jsonl", "controls/state", ""):
        assert requests.get(f"{zoho_simulator.url}/_simulator/{path}", timeout=10).ok


def test_a_defect_of_the_simulator_shows_nothing_of_python(
    zoho: ZohoDriver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    del zoho.world.rejections  # whatever a defect breaks
    answer = requests.post(
        f"{zoho.url}/_simulator/controls/reject", json={"email": ANNA}, timeout=10
    )
    assert (answer.status_code, answer.json()["error"]) == (500, "internal-error")
    assert "rejections" not in answer.text
    assert "rejections" in caplog.text


def test_the_journal_is_read_as_json_lines(zoho: ZohoDriver) -> None:
    zoho.refresh("1000.x")
    zoho.call_api("1000.y")
    answer = requests.get(f"{zoho.url}/_simulator/journal.jsonl", timeout=10)
    assert answer.headers["Content-Type"] == "application/jsonl"
    assert [json.loads(line) for line in answer.text.splitlines()] == zoho.controls.journal()


def test_a_secret_in_the_wrong_place_is_not_in_the_journal(zoho: ZohoDriver) -> None:
    tokens = zoho.controls.issue_tokens(ANNA, "ZohoCRM.org.READ")
    token = tokens["access_token"]
    headers = dict.fromkeys(("Origin", "User-Agent", "Content-Type"), f"x/{token}")
    requests.get(
        f"{tokens['api_domain']}/crm/v8/{token}",
        params={"redirect_uri": f"https://x/{token}", token: "1", "scope": token},
        headers={"Authorization": token, **headers},
        timeout=10,
    )
    zoho.call_api(token)
    without_scheme, usual = zoho.controls.journal()
    assert not re.search("[0-9a-f]{32}", json.dumps(without_scheme))
    assert without_scheme["authorization"] == f"‹{len(token)} characters›"
    assert usual["authorization"] == "Zoho-oauthtoken"


def test_the_journal_is_written_to_a_file_as_requests_come(tmp_path: Path) -> None:
    file = tmp_path / "requests.jsonl"
    file.write_text('{"of": "an earlier run"}\n')
    with Simulator(Configuration(port=0, journal=str(file))) as simulator:
        zoho = ZohoDriver(simulator)
        zoho.refresh("1000.x")
        zoho.controls.clear_journal()
        zoho.call_api("1000.y")
        zoho.controls.state()
        lines = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    assert [each.get("path") for each in lines] == [None, "/oauth/v2/token", "/crm/v8/org"]
    assert lines[2].keys() == JournalEntry.__dataclass_fields__.keys()


def test_a_rejected_consent_returns_to_the_program_with_access_denied(zoho: ZohoDriver) -> None:
    zoho.controls.reject()
    assert query_parameters(zoho.authorize(state="s")) == {"error": "access_denied", "state": "s"}
    assert "code" in query_parameters(zoho.authorize())
    zoho.controls.reject(DORA)
    assert "code" in query_parameters(zoho.authorize())
    assert query_parameters(zoho.authorize(DORA))["error"] == "access_denied"


def test_a_browser_gets_no_consent_page_if_the_user_rejects(zoho: ZohoDriver) -> None:
    zoho.controls.reject(ANNA)
    answer = zoho.open_page(ANNA, zoho.authorization_url())
    assert query_parameters(answer.headers["Location"]) == {"error": "access_denied"}
    assert zoho.open_page(ANNA, zoho.authorization_url()).status_code == 200
    more = extra_scopes_url(zoho)
    zoho.controls.reject()
    answer = zoho.open_page(ANNA, more)
    assert query_parameters(answer.headers["Location"]) == {"error": "access_denied"}
    zoho.controls.reject()
    assert "access_denied" in zoho.controls.accept_extra_scopes(more, ANNA)


def test_issued_tokens_work_and_count_as_a_consent(zoho: ZohoDriver) -> None:
    issued = zoho.controls.issue_tokens(
        ANNA, "ZohoCRM.org.READ AaaServer.profile.READ", client_id=zoho.client_id
    )
    assert zoho.is_accepted(issued["access_token"])
    assert zoho.refresh(issued["refresh_token"]).json()["scope"] == issued["scope"]
    assert issued["api_domain"] == f"{zoho.url}/eu/www"
    for _ in range(20):
        zoho.controls.issue_tokens(ANNA, "ZohoCRM.org.READ", client_id=zoho.client_id)
    assert zoho.refresh(issued["refresh_token"]).json() == {"error": "invalid_code"}


def test_an_organization_of_someone_else_is_refused(zoho: ZohoDriver) -> None:
    with pytest.raises(LookupError, match="has no organization"):
        zoho.controls.issue_tokens(ANNA, "ZohoCRM.org.READ", organization_id="20092000001")
