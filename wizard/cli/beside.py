"""The assisted browser in a process of its own, started for a page and watched from there."""

import json
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import IO

from wizard.browser import check_display
from wizard.cli.run import OURSELVES
from wizard.errors import WizardError
from wizard.model import Finding
from wizard.settings import Settings

ENDING_SECONDS = 10.0
"""A browser is given some time to close, and its profile some to be removed."""
ASSIST = ("reauthorize", "--assist", "--json")
"""Goes on with the repair under way, whatever is in it: nothing of it stands in a command line."""


class Beside:
    """One run of ``reauthorize --assist``; what it says on stderr is read when it has ended."""

    def __init__(self, settings: Settings) -> None:
        self._said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - until the process ends
        self._process = subprocess.Popen(  # noqa: S603 - ourselves
            [*OURSELVES, *ASSIST],
            env={**settings.child_environment, **settings.chosen},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._said,
        )

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    @property
    def finding(self) -> Finding | None:
        """Why it ended before its end; None: it runs, or ended well."""
        if self.running or self._process.returncode == 0:
            return None
        self._said.seek(0)
        return found_in(self._said.read().decode("utf-8", "replace"))

    def end(self) -> None:
        """Have it end in order, which closes its window; returns when it has."""
        if self.running:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(ENDING_SECONDS)


def found_in(said: str) -> Finding | None:
    """The last finding that a run with ``--json`` has told, among what it said besides."""
    for line in reversed(said.splitlines()):
        if line.startswith('{"error":'):
            error = json.loads(line)["error"]
            return Finding(error["code"], error["title"], error["cause"], error["remedy"])
    return None


def starter(settings: Settings) -> Callable[[], Beside] | None:
    """What starts the assisted browser; None where there is no screen for it."""
    try:
        check_display(settings)
    except WizardError:
        return None
    return partial(Beside, settings)
