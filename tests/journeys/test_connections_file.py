"""Connections from a file by hand: the plan, the secrets, and one consent after the other."""

import pytest
from playwright.sync_api import expect
from support.assisted_windows import without_waits_for_limits
from support.browser import accessibility_violations
from support.connections_file import (
    check_delivered,
    client_table,
    connection_table,
    file_of_three_accounts,
    plan_of,
)
from support.harness import ANNA, BOB, ERIC, Harness
from support.shell import Shell
from support.terminal import terminal_session
from support.user_journey import Journey
from support.wizard_pages import ReauthorizationPage

from wizard.simulator.simulated_user import ConsentPage, SignInPage, SimulatedUser

MOST_ACTIONS = 45
"""An answer, the secrets of four clients, and forty consents."""
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
        progress.switch_to(email)
        journey.sign_in(email)
        for _ in range(2):
            ConsentPage(person).accept()
            progress.wait_for_next_step()
    expect(progress.heading).to_have_text("4 of 4 connections authorized")
    assert not plan_of(journey, file.read_text("utf-8")).has_changes
    assert person.actions == 4 + ACTIONS_BESIDES_CONSENTS


@pytest.mark.slow
def test_forty_connections_by_hand_take_three_sign_ins_and_forty_five_actions(
    shell: Shell, shell_harness: Harness, person: SimulatedUser
) -> None:
    text, clients = file_of_three_accounts(shell_harness, 40)
    file = shell.directory / "connections.toml"
    file.write_text(text, "utf-8")
    progress, signed_in = ReauthorizationPage(person), []
    with terminal_session(shell, "apply", str(file)) as terminal:

        def type_line(prompt: str, line: str) -> None:
            terminal.wait_for_output(prompt)
            person.counter.record(f"type after {prompt}", is_signing_in=False)
            terminal.send_line(line)

        type_line("Apply this", "y")
        for change, location in plan_of(shell_harness, text).missing_secrets:
            secret = clients[change.name]["secrets"][location]
            type_line(f"Client secret for {change.name}", secret)
        person.go(terminal.wait_for_output(r"http://localhost:\d+/browser-link/[\w-]+"))
        with without_waits_for_limits(shell_harness):
            for _ in range(40):
                progress.wait_for_next_step()
                if not progress.is_at_consent:
                    email = progress.next_step.get_by_role("heading").inner_text().split()[-1]
                    progress.switch_to(email)
                    users = shell.simulator.world.users
                    SignInPage(person).sign_in(email, users.get(email).password)
                    signed_in.append(email)
                ConsentPage(person).accept()
    check_delivered(shell_harness, text, 40)
    assert signed_in == [ANNA, BOB, ERIC]
    assert person.actions <= MOST_ACTIONS, person.counter.log
