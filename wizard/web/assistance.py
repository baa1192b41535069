"""The assisted browser as the pages know it: started by what the command line has passed in.

It runs as a process of its own, beside this server and on the same store, so that the pages have
nothing to carry to it but its start; how far it is, they read where they read everything.
"""

import threading
from collections.abc import Callable
from typing import Protocol, cast

from flask import current_app

from wizard.model import Finding


class Run(Protocol):
    """One run of the assisted browser."""

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""

    @property
    def finding(self) -> Finding | None:
        """Why it ended before its end; None: it runs, or ended well."""

    def end(self) -> None:
        """Have it end in order, if it runs; returns when it has."""


Start = Callable[[], Run]
"""Starts the assisted browser, which goes on with the repair under way."""


class Assistance:
    """The assisted browser of this server, once at a time."""

    def __init__(self, start: Start | None) -> None:
        """`start` is None where there is no screen to open a window on."""
        self._start = start
        self._run: Run | None = None
        self._lock = threading.Lock()

    @property
    def offered(self) -> bool:
        """Whether it can be started, and does not run already."""
        return self._start is not None and not self.running

    @property
    def running(self) -> bool:
        """Whether it runs now."""
        return self._run is not None and self._run.running

    @property
    def finding(self) -> Finding | None:
        """Why the last run ended before its end."""
        return self._run.finding if self._run is not None else None

    def begin(self) -> None:
        """Start it, unless it cannot be, or runs already: a second press starts no second one."""
        with self._lock:
            if self._start is not None and not self.running:
                self._run = self._start()

    def end(self) -> None:
        """End what this server has started."""
        with self._lock:
            if self._run is not None:
                self._run.end()


def assistance() -> Assistance:
    """The assisted browser of this application."""
    return cast(Assistance, current_app.extensions["assistance"])
