"""A lock of the operating system: it falls with its process, so that nothing stale is left."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from filelock import FileLock, Timeout

from wizard.errors import WizardError
from wizard.fastpath import refresh_lock
from wizard.model import Failure


@contextmanager
def hold_lock(
    path: str,
    timeout_seconds: float,
    code: str,
    name: str,
    stop_waiting_if: Callable[[], bool] = lambda: False,
) -> Iterator[None]:
    """Hold an operating system's lock; after `timeout` seconds, or once waiting for it has become
    `needless`, raise the temporary `code`.

    A turn that this process took on the short path is this lock, held already.
    """
    if refresh_lock.is_held(path):
        try:
            yield
        finally:
            refresh_lock.release(path)
        return
    failure = Failure(code, temporary=True, sent=False, details={"name": name})
    with exclusive(path, lambda: WizardError(failure), timeout_seconds, stop_waiting_if):
        yield


@contextmanager
def exclusive(
    path: str,
    refused: Callable[[], WizardError],
    timeout: float = 0,
    needless: Callable[[], bool] = lambda: False,
) -> Iterator[None]:
    """Hold an operating system's lock, and raise what `refused` makes where another has it for
    longer than `timeout` seconds."""
    lock = FileLock(path, timeout=timeout, mode=0o600, thread_local=False)
    try:
        lock.acquire(cancel_check=needless)
    except Timeout:
        raise refused() from None
    try:
        yield
    finally:
        lock.release()
