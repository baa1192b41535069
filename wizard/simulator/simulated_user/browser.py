"""Find and start a browser for the simulated user."""

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, BrowserType, sync_playwright

INSTALLED_NAMES = (
    "google-chrome",
    "google-chrome-stable",
    "chromium",
    "chromium-browser",
    "microsoft-edge",
    "microsoft-edge-stable",
    "chrome",
    "msedge",
)
# Chromium without what only a window needs: it renders the same pages in half the time.
HEADLESS_SHELL = "chromium-headless-shell"
# Where installers put browsers that aren't in PATH.
INSTALLED_PATHS = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    r"C:\Program Files\Google\Chrome\Application\chrome.exe",
    r"C:\Program Files (x86)\Google\Chrome\Application\chrome.exe",
    r"C:\Program Files (x86)\Microsoft\Edge\Application\msedge.exe",
    "/snap/bin/chromium",
)
# By default, a browser contacts its vendor about updates, translations and accounts.
BROWSER_ARGUMENTS = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-domain-reliability",
    "--disable-sync",
    "--no-first-run",
    "--no-default-browser-check",
    "--no-pings",
    "--disable-features=Translate,OptimizationHints,MediaRouter,AutofillServerCommunication",
)


class BrowserNotFoundError(Exception):
    """No Chromium-based browser was found; the message says how to get one."""

    def __init__(self, executable: Path | None = None) -> None:
        super().__init__(
            (f"There is no browser at {executable}. " if executable else "No browser was found. ")
            + "Install Chrome, Edge or Chromium (Debian, Ubuntu: `apt install chromium`), or let "
            "Playwright bring its own: `python -m playwright install chromium`."
        )


def find_browser(
    executable: Path | None, bundled_executable: Path, *, headless: bool = False
) -> Path:
    """Return the executable to start. Raises `BrowserNotFoundError`.

    The order: `executable`, the user's choice; without a window, an installed headless shell;
    Playwright's `bundled_executable`; an installed Chrome, Edge or Chromium.
    """
    if executable is not None:
        if not executable.is_file():
            raise BrowserNotFoundError(executable)
        return executable
    headless_shell = shutil.which(HEADLESS_SHELL) if headless else None
    installed = (shutil.which(name) for name in INSTALLED_NAMES)
    candidates = (headless_shell, bundled_executable, *installed, *INSTALLED_PATHS)
    return first_existing(Path(each) for each in candidates if each)


def first_existing(candidates: Iterable[Path]) -> Path:
    """Return the first candidate that exists. Raises `BrowserNotFoundError`."""
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise BrowserNotFoundError


def launch(
    browser_type: BrowserType, executable: Path | None = None, *, headless: bool = True
) -> Browser:
    """Start a browser that contacts nobody by itself. Raises `BrowserNotFoundError`.

    Chromium's own process isolation is on, except for root, for whom Chromium refuses it.
    """
    return browser_type.launch(
        executable_path=find_browser(
            executable, Path(browser_type.executable_path), headless=headless
        ),
        headless=headless,
        chromium_sandbox=not is_root(),
        args=list(BROWSER_ARGUMENTS),
    )


def is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0


@contextmanager
def open_browser(executable: Path | None = None, *, headless: bool = True) -> Iterator[Browser]:
    """Start Playwright and a browser, and end both. Raises `BrowserNotFoundError`."""
    with sync_playwright() as playwright:
        browser = launch(playwright.chromium, executable, headless=headless)
        try:
            yield browser
        finally:
            browser.close()
