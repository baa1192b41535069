"""Run the user's commands: those that take credentials on stdin, and reload commands.

Their arguments and environment contain no secrets. They have a timeout. Only the end of stderr is
kept, with secrets masked.
"""

import os
import re
import shlex
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import IO

from wizard.credential_formats import MASK
from wizard.errors import fail
from wizard.transport.redaction import writings

COMMAND_TIMEOUT_SECONDS = 90.0  # as systemd's default for starting or stopping a service
MAX_STDERR_CHARACTERS = 2_000  # the last ones
_MAX_STDERR_BYTES = 4 * MAX_STDERR_CHARACTERS  # a character has at most four
_CHUNK_BYTES = 4096
_STDERR_TIMEOUT_SECONDS = 1.0  # children of a finished command may keep stderr open

_QUOTED = re.compile(r"""'[^']*'|"(?:[^"\\]|\\.)*"|\\.""", re.DOTALL)
"""What a shell takes literally, except for expansions within double quotes."""
_SHELL_SYNTAX = re.compile(
    r"""
      ^\s*[A-Za-z_]\w*\+?=                     # a variable for the command
    | \n                                      # the end of a command
    | \|\|? | && | & | ; | >>? | < | [()]      # operators (POSIX 2.10.2)
    | ` | \$\S                                # substitution (2.6.2 to 2.6.4)
    | [*?] | \[[^\s\]]+\]                      # patterns (2.14)
    | \{[^\s{}]*(?:,|\.\.)[^\s{}]*\}         # alternatives, in most shells
    | (?<!\S)~ | (?<!\S)\#                   # a home directory (2.6.1), a comment
    """,
    re.VERBOSE,
)
"""What a shell acts on outside of quotes (POSIX.1-2017, Shell Command Language)."""
_LINE_CONTINUATION = "\\\n"
_LINE_BREAK = "line-break"
_EXPANSION = re.compile(r"(?<!\\)(?:`|\$\(|\$[{A-Za-z_])")
_SHELL_OPTION = re.compile(r"(?<!\S)-\w*c\s+$")  # sh -c "…": that shell expands it


def resolve_command(command_line: str, environment: Mapping[str, str]) -> str:
    """Check a command line; a relative path of its program becomes absolute, because a timer runs
    in a different directory.

    Raises ``command-not-understood`` for unbalanced quotes or nothing, ``command-needs-shell``
    for syntax that only a shell acts on, ``command-missing``.
    """
    try:
        words = shlex.split(command_line)
    except ValueError:
        words = []
    if not words:
        raise fail("command-not-understood")
    if syntax := shell_syntax(command_line):
        raise fail("command-needs-shell", syntax=syntax)
    if os.path.dirname(words[0]):
        words[0] = os.path.abspath(words[0])
    if shutil.which(words[0], path=environment.get("PATH")) is None:
        raise fail("command-missing", command=words[0])
    return shlex.join(words)


def shell_syntax(line: str) -> str:
    """The first part of `line` that only a shell acts on, such as ``>>``; empty if there is none.
    Commands run without a shell, so the program would get it as an argument."""
    line = line.strip()
    for quoted in _QUOTED.finditer(line):
        if quoted.group() == _LINE_CONTINUATION:
            return _LINE_BREAK
        text, before = quoted.group(), line[: quoted.start()]
        if text.startswith('"') and not _SHELL_OPTION.search(before):
            found = _EXPANSION.search(text)
            if found:
                return found.group()
    found = _SHELL_SYNTAX.search(_QUOTED.sub("_", line))
    return (found.group().strip() or _LINE_BREAK) if found else ""


def run_command(
    command_line: str,
    environment: Mapping[str, str],
    *,
    stdin_text: str = "",
    secrets: Iterable[str] = (),
    timeout_seconds: float = COMMAND_TIMEOUT_SECONDS,
) -> None:
    """Run a command without a shell, with `stdin_text` on its stdin, and wait for its end.

    Raises ``command-missing``; ``command-failed`` with its exit code, and ``command-timeout``, both
    with the end of its stderr, in which `secrets` are masked.
    """
    words = shlex.split(command_line)
    try:
        process = subprocess.Popen(  # noqa: S603 - the user's own command, without a shell
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=dict(environment),
            start_new_session=os.name == "posix",
        )
    except OSError as error:
        raise fail("command-missing", command=words[0]) from error
    with process:
        stderr = _StderrReader(process.stderr)
        try:
            _write_stdin(process.stdin, stdin_text)
            code = process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            _kill(process)
            stderr_text, seconds = stderr.masked_tail(secrets), f"{timeout_seconds:g}"
            raise fail(
                "command-timeout", command=command_line, seconds=seconds, stderr=stderr_text
            ) from None
        except BaseException:
            _kill(process)
            raise
        stderr_text = stderr.masked_tail(secrets)
    if code != 0:
        raise fail("command-failed", command=command_line, status=str(code), stderr=stderr_text)


class _StderrReader:
    """Reads a command's stderr in a thread, so that it never blocks, and keeps the end."""

    def __init__(self, stream: IO[bytes] | None) -> None:
        self._stream = stream
        self._tail = b""
        self._is_truncated = False
        self._thread = threading.Thread(target=self._read, name="command's stderr", daemon=True)
        self._thread.start()

    def masked_tail(self, secrets: Iterable[str]) -> str:
        """The last lines, with `secrets` masked in every encoding."""
        self._thread.join(_STDERR_TIMEOUT_SECONDS)
        text = self._tail.decode(errors="replace")
        known = {each for secret in secrets if secret for each in writings(secret)}
        for each in sorted(known, key=len, reverse=True):  # one may be part of another
            text = re.sub(re.escape(each), MASK, text, flags=re.IGNORECASE)
        if self._is_truncated:  # the text may begin within a secret
            text = text[max(map(len, known), default=0) :]
        return text.strip()[-MAX_STDERR_CHARACTERS:]

    def _read(self) -> None:
        with suppress(OSError, ValueError):  # closed by the other thread
            while self._stream and (chunk := os.read(self._stream.fileno(), _CHUNK_BYTES)):
                self._is_truncated |= len(self._tail) + len(chunk) > _MAX_STDERR_BYTES
                self._tail = (self._tail + chunk)[-_MAX_STDERR_BYTES:]


def _write_stdin(stdin: IO[bytes] | None, text: str) -> None:
    if stdin is None:
        return
    try:
        with stdin:
            stdin.write(text.encode())
    except BrokenPipeError:  # it doesn't read stdin; its exit code decides
        return


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill the command and its children."""
    if os.name == "posix":
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()
