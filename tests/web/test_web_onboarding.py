"""From the empty list to a report, as forms and redirects."""

import html
import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from support.records import attempts_of
from support.web_visitor import (
    ANNA,
    LEADS_SCOPE,
    NEW_CONNECTION_PATH,
    Visitor,
    authorize,
    connection_form,
)

from wizard.model import AttemptState, GrantState
from wizard.simulator.server import Simulator


def test_an_empty_data_directory_starts_with_the_preset(visitor: Visitor) -> None:
    page = visitor.get("/").text
    assert "Connect your program to Zoho" in page
    assert 'value="crm-read-leads"' in page
    assert "View leads; no changes" in page


def test_continuing_without_access_says_so_and_keeps_what_was_entered(visitor: Visitor) -> None:
    query = {"continue": "yes", "location": "eu", "name": "night"}
    answer = visitor.get(NEW_CONNECTION_PATH, query_string=query)
    assert answer.status_code == 422
    assert 'id="access-missing" role="alert"' in answer.text
    assert '<option value="eu" selected>' in answer.text
    assert 'value="night"' in answer.text
    assert 'id="access-missing"' not in visitor.get(NEW_CONNECTION_PATH).text


@pytest.mark.parametrize("words", ["books INVOICES", "zohobooks.settings", "nothing; like this"])
def test_a_search_without_scripts_finds_presets_and_keeps_the_chosen_one(
    visitor: Visitor, words: str
) -> None:
    query = {"search": "yes", "q": words, "preset": "cliq-post"}
    page = visitor.get(NEW_CONNECTION_PATH, query_string=query).text
    assert 'value="cliq-post" checked' in page
    assert 'value="crm-read-leads"' not in page
    assert ('value="books-read-invoices"' in page) == ("books" in words.lower())


@pytest.mark.parametrize("name", ["LEADS", "a b"])
def test_a_name_that_cannot_be_used_is_refused_on_the_first_page(
    connected: Visitor, name: str
) -> None:
    query = {"preset": ["cliq-post", "mail-read"], "name": name, "location": "eu"}
    answer = connected.get(NEW_CONNECTION_PATH, query_string=query)
    assert answer.status_code == 422
    assert f'value="{name}"' in answer.text
    assert 'value="cliq-post" checked' in answer.text
    assert 'value="mail-read" checked' in answer.text


@pytest.mark.parametrize(
    ("address", "console"),
    [
        ("https://crm.zoho.in/crm/org1/tab/Leads", "/in/api-console/add"),
        ("mail.zoho.com.au", "/au/api-console/add"),
        ("uk", "/uk/api-console/add"),
    ],
)
def test_any_zoho_url_identifies_the_data_center(
    visitor: Visitor, address: str, console: str
) -> None:
    page = visitor.get(
        NEW_CONNECTION_PATH, query_string={"preset": "crm-read-leads", "zoho_url": address}
    ).text
    assert f'href="{visitor.services.zoho.instance}{console}"' in page


@pytest.mark.parametrize("address", ["https://zoho.eu.evil.example/", "example.org", "<b>"])
def test_a_foreign_url_is_refused_and_kept_for_correction(visitor: Visitor, address: str) -> None:
    answer = visitor.get(
        NEW_CONNECTION_PATH, query_string={"preset": "crm-read-leads", "zoho_url": address}
    )
    assert answer.status_code == 422
    assert "No data center matches this URL" in answer.text
    assert "<b>" not in answer.text.split("No data center matches", 1)[1].split("</p>", 1)[0]


@pytest.mark.parametrize(
    ("languages", "console"),
    [("de-DE,de;q=0.9,en-US;q=0.5", "/eu/"), ("en-IN", "/in/"), ("en", "/us/"), ("", "/us/")],
)
def test_without_a_data_center_the_likeliest_console_comes_first(
    visitor: Visitor, languages: str, console: str
) -> None:
    page = visitor.get(
        f"{NEW_CONNECTION_PATH}?preset=crm-read-leads", headers={"Accept-Language": languages}
    ).text
    assert "most likely" in page
    assert (
        f'class="button secondary" href="{visitor.services.zoho.instance}{console}api-console/add"'
        in page
    )


