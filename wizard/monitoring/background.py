"""Check connections in the background. Pages show the progress."""

import logging
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from wizard.model import Clock
from wizard.monitoring.checks import CheckResult, ConnectionChecker

log = logging.getLogger(__name__)

POLL_INTERVAL_SECONDS = 0.2
"""How often to read the clock during a wait for Zoho's limits."""


@dataclass(frozen=True)
class Progress:
    """The progress of a run."""

    total: int
    remaining: frozenset[str]
    """The connections without a result yet."""
    waiting_until: datetime | None
    """Until when the run waits for Zoho's limits; None if it doesn't."""

    @property
    def completed(self) -> int:
        return self.total - len(self.remaining)


class BackgroundChecks:
    """One run at a time; names that are submitted meanwhile are checked after it."""

    def __init__(self, checks: ConnectionChecker, clock: Clock) -> None:
        self._checks = checks
        self._clock = clock
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._next: dict[str, None] = {}
        self._progress: Progress | None = None

    def begin(self, names: Iterable[str]) -> None:
        """Check connections `names` soon."""
        with self._lock:
            self._next.update(dict.fromkeys(names))
            if self._next and self._thread is None and not self._stopped.is_set():
                self._thread = threading.Thread(
                    target=self._work, name="background-checks", daemon=True
                )
                self._thread.start()

    def progress(self) -> Progress | None:
        """The progress of the current run; None if there is none."""
        with self._lock:
            if self._progress is None and self._next:
                return Progress(len(self._next), frozenset(self._next), None)
            return self._progress

    def stop(self, timeout_seconds: float = 30.0) -> None:
        """Start no more runs, and wait up to `timeout_seconds` for the current one."""
        self._stopped.set()
        with self._lock:
            thread = self._thread
        if thread is not None:
            thread.join(timeout_seconds)

    def _work(self) -> None:
        while names := self._take_next():
            try:
                self._checks.check(names, on_result=self._record_result, wait=self._wait)
            except Exception:
                log.exception("a background check failed")

    def _take_next(self) -> list[str]:
        """The names of the next run; an empty list ends the thread."""
        with self._lock:
            names, self._next = list(self._next), {}
            if self._stopped.is_set() or not names:
                self._progress, self._thread = None, None
                return []
            self._progress = Progress(len(names), frozenset(names), None)
            return names

    def _record_result(self, result: CheckResult) -> None:
        with self._lock:
            now = self._progress
            if now is not None and not result.is_pending:
                self._progress = Progress(now.total, now.remaining - {result.name}, None)

    def _wait(self, until: datetime) -> bool:
        with self._lock:
            if self._progress is not None:
                self._progress = Progress(self._progress.total, self._progress.remaining, until)
        while self._clock() < until:
            if self._stopped.wait(POLL_INTERVAL_SECONDS):
                return False
        return True
