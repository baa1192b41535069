"""The page of a second task offers the connection that is there."""

import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

from visiting import ANNA, NEW, Visitor, accept

from wizard.sandbox.server import Sandbox

BOOKS = "ZohoBooks.settings.READ"


def offered(visitor: Visitor, scope: str = BOOKS) -> str:
    return visitor.get(NEW, query_string={"scope": scope}).text


def choices(page: str) -> list[str]:
    """The connections that the task could be added to."""
    _, found, form = page.partition('action="/widen"')
    return re.findall(r"<option[^>]*>([^<]+)", form) if found else []


def test_a_second_task_can_be_added_with_one_consent(
    connected: Visitor, zoho_sandbox: Sandbox
) -> None:
    page = offered(connected)
    assert choices(page) == [f"leads · {ANNA}"]
    assert "Zoho keeps 20 of a person and a client" in page
    assert f"at least 1 of {ANNA}’s 20" in page
    (scope,) = re.findall(r'action="/widen".*?name="scope" value="([^"]+)"', page, re.S)

    begun = connected.send("/widen", name="leads", scope=scope)

    asked = parse_qs(urlsplit(begun.location).query)["scope"][0].split(",")
    assert {"ZohoCRM.modules.leads.READ", BOOKS} <= set(asked)
    accept(connected, zoho_sandbox, begun.location)
    assert [each.name for each in connected.house.store.connections()] == ["leads"]
    assert BOOKS in connected.house.store.connection("leads").scope


def test_what_a_connection_may_do_already_is_not_offered(connected: Visitor) -> None:
    assert choices(offered(connected, "ZohoCRM.modules.leads.READ")) == []


def test_who_wishes_for_another_data_centre_is_told_that_the_client_is_not_there_yet(
    connected: Visitor,
) -> None:
    query = {"scope": BOOKS, "location": "in"}
    page = connected.get(NEW, query_string=query).text
    assert "was registered in Europe and has no secret for India yet" in page
    assert choices(page) == []


def test_a_connection_that_was_never_proved_is_not_offered(
    visitor: Visitor, registered: dict[str, Any]
) -> None:
    secret = registered["secrets"]["eu"]
    fields = {"scope": BOOKS, "location": "eu", "name": "waits"}
    visitor.send("/connections", credentials=f"{registered['client_id']}\n{secret}", **fields)
    assert choices(offered(visitor, "ZohoCRM.org.READ")) == []


def test_a_malformed_scope_begins_nothing(connected: Visitor) -> None:
    attempts = connected.house.store.attempts("leads")
    assert connected.send("/widen", name="leads", scope="nonsense").status_code >= 400
    assert connected.house.store.attempts("leads") == attempts
