"""``connect --assist`` as a user runs it: a terminal, and a browser that the command opens."""

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Browser, expect
from support.browser import accessibility_violations
from support.harness import ANNA
from support.ports import free_port
from support.shell import PROCESS_TIMEOUT_SECONDS, CommandResult, Shell
from support.tokens import wait_for
from support.wizard_pages import ConnectionPage, NewConnectionPage

from wizard.cli.flows.serving import AssistProcess
from wizard.clients import AssistedConnection, ConnectionRequest
from wizard.settings import from_environment
from wizard.simulator.simulated_user import (
    ConsentPage,
    ConsolePage,
    SignInPage,
    SimulatedUser,
    find_browser,
)

OPTIONS = ("--preset", "crm-read-leads", "--assist")


@pytest.fixture
def use_window(shell: Shell, browser: Browser) -> Callable[[], None]:
    """The user's part in the assisted window: sign in, Create, Accept. The window is headless, and
    observed through a debugging port that only the test adds."""
    port = free_port()
    shell.environment |= {
        "DISPLAY": ":0",
        "ZOHO_WIZARD_BROWSER": _debuggable_browser(port, browser, shell),
    }

    def use() -> None:
        window = _connected(browser, port)
        person = SimulatedUser(window.contexts[0].pages[0])
        sign_in, console, consent = SignInPage(person), ConsolePage(person), ConsentPage(person)
        password = shell.simulator.world.users.get(ANNA).password
        sign_in.login_id.wait_for()
        sign_in.sign_in(ANNA, password)
        expect(console.redirect_uris).to_have_value(f"http://localhost:{shell.port}/callback")
        console.create()
        person.click(consent.accept_button)

    return use


@pytest.mark.slow
def test_what_was_entered_on_the_page_is_not_in_the_command_line(shell: Shell) -> None:
    request = ConnectionRequest.of(["crm-read-leads"], "", "eu", note="For the nightly export")
    too_long = replace(request, note=request.note * 50)  # ends before a window opens
    assisted = AssistProcess(
        from_environment(shell.environment), AssistedConnection("crm-anna", too_long)
    )
    assert "nightly" not in repr(assisted._process.args)
    assert "crm-anna" not in repr(assisted._process.args)
    wait_for(lambda: not assisted.is_running)
    with assisted._stderr:
        assert assisted.explanation is not None
        assert assisted.explanation.code == "bad-note"


@pytest.mark.slow
def test_a_new_user_gets_a_verified_connection_in_an_assisted_window(
    shell: Shell, use_window: Callable[[], None]
) -> None:
    ended: list[CommandResult] = []
    answers = [("any Zoho URL", "eu"), ("Read them from that page", "y")]
    command = threading.Thread(
        target=lambda: ended.append(
            shell.run_in_terminal("connect", "crm", *OPTIONS, replies=answers)
        )
    )
    command.start()
    try:
        use_window()
    finally:
        command.join()
    (result,) = ended
    assert result.exit_code == 0
    assert f"as {ANNA}" in result.stdout
    (made,) = shell.simulator.world.clients
    assert made.secrets["eu"] not in result.stdout
    assert not (shell.directory / "home" / "data" / "simulator" / "browser").exists()


@pytest.mark.slow
def test_a_button_on_the_page_does_the_same(
    shell: Shell, person: SimulatedUser, use_window: Callable[[], None]
) -> None:
    serving = shell.start("serve")
    person.go(serving.wait_for_stderr(r"http://localhost:\d+/browser-link/\S+"))
    form = NewConnectionPage(person)
    form.choose_data_center("Europe (zoho.eu)")
    form.choose_preset("Read CRM leads")
    person.click(person.page.get_by_role("button", name="Do it for me in an assisted window"))
    heading = person.page.get_by_role("heading", level=1)
    expect(heading).to_have_text("Continue in the assisted window")
    assert accessibility_violations(person.page) == []
    use_window()
    expect(heading).to_have_text("crm-read-leads", timeout=PROCESS_TIMEOUT_SECONDS * 1000)
    ConnectionPage(person).wait_until_verified()


def _debuggable_browser(port: int, browser: Browser, shell: Shell) -> str:
    """A browser script to start in place of the user's own browser."""
    own = find_browser(None, Path(browser.browser_type.executable_path))
    starter = shell.directory / "browser"
    starter.write_text(
        f'#!/bin/sh\nexec "{own}" --headless=new --remote-debugging-port={port} "$@"\n', "utf-8"
    )
    starter.chmod(0o700)
    return str(starter)


def _connected(browser: Browser, port: int) -> Browser:
    """The command's browser once it is connected; requests to Zoho are blocked until then."""

    def shows_zoho() -> bool:
        with suppress(OSError):
            pages = requests.get(f"http://127.0.0.1:{port}/json", timeout=5).json()
            return any("/signin" in page["url"] for page in pages)
        return False

    wait_for(shows_zoho)
    return browser.browser_type.connect_over_cdp(f"http://127.0.0.1:{port}")
