"""A headless page in the place of the visible window; everything else is the real thing."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page
from support.assisted_windows import AssistedWindow, HeadlessWindows, open_assisted_window
from support.harness import Harness
from support.headless_browser import write_headless_script
from support.shell import Shell

from wizard.simulator.simulated_user import find_browser


@pytest.fixture
def assisted_window(harness: Harness, page: Page) -> AssistedWindow:
    """A connection of anna's that has been proved, and a window for its next consent."""
    harness.add_verified_connection()
    harness.controls.clear_journal()
    return open_assisted_window(harness, page)


@pytest.fixture
def headless_windows(new_context: Callable[..., BrowserContext]) -> HeadlessWindows:
    """Windows without a screen."""
    return HeadlessWindows(new_context)


@pytest.fixture
def headless_browser(shell: Shell, browser: Browser) -> Iterator[Callable[..., Path]]:
    """Give the shell a browser that needs no screen, with further options, and a screen that
    nobody looks for; returns where the browser stands. A window that a page has opened is closed
    afterwards, whoever is left to it."""

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
