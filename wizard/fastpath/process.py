"""This process: its output, and its replacement by a command with an access token.

If stdout is closed, full or no longer read, the exit code and stderr say so.
"""

import atexit
import os
import sys

try:
    import _signal as signal  # type: ignore[import-not-found] # `signal` itself is expensive
except ImportError:
    import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType
    from typing import Any, NoReturn, TextIO

FAILED = 1
WIZARD_COMMAND = (sys.executable, "-P", "-m", "wizard")
"""How to run the wizard from another process, whatever its PATH; -P: no `wizard` from its working
directory."""
_PLAIN_CHARACTERS = "@%+=:,./-_"


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


def write_output(text: str) -> int:
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


def token_variables(name: str, access_token: str, variables: "Mapping[str, str]") -> dict[str, str]:
    """The environment variables for a command, with ``variables`` from `access_variables`. Only the
    access token is secret."""
    return {
        "ZOHO_ACCESS_TOKEN": access_token,
        **variables,
        "ZOHO_TOKEN_COMMAND": " ".join(map(_quote, (*WIZARD_COMMAND, "token", name))),
    }


def replace_process(command: "list[str]", environment: "Mapping[str, str]") -> "NoReturn":
    """Replace this process by ``command``. Raises OSError if it can't be started."""
    # Python ignores these two signals, and exec keeps that: a command in a pipe would not end when
    # its reader does.
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    numbers = [getattr(signal, each) for each in ("SIGPIPE", "SIGXFSZ") if hasattr(signal, each)]
    previous = [signal.signal(each, signal.SIG_DFL) for each in numbers]
    try:
        os.execvpe(command[0], command, environment)  # noqa: S606 without a shell is what is meant
    finally:
        for number, handler in zip(numbers, previous, strict=True):
            signal.signal(number, handler)


def end(code: int) -> "NoReturn":
    """End the process after its exit handlers; ignore Ctrl-C, since the command has ended.

    Python would free every object first, which takes a fifth of a short command.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    atexit._run_exitfuncs()
    os._exit(code)


def forbid_core_dumps() -> None:
    """Forbid core dumps of this process and of the command that replaces it."""
    try:
        import resource
    except ImportError:  # Windows has none
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _quote(word: str) -> str:
    """``word`` for a shell; `shlex` is expensive to import."""
    if word and word.isascii() and all(c.isalnum() or c in _PLAIN_CHARACTERS for c in word):
        return word
    return "'" + word.replace("'", "'\"'\"'") + "'"
