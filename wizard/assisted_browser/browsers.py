"""Which browser is started, and what remains of its profiles."""

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
"""What distributions and vendors call theirs on the search path."""
EXECUTABLE_PATHS = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    r"C:\Program Files\Google\Chrome\Application\chrome.exe",
    r"C:\Program Files (x86)\Google\Chrome\Application\chrome.exe",
    r"C:\Program Files (x86)\Microsoft\Edge\Application\msedge.exe",
    "/snap/bin/chromium",
)
"""Where installers put them without a word to the search path."""


def find_executable(configured_path: str | None, bundled_path: str) -> Path:
    """The executable to start: the person's choice (ZOHO_WIZARD_BROWSER), which is never
    second-guessed; else Playwright's `own` where it was downloaded; else an installed Chrome,
    Edge or Chromium.

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
"""A browser that was told to end writes into its profile for a moment longer."""


def keep_profiles(paths: Paths) -> None:
    """Let the profiles stay until a run that does not keep them."""
    with suppress(FileExistsError):
        files.create(paths.keep_profiles_marker)


def remove_profiles(paths: Paths) -> None:
    """Remove every profile. To be called by whoever holds the window's lock."""
    Path(paths.keep_profiles_marker).unlink(missing_ok=True)
    end = time.monotonic() + REMOVAL_TIMEOUT_SECONDS
    while os.path.lexists(paths.browser_dir):
        shutil.rmtree(paths.browser_dir, ignore_errors=True)
        if time.monotonic() > end:
            break
        time.sleep(0.05)


def remove_leftovers(paths: Paths) -> None:
    """Remove what a run has left that was killed: somebody is signed in there. What is kept, or in
    use, stays."""
    if not os.path.lexists(paths.browser_dir):
        return
    with suppress(WizardError), hold_lock(paths.browser_lock, 0, "browser-under-way", ""):
        if not os.path.lexists(paths.keep_profiles_marker):
            remove_profiles(paths)
