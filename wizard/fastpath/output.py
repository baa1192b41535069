"""stdout that is closed, full or not read any more: one line on stderr and an exit code."""

import os
import sys

FAILED = 1


def replace_closed_stdout() -> None:
    """Make writing to a closed stdout (``>&-``) fail: Python has None in its place, which some
    writers skip silently."""
    if sys.stdout is None:
        sys.stdout = os.fdopen(os.open(os.devnull, os.O_RDONLY), "w", encoding="utf-8")


def write(text: str) -> int:
    """Write to stdout; return the exit code."""
    replace_closed_stdout()
    try:
        sys.stdout.write(text)
    except OSError as error:
        return _failure(error)
    return finish(0)


def is_broken() -> bool:
    """Whether what was written to stdout can't be delivered."""
    try:
        sys.stdout.flush()
    except OSError:
        return True
    return False


def finish(code: int) -> int:
    """Deliver what was written; return ``code``, or 1 if it was 0 and stdout is broken."""
    try:
        sys.stdout.flush()
    except OSError as error:
        failed = _failure(error)
        return code or failed
    return code


def _failure(error: OSError) -> int:
    """A reader that went away, as ``head`` does, needs no message."""
    if not isinstance(error, BrokenPipeError):
        write_error(f"Can't write to stdout: {error.strerror}.")
    # Python flushes stdout once more when it ends, and would complain in its own words.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return FAILED


def write_error(line: str) -> None:
    """Write a line to stderr, which may be closed, too."""
    try:  # noqa: SIM105 - contextlib is expensive to import
        os.write(2, f"{line}\n".encode())
    except OSError:
        pass
