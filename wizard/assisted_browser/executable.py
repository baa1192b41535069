"""Which browser there is to open a window of."""

import shutil
from collections.abc import Iterable
from pathlib import Path

from wizard.errors import fail

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
