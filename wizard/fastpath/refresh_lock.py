"""Whose turn it is to renew a token, before anything dear is imported; on the short path.

The lock is the one under which the broker refreshes, taken here the way its lock library takes it:
by ``flock``, which falls with its process. Who takes it keeps it for the broker of the same
process, which adopts it instead of waiting for itself.
"""

import os

_held_descriptors: dict[str, int] = {}


def acquire(path: str) -> bool:
    """Try to take the turn at the lock ``path``, without waiting; False: another process has it.

    Raises OSError where there is no such lock yet, or the system knows none.
    """
    try:
        import fcntl
    except ImportError:  # Windows locks otherwise, and goes the long way
        raise OSError from None
    descriptor = os.open(path, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return False
    except OSError:
        os.close(descriptor)
        raise
    _held_descriptors[path] = descriptor
    return True


def release(path: str) -> None:
    """Let the next one have its turn."""
    os.close(_held_descriptors.pop(path))


def is_held(path: str) -> bool:
    """Whether this process has the turn."""
    return path in _held_descriptors
