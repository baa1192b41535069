"""What stays of the assisted browser's profiles: nothing, unless the person keeps them."""

import os
import shutil
import time
from contextlib import suppress
from pathlib import Path

from wizard import files
from wizard.errors import WizardError
from wizard.locks import hold_lock
from wizard.paths import Paths

REMOVAL_TIMEOUT_SECONDS = 5.0
"""A browser that was told to end writes into its profile for a moment longer."""


def keep(paths: Paths) -> None:
    """Let the profiles stay until a run that does not keep them."""
    with suppress(FileExistsError):
        files.create(paths.keep_profiles_marker)


def remove(paths: Paths) -> None:
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
            remove(paths)
