"""A browser for the simulated person: which one there is, and how it is started."""

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
# Chromium without all that only a window needs: half the work for the same pages.
HEADLESS_SHELL = "chromium-headless-shell"
# Where installers put browsers without making them known to the shell's search path.
INSTALLED_PATHS = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    r"C:\Program Files\Google\Chrome\Application\chrome.exe",
    r"C:\Program Files (x86)\Google\Chrome\Application\chrome.exe",
    r"C:\Program Files (x86)\Microsoft\Edge\Application\msedge.exe",
    "/snap/bin/chromium",
)
# A browser of its own accord asks its maker about updates, translations and accounts: not here.
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
    """No Chromium-like browser was found; the message says how to get one."""

    def __init__(self, executable: Path | None = None) -> None:
        super().__init__(
            (f"There is no browser at {executable}. " if executable else "No browser was found. ")
            + "Install Chrome, Edge or Chromium (Debian, Ubuntu: `apt install chromium`), or let "
            "Playwright bring its own: `python -m playwright install chromium`."
        )


def find_browser(
    executable: Path | None, bundled_executable: Path, *, headless: bool = False
) -> Path:
    """Say which executable to start.

    `given` is the user's own choice and is never second-guessed. Then comes, if no window is
    needed, an installed browser that has none; Playwright's own at `playwrights_own`, where it has
    been downloaded; an installed Chrome, Edge or Chromium. Raises `NoBrowser`.
    """
    if executable is not None:
        if not executable.is_file():
            raise BrowserNotFoundError(executable)
        return executable
    light = shutil.which(HEADLESS_SHELL) if headless else None
    found = (shutil.which(name) for name in INSTALLED_NAMES)
    candidates = (light, bundled_executable, *found, *INSTALLED_PATHS)
    return first_existing(Path(each) for each in candidates if each)


def first_existing(candidates: Iterable[Path]) -> Path:
    """Return the first candidate that is there. Raises `NoBrowser`."""
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise BrowserNotFoundError


def launch(
    browser_type: BrowserType, executable: Path | None = None, *, headless: bool = True
) -> Browser:
    """Start a browser that keeps to itself.

    Chromium's own process simulator is on, except for root, for whom Chromium refuses it.
    Raises `NoBrowser`.
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
    """Start Playwright and a browser, and end both afterwards. Raises `NoBrowser`."""
    with sync_playwright() as playwright:
        browser = launch(playwright.chromium, executable, headless=headless)
        try:
            yield browser
        finally:
            browser.close()
