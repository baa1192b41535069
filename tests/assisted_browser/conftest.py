"""A headless page in place of the visible window; everything else is real."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page
from support.assisted_windows import AssistedWindow, HeadlessWindows, open_assisted_window
from support.harness import ANNA, Harness
from support.headless_browser import write_headless_script
from support.reauthorization import add_verified_connection
from support.shell import Shell

from wizard.simulator.simulated_user import find_browser


@pytest.fixture
def assisted_window(harness: Harness, page: Page) -> AssistedWindow:
    """A verified connection of anna's, and a window for its next consent."""
    harness.add_verified_connection()
    harness.controls.clear_journal()
    return open_assisted_window(harness, page)


@pytest.fixture
def headless_windows(new_context: Callable[..., BrowserContext]) -> HeadlessWindows:
    """Windows without a display."""
    return HeadlessWindows(new_context)


@pytest.fixture
def headless_browser(shell: Shell, browser: Browser) -> Iterator[Callable[..., Path]]:
    """Give the shell a headless browser with these extra options; return its path.

    Windows left open by a page are closed afterward.
    """

    def create(*options: str) -> Path:
        chosen = os.environ.get("ZOHO_WIZARD_BROWSER")
        own = Path(browser.browser_type.executable_path)
        found = find_browser(Path(chosen) if chosen else None, own)
        script = write_headless_script(found, shell.directory / "browser", *options)
        shell.environment["DISPLAY"] = ":none"
        shell.environment["ZOHO_WIZARD_BROWSER"] = str(script)
        return script

    yield create
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if f"--user-data-dir={shell.directory}" in (process / "cmdline").read_text():
                os.kill(int(process.name), signal.SIGKILL)


@pytest.fixture
def rejected_connections(shell: Shell, shell_harness: Harness) -> Harness:
    """Two connections of anna's that a wizard knows were rejected after her password changed."""
    client = shell_harness.register_client()
    for name in ("books", "crm"):
        add_verified_connection(shell_harness, name, client)
    shell.simulator.controls.change_password(ANNA)
    assert shell.run("check").exit_code == 3
    return shell_harness
