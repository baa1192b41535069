"""Before a password change: what it affects, what to send, and the check after it."""

import json
from pathlib import Path

import pytest
from playwright.sync_api import expect
from support.harness import ANNA, CARLA, FIRST_ORGANIZATION, Harness
from support.shell import Shell
from support.user_journey import Journey

from wizard.store import Destination


def two_accounts(harness: Harness) -> None:
    """Two connections of anna's, and one of carla's."""
    harness.add_verified_connection("crm")
    harness.add_verified_connection("books")
    harness.add_verified_connection("carla", CARLA, FIRST_ORGANIZATION)


def test_the_guide_names_the_connections_and_programs_of_each_account(
    shell: Shell, shell_harness: Harness
) -> None:
    two_accounts(shell_harness)
    target = Path(shell.directory) / "program.env"
    shell_harness.services.delivery.add(
        shell_harness.services.delivery.describe(Destination("crm", "dotenv", str(target)))
    )
    result = json.loads(shell.run("password-change", "--json").stdout)
    anna, carla = result["accounts"]
    assert [each["name"] for each in anna["connections"]] == ["books", "crm"]
    assert anna["programs"] == [str(target)]
    assert all(each["last_refreshed_at"] for each in anna["connections"])
    assert carla["email"] == CARLA
    assert "unticked" in result["advice"][0]


def test_the_message_for_a_colleague_is_only_about_their_account(
    shell: Shell, shell_harness: Harness
) -> None:
    two_accounts(shell_harness)
    result = shell.run("password-change", ANNA.upper(), "--message")
    assert result.exit_code == 0
    assert ANNA in result.stdout
    assert "2 of our connections use that account: books, crm." in result.stdout
    assert "carla" not in result.stdout


def test_the_check_after_the_change_names_rejections_and_checks_no_other_account(
    shell: Shell, shell_harness: Harness
) -> None:
    two_accounts(shell_harness)
    assert shell.run("password-change", ANNA, "--check").exit_code == 0
    shell_harness.controls.change_password(ANNA)
    shell_harness.controls.clear_journal()
    checked = shell.run("password-change", ANNA, "--check")
    assert checked.exit_code == 3
    assert "zoho-wizard reauthorize books crm" in checked.stderr
    assert not shell_harness.logged_requests("/crm/v8/org")


def test_an_empty_data_directory_has_an_empty_result(shell: Shell) -> None:
    result = shell.run("password-change", "--json")
    assert (result.exit_code, json.loads(result.stdout)["accounts"]) == (0, [])
    for options in ((), ("--message",), ("--check",)):
        shown = shell.run("password-change", *options)
        assert (shown.exit_code, "No connections in" in shown.stderr) == (0, True)


def test_without_an_authorized_connection_no_account_is_affected(
    shell: Shell, shell_harness: Harness
) -> None:
    shell_harness.add_connection("crm")
    shown = shell.run("password-change", "--check")
    assert (shown.exit_code, "No connections in" in shown.stderr) == (0, False)


def test_an_account_without_connections_is_refused(shell: Shell, shell_harness: Harness) -> None:
    shell_harness.add_verified_connection("crm")
    refused = shell.run("password-change", "nobody@zylker.example")
    assert refused.exit_code == 2
    assert ANNA in refused.stderr


@pytest.mark.slow
def test_the_page_checks_an_account_and_leads_to_its_reauthorization(journey: Journey) -> None:
    two_accounts(journey)
    journey.open_wizard("/password-change")
    page, person = journey.page, journey.person
    anna = page.get_by_role("region", name=ANNA)
    expect(anna.get_by_text("Verified", exact=True)).to_have_count(2)
    journey.controls.change_password(ANNA)
    person.click(anna.get_by_role("button", name="Check now"))
    expect(page.get_by_text("2 connections need re-authorization")).to_be_visible()
    expect(anna.get_by_text("Needs re-authorization", exact=True)).to_have_count(2)
    person.click(page.get_by_role("link", name="Re-authorize 2 connections"))
    expect(page.get_by_role("button", name=f"Re-authorize as {ANNA}")).to_be_visible()


def test_a_check_at_a_terminal_leads_directly_to_the_reauthorization(
    shell: Shell, shell_harness: Harness
) -> None:
    shell_harness.add_verified_connection("crm")
    shell_harness.controls.change_password(ANNA)
    asked = shell.run_in_terminal(
        "password-change", ANNA, "--check", replies=[("Re-authorize them now?", "n")]
    )
    assert asked.exit_code == 3
    assert "Re-authorize them now?" in asked.stdout
