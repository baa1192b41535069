"""A thread that verifies grants one after the other."""

import logging
import queue
import threading
from collections.abc import Callable

from wizard.errors import WizardError
from wizard.tokens.budgets import RefreshPurpose
from wizard.verification.service import VerificationService

log = logging.getLogger(__name__)


class VerificationWorker:
    """Verifies grants in a thread of its own and then calls `continue_with` with the connection.

    Pages submit a grant and read its growing report from the store. If the process dies, the report
    has no end, and the pages show it as unfinished.
    """

    def __init__(
        self, verification: VerificationService, continue_with: Callable[[str], object]
    ) -> None:
        self._verification = verification
        self._continue_with = continue_with
        self._queue: queue.SimpleQueue[tuple[str, int, RefreshPurpose] | None] = queue.SimpleQueue()
        self._pending: set[tuple[str, int]] = set()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def submit(
        self, name: str, generation: int, purpose: RefreshPurpose = RefreshPurpose.REQUIRED
    ) -> None:
        """Queue grant `generation` of connection `name`, unless it is queued or running already."""
        with self._lock:
            if (name, generation) in self._pending:
                return
            self._pending.add((name, generation))
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._work, name="verification-worker", daemon=True
                )
                self._thread.start()
        self._queue.put((name, generation, purpose))

    def is_verifying(self, name: str, generation: int) -> bool:
        """Whether this process has that grant queued or is verifying it."""
        with self._lock:
            return (name, generation) in self._pending

    def stop(self, timeout_seconds: float = 30.0) -> None:
        """Finish the queue within `timeout_seconds` and end the thread."""
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None:
            self._queue.put(None)
            thread.join(timeout_seconds)

    def _work(self) -> None:
        while (task := self._queue.get()) is not None:
            try:
                for _step in self._verification.verify(*task):
                    pass
                self._continue_with(task[0])
            except WizardError as error:
                log.warning("verification of %s %d ended: %s", *task[:2], error.failure.code)
            except Exception:
                log.exception("verification of %s %d failed", *task[:2])
            finally:
                with self._lock:
                    self._pending.discard(task[:2])
