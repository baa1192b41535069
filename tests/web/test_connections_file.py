"""Connections from a file, on the pages."""

import re
from typing import Any

import pytest
from support.connections_file import client_table, connection_table
from support.harness import CARLA, FIRST_ORGANIZATION
from support.web_visitor import Visitor, authorize

from wizard.simulator.server import Simulator


def file_of(registered: dict[str, Any], **values: Any) -> str:
    return client_table("zylker", registered["client_id"]) + connection_table(
        "leads", "zylker", **values
    )


def secret_field(registered: dict[str, Any]) -> str:
    return f"secret {registered['client_id']} eu"


def test_a_file_leads_to_its_plan_and_to_the_guided_consents(
    visitor: Visitor, registered: dict[str, Any], zoho_simulator: Simulator
) -> None:
    shown = visitor.submit_form("/from-file", text=file_of(registered, owner="Ops"))
    plan = visitor.get(shown.location)
    assert "Create 1 connection<" in plan.text
    assert f'name="{secret_field(registered)}"' in plan.text
    secret = registered["secrets"]["eu"]
    applied = visitor.submit_form(shown.location, **{secret_field(registered): secret})
    assert applied.location == "/reauthorize"
    assert "Authorize 1 connection" in visitor.get("/reauthorize").text
    consent = visitor.submit_form("/reauthorize/next")
    authorize(visitor, zoho_simulator, consent.location)
    assert "1 of 1 connection authorized" in visitor.get("/reauthorize").text
    assert visitor.services.store.connections.get("leads").owner == "Ops"
    assert "Nothing differs" in visitor.get(shown.location).text


@pytest.mark.parametrize(
    ("other", "is_automatic"), [("Zylker GmbH", True), ("Zylker Outlet", False)]
)
def test_the_next_consent_opens_by_itself_unless_it_is_for_a_different_organization(
    visitor: Visitor,
    registered: dict[str, Any],
    zoho_simulator: Simulator,
    other: str,
    is_automatic: bool,
) -> None:
    text = file_of(registered, account=CARLA, organization="Zylker GmbH")
    text += connection_table("other", "zylker", account=CARLA, organization=other)
    shown = visitor.submit_form("/from-file", text=text)
    visitor.submit_form(shown.location, **{secret_field(registered): registered["secrets"]["eu"]})
    consent = visitor.submit_form("/reauthorize/next")
    next_page = authorize(visitor, zoho_simulator, consent.location, CARLA, FIRST_ORGANIZATION)
    page = visitor.get(next_page.location).text
    assert "1 of 2" in page
    assert f"choose <b>{other}</b>" in page
    assert (" data-auto-submit" in page) == is_automatic


def test_the_problems_of_a_file_are_listed_and_its_text_is_kept(
    visitor: Visitor, registered: dict[str, Any]
) -> None:
    text = file_of(registered).replace("presets", "preset").replace("account", "acount")
    answer = visitor.submit_form("/from-file", text=text)
    assert answer.status_code == 422
    for path in ("connections.leads.preset", "connections.leads.acount"):
        assert f"<li>{path}:" in answer.text
    assert "acount = " in answer.text


def test_of_many_problems_of_a_file_the_first_hundred_are_listed(visitor: Visitor) -> None:
    text = "".join(f"key{number} = 1\n" for number in range(101))
    answer = visitor.submit_form("/from-file", text=text)
    assert answer.status_code == 422
    assert answer.text.count("<li>key") == 100
    assert "has more than 100 problems" in answer.text
    assert "Only the first 100 problems are listed." in answer.text


def test_a_wrong_secret_stores_nothing_and_is_asked_for_again(
    visitor: Visitor, registered: dict[str, Any]
) -> None:
    shown = visitor.submit_form("/from-file", text=file_of(registered))
    wrong = "0" * 42
    answer = visitor.submit_form(shown.location, **{secret_field(registered): wrong})
    assert answer.status_code == 422
    assert f'name="{secret_field(registered)}"' in answer.text
    assert wrong not in answer.text
    assert visitor.services.store.clients.all() == ()
    assert visitor.services.store.connections.all() == ()


def test_a_page_adds_no_destination_access_or_command(
    visitor: Visitor, registered: dict[str, Any]
) -> None:
    destination = {"profile": "command", "to": "cat"}
    text = file_of(registered, destinations=[destination], access=["root"])
    shown = visitor.submit_form("/from-file", text=text + '[monitor]\nnotify = "cat"\n')
    assert re.search("leads: cat, as command<", visitor.get(shown.location).text)
    secret = registered["secrets"]["eu"]
    visitor.submit_form(shown.location, **{secret_field(registered): secret})
    store = visitor.services.store
    assert store.connections.exists("leads")
    assert (store.destinations.all(), store.access_permissions.all()) == ((), ())
    assert store.monitoring.notify_command() == ""
    assert "zoho-wizard apply" in visitor.get(shown.location).text
