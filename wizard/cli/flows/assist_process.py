"""The assisted browser in a process of its own, started for a page and watched from there."""

import json
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import IO

from wizard.assisted_browser import check_display
from wizard.cli.commands.run import WIZARD_COMMAND
from wizard.errors import WizardError
from wizard.model import Explanation
from wizard.settings import Settings

STOP_TIMEOUT_SECONDS = 10.0
"""A browser is given some time to close, and its profile some to be removed."""
ASSIST_ARGUMENTS = ("reauthorize", "--assist", "--json")
"""Goes on with the repair under way, whatever is in it: nothing of it stands in a command line."""


class AssistProcess:
    """One run of ``reauthorize --assist``; what it says on stderr is read when it has ended."""

    def __init__(self, settings: Settings) -> None:
        self._stderr: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - until the process ends
        self._process = subprocess.Popen(  # noqa: S603 - ourselves
            [*WIZARD_COMMAND, *ASSIST_ARGUMENTS],
            env={**settings.child_environment, **settings.service_environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._stderr,
        )

    @property
    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    @property
    def explanation(self) -> Explanation | None:
        """Why it ended before its end; None: it runs, or ended well."""
        if self.is_running or self._process.returncode == 0:
            return None
        self._stderr.seek(0)
        return explanation_in(self._stderr.read().decode("utf-8", "replace"))

    def stop(self) -> None:
        """Have it end in order, which closes its window; returns when it has."""
        if self.is_running:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_TIMEOUT_SECONDS)


def explanation_in(output: str) -> Explanation | None:
    """The last finding that a run with ``--json`` has told, among what it said besides."""
    for line in reversed(output.splitlines()):
        if line.startswith('{"error":'):
            error = json.loads(line)["error"]
            return Explanation(error["code"], error["title"], error["cause"], error["remedy"])
    return None


def assist_process_factory(settings: Settings) -> Callable[[], AssistProcess] | None:
    """What starts the assisted browser; None where there is no screen for it."""
    try:
        check_display(settings)
    except WizardError:
        return None
    return partial(AssistProcess, settings)
