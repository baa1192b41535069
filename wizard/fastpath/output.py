"""Write to stdout; if it is closed, full or no longer read, report it by exit code and stderr."""

import os
import sys

FAILED = 1

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any, TextIO


class CheckedStream:
    """A stream that remembers the last error of writing to it: an unbuffered one has lost the text
    by then, so a later flush succeeds."""

    def __init__(self, stream: "TextIO", *, raises: bool) -> None:
        self._stream = stream
        self._raises = raises
        self.error: OSError | None = None

    def write(self, text: str) -> int:
        """Write ``text``; raise the error, unless the stream is optional."""
        try:
            return self._stream.write(text)
        except OSError as error:
            self._keep(error)
            return len(text)

    def flush(self) -> None:
        """Flush; raise the error, unless the stream is optional."""
        try:
            self._stream.flush()
        except OSError as error:
            self._keep(error)

    def __getattr__(self, name: str) -> "Any":
        return getattr(self._stream, name)

    def _keep(self, error: OSError) -> None:
        self.error = error
        if self._raises:
            raise error


class CheckedStreams:
    """Replaces stdout and stderr in its context: stdout remembers an error, and stderr ignores it,
    so that a failure keeps its exit code."""

    def __enter__(self) -> "CheckedStreams":
        replace_closed_streams()
        self._streams = sys.stdout, sys.stderr
        self.stdout = CheckedStream(sys.stdout, raises=True)
        self.stderr = CheckedStream(sys.stderr, raises=False)
        sys.stdout, sys.stderr = self.stdout, self.stderr
        return self

    def __exit__(
        self,
        kind: "type[BaseException] | None",
        error: BaseException | None,
        trace: "TracebackType | None",
    ) -> None:
        sys.stdout, sys.stderr = self._streams

    def finish(self, code: int) -> int:
        """Flush both; return ``code``, or 1 if that is 0 and stdout couldn't be written."""
        self.stderr.flush()
        if self.stderr.error is not None:
            _discard(self.stderr.fileno())
        try:
            self.stdout.flush()
        except OSError as error:
            self.stdout.error = error
        if self.stdout.error is None:
            return code
        failed = report_failure(self.stdout.error)
        return code or failed


def replace_closed_streams() -> None:
    """Make writing to a closed stdout (``>&-``) fail: Python sets it to None, which some writers
    skip silently. For a closed stderr, open the null device: the next file that is opened would get
    its number, and messages would be written into that file."""
    if sys.stdout is None:
        sys.stdout = os.fdopen(os.open(os.devnull, os.O_RDONLY), "w", encoding="utf-8")
    if sys.stderr is None:
        sys.stderr = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8")


def write(text: str) -> int:
    """Write to stdout; return the exit code."""
    replace_closed_streams()
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        return report_failure(error)
    return 0


def report_failure(error: OSError) -> int:
    """Report a failure to write, except for a closed pipe: ``head`` closes it on purpose."""
    if not isinstance(error, BrokenPipeError):
        write_error(f"Can't write to stdout: {error.strerror}.")
    _discard(sys.stdout.fileno())
    return FAILED


def _discard(descriptor: int) -> None:
    """Discard what is still buffered: Python flushes at exit, and would print its own error."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)


def write_error(line: str) -> None:
    """Write a line to stderr, which may be closed."""
    try:  # noqa: SIM105 - contextlib is expensive to import
        os.write(2, f"{line}\n".encode())
    except OSError:
        pass
