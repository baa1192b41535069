"""The assisted browser as started from the pages.

It runs in its own process on the same store, where the pages read its progress.
"""

import threading
from collections.abc import Callable
from typing import Protocol, cast

from flask import current_app

from wizard.model import Explanation


class AssistedRun(Protocol):
    """One run of the assisted browser."""

    @property
    def is_running(self) -> bool:
        """Whether it hasn't ended yet."""

    @property
    def explanation(self) -> Explanation | None:
        """Why it failed; None: it runs, or it succeeded."""

    def stop(self) -> None:
        """Stop it, and wait until its window is closed."""


AssistedRunFactory = Callable[[], AssistedRun]
"""Starts the assisted browser, which continues the current re-authorization."""


class Assistance:
    """The assisted browser of this server; at most one runs."""

    def __init__(self, start: AssistedRunFactory | None) -> None:
        """`start` is None if there is no display to open a window on."""
        self._start = start
        self._run: AssistedRun | None = None
        self._lock = threading.Lock()

    @property
    def is_available(self) -> bool:
        """Whether it can be started and isn't running."""
        return self._start is not None and not self.is_running

    @property
    def is_running(self) -> bool:
        """Whether it is running."""
        return self._run is not None and self._run.is_running

    @property
    def explanation(self) -> Explanation | None:
        """Why the last run failed."""
        return self._run.explanation if self._run is not None else None

    def start(self) -> None:
        """Start it if it is available."""
        with self._lock:
            if self._start is not None and not self.is_running:
                self._run = self._start()

    def stop(self) -> None:
        """Stop the running one."""
        with self._lock:
            if self._run is not None:
                self._run.stop()


def get_assistance() -> Assistance:
    """The assisted browser of this application."""
    return cast(Assistance, current_app.extensions["assistance"])
