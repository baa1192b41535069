"""Which browser is started, and the removal of its profiles."""

import os
import shutil
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from wizard import files
from wizard.errors import WizardError, fail
from wizard.locks import hold_lock
from wizard.paths import Paths

EXECUTABLE_NAMES = (
    "google-chrome",
    "google-chrome-stable",
    "chromium",
    "chromium-browser",
    "microsoft-edge",
    "microsoft-edge-stable",
    "chrome",
    "msedge",
)
"""Executable names of distributions and vendors on the search path."""
EXECUTABLE_PATHS = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    r"C:\Program Files\Google\Chrome\Application\chrome.exe",
    r"C:\Program Files (x86)\Google\Chrome\Application\chrome.exe",
    r"C:\Program Files (x86)\Microsoft\Edge\Application\msedge.exe",
    "/snap/bin/chromium",
)
"""Paths of installers that don't extend the search path."""


def find_executable(configured_path: str | None, bundled_path: str) -> Path:
    """The executable to start: the user's choice (ZOHO_WIZARD_BROWSER) without a fallback, else
    Playwright's at `bundled_path`, else an installed Chrome, Edge or Chromium.

    Raises ``no-browser``.
    """
    if configured_path is not None:
        if not Path(configured_path).is_file():
            raise fail("no-browser", description=f"There is no program at {configured_path}.")
        return Path(configured_path)
    installed = (shutil.which(name) for name in EXECUTABLE_NAMES)
    return _first_existing([bundled_path, *(each for each in installed if each), *EXECUTABLE_PATHS])


def _first_existing(candidates: Iterable[str]) -> Path:
    for candidate in candidates:
        if candidate and Path(candidate).is_file():
            return Path(candidate)
    raise fail("no-browser", description="Neither Chrome, Edge nor Chromium was found.")


REMOVAL_TIMEOUT_SECONDS = 5.0
"""A closing browser writes into its profile for a moment longer."""


def keep_profiles(paths: Paths) -> None:
    """Keep the profiles until a run that doesn't keep them."""
    with suppress(FileExistsError):
        files.create(paths.keep_profiles_marker)


def remove_profiles(paths: Paths) -> None:
    """Remove every profile. The caller holds the lock of the windows."""
    Path(paths.keep_profiles_marker).unlink(missing_ok=True)
    end = time.monotonic() + REMOVAL_TIMEOUT_SECONDS
    while os.path.lexists(paths.browser_dir):
        shutil.rmtree(paths.browser_dir, ignore_errors=True)
        if time.monotonic() > end:
            break
        time.sleep(0.05)


def remove_leftovers(paths: Paths) -> None:
    """Remove profiles left by a run that was killed, since a user is signed in there. Kept
    profiles, and those in use, stay."""
    if not os.path.lexists(paths.browser_dir):
        return
    with suppress(WizardError), hold_lock(paths.browser_lock, 0, "browser-under-way", ""):
        if not os.path.lexists(paths.keep_profiles_marker):
            remove_profiles(paths)
