"""The assisted browser as the pages know it: started by what the command line has passed in.

It runs as a process of its own, beside this server and on the same store, so that the pages have
nothing to carry to it but its start; how far it is, they read where they read everything.
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
        """Whether it has not ended yet."""

    @property
    def explanation(self) -> Explanation | None:
        """Why it ended before its end; None: it runs, or ended well."""

    def stop(self) -> None:
        """Have it end in order, if it runs; returns when it has."""


AssistedRunFactory = Callable[[], AssistedRun]
"""Starts the assisted browser, which continues the current re-authorization."""


class Assistance:
    """The assisted browser of this server, once at a time."""

    def __init__(self, start: AssistedRunFactory | None) -> None:
        """`start` is None where there is no screen to open a window on."""
        self._start = start
        self._run: AssistedRun | None = None
        self._lock = threading.Lock()

    @property
    def is_available(self) -> bool:
        """Whether it can be started, and does not run already."""
        return self._start is not None and not self.is_running

    @property
    def is_running(self) -> bool:
        """Whether it runs now."""
        return self._run is not None and self._run.is_running

    @property
    def explanation(self) -> Explanation | None:
        """Why the last run ended before its end."""
        return self._run.explanation if self._run is not None else None

    def start(self) -> None:
        """Start it, unless it cannot be, or runs already: a second press starts no second one."""
        with self._lock:
            if self._start is not None and not self.is_running:
                self._run = self._start()

    def stop(self) -> None:
        """End what this server has started."""
        with self._lock:
            if self._run is not None:
                self._run.stop()


def get_assistance() -> Assistance:
    """The assisted browser of this application."""
    return cast(Assistance, current_app.extensions["assistance"])