def test_a_malformed_scope_is_named_and_kept_for_correction(visitor: Visitor) -> None:
    answer = visitor.get(
        NEW_CONNECTION_PATH, query_string={"scope": "ZohoCRM.modules.READ, crm:leads"}
    )
    assert answer.status_code == 422
    assert "crm:leads" in answer.text
    assert "ZohoCRM.modules.READ, crm:leads</textarea>" in answer.text


def test_the_profile_scope_is_always_requested_with_the_reason(visitor: Visitor) -> None:
    page = visitor.get(NEW_CONNECTION_PATH, query_string={"scope": "ZohoBooks.invoices.READ"}).text
    assert "AaaServer.profile.READ" in page
    assert "always requested" in page


def test_a_pasted_client_is_verified_and_leads_directly_to_zoho(
    visitor: Visitor, registered: dict[str, Any]
) -> None:
    begun = visitor.submit_form("/connections", **connection_form(registered))
    assert begun.status_code == 303
    asked = parse_qs(urlsplit(begun.location).query)
    assert begun.location.startswith(f"{visitor.services.zoho.instance}/eu/accounts/oauth/v2/auth?")
    assert asked["scope"] == [LEADS_SCOPE]
    assert asked["access_type"] == ["offline"]
    assert asked["prompt"] == ["consent"]
    assert asked["code_challenge_method"] == ["S256"]
    assert [each.client_id for each in visitor.services.store.clients.all()] == [
        registered["client_id"]
    ]


def test_a_client_is_found_when_the_data_center_is_not_known(
    visitor: Visitor, registered: dict[str, Any]
) -> None:
    begun = visitor.submit_form("/connections", **{**connection_form(registered), "location": ""})
    assert begun.status_code == 303
    assert visitor.services.store.clients.get(registered["client_id"]).location == "eu"


