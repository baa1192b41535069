"""Assisted re-authorization as processes: a command or a button, a sign-in, and the results."""

import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect
from support.assisted_windows import AssistedUser
from support.browser import accessibility_violations
from support.harness import ANNA, Harness
from support.headless_browser import REMOTE_DEBUGGING_OPTION, connect_to_sign_in_page
from support.reauthorization import item_states
from support.shell import PROCESS_TIMEOUT_SECONDS, Shell
from support.wizard_pages import ReauthorizationPage

from wizard.simulator.simulated_user import SimulatedUser

HeadlessBrowser = Callable[..., Path]


@pytest.mark.slow
def test_one_command_and_one_sign_in_reauthorize_all(
    shell: Shell, rejected_connections: Harness, browser: Browser, headless_browser: HeadlessBrowser
) -> None:
    headless_browser(REMOTE_DEBUGGING_OPTION)
    running = shell.start("reauthorize", "--all", "--assist", "--yes", "--json")
    running.wait_for_stderr("Your turn, in the window: Sign in as anna")
    AssistedUser(
        rejected_connections,
        connect_to_sign_in_page(browser.browser_type, rejected_connections.services.paths, ANNA),
    ).sign_in()
    done = running.finish()
    assert done.exit_code == 0, done.stderr
    assert [
        (each["name"], each["state"], each["generation"])
        for each in json.loads(done.stdout)["connections"]
    ] == [
        ("books", "reauthorized", 2),
        ("crm", "reauthorized", 2),
    ]
    assert shell.run("token", "crm").exit_code == 0


@pytest.mark.slow
def test_a_button_on_the_page_does_the_same(
    shell: Shell,
    rejected_connections: Harness,
    browser: Browser,
    person: SimulatedUser,
    headless_browser: HeadlessBrowser,
) -> None:
    headless_browser(REMOTE_DEBUGGING_OPTION)
    serving = shell.start("serve")
    person.go(serving.wait_for_stderr(r"http://localhost:\d+/browser-link/\S+"))
    person.click(person.page.get_by_role("link", name="Re-authorize 2 connections"))
    page = ReauthorizationPage(person)
    page.press("Do it for me in an assisted window")
    expect(page.next_step).to_contain_text("The assisted window is re-authorizing books")
    assert accessibility_violations(person.page) == []
    AssistedUser(
        rejected_connections,
        connect_to_sign_in_page(browser.browser_type, rejected_connections.services.paths, ANNA),
    ).sign_in()
    expect(page.heading).to_have_text(
        "2 of 2 connections re-authorized", timeout=PROCESS_TIMEOUT_SECONDS * 1000
    )
    expect(page.rows.filter(has_text="This reaches")).to_have_count(2)
    assert person.actions == 2


@pytest.mark.slow
def test_stopping_the_wizard_closes_the_window_that_its_page_opened(
    shell: Shell,
    rejected_connections: Harness,
    browser: Browser,
    person: SimulatedUser,
    headless_browser: HeadlessBrowser,
) -> None:
    headless_browser(REMOTE_DEBUGGING_OPTION)
    serving = shell.start("serve")
    person.go(serving.wait_for_stderr(r"http://localhost:\d+/browser-link/\S+"))
    person.click(person.page.get_by_role("link", name="Re-authorize 2 connections"))
    page = ReauthorizationPage(person)
    page.press("Do it for me in an assisted window")
    connect_to_sign_in_page(browser.browser_type, rejected_connections.services.paths, ANNA)
    assert serving.finish(signal.SIGTERM).exit_code == 0
    assert not Path(rejected_connections.services.paths.browser_dir).exists()
    assert item_states(rejected_connections) == {"books": "pending", "crm": "pending"}
