"""Exclusive locks of the operating system, each on a file. They end with their process.

Imports only ``os`` and ``time``: ``zoho-wizard token NAME`` acquires the refresh lock with
`try_acquire` before it imports anything expensive. `hold_lock` in the same process then continues
to hold it.
"""

import os
import time

TYPE_CHECKING = False  # the module `typing` itself is expensive
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from filelock import BaseFileLock

    from wizard.errors import WizardError

_LOCK_FILE_MODE = 0o600
_MIN_PAUSE_SECONDS, _MAX_PAUSE_SECONDS = 0.05, 0.5
_acquired_descriptors: dict[str, int] = {}


def pause_seconds(waited_seconds: float) -> float:
    """How long to wait before a lock is tried again: a tenth of the time waited so far, within
    limits. So hundreds of waiting programs leave the processor to the one that they wait for."""
    return min(max(waited_seconds / 10, _MIN_PAUSE_SECONDS), _MAX_PAUSE_SECONDS)


def pause(since: float) -> None:
    """Wait before a lock is tried again. `since`: when waiting began, by the monotonic clock."""
    time.sleep(pause_seconds(time.monotonic() - since))


def try_acquire(path: str) -> bool:
    """Acquire the lock for this process without waiting. False: another process has it.

    Raises OSError if the lock's file is missing, or on a system without ``flock``.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        raise OSError from None
    descriptor = os.open(path, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            return False
        raise
    _acquired_descriptors[path] = descriptor
    return True


def release(path: str) -> None:
    """Release a lock that `try_acquire` acquired."""
    os.close(_acquired_descriptors.pop(path))


def lock_open_file(descriptor: int) -> None:
    """Wait for the lock of an open file, which ends when it is closed. Does nothing on a system
    without ``flock``."""
    try:
        import fcntl
    except ImportError:  # Windows
        return
    fcntl.flock(descriptor, fcntl.LOCK_EX)


class ExclusiveLock:
    """A context manager that holds a lock. Raises what ``refusal`` returns if another process or
    thread has it for longer than ``timeout_seconds``, or ``stop_waiting_if`` becomes true;
    ``disk-full`` or ``store-unwritable`` if its file can't be made."""

    def __init__(
        self,
        path: str,
        refusal: "Callable[[], WizardError]",
        timeout_seconds: float = 0,
        stop_waiting_if: "Callable[[], bool]" = lambda: False,
    ) -> None:
        self._path = path
        self._refusal = refusal
        self._timeout_seconds = timeout_seconds
        self._stop_waiting_if = stop_waiting_if
        self._lock: BaseFileLock | None = None

    def __enter__(self) -> None:
        if self._path in _acquired_descriptors:
            return
        from filelock import FileLock

        lock = FileLock(self._path, mode=_LOCK_FILE_MODE, thread_local=False)
        begun = time.monotonic()
        try:
            while not _is_acquired(lock):
                is_late = time.monotonic() - begun >= self._timeout_seconds
                if is_late or self._stop_waiting_if():
                    raise self._refusal()
                pause(begun)
        except OSError as error:  # a full disk, or a read-only file system
            import errno

            from wizard.errors import fail

            is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            code = "disk-full" if is_full else "store-unwritable"
            raise fail(code, path=self._path, reason=os.strerror(error.errno or 0)) from error
        self._lock = lock

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: "TracebackType | None",
    ) -> None:
        if self._lock is None:
            release(self._path)
        else:
            self._lock.release()


def _is_acquired(lock: "BaseFileLock") -> bool:
    """Try to acquire a lock of the library, without waiting."""
    from filelock import Timeout

    try:
        lock.acquire(blocking=False)
    except Timeout:
        return False
    return True


def hold_lock(
    path: str,
    timeout_seconds: float,
    code: str,
    name: str,
    stop_waiting_if: "Callable[[], bool]" = lambda: False,
) -> ExclusiveLock:
    """Hold a lock, or raise the temporary failure ``code`` about connection ``name``."""
    return ExclusiveLock(path, lambda: refusal(code, name), timeout_seconds, stop_waiting_if)


def refusal(code: str, name: str) -> "WizardError":
    """The temporary failure ``code``: another process holds a lock of connection ``name``."""
    from wizard.errors import WizardError
    from wizard.model import Failure

    return WizardError(Failure(code, temporary=True, sent=False, details={"name": name}))
