"""Before a change of password: what hangs on it, what to send, and the check after it."""

import json
from pathlib import Path

from core import ANNA, CARLA, PRODUCTION, Core
from journey import Journey
from playwright.sync_api import expect
from shell import Shell


def two_accounts(core: Core) -> None:
    """Two connections of anna's, and one of carla's."""
    core.proved("crm")
    core.proved("books")
    core.proved("carla", CARLA, PRODUCTION)


def test_the_guide_names_what_hangs_on_each_account(shell: Shell, stored: Core) -> None:
    two_accounts(stored)
    target = Path(shell.directory) / "program.env"
    stored.house.delivery.add(stored.house.delivery.describe("crm", "dotenv", str(target)))
    told = json.loads(shell.run("password-change", "--json").out)
    anna, carla = told["accounts"]
    assert [each["name"] for each in anna["connections"]] == ["books", "crm"]
    assert anna["programs"] == [str(target)]
    assert all(each["worked_at"] for each in anna["connections"])
    assert carla["email"] == CARLA
    assert "unticked" in told["advice"][0]


def test_the_message_for_a_colleague_is_about_their_account_alone(
    shell: Shell, stored: Core
) -> None:
    two_accounts(stored)
    told = shell.run("password-change", ANNA.upper(), "--message")
    assert told.code == 0
    assert ANNA in told.out
    assert "2 connections of ours work with that account: books, crm." in told.out
    assert "carla" not in told.out


def test_the_check_after_the_change_says_what_died_and_asks_nobody_else(
    shell: Shell, stored: Core
) -> None:
    two_accounts(stored)
    assert shell.run("password-change", ANNA, "--check").code == 0
    stored.admin.change_password(ANNA)
    stored.admin.clear_journal()
    checked = shell.run("password-change", ANNA, "--check")
    assert checked.code == 3
    assert "zoho-wizard reauthorize books crm" in checked.err
    assert not stored.asked("/crm/v8/org")


def test_an_account_that_nothing_hangs_on_is_refused(shell: Shell, stored: Core) -> None:
    stored.proved("crm")
    refused = shell.run("password-change", "nobody@zylker.example")
    assert refused.code == 2
    assert ANNA in refused.err


def test_the_page_checks_an_account_and_leads_into_its_repair(journey: Journey) -> None:
    two_accounts(journey)
    journey.enter("/password-change")
    page, person = journey.page, journey.person
    anna = page.get_by_role("region", name=ANNA)
    expect(anna.get_by_text("Proved", exact=True)).to_have_count(2)
    journey.admin.change_password(ANNA)
    person.click(anna.get_by_role("button", name="Check now"))
    expect(page.get_by_text("Checked.")).to_be_visible()
    expect(anna.get_by_text("Dead", exact=True)).to_have_count(2)
    person.click(page.get_by_role("link", name="Repair 2 connections"))
    expect(page.get_by_role("button", name=f"Begin as {ANNA}")).to_be_visible()


def test_a_check_at_a_terminal_leads_straight_into_the_repair(shell: Shell, stored: Core) -> None:
    stored.proved("crm")
    stored.admin.change_password(ANNA)
    asked = shell.at_a_terminal(
        "password-change", ANNA, "--check", answers=[("Repair them now?", "n")]
    )
    assert asked.code == 3
    assert "Repair them now?" in asked.out
