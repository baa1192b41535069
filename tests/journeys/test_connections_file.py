"""Connections from a file, on the pages: the plan, the secrets, and one consent after the other."""

import pytest
from playwright.sync_api import expect
from support.browser import accessibility_violations
from support.connections_file import client_table, connection_table, plan_of
from support.harness import ANNA, BOB
from support.user_journey import Journey
from support.wizard_pages import ReauthorizationPage

from wizard.simulator.simulated_user import ConsentPage

ACTIONS_BESIDES_CONSENTS = 3
"""Choosing the file, pasting the secrets of all clients, and creating the connections. Pasted
separately, the secrets of four clients take three more."""


@pytest.mark.slow
def test_a_file_creates_connections_of_two_accounts(journey: Journey) -> None:
    uri = journey.services.settings.redirect_uri
    clients = {
        name: journey.controls.register_client(owner, [uri], name=name)
        for name, owner in (("Europe", ANNA), ("India", BOB))
    }
    tables = [
        client_table(name, each["client_id"], *each["secrets"]) for name, each in clients.items()
    ]
    tables += [connection_table(name, "Europe") for name in ("a", "b")]
    tables += [connection_table(name, "India", account=BOB) for name in ("c", "d")]
    file = journey.directory / "connections.toml"
    file.write_text("".join(tables), "utf-8")

    person, page = journey.person, journey.page
    journey.open_wizard("/from-file")
    assert accessibility_violations(page) == []
    person.attach(page.get_by_label("Connections file"), file)
    expect(page.get_by_text("anna@zylker.example, EU, with Europe: a, b")).to_be_visible()
    assert accessibility_violations(page) == []
    lines = [f"{each['client_id']},{each['secrets'].popitem()[1]}" for each in clients.values()]
    person.paste(page.get_by_label("Client secret for Europe"), "\n".join(lines))
    person.click(page.get_by_role("button", name="Create 4 connections"))
    progress = ReauthorizationPage(person)
    expect(progress.heading).to_have_text("Authorize 4 connections")
    for email in (ANNA, BOB):
        with person.signing_in():
            progress.sign_in_as(email)
        journey.sign_in(email)
        for _ in range(2):
            ConsentPage(person).accept()
            progress.wait_for_next_step()
    expect(progress.heading).to_have_text("4 of 4 connections authorized")
    assert not plan_of(journey, file.read_text("utf-8")).has_changes
    assert person.actions == 4 + ACTIONS_BESIDES_CONSENTS
