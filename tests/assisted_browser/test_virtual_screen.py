"""The assisted way on a virtual screen: a visible window, a mouse and a keyboard.

The person's input comes from the X server. The test reads the window through a debugging port,
because it has to know where a button is. `--screenshot on` writes pictures of the window to the
directory of `--output`.
"""

import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from support.harness import ANNA, Harness
from support.headless_browser import (
    REMOTE_DEBUGGING_OPTION,
    connect_to_page,
    connect_to_sign_in_page,
)
from support.shell import PROCESS_TIMEOUT_SECONDS, CommandResult, Shell
from support.wizard_pages import ConnectionPage, NewConnectionPage, ReauthorizationPage
from tour.scenario import (
    ASSISTED_FIRST_CONNECTION_ACTIONS,
    ASSISTED_NEXT_CONNECTION_ACTIONS,
    ASSISTED_REAUTHORIZATION_ACTIONS,
)

from wizard.settings import from_environment
from wizard.simulator.simulated_user import (
    ActionCounter,
    ConsentPage,
    ConsolePage,
    SignInPage,
    SimulatedUser,
    find_browser,
    is_root,
)

pytestmark = [pytest.mark.slow, pytest.mark.needs("Xvfb", "xdotool")]

KEY_INTERVAL_MS = 20
CONTENT_ORIGIN_SCRIPT = "[screenX + outerWidth - innerWidth, screenY + outerHeight - innerHeight]"
"""Where the page starts on the screen: below the browser's own bars."""


@pytest.fixture
def display() -> Iterator[str]:
    """A virtual screen, on a display number that the X server chooses."""
    reader, writer = os.pipe()
    command = ["Xvfb", "-displayfd", str(writer), "-screen", "0", "1280x1000x24"]
    server = subprocess.Popen(
        [*command, "-nolisten", "tcp"], pass_fds=[writer], stderr=subprocess.DEVNULL
    )
    os.close(writer)
    with os.fdopen(reader) as opened:
        number = opened.readline().strip()
    assert number, "Xvfb has started"
    yield f":{number}"
    server.terminate()
    server.wait(PROCESS_TIMEOUT_SECONDS)


class PersonAtScreen(SimulatedUser):
    """A simulated user with a mouse and a keyboard at `display`."""

    def __init__(self, page: Page, counter: ActionCounter, display: str) -> None:
        super().__init__(page, counter)
        self._display = display

    def click(self, target: Locator) -> None:
        self._begin_action("click", target)
        self._press(target)

    def fill(self, target: Locator, text: str) -> None:
        self._begin_action("fill", target)
        self._press(target)
        self._input("type", "--delay", str(KEY_INTERVAL_MS), "--", text)

    def choose(self, target: Locator, option: str | None = None) -> None:
        self._begin_action("choose", target)
        self._press(target)
        if option is not None:
            self._input("type", "--delay", str(KEY_INTERVAL_MS), "--", option)
            self._input("key", "Return")
            expect(target.locator("option:checked")).to_have_text(option)

    def _press(self, target: Locator) -> None:
        """Press the mouse button in the middle of `target`."""
        target.scroll_into_view_if_needed()
        box = target.bounding_box()
        assert box is not None
        left, top = self.page.evaluate(CONTENT_ORIGIN_SCRIPT)
        x, y = left + box["x"] + box["width"] / 2, top + box["y"] + box["height"] / 2
        self._input("mousemove", "--sync", str(round(x)), str(round(y)), "click", "1")

    def _input(self, *arguments: str) -> None:
        subprocess.run(
            ["xdotool", *arguments], env={**os.environ, "DISPLAY": self._display}, check=True
        )


class Desk:
    """A terminal and a screen, and one counter for what the person does at both."""

    def __init__(self, shell: Shell, display: str, browser: Browser, pictures: Path | None) -> None:
        self.counter = ActionCounter()
        self._shell = shell
        self._display = display
        self._browser_type = browser.browser_type
        self._pictures = pictures
        self._pool = ThreadPoolExecutor(1)
        chosen = os.environ.get("ZOHO_WIZARD_BROWSER")
        found = find_browser(
            Path(chosen) if chosen else None, Path(self._browser_type.executable_path)
        )
        # The assisted window names its own profile after this one; the last one counts.
        self._profile = shell.directory / "profile"
        options = [REMOTE_DEBUGGING_OPTION, f"--user-data-dir={self._profile}", "--no-first-run"]
        options += ["--no-sandbox"] if is_root() else []
        script = shell.directory / "browser"
        script.write_text(f'#!/bin/sh\nexec "{found}" {" ".join(options)} "$@"\n', "utf-8")
        script.chmod(0o700)
        shell.environment |= {"DISPLAY": display, "ZOHO_WIZARD_BROWSER": str(script)}

    def run(
        self, *arguments: str, replies: tuple[tuple[str, str], ...] = ()
    ) -> "Future[CommandResult]":
        """Type a command, and the replies to its questions; each is one action."""
        for each in (" ".join(arguments), *(reply for _, reply in replies)):
            self.counter.record(f"type {each}", is_signing_in=False)
        return self._pool.submit(self._shell.run_in_terminal, *arguments, replies=replies)

    def open_wizard(self) -> PersonAtScreen:
        """Run `zoho-wizard`; return the person at the page that opens in their browser."""
        self.counter.record("type zoho-wizard", is_signing_in=False)
        self._shell.start()
        host = f"localhost:{self._shell.port}"
        page = connect_to_page(self._browser_type, self._profile, host)
        return PersonAtScreen(page, self.counter, self._display)

    def window(self, account: str = "") -> PersonAtScreen:
        """The person at the window of `account` (empty: not known yet), which asks to sign in."""
        paths = from_environment(self._shell.environment).paths
        page = connect_to_sign_in_page(self._browser_type, paths, account)
        return PersonAtScreen(page, self.counter, self._display)

    def take_picture(self, page: Page, name: str) -> None:
        """Write a picture of the window, if the person who runs the test wants some."""
        if self._pictures:
            page.screenshot(path=self._pictures / f"{name}.png")

    def close(self) -> None:
        self._pool.shutdown()


