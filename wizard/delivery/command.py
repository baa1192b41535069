"""Commands that take credentials on stdin, and commands that make a program read what it was given.

Nothing secret is in the argument vector or the environment of either. A command has a time and a
bounded voice; what it says on stderr is masked before anybody sees it.
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

from wizard.errors import fail
from wizard.transport.redaction import MASK, writings

PATIENCE_SECONDS = 90.0  # systemd gives a service as long to start or stop by default
LONGEST_WORD = 2_000  # characters of stderr: its last lines, where commands say what failed
_KEPT = 4 * LONGEST_WORD  # bytes; a character has at most four
_CHUNK = 4096
_LINGER_SECONDS = 1.0  # a command that ended may have left children that hold its stderr open


_QUOTED = re.compile(r"""'[^']*'|"(?:[^"\\]|\\.)*"|\\.""", re.DOTALL)
"""What a shell would take as it stands, or nearly so: within double quotes it expands."""
_SHELL_SYNTAX = re.compile(
    r"^\s*[A-Za-z_]\w*=|\|\|?|>>?|<|;|&&|&(?=\s|$)|`|\$\(|\$[{\w]|\*|(?<!\S)~(?=/|\s|$)"
)
_EXPANSION = re.compile(r"(?<!\\)(?:`|\$\(|\$[{A-Za-z_])")
_SHELL_OPTION = re.compile(r"(?<!\S)-\w*c\s+$")  # sh -c "…": that shell expands it


def settle(line: str, environment: Mapping[str, str]) -> str:
    """The command line with its program found; a program by relative path becomes absolute,
    because a timer stands in another directory.

    Raises ``command-not-understood`` for unbalanced quotes or nothing, ``command-needs-shell``
    for syntax that only a shell acts on, ``command-missing``.
    """
    try:
        words = shlex.split(line)
    except ValueError:
        words = []
    if not words:
        raise fail("command-not-understood")
    if syntax := shell_syntax(line):
        raise fail("command-needs-shell", syntax=syntax)
    if os.path.dirname(words[0]):
        words[0] = os.path.abspath(words[0])
    if shutil.which(words[0], path=environment.get("PATH")) is None:
        raise fail("command-missing", command=words[0])
    return shlex.join(words)


def shell_syntax(line: str) -> str:
    """The first piece of `line` that only a shell acts on, such as ``>>``; empty if there is none.
    No shell runs these commands: such a piece would reach the program as an argument. Pure."""
    for quoted in _QUOTED.finditer(line):
        text, before = quoted.group(), line[: quoted.start()]
        if text.startswith('"') and not _SHELL_OPTION.search(before):
            found = _EXPANSION.search(text)
            if found:
                return found.group()
    found = _SHELL_SYNTAX.search(_QUOTED.sub("_", line))
    return found.group().strip() if found else ""


def run(
    line: str,
    environment: Mapping[str, str],
    *,
    given: str = "",
    secrets: Iterable[str] = (),
    patience: float = PATIENCE_SECONDS,
) -> None:
    """Run a command to its end without a shell, with `given` on its stdin.

    Raises ``command-missing``, ``command-failed`` with its exit code, ``command-timeout`` after
    `patience` seconds; both with the end of its stderr, in which `secrets` are masked.
    """
    words = shlex.split(line)
    try:
        process = subprocess.Popen(  # noqa: S603 - the person's own command, and no shell
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
        voice = _Voice(process.stderr)
        try:
            _give(process.stdin, given)
            code = process.wait(patience)
        except subprocess.TimeoutExpired:
            _kill(process)
            said, seconds = voice.heard(secrets), f"{patience:g}"
            raise fail("command-timeout", command=line, seconds=seconds, said=said) from None
        except BaseException:
            _kill(process)
            raise
        said = voice.heard(secrets)
    if code != 0:
        raise fail("command-failed", command=line, status=str(code), said=said)


class _Voice:
    """The end of what a command says; the rest is read and dropped, so that it never blocks."""

    def __init__(self, stream: IO[bytes] | None) -> None:
        self._stream = stream
        self._kept = b""
        self._cut = False
        self._reader = threading.Thread(target=self._listen, name="command's stderr", daemon=True)
        self._reader.start()

    def heard(self, secrets: Iterable[str]) -> str:
        """The last lines, without the secrets, whichever way a program spells them."""
        self._reader.join(_LINGER_SECONDS)
        said = self._kept.decode(errors="replace")
        known = {each for secret in secrets if secret for each in writings(secret)}
        for each in sorted(known, key=len, reverse=True):  # one may be a part of another
            said = re.sub(re.escape(each), MASK, said, flags=re.IGNORECASE)
        if self._cut:  # half a secret may stand where the rest was dropped
            said = said[max(map(len, known), default=0) :]
        return said.strip()[-LONGEST_WORD:] or "nothing"

    def _listen(self) -> None:
        with suppress(OSError, ValueError):  # closed under our hands: nobody listens any more
            while self._stream and (chunk := os.read(self._stream.fileno(), _CHUNK)):
                self._cut |= len(self._kept) + len(chunk) > _KEPT
                self._kept = (self._kept + chunk)[-_KEPT:]


def _give(stdin: IO[bytes] | None, given: str) -> None:
    if stdin is None:
        return
    try:
        with stdin:
            stdin.write(given.encode())
    except BrokenPipeError:  # it reads no stdin; its exit code says whether that is well
        return


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End the command with all that it started."""
    if os.name == "posix":
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()
