"""A headless page in the place of the visible window; everything else is the real thing."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from attending import Rooms, Window, window
from core import Core
from playwright.sync_api import Browser, BrowserContext, Page
from seating import without_a_screen
from shell import Shell

from wizard.sandbox.person import find_browser


@pytest.fixture
def assisted(core: Core, page: Page) -> Window:
    """A connection of anna's that has been proved, and a window for its next consent."""
    core.proved()
    core.admin.clear_journal()
    return window(core, page)


@pytest.fixture
def rooms(new_context: Callable[..., BrowserContext]) -> Rooms:
    """Windows without a screen."""
    return Rooms(new_context)


@pytest.fixture
def screenless(shell: Shell, browser: Browser) -> Iterator[Callable[..., Path]]:
    """Give the shell a browser that needs no screen, with further options, and a screen that
    nobody looks for; returns where the browser stands. A window that a page has opened is closed
    afterwards, whoever is left to it."""

    def give(*options: str) -> Path:
        chosen = os.environ.get("ZOHO_WIZARD_BROWSER")
        own = Path(browser.browser_type.executable_path)
        found = find_browser(Path(chosen) if chosen else None, own)
        script = without_a_screen(found, shell.directory / "browser", *options)
        shell.environment["DISPLAY"] = ":none"
        shell.environment["ZOHO_WIZARD_BROWSER"] = str(script)
        return script

    yield give
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if f"--user-data-dir={shell.directory}" in (process / "cmdline").read_text():
                os.kill(int(process.name), signal.SIGKILL)
