"""What stays of the assisted browser's profiles: nothing, unless the person keeps them."""

import os
import shutil
import time
from contextlib import suppress
from pathlib import Path

from wizard.broker.lock import held
from wizard.errors import WizardError
from wizard.home import Home

ENDING_SECONDS = 5.0
"""A browser that was told to end writes into its profile for a moment longer."""


def keep(home: Home) -> None:
    """Let the profiles stay until a run that does not keep them."""
    Path(home.browser_kept).touch(0o600)


def remove(home: Home) -> None:
    """Remove every profile. To be called by whoever holds the window's lock."""
    Path(home.browser_kept).unlink(missing_ok=True)
    end = time.monotonic() + ENDING_SECONDS
    while os.path.lexists(home.browser_dir):
        shutil.rmtree(home.browser_dir, ignore_errors=True)
        if time.monotonic() > end:
            break
        time.sleep(0.05)


def remove_left(home: Home) -> None:
    """Remove what a run has left that was killed: somebody is signed in there. What is kept, or in
    use, stays."""
    if not os.path.lexists(home.browser_dir):
        return
    with suppress(WizardError), held(home.browser_lock, 0, "browser-under-way", ""):
        if not os.path.lexists(home.browser_kept):
            remove(home)
