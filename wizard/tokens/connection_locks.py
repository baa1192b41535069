"""The locks of a connection, each held by one thread of one process at a time.

They are files of the data directory, so they work between processes. A lock ends with its process.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager

from wizard.locks import hold_lock
from wizard.paths import Paths

LOCK_TIMEOUT_SECONDS = 65.0
"""How long to wait for another process: all the tries of a refresh take less."""


class ConnectionLocks:
    """Locks by connection."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths

    def refresh(
        self, name: str, *, wait: bool = True, stop_waiting_if: Callable[[], bool] = lambda: False
    ) -> AbstractContextManager[None]:
        """Hold the lock for changing the tokens of connection `name`; raises
        ``refresh-under-way``."""
        path, timeout_seconds = self._paths.lock_file(name), LOCK_TIMEOUT_SECONDS if wait else 0
        return hold_lock(path, timeout_seconds, "refresh-under-way", name, stop_waiting_if)

    def verification(self, name: str) -> AbstractContextManager[None]:
        """Hold the lock for verifying `name`; raises ``verification-under-way`` at once."""
        return hold_lock(f"{self._paths.lock_file(name)}.verify", 0, "verification-under-way", name)

    def exchange(self, name: str, *, wait: bool = True) -> AbstractContextManager[None]:
        """Hold the lock for exchanging a code of connection `name`, from the intent to the stored
        grant; raises ``exchange-under-way``. If an intent is stored and the lock is free, the
        process that stored it has died."""
        path, timeout_seconds = self._paths.lock_file(name), LOCK_TIMEOUT_SECONDS if wait else 0
        return hold_lock(f"{path}.exchange", timeout_seconds, "exchange-under-way", name)