@pytest.fixture
def desk(
    shell: Shell, display: str, browser: Browser, request: pytest.FixtureRequest
) -> Iterator[Desk]:
    """A desk of a person who has a terminal open."""
    takes_pictures = request.config.getoption("--screenshot") == "on"
    desk = Desk(
        shell,
        display,
        browser,
        Path(request.config.getoption("--output")) if takes_pictures else None,
    )
    yield desk
    desk.close()


def password_of(shell: Shell) -> str:
    """Anna's current password."""
    return shell.simulator.world.users.get(ANNA).password


def register_client_and_accept(desk: Desk, shell: Shell) -> None:
    """The person's part in the window of a first connection."""
    person = desk.window()
    console, consent = ConsolePage(person), ConsentPage(person)
    SignInPage(person).sign_in(ANNA, password_of(shell))
    expect(console.redirect_uris).to_have_value(f"http://localhost:{shell.port}/callback")
    desk.take_picture(person.page, "assisted-console")
    console.create()
    consent.accept_button.wait_for()
    desk.take_picture(person.page, "assisted-consent")
    person.click(consent.accept_button)


def test_a_first_and_a_second_connection_take_a_sign_in_and_few_actions(
    desk: Desk, shell: Shell
) -> None:
    first = desk.run(
        *("connect", "crm", "--preset", "crm-read-leads", "--data-center", "eu", "--assist"),
        replies=(("Read them from that page", "y"),),
    )
    register_client_and_accept(desk, shell)
    result = first.result()
    assert result.exit_code == 0, result.stdout
    assert "Read them from that page" in result.stdout
    assert desk.counter.actions == ASSISTED_FIRST_CONNECTION_ACTIONS, desk.counter.log

    second = desk.run("connect", "books", "--preset", "books-read-invoices", "--assist")
    person = desk.window()
    SignInPage(person).sign_in(ANNA, password_of(shell))
    person.click(ConsentPage(person).accept_button)
    result = second.result()
    assert result.exit_code == 0, result.stdout
    taken = desk.counter.actions - ASSISTED_FIRST_CONNECTION_ACTIONS
    assert taken == ASSISTED_NEXT_CONNECTION_ACTIONS, desk.counter.log


def test_a_button_on_the_page_leads_to_a_first_connection(desk: Desk, shell: Shell) -> None:
    visitor = desk.open_wizard()
    form = NewConnectionPage(visitor)
    form.choose_data_center("Europe (zoho.eu)")
    form.choose_preset("Read CRM leads")
    visitor.click(visitor.page.get_by_role("button", name="Do it for me in an assisted window"))
    register_client_and_accept(desk, shell)
    heading = visitor.page.get_by_role("heading", level=1)
    expect(heading).to_have_text("crm-read-leads", timeout=PROCESS_TIMEOUT_SECONDS * 1000)
    ConnectionPage(visitor).wait_until_verified()
    desk.take_picture(visitor.page, "assisted-connection")
    assert desk.counter.actions == ASSISTED_FIRST_CONNECTION_ACTIONS + 3, desk.counter.log


def test_a_command_and_a_sign_in_reauthorize_all_connections(
    desk: Desk, shell: Shell, rejected_connections: Harness
) -> None:
    running = desk.run(
        "reauthorize", "--all", "--assist", replies=(("Re-authorize 2 connections", "y"),)
    )
    person = desk.window(ANNA)
    desk.take_picture(person.page, "assisted-reauthorization")
    SignInPage(person).enter_login_id(ANNA)
    SignInPage(person).enter_password(password_of(shell))
    result = running.result()
    assert result.exit_code == 0, result.stdout
    connections = rejected_connections.services.store.connections.all()
    assert {each.name: each.generation for each in connections} == {"books": 2, "crm": 2}
    assert desk.counter.actions == ASSISTED_REAUTHORIZATION_ACTIONS, desk.counter.log


def test_a_button_on_the_page_and_a_sign_in_reauthorize_all_connections(
    desk: Desk, shell: Shell, rejected_connections: Harness
) -> None:
    visitor = desk.open_wizard()
    visitor.click(visitor.page.get_by_role("link", name="Re-authorize 2 connections"))
    page = ReauthorizationPage(visitor)
    page.press("Do it for me in an assisted window")
    person = desk.window(ANNA)
    SignInPage(person).enter_login_id(ANNA)
    SignInPage(person).enter_password(password_of(shell))
    expect(page.heading).to_have_text(
        "2 of 2 connections re-authorized", timeout=PROCESS_TIMEOUT_SECONDS * 1000
    )
    desk.take_picture(visitor.page, "assisted-reauthorization-done")
    connections = rejected_connections.services.store.connections.all()
    assert {each.name: each.generation for each in connections} == {"books": 2, "crm": 2}
    assert desk.counter.actions == ASSISTED_REAUTHORIZATION_ACTIONS + 1, desk.counter.log
