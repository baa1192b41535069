"""The page of a second preset offers the existing connection."""

import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

from support.records import attempts_of
from support.web_visitor import ANNA, NEW_CONNECTION_PATH, Visitor, authorize

from wizard.simulator.server import Simulator

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