@pytest.mark.parametrize(
    "paste", ["", "nonsense", "1000.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "{id}\n{wrong}"]
)
def test_a_paste_that_fails_verification_changes_nothing(
    visitor: Visitor, registered: dict[str, Any], paste: str
) -> None:
    pasted = paste.format(id=registered["client_id"], wrong="0123456789abcdef" * 2 + "0123456789")
    answer = visitor.submit_form(
        "/connections", **{**connection_form(registered), "credentials": pasted}
    )
    assert answer.status_code in (404, 422)
    assert visitor.services.store.clients.all() == ()
    assert visitor.services.store.connections.all() == ()
    assert "0123456789abcdef" not in answer.text


def test_a_client_in_another_data_center_is_found_and_its_console_offered(
    visitor: Visitor, registered: dict[str, Any]
) -> None:
    answer = visitor.submit_form(
        "/connections", **{**connection_form(registered), "location": "in"}
    )
    assert answer.status_code == 422
    assert f"{visitor.services.zoho.instance}/eu/api-console/add" in answer.text
    assert '<option value="eu" selected>' in answer.text
    assert "Use Europe and connect to Zoho" in answer.text


def test_the_steps_lead_back_with_what_was_entered(
    visitor: Visitor, registered: dict[str, Any]
) -> None:
    entered = {
        **connection_form(registered),
        "scope": f"{LEADS_SCOPE},ZohoBooks.invoices.READ",
        "owner": "Anna",
        "tag": "prod",
        "note": "Nightly",
        "expected_email": ANNA,
        "paste_form": "form",
    }
    back = visitor.submit_form("/connections", **entered, back="yes")
    assert back.status_code == 303
    assert registered["secrets"]["eu"] not in back.location
    first_page = visitor.get(back.location).text
    for kept in (
        '<option value="eu" selected>',
        'value="crm-read-leads" checked',
        ">ZohoBooks.invoices.READ</textarea>",
        'name="name" type="text" value="leads"',
        'value="Anna"',
        f'value="{ANNA}"',
        'value="prod"',
        ">Nightly</textarea>",
    ):
        assert kept in first_page
    second_page = visitor.get(back.location.replace("edit=yes", "continue=yes")).text
    assert f"{registered['client_id']} and its secret are kept" in second_page
    begun = visitor.submit_form(
        "/connections", **{**entered, "credentials": "", "kept": registered["client_id"]}
    )
    assert begun.status_code == 303
    assert "oauth/v2/auth" in begun.location


def test_the_steps_of_a_stored_connection_lead_back_until_it_is_authorized(
    visitor: Visitor, registered: dict[str, Any], zoho_simulator: Simulator
) -> None:
    entered = {**connection_form(registered), "owner": "Anna"}
    begun = visitor.submit_form("/connections", **entered)
    page = visitor.get("/connections/leads").text
    access, client = map(
        html.unescape, re.findall(r'<a href="([^"]+)">(?:Access|Client)</a>', page)
    )
    first_page = visitor.get(access).text
    assert 'value="crm-read-leads" checked' in first_page
    assert 'value="Anna"' in first_page
    second_page = visitor.get(client).text
    assert 'name="replaces" value="leads"' in second_page
    client_id = registered["client_id"]
    wider = {"scope": f"{LEADS_SCOPE},ZohoBooks.invoices.READ", "client_id": client_id}
    again = {**entered, **wider, "credentials": "", "name": "sales", "replaces": "leads"}
    assert visitor.submit_form("/connections", **again).status_code == 303
    (stored,) = visitor.services.store.connections.all()
    assert (stored.name, "ZohoBooks.invoices.READ" in stored.scope) == ("sales", True)
    assert authorize(visitor, zoho_simulator, begun.location).status_code == 400
    begun = visitor.submit_form("/connections/sales/authorize")
    authorize(visitor, zoho_simulator, begun.location)
    assert visitor.submit_form("/connections", **{**again, "replaces": "sales"}).status_code == 422
    assert visitor.services.store.grants.of_connection("sales")


def test_the_owner_of_another_account_gets_a_link_and_the_answer_completes_the_connection(
    visitor: Visitor, registered: dict[str, Any], zoho_simulator: Simulator
) -> None:
    created = visitor.submit_form("/connections", **connection_form(registered), request="yes")
    page = visitor.get(created.location).text
    link = re.search(r"https?://[^\s\"]+/oauth/v2/auth\?[^\s\"]+", html.unescape(page))
    assert link
    came_back = zoho_simulator.controls.authorize(link[0], ANNA)
    done = visitor.submit_form("/consent-requests/response", url=came_back)
    assert done.location == "/connections/leads"
    visitor.services.verification_worker.stop()
    grant = visitor.services.store.grants.get("leads")
    assert grant
    assert grant.state is GrantState.VERIFIED


def test_an_answer_of_an_unexpected_account_waits_for_a_decision(
    visitor: Visitor, registered: dict[str, Any], zoho_simulator: Simulator
) -> None:
    form = {**connection_form(registered), "expected_email": "dora@zylker.example"}
    created = visitor.submit_form("/connections", **form, request="yes")
    page = html.unescape(visitor.get(created.location).text)
    assert "Sign in there as dora@zylker.example" in page
    link = re.search(r"https?://[^\s\"]+/oauth/v2/auth\?[^\s\"]+", page)
    assert link
    came_back = zoho_simulator.controls.authorize(link[0], ANNA)
    visitor.submit_form("/consent-requests/response", url=came_back)
    visitor.services.verification_worker.stop()
    assert "A different account approved this" in visitor.get("/connections/leads").text
    visitor.submit_form("/connections/leads/accept", generation="1")
    grant = visitor.services.store.grants.get("leads")
    assert grant
    assert grant.state is GrantState.VERIFIED


def test_a_client_id_is_kept_while_its_secret_is_asked_for(
    visitor: Visitor, registered: dict[str, Any]
) -> None:
    client_id, secret = registered["client_id"], registered["secrets"]["eu"]
    form = {**connection_form(registered), "credentials": client_id}
    page = visitor.submit_form("/connections", **form).text
    assert f'name="kept" value="{client_id}"' in page
    begun = visitor.submit_form("/connections", **{**form, "credentials": secret}, kept=client_id)
    assert begun.status_code == 303


@pytest.mark.parametrize("name", ["", "-rf", "../../etc", "a b", "x" * 200, "<script>", "new"])
def test_an_invalid_name_is_refused_before_any_consent(
    visitor: Visitor, registered: dict[str, Any], name: str
) -> None:
    answer = visitor.submit_form("/connections", **{**connection_form(registered), "name": name})
    assert answer.status_code == 422
    assert visitor.services.store.connections.all() == ()
    assert "<script>" not in answer.text


def test_the_second_connection_starts_with_client_data_center_and_name(
    connected: Visitor, zoho_simulator: Simulator
) -> None:
    page = connected.get(f"{NEW_CONNECTION_PATH}?location=eu&preset=cliq-post").text
    assert "API Console" not in page
    assert 'value="cliq-post"' in page
    client_id = connected.services.store.clients.all()[0].client_id
    fields = {"scope": "ZohoCliq.Channels.READ", "name": "cliq-post", "client_id": client_id}
    begun = connected.submit_form("/connections", **fields)
    authorize(connected, zoho_simulator, begun.location)
    assert connected.services.store.verification_reports.get("cliq-post") is not None


def test_a_requested_name_is_kept(visitor: Visitor) -> None:
    first_page = visitor.get(f"{NEW_CONNECTION_PATH}?name=night").text
    assert 'name="name" type="text" value="night"' in first_page
    page = visitor.get(f"{NEW_CONNECTION_PATH}?name=night&preset=crm-read-leads").text
    assert 'name="name" value="night"' in page


def test_a_suggested_name_is_never_taken(connected: Visitor) -> None:
    services = connected.services
    wished = services.store.connections.get("leads")
    services.store.connections.add(type(wished)(**{**vars(wished), "name": "crm-read-leads"}))
    assert (
        'value="crm-read-leads-2"'
        in connected.get(f"{NEW_CONNECTION_PATH}?preset=crm-read-leads").text
    )


def test_the_callback_redirects_to_a_clean_url_and_removes_its_cookie(
    visitor: Visitor, registered: dict[str, Any], zoho_simulator: Simulator
) -> None:
    begun = visitor.submit_form("/connections", **connection_form(registered))
    cookie = begun.headers["Set-Cookie"]
    assert cookie.startswith("zw_flow_")
    assert "Path=/callback" in cookie
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Max-Age=3600" in cookie
    done = authorize(visitor, zoho_simulator, begun.location)
    assert (done.status_code, done.location) == (303, "/connections/leads")
    assert "Max-Age=0" in done.headers["Set-Cookie"]
    assert done.headers["Referrer-Policy"] == "no-referrer"


def test_the_report_shows_the_account_and_how_to_use_the_connection(connected: Visitor) -> None:
    page = connected.get("/connections/leads").text
    assert "Zylker GmbH" in page
    assert ANNA in page
    assert "Verified" in page
    assert "zoho-wizard token leads" in page
    assert "zoho-wizard show leads --reveal" in page
    assert "curl -sSfH @- &#39;" in page


def test_a_repeated_callback_changes_nothing(
    visitor: Visitor, registered: dict[str, Any], zoho_simulator: Simulator
) -> None:
    begun = visitor.submit_form("/connections", **connection_form(registered))
    callback = zoho_simulator.controls.authorize(begun.location, ANNA)
    path = callback.removeprefix(visitor.services.settings.base_url)
    answers = [visitor.get(path) for _ in range(2)]
    visitor.services.verification_worker.stop()
    assert [each.location for each in answers] == ["/connections/leads"] * 2
    assert len(visitor.services.store.grants.of_connection("leads")) == 1


def test_a_browser_without_a_session_and_a_used_callback_sees_no_name(
    visitor: Visitor, anonymous: Visitor, registered: dict[str, Any], zoho_simulator: Simulator
) -> None:
    begun = visitor.submit_form("/connections", **connection_form(registered))
    callback = zoho_simulator.controls.authorize(begun.location, ANNA)
    path = callback.removeprefix(visitor.services.settings.base_url)
    visitor.get(path)
    visitor.services.verification_worker.stop()
    answer = anonymous.get(path)
    assert answer.status_code == 400
    assert "This callback was already used" in answer.text
    assert "leads" not in answer.text


def test_a_finished_consent_is_refused_in_another_browser(
    visitor: Visitor, anonymous: Visitor, registered: dict[str, Any], zoho_simulator: Simulator
) -> None:
    begun = visitor.submit_form("/connections", **connection_form(registered))
    callback = zoho_simulator.controls.authorize(begun.location, ANNA)
    path = callback.removeprefix(visitor.services.settings.base_url)
    refused = anonymous.get(path)
    assert refused.status_code == 400
    assert "leads" not in refused.text
    (attempt,) = attempts_of(visitor.services.store, "leads")
    assert attempt.state is AttemptState.REDIRECTED
    assert visitor.get(path).location == "/connections/leads"
    visitor.services.verification_worker.stop()
    grant = visitor.services.store.grants.get("leads")
    assert grant
    assert grant.state is GrantState.VERIFIED


def test_a_prefetching_browser_does_not_use_up_the_code(
    visitor: Visitor, registered: dict[str, Any], zoho_simulator: Simulator
) -> None:
    begun = visitor.submit_form("/connections", **connection_form(registered))
    callback = zoho_simulator.controls.authorize(begun.location, ANNA)
    path = callback.removeprefix(visitor.services.settings.base_url)
    for name in ("Sec-Purpose", "Purpose"):
        assert visitor.get(path, headers={name: "prefetch"}).status_code == 403
    assert visitor.get(path).status_code == 303
    visitor.services.verification_worker.stop()


def test_during_verification_a_page_without_scripts_reloads_itself(
    visitor: Visitor, registered: dict[str, Any], zoho_simulator: Simulator
) -> None:
    begun = visitor.submit_form("/connections", **connection_form(registered))
    callback = zoho_simulator.controls.authorize(begun.location, ANNA)
    zoho_simulator.controls.inject_fault("slow", endpoint="oauth/user/info", seconds=60)
    visitor.get(callback.removeprefix(visitor.services.settings.base_url))
    proving = visitor.get("/connections/leads").text
    page = visitor.get("/connections/leads/verification-steps").text
    zoho_simulator.controls.clear_faults()  # releases the response
    visitor.services.verification_worker.stop()
    assert '<noscript><meta http-equiv="refresh" content="2"></noscript>' in proving
    assert 'data-poll-url="/connections/leads/verification-steps"' in page
    assert "http-equiv" not in visitor.get("/connections/leads").text


def test_the_parsed_values_of_a_paste_are_shown_without_the_secret(connected: Visitor) -> None:
    page = connected.get("/connections/leads").text
    assert "Read from your paste" in page
    assert "a secret of 42 characters" in page


def test_a_consent_that_cannot_start_shows_why_and_keeps_the_connection(
    connected: Visitor,
) -> None:
    services = connected.services
    for _ in range(8):
        refused = connected.submit_form("/connections/leads/authorize")
    assert refused.status_code == 503
    assert "ten minutes" in refused.text
    assert services.store.grants.get("leads") is not None
    assert 'href="/connections/leads"' in refused.text


def test_a_connection_whose_consent_must_wait_is_not_left_without_a_grant(
    connected: Visitor,
) -> None:
    services = connected.services
    for _ in range(8):
        connected.submit_form("/connections/leads/authorize")
    client_id = services.store.connections.get("leads").client_id
    fields = {"name": "second", "scope": LEADS_SCOPE, "location": "eu", "client_id": client_id}
    refused = connected.submit_form("/connections", **fields)
    assert refused.status_code == 503
    assert "Too many consents in ten minutes" in refused.text
    assert 'value="second"' in refused.text
    assert [each.name for each in services.store.connections.all()] == ["leads"]


def test_a_second_client_gets_a_name_of_its_own(
    connected: Visitor, zoho_simulator: Simulator, registered: dict[str, Any]
) -> None:
    assert (
        "OAuth wizard 2"
        in connected.get(f"{NEW_CONNECTION_PATH}?preset=books-read-invoices&client=new").text
    )
    uri = connected.services.settings.redirect_uri
    another = zoho_simulator.controls.register_client(ANNA, [uri], name="Another")
    begun = connected.submit_form("/connections", **connection_form(another, "second"))
    assert begun.status_code == 303
    names = {each.client_id: each.name for each in connected.services.store.clients.all()}
    assert names == {
        registered["client_id"]: "OAuth wizard",
        another["client_id"]: "OAuth wizard 2",
    }
