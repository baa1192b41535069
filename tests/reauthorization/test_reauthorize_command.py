"""``reauthorize`` in a shell: a plan, one consent at a time, a table of results."""

import json
import re
import signal
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from support.delivery import deliver
from support.harness import ANNA, CARLA, FIRST_ORGANIZATION, Harness
from support.reauthorization import add_verified_connection, authorize, item_states
from support.shell import CommandResult, RunningCommand, Shell

URL = re.compile(r"http://127\.0\.0\.1:\d+/\S+/oauth/v2/auth\?\S+").pattern


def add_rejected_connections(shell: Shell, shell_harness: Harness, *names: str) -> None:
    """Connections of anna's that the wizard knows were rejected after a password change."""
    client = shell_harness.register_client()
    for name in names:
        add_verified_connection(shell_harness, name, client)
    shell.simulator.controls.change_password(ANNA)
    assert shell.run("check").exit_code == 3


def give_consents(shell: Shell, running: RunningCommand, *emails: tuple[str, str]) -> CommandResult:
    """Answer each consent as it is requested, as these users."""
    for seen, (email, organization) in enumerate(emails):
        found = running.wait_for_stderr(rf"(?s)(?:{URL}.*?){{{seen}}}{URL}")
        url = re.findall(URL, found)[seen]
        running.send_line(shell.simulator.controls.authorize(url, email, organization))
    return running.finish()


def test_all_rejected_connections_are_reauthorized_and_verified_in_one_run(
    shell: Shell, shell_harness: Harness
) -> None:
    add_rejected_connections(shell, shell_harness, "crm", "leads")
    assert shell.run("token", "crm").exit_code == 3

    running = shell.start("reauthorize", "--all", "--no-browser", "--yes", "--json")
    done = give_consents(shell, running, (ANNA, ""), (ANNA, ""))

    assert done.exit_code == 0, done.stderr
    assert "2 consents in all, 1 sign-in." in done.stderr
    results = json.loads(done.stdout)["connections"]
    assert [(each["name"], each["state"]) for each in results] == [
        ("crm", "reauthorized"),
        ("leads", "reauthorized"),
    ]
    assert shell.run("token", "crm").exit_code == 0
    assert shell.run("reauthorize", "--all", "--yes").exit_code == 0, "nothing to re-authorize"


def test_a_script_must_confirm_several_connections(shell: Shell, shell_harness: Harness) -> None:
    add_rejected_connections(shell, shell_harness, "crm", "leads")
    refused = shell.run("reauthorize", "--all", "--no-browser")
    assert refused.exit_code == 2
    assert "--yes" in refused.stderr
    assert shell_harness.services.reauthorization.current() is None


def test_the_grant_of_a_different_account_is_revoked_at_once_in_a_script(
    shell: Shell, shell_harness: Harness
) -> None:
    add_rejected_connections(shell, shell_harness, "crm")
    running = shell.start("reauthorize", "crm", "--no-browser")
    done = give_consents(shell, running, (CARLA, FIRST_ORGANIZATION))
    assert done.exit_code == 3
    assert CARLA in done.stderr
    assert "Skipped" in done.stdout
    stray = shell_harness.services.store.grants.get("crm", 2)
    assert stray is not None
    assert stray.state.value == "revoked"


@pytest.mark.slow
def test_an_interrupted_reauthorization_continues_where_it_stopped(
    shell: Shell, shell_harness: Harness
) -> None:
    add_rejected_connections(shell, shell_harness, "crm", "leads")
    running = shell.start("reauthorize", "--all", "--no-browser", "--yes")
    first = running.wait_for_stderr(URL)
    running.send_line(shell.simulator.controls.authorize(first, ANNA))
    running.wait_for_stderr(r"(?s)leads:.*" + URL)
    shell.processes[-1].kill()
    running.finish()

    done = give_consents(shell, shell.start("reauthorize", "--no-browser"), (ANNA, ""))

    assert done.exit_code == 0, done.stderr
    assert done.stdout.count("✓ Re-authorized") == 2


