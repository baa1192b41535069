"""Write to stdout; if it is closed, full or no longer read, report it by exit code and stderr."""

import os
import sys

FAILED = 1


def replace_closed_stdout() -> None:
    """Make writing to a closed stdout (``>&-``) fail: Python sets it to None, which some writers
    skip silently."""
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
    """Whether what was written to stdout can't be flushed."""
    try:
        sys.stdout.flush()
    except OSError:
        return True
    return False


def finish(code: int) -> int:
    """Flush stdout; return ``code``, or 1 if that is 0 and stdout is broken."""
    try:
        sys.stdout.flush()
    except OSError as error:
        failed = _failure(error)
        return code or failed
    return code


def _failure(error: OSError) -> int:
    """Report a failure to write, except for a closed pipe: ``head`` closes it on purpose."""
    if not isinstance(error, BrokenPipeError):
        write_error(f"Can't write to stdout: {error.strerror}.")
    # Python flushes stdout again at exit, and would print its own error.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return FAILED


def write_error(line: str) -> None:
    """Write a line to stderr, which may be closed."""
    try:  # noqa: SIM105 - contextlib is expensive to import
        os.write(2, f"{line}\n".encode())
    except OSError:
        pass
