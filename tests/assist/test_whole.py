"""The whole of it, as processes: a command or a button, a sign-in, and the table of proofs."""

import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from attending import Attendant
from browsing import violations
from core import ANNA, Core
from playwright.sync_api import Browser, expect
from repairing import connect, states
from seating import OPEN, seat
from shell import PATIENCE, Shell

from wizard.sandbox.person import Person
from wizard.sandbox.person.wizard_pages import RepairPage

Screenless = Callable[..., Path]


@pytest.fixture
def dead(shell: Shell, stored: Core) -> Core:
    """Two connections of anna's that died with her password, and a wizard that knows."""
    client = stored.client()
    for name in ("books", "crm"):
        connect(stored, name, client)
    shell.sandbox.admin.change_password(ANNA)
    assert shell.run("check").code == 3
    return stored


@pytest.mark.slow
def test_one_command_and_one_sign_in_repair_all(
    shell: Shell, dead: Core, browser: Browser, screenless: Screenless
) -> None:
    screenless(OPEN)
    running = shell.start("reauthorize", "--all", "--assist", "--yes", "--json")
    running.see("Your turn, in the window: Sign in as anna")
    Attendant(dead, seat(browser.browser_type, dead.house.home, ANNA)).sign_in()
    done = running.end()
    assert done.code == 0, done.err
    assert [(each["name"], each["state"], each["generation"]) for each in json.loads(done.out)] == [
        ("books", "repaired", 2),
        ("crm", "repaired", 2),
    ]
    assert shell.run("token", "crm").code == 0


@pytest.mark.slow
def test_a_button_on_the_page_does_the_same(
    shell: Shell, dead: Core, browser: Browser, person: Person, screenless: Screenless
) -> None:
    screenless(OPEN)
    serving = shell.start("serve")
    person.go(serving.see(r"http://localhost:\d+/launch/\S+"))
    person.click(person.page.get_by_role("link", name="Repair 2 connections"))
    page = RepairPage(person)
    page.press("Begin in an assisted window")
    expect(page.next).to_contain_text("The assisted window has books in hand")
    assert violations(person.page) == []
    Attendant(dead, seat(browser.browser_type, dead.house.home, ANNA)).sign_in()
    expect(page.heading).to_have_text("2 connections, 2 repaired", timeout=PATIENCE * 1000)
    expect(page.rows.filter(has_text="This reaches")).to_have_count(2)
    assert person.actions == 2


@pytest.mark.slow
def test_who_stops_the_wizard_closes_the_window_that_its_page_has_opened(
    shell: Shell, dead: Core, browser: Browser, person: Person, screenless: Screenless
) -> None:
    screenless(OPEN)
    serving = shell.start("serve")
    person.go(serving.see(r"http://localhost:\d+/launch/\S+"))
    person.click(person.page.get_by_role("link", name="Repair 2 connections"))
    page = RepairPage(person)
    page.press("Begin in an assisted window")
    seat(browser.browser_type, dead.house.home, ANNA)
    assert serving.end(signal.SIGTERM).code == 0
    assert not Path(dead.house.home.browser_dir).exists()
    assert states(dead) == {"books": "pending", "crm": "pending"}