def test_programs_get_the_new_credentials(
    shell: Shell, shell_harness: Harness, tmp_path: Path
) -> None:
    add_verified_connection(shell_harness, "crm", shell_harness.register_client())
    deliver(shell_harness, "dotenv", tmp_path / "app.env", reload_command="true")
    shell.simulator.controls.change_password(ANNA)
    assert shell.run("check").exit_code == 3

    running = shell.start("reauthorize", "crm", "--no-browser", "--json")
    done = give_consents(shell, running, (ANNA, ""))

    assert done.exit_code == 0, done.stderr
    (reauthorized,) = json.loads(done.stdout)["connections"]
    (destination,) = reauthorized["destinations"]
    assert (destination["generation"], destination["failure"]) == (2, None)
    assert destination["reloaded_at"]
    grant = shell_harness.services.store.grants.get("crm")
    assert grant is not None
    assert grant.refresh_token in (tmp_path / "app.env").read_text()


def test_scopes_are_added_during_the_reauthorization(shell: Shell, shell_harness: Harness) -> None:
    add_rejected_connections(shell, shell_harness, "crm")
    running = shell.start("reauthorize", "crm", "--no-browser", "--add", "ZohoBooks.settings.READ")
    scope = parse_qs(urlsplit(running.wait_for_stderr(URL)).query)["scope"][0]
    assert "ZohoBooks.settings.READ" in scope
    assert give_consents(shell, running, (ANNA, "")).exit_code == 0
    assert "ZohoBooks.settings.READ" in shell_harness.services.store.connections.get("crm").scope


@pytest.mark.slow
def test_the_ninth_consent_waits_and_says_how_long(shell: Shell, shell_harness: Harness) -> None:
    names = [f"crm{number}" for number in range(8)]
    client = shell_harness.register_client()
    for name in names:
        add_verified_connection(shell_harness, name, client)
    running = shell.start("reauthorize", "crm0", "--no-browser")
    running.wait_for_stderr("can start at")
    running.wait_for_stderr("min left")
    shell.simulator.controls.advance(601)
    assert give_consents(shell, running, (ANNA, "")).exit_code == 0


def test_another_account_takes_over_all_connections(shell: Shell, shell_harness: Harness) -> None:
    new = "integrations@zylker.example"
    shell.simulator.controls.add_user(
        new,
        first_name="Ina",
        last_name="Gration",
        location="eu",
        password="ina-made-up-password",
        organizations=[{"product": "crm", "organization_id": "20090000001", "name": "Zylker GmbH"}],
    )
    client = shell_harness.register_client()
    for name in ("crm", "leads"):
        add_verified_connection(shell_harness, name, client)
    (account,) = json.loads(shell.run("list", "--by", "account", "--json").stdout)["accounts"]
    assert account["account"] == ANNA
    assert [each["name"] for each in account["connections"]] == ["crm", "leads"]
    assert f"{ANNA}\teu\tcrm\t✓ Verified" in shell.run("list", "--by", "account").stdout

    options = ("--account", ANNA, "--as", new, "--no-browser", "--yes")
    done = give_consents(shell, shell.start("reauthorize", *options), (new, ""), (new, ""))

    assert done.exit_code == 0, done.stderr
    (account,) = json.loads(shell.run("list", "--by", "account", "--json").stdout)["accounts"]
    assert account["account"] == new


@pytest.mark.slow
def test_with_the_page_the_command_waits_until_all_are_reauthorized(
    shell: Shell, shell_harness: Harness
) -> None:
    add_rejected_connections(shell, shell_harness, "crm", "leads")
    running = shell.start("reauthorize", "--all", "--yes")
    running.wait_for_stderr("Waiting for the verifications")
    for name in ("crm", "leads"):
        authorize(shell_harness, name)
    done = running.finish()
    assert done.exit_code == 0, done.stderr
    assert done.stdout.count("✓ Re-authorized") == 2
    reauthorization = shell_harness.services.reauthorization.current()
    assert reauthorization is not None
    assert reauthorization.is_done, "its page shows the reports until they were seen"
    assert "(nothing-to-reauthorize)" in shell.run("reauthorize").stderr


def test_stopping_the_wait_prints_how_to_continue(shell: Shell, shell_harness: Harness) -> None:
    add_rejected_connections(shell, shell_harness, "crm")
    running = shell.start("reauthorize", "crm")
    running.wait_for_stderr("Waiting for the verifications")
    stopped = running.finish(signal.SIGINT)
    assert stopped.exit_code == 1
    assert "zoho-wizard reauthorize" in stopped.stderr
    assert item_states(shell_harness) == {"crm": "pending"}
