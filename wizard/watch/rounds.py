"""Looks in the background, for pages that watch how they go on."""

import logging
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from wizard.model import Clock
from wizard.watch.looks import Looks
from wizard.watch.verdict import Verdict

log = logging.getLogger(__name__)

STEP = 0.2
"""Seconds between two looks at the clock while Zoho's limits are waited for."""


@dataclass(frozen=True)
class Progress:
    """How far a round has come."""

    total: int
    left: frozenset[str]
    """The connections without a verdict yet."""
    until: datetime | None
    """When Zoho's limits let the next be asked, where they are waited for."""

    @property
    def done(self) -> int:
        return self.total - len(self.left)


class Rounds:
    """One round at a time; who comes while it goes on, has the names looked at after it."""

    def __init__(self, looks: Looks, clock: Clock) -> None:
        self._looks = looks
        self._clock = clock
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._next: dict[str, None] = {}
        self._progress: Progress | None = None

    def begin(self, names: Iterable[str]) -> None:
        """Have connections `names` looked at soon."""
        with self._lock:
            self._next.update(dict.fromkeys(names))
            if self._next and self._thread is None and not self._stopped.is_set():
                self._thread = threading.Thread(target=self._work, name="rounds", daemon=True)
                self._thread.start()

    def progress(self) -> Progress | None:
        """How far the round under way has come; None: there is none."""
        with self._lock:
            if self._progress is None and self._next:
                return Progress(len(self._next), frozenset(self._next), None)
            return self._progress

    def stop(self, timeout: float = 30.0) -> None:
        """Begin no more rounds, and wait for the one under way, within `timeout` seconds."""
        self._stopped.set()
        with self._lock:
            thread = self._thread
        if thread is not None:
            thread.join(timeout)

    def _work(self) -> None:
        while names := self._taken():
            try:
                self._looks.at(names, told=self._told, wait=self._waited)
            except Exception:
                log.exception("a round broke off")

    def _taken(self) -> list[str]:
        """The names of the next round; none ends the thread."""
        with self._lock:
            names, self._next = list(self._next), {}
            if self._stopped.is_set() or not names:
                self._progress, self._thread = None, None
                return []
            self._progress = Progress(len(names), frozenset(names), None)
            return names

    def _told(self, verdict: Verdict) -> None:
        with self._lock:
            now = self._progress
            if now is not None and not verdict.open:
                self._progress = Progress(now.total, now.left - {verdict.name}, None)

    def _waited(self, until: datetime) -> bool:
        with self._lock:
            if self._progress is not None:
                self._progress = Progress(self._progress.total, self._progress.left, until)
        while self._clock() < until:
            if self._stopped.wait(STEP):
                return False
        return True
