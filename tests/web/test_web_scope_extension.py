"""The page of a second preset offers the existing connection."""

import logging
import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from support.records import attempts_of
from support.web_visitor import ANNA, NEW_CONNECTION_PATH, Visitor, authorize

from wizard.simulator.server import Simulator
from wizard.zoho import limits

BOOKS = "ZohoBooks.settings.READ"


def offer_page(visitor: Visitor, scope: str = BOOKS) -> str:
    return visitor.get(NEW_CONNECTION_PATH, query_string={"scope": scope}).text


def connection_choices(page: str) -> list[str]:
    """The connections that the preset could be added to."""
    _, found, form = page.partition('action="/extend-scope"')
    return re.findall(r"<option[^>]*>([^<]+)", form) if found else []


def test_a_second_preset_can_be_added_with_one_consent(
    connected: Visitor, zoho_simulator: Simulator
) -> None:
    page = offer_page(connected)
    assert connection_choices(page) == [f"leads · {ANNA}"]
    assert "the latest 20 per user and client" in page
    assert f"at least 1 of 20 for {ANNA}" in page
    (scope,) = re.findall(r'action="/extend-scope".*?name="scope" value="([^"]+)"', page, re.S)

    begun = connected.submit_form("/extend-scope", name="leads", scope=scope)

    asked = parse_qs(urlsplit(begun.location).query)["scope"][0].split(",")
    assert {"ZohoCRM.modules.leads.READ", BOOKS} <= set(asked)
    authorize(connected, zoho_simulator, begun.location)
    assert [each.name for each in connected.services.store.connections.all()] == ["leads"]
    assert BOOKS in connected.services.store.connections.get("leads").scope


def test_scopes_that_a_connection_already_has_are_not_offered(connected: Visitor) -> None:
    assert connection_choices(offer_page(connected, "ZohoCRM.modules.leads.READ")) == []


def test_for_a_different_data_center_the_page_says_that_the_client_is_not_there_yet(
    connected: Visitor,
) -> None:
    query = {"scope": BOOKS, "location": "in"}
    page = connected.get(NEW_CONNECTION_PATH, query_string=query).text
    assert "has no secret for India yet" in page
    assert connection_choices(page) == []


def test_a_connection_that_was_never_verified_is_not_offered(
    visitor: Visitor, registered: dict[str, Any]
) -> None:
    secret = registered["secrets"]["eu"]
    fields = {"scope": BOOKS, "location": "eu", "name": "waits"}
    visitor.submit_form(
        "/connections", credentials=f"{registered['client_id']}\n{secret}", **fields
    )
    assert connection_choices(offer_page(visitor, "ZohoCRM.org.READ")) == []


def test_a_malformed_scope_starts_nothing(connected: Visitor) -> None:
    attempts = attempts_of(connected.services.store, "leads")
    assert connected.submit_form("/extend-scope", name="leads", scope="nonsense").status_code >= 400
    assert attempts_of(connected.services.store, "leads") == attempts


def test_scopes_are_added_in_place_by_a_redirect_that_only_the_browser_sees(
    connected: Visitor, zoho_simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    page = connected.get("/connections/leads").text
    assert re.search(r'name="in_place" value="yes">', page), "not the default"
    assert "Not tried with the real Zoho yet" in page

    begun = connected.submit_form("/extend-scope", name="leads", scope=BOOKS, in_place="yes")

    secret = parse_qs(urlsplit(begun.location).query)["enhance_token"][0]
    assert (begun.status_code, begun.data) == (303, b"")
    assert begun.headers["Cache-Control"] == "no-store"
    assert begun.headers["Referrer-Policy"] == "no-referrer"
    cookie = begun.headers["Set-Cookie"]
    assert all(part in cookie for part in ("HttpOnly", "SameSite=Lax", "Path=/callback"))
    waiting = connected.get("/connections/leads").text
    assert "Waiting for your approval at Zoho" in waiting
    callback = zoho_simulator.controls.accept_extra_scopes(begun.location, ANNA)
    returned = connected.get(callback.removeprefix(connected.services.settings.base_url))
    connected.services.verification_worker.stop()
    assert returned.location == "/connections/leads"
    grant = connected.services.store.grants.get("leads")
    assert grant is not None
    assert (grant.generation, BOOKS in grant.scope) == (1, True)
    pages = waiting + connected.get("/connections/leads").text + returned.text
    assert secret not in pages + cookie + caplog.text


def test_a_rejected_addition_in_place_offers_the_usual_way(
    connected: Visitor, zoho_simulator: Simulator
) -> None:
    fields = {"name": "leads", "scope": BOOKS}
    begun = connected.submit_form("/extend-scope", **fields, in_place="yes")
    zoho_simulator.controls.reject()
    callback = zoho_simulator.controls.accept_extra_scopes(begun.location, ANNA)
    connected.get(callback.removeprefix(connected.services.settings.base_url))
    page = connected.get("/connections/leads").text
    assert "The additional scopes were denied" in page
    assert connected.services.diagnosis.status_of("leads").status.state == "verified"
    usual = connected.submit_form("/extend-scope", **fields)
    authorize(connected, zoho_simulator, usual.location)
    assert BOOKS in connected.services.store.connections.get("leads").scope


@pytest.mark.parametrize("in_place", ["", "yes"])
def test_with_a_used_up_budget_the_page_leads_back_to_the_connection(
    connected: Visitor, in_place: str
) -> None:
    fields = {"name": "leads", "scope": BOOKS, **({"in_place": in_place} if in_place else {})}
    for _ in range(limits().codes_budget + 1):
        refused = connected.submit_form("/extend-scope", **fields)
    assert refused.status_code == 503
    assert 'href="/connections/leads"' in refused.text


def test_a_callback_without_state_is_refused_in_a_browser_without_an_addition(
    connected: Visitor,
) -> None:
    answer = connected.get("/callback?status=success&scope_enhanced=true")
    assert answer.status_code == 400
