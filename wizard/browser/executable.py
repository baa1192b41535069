"""Which browser there is to open a window of."""

import shutil
from collections.abc import Iterable
from pathlib import Path

from wizard.errors import fail

NAMES = (
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
PATHS = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    r"C:\Program Files\Google\Chrome\Application\chrome.exe",
    r"C:\Program Files (x86)\Google\Chrome\Application\chrome.exe",
    r"C:\Program Files (x86)\Microsoft\Edge\Application\msedge.exe",
    "/snap/bin/chromium",
)
"""Where installers put them without a word to the search path."""


def find(chosen: str | None, own: str) -> Path:
    """The executable to start: the person's choice (ZOHO_WIZARD_BROWSER), which is never
    second-guessed; else Playwright's `own` where it was downloaded; else an installed Chrome,
    Edge or Chromium.

    Raises ``no-browser``.
    """
    if chosen is not None:
        if not Path(chosen).is_file():
            raise fail("no-browser", found=f"There is no program at {chosen}.")
        return Path(chosen)
    installed = (shutil.which(name) for name in NAMES)
    return _first([own, *(each for each in installed if each), *PATHS])


def _first(candidates: Iterable[str]) -> Path:
    for candidate in candidates:
        if candidate and Path(candidate).is_file():
            return Path(candidate)
    raise fail("no-browser", found="Neither Chrome, Edge nor Chromium was found.")
